// Cuts crops, for the conformance kit: kit_cases.py gives it the cases, and lets the kit judge.
//
//   g++ -std=c++17 -O2 crops.cpp -o crops
//   crops image.rgb WIDTH HEIGHT < cases > pixels
//
// Each line of input is a case: METHOD MARGIN SIZE INPUT_SIZE, then `anchors` and 8 numbers, `box` and 4, both, or neither. For each
// case, a line with the method that was used goes to standard error, and the pixels to standard output.

#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "crop.hpp"

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: crops image.rgb WIDTH HEIGHT < cases > pixels\n";
        return 2;
    }
    mien::Image image(std::stoi(argv[2]), std::stoi(argv[3]));
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() != image.rgb.size()) {
        std::cerr << argv[1] << " has " << bytes.size() << " bytes, expected " << image.rgb.size() << "\n";
        return 1;
    }
    std::copy(bytes.begin(), bytes.end(), image.rgb.begin());
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        mien::Contract contract;
        int input_size = 0;
        words >> contract.method >> contract.margin >> contract.size >> input_size;
        std::optional<std::array<mien::Point, 4>> anchors;
        std::optional<mien::Box> box;
        for (std::string word; words >> word;) {
            if (word == "anchors") {
                anchors.emplace();
                for (auto& point : *anchors) words >> point[0] >> point[1];
            } else if (word == "box") {
                box.emplace();
                for (auto& value : *box) words >> value;
            }
        }
        const auto [matrix, method] = mien::crop_matrix(contract, image.width, image.height, anchors, box);
        const auto crop = mien::resize_crop(mien::crop_image(image, matrix, contract.size), input_size);
        std::cerr << method << "\n";
        std::cout.write(reinterpret_cast<const char*>(crop.rgb.data()), static_cast<std::streamsize>(crop.rgb.size()));
    }
}
