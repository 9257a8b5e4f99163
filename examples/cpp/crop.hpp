// mien's crop contract (docs/formats.md) in C++17, without dependencies: the same pixels as in Python.
//
// Coordinates are continuous: an image spans [0, w] x [0, h], pixel centers are at half-integers.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mien {

// RGB, 3 bytes per pixel, row by row.
struct Image {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;

    Image(int w, int h) : width(w), height(h), rgb(static_cast<std::size_t>(w) * h * 3) {}
};

using Point = std::array<double, 2>;
// x0, y0, x1, y1
using Box = std::array<double, 4>;
// x' = a x + b y + c, y' = d x + e y + f
using Matrix = std::array<double, 6>;

struct Contract {
    std::string method;
    double margin = 0;
    int size = 0;
};

inline constexpr double kLargestSide = 1e7;

inline Matrix square(double center_x, double center_y, double side) {
    return {1 / side, 0, 0.5 - center_x / side, 0, 1 / side, 0.5 - center_y / side};
}

inline Matrix invert(const Matrix& m) {
    const auto [a, b, c, d, e, f] = m;
    const double scale = 1 / (a * e - b * d);
    return {e * scale, -b * scale, (b * f - c * e) * scale, -d * scale, a * scale, (c * d - a * f) * scale};
}

// Least-squares similarity transform without reflection (Umeyama 1991); none for degenerate points.
inline std::optional<Matrix> similarity(const std::array<Point, 4>& source, const std::array<Point, 4>& target) {
    Point from{}, to{};
    for (int i = 0; i < 4; ++i) {
        for (int axis = 0; axis < 2; ++axis) {
            from[axis] += source[i][axis] / 4;
            to[axis] += target[i][axis] / 4;
        }
    }
    double variance = 0, real = 0, imaginary = 0;
    for (int i = 0; i < 4; ++i) {
        const double px = source[i][0] - from[0], py = source[i][1] - from[1];
        const double qx = target[i][0] - to[0], qy = target[i][1] - to[1];
        variance += px * px + py * py;
        real += px * qx + py * qy;
        imaginary += px * qy - py * qx;
    }
    if (!(variance > 1e-6 && variance < kLargestSide * kLargestSide)) return std::nullopt;
    const double a = real / variance, b = imaginary / variance;
    if (std::hypot(a, b) < 1 / kLargestSide) return std::nullopt;
    return Matrix{a, -b, to[0] - a * from[0] + b * from[1], b, a, to[1] - b * from[0] - a * from[1]};
}

// The transform from image coordinates to fractions of the crop, and the method actually used after fallbacks.
//
// The anchors are left eye, right eye, left and right mouth corner, left and right as seen in the image.
inline std::pair<Matrix, std::string> crop_matrix(const Contract& contract, int width, int height,
                                                  const std::optional<std::array<Point, 4>>& anchors,
                                                  const std::optional<Box>& box) {
    if (contract.method == "aligned" && anchors) {
        std::array<Point, 4> target{{{0.325, 0.4}, {0.675, 0.4}, {0.35, 0.77}, {0.65, 0.77}}};
        const double shrink = 1 / (1 + 2 * contract.margin);
        for (auto& point : target)
            for (auto& value : point) value = 0.5 + (value - 0.5) * shrink;
        if (const auto matrix = similarity(*anchors, target)) return {*matrix, "aligned"};
    }
    if (contract.method != "whole" && box) {
        const auto [x0, y0, x1, y1] = *box;
        const double side = std::max(x1 - x0, y1 - y0) * (1 + 2 * contract.margin);
        if (side > 0 && side < kLargestSide) return {square((x0 + x1) / 2, (y0 + y1) / 2, side), "box"};
    }
    return {square(width / 2.0, height / 2.0, std::max(width, height)), "whole"};
}

// Each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped.
inline Image halve(const Image& image) {
    Image half(std::max(1, image.width / 2), std::max(1, image.height / 2));
    const int right = image.width > 1 ? 3 : 0, below = image.height > 1 ? image.width * 3 : 0;
    std::size_t to = 0;
    for (int y = 0; y < half.height; ++y) {
        for (int x = 0; x < half.width; ++x) {
            for (int channel = 0; channel < 3; ++channel) {
                const std::uint8_t* at = &image.rgb[(static_cast<std::size_t>(y) * 2 * image.width + x * 2) * 3 + channel];
                half.rgb[to++] = static_cast<std::uint8_t>((at[0] + at[right] + at[below] + at[right + below] + 2) >> 2);
            }
        }
    }
    return half;
}

