// Inputs for any model, made from its own description and a seed.
#pragma once

#include <cmath>
#include <random>

#include "millwright/millwright.hpp"

namespace mw::suite {

// Default extents where there are any, else the lower bounds. Floats lie in [-1, 1), magnitudes in
// [0, 1]; pixels are whole numbers up to 255, and integers lie below 4 so that they may stand for
// ids or masks.
inline TensorMap random_inputs(const CoreMLModelWrapper& model, uint32_t seed) {
  std::mt19937 random(seed);
  TensorMap inputs;
  for (const FeatureDescription& feature : model.inputs()) {
    Shape shape = feature.shape;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = i < feature.ranges.size() ? feature.ranges[i].first : 1;
    }
    const bool is_magnitude = feature.name.find("magnitude") != std::string::npos;
    Tensor tensor(feature.dtype, shape);
    for (int64_t i = 0; i < tensor.count(); ++i) {
      if (feature.kind == "Image") {
        tensor.set_number(i, random() % 256);
      } else if (is_float(feature.dtype)) {
        const double number = static_cast<double>(random() % 2048) / 1024 - 1;
        tensor.set_number(i, is_magnitude ? std::abs(number) : number);
      } else {
        tensor.set_number(i, random() % (feature.dtype == DType::kBool ? 2 : 4));
      }
    }
    inputs[feature.name] = tensor;
  }
  return inputs;
}

}  // namespace mw::suite
