// A model made of compressed weights of every scheme, as large as a test wants it.
#pragma once

#include <cstring>
#include <random>

#include "ir/builder.h"
#include "millwright/millwright.hpp"
#include "ops/catalog.h"
#include "package/package.h"

namespace mw::suite {

using ir::Constant;
using ir::ConstantPtr;

constexpr int64_t kMostRows = 16;

inline ConstantPtr random_bits(DType dtype, const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(dtype, shape);
  auto* bytes = static_cast<unsigned char*>(tensor.mutable_raw());
  for (int64_t i = 0; i < tensor.nbytes(); i += 8) {
    const uint64_t word = random();
    std::memcpy(bytes + i, &word, static_cast<size_t>(std::min<int64_t>(8, tensor.nbytes() - i)));
  }
  return Constant::tensor(tensor);
}

inline ConstantPtr halves(const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(DType::kF16, shape);
  for (int64_t i = 0; i < tensor.count(); ++i)
    tensor.set_number(i, (static_cast<double>(random() % 256) - 128) / 4096);
  return Constant::tensor(tensor);
}

inline ConstantPtr repeated_half(int64_t count) {
  Tensor tensor(DType::kF16, {count});
  for (int64_t i = 0; i < count; ++i) tensor.set_number(i, (i % 7 - 3) / 64.0);
  return Constant::tensor(tensor);
}

// [rows, columns] in each scheme of compression.
inline ir::Value* compressed(ir::Builder& b, const std::string& scheme, int64_t rows,
                             int64_t columns, std::mt19937_64& random) {
  const Shape shape = {rows, columns};
  if (scheme == "int8") {
    return b.op(
        "constexpr_blockwise_shift_scale",
        {{"data", random_bits(DType::kI8, shape, random)}, {"scale", halves({rows, 1}, random)}});
  }
  if (scheme == "int4") {
    return b.op("constexpr_blockwise_shift_scale",
                {{"data", random_bits(DType::kI4, shape, random)},
                 {"scale", halves({rows, columns / 32}, random)}});
  }
  if (scheme == "lut4") {
    return b.op("constexpr_lut_to_dense", {{"indices", random_bits(DType::kU4, shape, random)},
                                           {"lut", halves({1, 1, 16, 1}, random)}});
  }
  const ConstantPtr mask = random_bits(DType::kU1, shape, random);
  int64_t ones = 0;
  for (int64_t i = 0; i < mask->value().nbytes(); ++i)
    ones += __builtin_popcount(static_cast<const unsigned char*>(mask->value().raw())[i]);
  return b.op("constexpr_sparse_to_dense", {{"nonzero_data", repeated_half(ones)}, {"mask", mask}});
}

// What multiplies with the weight. It lies as [outputs, inputs] in these,
enum class Layer : uint8_t {
  kLinear,
  kConv,        // of a window of one element, over rows that are turned into channels
  kChannels,    // the same over channels that lie apart
  kImages,      // the same over an image of one element for each row
  kMatmul,      // as [inputs, outputs] in these
  kTransposed,  // conv_transpose of such a window
};
constexpr Layer kLayers[] = {Layer::kLinear, Layer::kConv,   Layer::kChannels,
                             Layer::kImages, Layer::kMatmul, Layer::kTransposed};

using Ints = std::vector<int64_t>;

// x is [rows, inputs].
inline ir::Value* layer_of(ir::Builder& b, Layer layer, const std::string& scheme, ir::Value* x,
                           const std::pair<int64_t, int64_t>& sizes, std::mt19937_64& random) {
  const auto [outputs, inputs] = sizes;
  const bool by_inputs = layer == Layer::kMatmul || layer == Layer::kTransposed;
  ir::Value* weight = by_inputs ? compressed(b, scheme, inputs, outputs, random)
                                : compressed(b, scheme, outputs, inputs, random);
  if (layer == Layer::kLinear) return b.op("linear", {{"x", x}, {"weight", weight}});
  if (layer == Layer::kMatmul) return b.op("matmul", {{"x", x}, {"y", weight}});
  const bool images = layer == Layer::kImages;
  weight = b.op("expand_dims", {{"x", weight}, {"axes", Ints{2}}});
  if (images) {
    x = b.op("expand_dims", {{"x", x}, {"axes", Ints{2}}});
  } else if (layer == Layer::kChannels) {
    x = b.op("reshape", {{"x", x}, {"shape", Ints{1, inputs, -1}}});
  } else {
    x = b.op("transpose", {{"x", x}, {"perm", Ints{1, 0}}});
    x = b.op("expand_dims", {{"x", x}, {"axes", Ints{0}}});
  }
  return b.op(layer == Layer::kTransposed ? "conv_transpose" : "conv",
              {{"x", x}, {"weight", weight}});
}

// Layers of every scheme side by side: 96 or 192 outputs times `scale`.
inline void write_model(const std::filesystem::path& path, Layer layer, int64_t inputs,
                        int64_t scale) {
  std::mt19937_64 random(7);
  package::Model model;
  model.program = std::make_unique<ir::Program>();
  model.program->version = "1.3";
  ir::Function& main = *model.program->add_function("main", ir::Opset::kIos18);
  ir::Value* x =
      main.body.add_argument("x", ir::Type::tensor(DType::kF16, {ir::kUnknownDim, inputs}));
  ir::Builder b(main.body, ops::catalog(), main.opset);
  for (const auto& [scheme, width] : {std::pair("int8", 96), std::pair("int4", 192),
                                      std::pair("lut4", 192), std::pair("sparse", 96)}) {
    const int64_t outputs = width * scale;
    ir::Value* const y = layer_of(b, layer, scheme, x, {outputs, inputs}, random);
    main.body.outputs.push_back(y);
  }
  package::FunctionDescription description{.name = "main"};
  package::Feature feature{.name = "x", .dtype = DType::kF16, .shape = {1, inputs}};
  feature.ranges = {{1, kMostRows}, {inputs, inputs}};
  description.inputs = {feature};
  model.functions = {description};
  model.default_function = "main";
  model.spec_version = 9;
  package::write(model, path);
}

inline TensorMap inputs_of(int64_t rows, int64_t inputs) {
  Tensor x(DType::kF16, {rows, inputs});
  for (int64_t i = 0; i < x.count(); ++i) x.set_number(i, (static_cast<double>(i % 11) - 5) / 8.0);
  return {{"x", x}};
}

}  // namespace mw::suite
