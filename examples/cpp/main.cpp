// Predicts the expression and landmarks of one face with onnxruntime's C++ API, cropping included.
//
//   g++ -std=c++17 -O2 main.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o mien_face
//   mien_face model.onnx image.rgb WIDTH HEIGHT X Y X Y X Y X Y
//
// The eight numbers are left eye, right eye, left and right mouth corner in pixels, left and right as seen in the image. With
// four numbers, they are the face's box, LEFT TOP RIGHT BOTTOM; with none, the whole image is the face. Prints a line for each
// class, then the landmarks as fractions of the crop.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "crop.hpp"

// Of the JSON that `mien export` writes into the metadata, what this program needs. A real program uses a JSON library.
static std::size_t begin_of(const std::string& json, const std::string& key) {
    const auto start = json.find("\"" + key + "\":");
    if (start == std::string::npos) throw std::runtime_error("the metadata lacks " + key);
    // A model taught on the page has no blank there.
    return json.find_first_not_of(' ', start + key.size() + 3);
}

static std::string value_of(const std::string& json, const std::string& key) {
    const auto begin = begin_of(json, key);
    const auto end = json[begin] == '[' ? json.find(']', begin) : json.find_first_of(",}", begin);
    return json.substr(begin, end - begin);
}

static std::vector<std::string> texts_of(const std::string& list) {
    std::vector<std::string> texts;
    for (std::size_t at = list.find('"'); at != std::string::npos; at = list.find('"', at + 1)) {
        const auto end = list.find('"', at + 1);
        texts.push_back(list.substr(at + 1, end - at - 1));
        at = end;
    }
    return texts;
}

int main(int argc, char** argv) try {
    if (argc != 13 && argc != 9 && argc != 5) {
        std::cerr << "usage: mien_face model.onnx image.rgb WIDTH HEIGHT [X Y X Y X Y X Y | LEFT TOP RIGHT BOTTOM]\n";
        return 2;
    }
    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "mien");
    Ort::Session session(env, argv[1], Ort::SessionOptions{});
    Ort::AllocatorWithDefaultOptions allocator;
    const auto metadata = session.GetModelMetadata();
    const auto text = metadata.LookupCustomMetadataMapAllocated("mien", allocator);
    if (!text) throw std::runtime_error("the model was not written by mien");
    const std::string json = text.get();
    const std::string crop_json = json.substr(begin_of(json, "crop"));
    const mien::Contract contract{texts_of(value_of(crop_json, "method")).at(0), std::stod(value_of(crop_json, "margin")),
                                  std::stoi(value_of(crop_json, "size"))};
    const int input_size = std::stoi(value_of(json, "input_size"));
    const auto classes = texts_of(value_of(json, "classes"));

    mien::Image image(std::stoi(argv[3]), std::stoi(argv[4]));
    std::ifstream file(argv[2], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.size() != image.rgb.size()) throw std::runtime_error("the image has another size");
    std::copy(bytes.begin(), bytes.end(), image.rgb.begin());
    std::vector<double> numbers;
    for (int i = 5; i < argc; ++i) numbers.push_back(std::stod(argv[i]));
    std::optional<std::array<mien::Point, 4>> anchors;
    std::optional<std::array<double, 4>> box;
    if (numbers.size() == 8) {
        anchors.emplace();
        for (std::size_t i = 0; i < 8; ++i) (*anchors)[i / 2][i % 2] = numbers[i];
    } else if (numbers.size() == 4) {
        box = {numbers[0], numbers[1], numbers[2], numbers[3]};
    }

    const auto [matrix, method] = mien::crop_matrix(contract, image.width, image.height, anchors, box);
    auto crop = mien::resize_crop(mien::crop_image(image, matrix, contract.size), input_size);
    const std::array<std::int64_t, 4> shape{1, input_size, input_size, 3};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto input = Ort::Value::CreateTensor<std::uint8_t>(memory, crop.rgb.data(), crop.rgb.size(), shape.data(), shape.size());
    const char* const inputs[] = {"images"};
    const char* const outputs[] = {"expression", "landmarks"};
    const auto tasks = texts_of(value_of(json, "tasks"));
    const bool has_landmarks = std::find(tasks.begin(), tasks.end(), "landmarks") != tasks.end();
    const auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &input, 1, outputs, has_landmarks ? 2 : 1);
    const float* probabilities = results.at(0).GetTensorData<float>();
    for (std::size_t i = 0; i < classes.size(); ++i) std::cout << classes[i] << " " << probabilities[i] << "\n";
    if (!has_landmarks) return 0;
    const float* points = results.at(1).GetTensorData<float>();
    for (int i = 0; i < 68; ++i) std::cout << points[2 * i] << " " << points[2 * i + 1] << "\n";
} catch (const std::exception& error) {
    std::cerr << "mien_face: " << error.what() << "\n";
    return 1;
}