// Bilinear sampling with a black border. OpenCV samples at 1/32 pixel in 1/1024 fixed-point arithmetic; repeated here.
inline Image sample(const Image& part, int size, const Matrix& m) {
    constexpr double fine = 1024, steps = 32;
    const auto [a, b, c, d, e, f] = m;
    const auto round = [](double value) { return std::floor(value + 0.5); };
    Image result(size, size);
    for (int v = 0; v < size; ++v) {
        const double start_x = round((b * v + c) * fine) + fine / steps / 2;
        const double start_y = round((e * v + f) * fine) + fine / steps / 2;
        for (int u = 0; u < size; ++u) {
            const double x = std::floor((start_x + round(a * u * fine)) / (fine / steps)) / steps;
            const double y = std::floor((start_y + round(d * u * fine)) / (fine / steps)) / steps;
            const double left = std::floor(x), top = std::floor(y);
            if (left < -1 || top < -1 || left >= part.width || top >= part.height) continue;
            std::array<double, 3> sums{};
            for (int corner = 0; corner < 4; ++corner) {
                const int px = static_cast<int>(left) + (corner & 1), py = static_cast<int>(top) + (corner >> 1);
                if (px < 0 || py < 0 || px >= part.width || py >= part.height) continue;
                const double weight = (corner & 1 ? x - left : 1 - x + left) * (corner >> 1 ? y - top : 1 - y + top);
                for (int channel = 0; channel < 3; ++channel)
                    sums[channel] += weight * part.rgb[(static_cast<std::size_t>(py) * part.width + px) * 3 + channel];
            }
            for (int channel = 0; channel < 3; ++channel)
                result.rgb[(static_cast<std::size_t>(v) * size + u) * 3 + channel] = static_cast<std::uint8_t>(sums[channel] + 0.5);
        }
    }
    return result;
}

// The square crop for a matrix from `crop_matrix`: halved until the rest is less than a factor of two, then bilinear.
inline Image crop_image(const Image& image, const Matrix& matrix, int size) {
    const auto [a, b, c, d, e, f] = invert(matrix);
    const double per_step = 1 / (size * std::hypot(matrix[0], matrix[3]));
    const int halvings = std::max(0, static_cast<int>(std::floor(std::log2(per_step) + 1e-9)));
    const double block = std::ldexp(1.0, halvings);
    // What the crop covers, plus a block on each side.
    const auto span = [&](double start, double along, double across, int limit) {
        const double low = start + std::min(0.0, along) + std::min(0.0, across);
        const double high = start + std::max(0.0, along) + std::max(0.0, across);
        const auto clamped = [&](double value) { return static_cast<int>(std::clamp(value, 0.0, double(limit))); };
        return std::pair{clamped((std::floor(low / block) - 1) * block), clamped((std::ceil(high / block) + 1) * block)};
    };
    Image part = image;
    int origin_x = 0, origin_y = 0;
    if (halvings) {
        const auto [x0, x1] = span(c, a, b, image.width);
        const auto [y0, y1] = span(f, d, e, image.height);
        if (x1 <= x0 || y1 <= y0) return Image(size, size);
        part = Image(x1 - x0, y1 - y0);
        for (int y = y0; y < y1; ++y) {
            const auto row = image.rgb.begin() + (static_cast<std::ptrdiff_t>(y) * image.width + x0) * 3;
            std::copy(row, row + part.width * 3, part.rgb.begin() + static_cast<std::ptrdiff_t>(y - y0) * part.width * 3);
        }
        origin_x = x0;
        origin_y = y0;
    }
    for (int count = 0; count < halvings; ++count) part = halve(part);
    return sample(part, size,
                  {a / size / block, b / size / block, (c + (a + b) / size / 2 - origin_x) / block - 0.5, d / size / block,
                   e / size / block, (f + (d + e) / size / 2 - origin_y) / block - 0.5});
}

// A square crop at the side of the model's input.
inline Image resize_crop(const Image& crop, int size) {
    const double side = crop.width;
    return crop.width == size ? crop : crop_image(crop, square(side / 2, side / 2, side), size);
}

}  // namespace mien
