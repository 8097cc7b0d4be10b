// Small models for plans to be read of: one of each kind of network, weights of no meaning.
#pragma once

#include "built_model.h"

namespace mw::testing {

using Ints = std::vector<int64_t>;

// Adds layers to a model, with weights drawn from their position.
class Layers {
 public:
  explicit Layers(BuiltModel& model) : model_(model), b_(model.b()) {}

  ir::Value* weight(const std::string& name, const Shape& shape) {
    std::vector<float> values(static_cast<size_t>(count_of(shape)));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(static_cast<int64_t>(i * 37 % 101) - 50) / 256;
    }
    return model_.weight(name, values, shape);
  }
  ir::Value* linear(ir::Value* x, int64_t outputs, const std::string& name) {
    const int64_t inputs = x->type.shape().back();
    return b_.op("linear",
                 {{"x", x},
                  {"weight", weight(name + "_weight", {outputs, inputs})},
                  {"bias", weight(name + "_bias", {outputs})}},
                 name);
  }
  ir::Value* conv(ir::Value* x, int64_t outputs, int64_t size, const std::string& name) {
    return b_.op("conv",
                 {{"x", x},
                  {"weight", weight(name + "_weight", {outputs, x->type.shape()[1], size, size})},
                  {"bias", weight(name + "_bias", {outputs})},
                  {"pad_type", "same"}},
                 name);
  }
  ir::Value* norm(ir::Value* x, const std::string& name) {
    const int64_t width = x->type.shape().back();
    return b_.op("layer_norm",
                 {{"x", x},
                  {"axes", Ints{-1}},
                  {"gamma", weight(name + "_gamma", {width})},
                  {"beta", weight(name + "_beta", {width})}},
                 name);
  }
  ir::Value* pool(const char* type, ir::Value* x, const std::string& name) {
    return b_.op(
        type,
        {{"x", x}, {"kernel_sizes", Ints{2, 2}}, {"strides", Ints{2, 2}}, {"pad_type", "valid"}},
        name);
  }
  ir::Value* on(const char* type, ir::Value* x, const std::string& name = "") {
    return b_.op(type, {{"x", x}}, name);
  }
  ir::Value* of(const char* type, ir::Value* x, ir::Value* y, const std::string& name = "") {
    return b_.op(type, {{"x", x}, {"y", y}}, name);
  }

 private:
  BuiltModel& model_;
  ir::Builder& b_;
};

inline void digits_cnn(BuiltModel& m) {
  Layers l(m);
  ir::Value* x = m.input("pixels", {2, 1, 8, 8});
  x = l.pool("max_pool", l.on("relu", l.conv(x, 8, 3, "conv_1")), "pool_1");
  x = l.pool("avg_pool", l.on("relu", l.conv(x, 16, 3, "conv_2")), "pool_2");
  x = m.b().op("reshape", {{"x", x}, {"shape", Ints{2, 64}}}, "flat");
  m.output(m.b().op("softmax", {{"x", l.linear(x, 10, "head")}, {"axis", -1}}), "digits");
}

inline void u_net(BuiltModel& m) {
  Layers l(m);
  ir::Value* x = m.input("image", {1, 3, 16, 16});
  ir::Value* wide = l.on("silu", l.conv(x, 8, 3, "down_1"));
  ir::Value* deep = l.on("silu", l.conv(l.pool("max_pool", wide, "pool"), 16, 3, "down_2"));
  ir::Value* up = m.b().op(
      "conv_transpose",
      {{"x", deep}, {"weight", l.weight("up_weight", {16, 8, 2, 2})}, {"strides", Ints{2, 2}}},
      "up");
  ir::Value* both =
      m.b().op("concat", {{"values", std::vector<ir::Value*>{wide, up}}, {"axis", 1}}, "skip");
  x = l.on("silu", l.conv(both, 8, 3, "merge"));
  m.output(l.on("sigmoid", l.conv(x, 1, 1, "mask")), "inside");
}

inline void lstm(BuiltModel& m) {
  Layers l(m);
  ir::Value* x = m.input("frames", {6, 1, 4});
  ir::Value* zero = l.weight("zero", {1, 8});
  const auto results = m.b().op_results("lstm",
                                        {{"x", x},
                                         {"initial_h", zero},
                                         {"initial_c", zero},
                                         {"weight_ih", l.weight("from_input", {32, 4})},
                                         {"weight_hh", l.weight("from_hidden", {32, 8})},
                                         {"bias", l.weight("gate_bias", {32})},
                                         {"output_sequence", true}},
                                        "lstm");
  m.output(l.linear(results[0], 3, "head"), "notes");
}

// Heads as converters write them: products, a mask and a softmax between transpositions.
inline ir::Value* heads_of(BuiltModel& m, ir::Value* x, const std::string& name) {
  ir::Value* split = m.b().op("reshape", {{"x", x}, {"shape", Ints{1, 12, 4, 8}}}, name + "_split");
  return m.b().op("transpose", {{"x", split}, {"perm", Ints{0, 2, 1, 3}}}, name + "_heads");
}

inline void attention_block(BuiltModel& m) {
  Layers l(m);
  ir::Value* x = m.input("x", {1, 12, 32});
  ir::Value* mask = m.input("mask", {1, 1, 12, 12});
  ir::Value* normed = l.norm(x, "norm_1");
  ir::Value* q = heads_of(m, l.linear(normed, 32, "query"), "query");
  ir::Value* k = heads_of(m, l.linear(normed, 32, "key"), "key");
  ir::Value* v = heads_of(m, l.linear(normed, 32, "value"), "value");
  ir::Value* scores = m.b().op("matmul", {{"x", q}, {"y", k}, {"transpose_y", true}}, "scores");
  scores = m.b().op("mul", {{"x", scores}, {"y", 0.25F}}, "scaled");
  ir::Value* weights =
      m.b().op("softmax", {{"x", l.of("add", scores, mask, "masked")}, {"axis", -1}}, "weights");
  ir::Value* mixed = l.of("matmul", weights, v, "mixed");
  mixed = m.b().op("transpose", {{"x", mixed}, {"perm", Ints{0, 2, 1, 3}}}, "mixed_rows");
  mixed = m.b().op("reshape", {{"x", mixed}, {"shape", Ints{1, 12, 32}}}, "mixed_flat");
  x = l.of("add", x, l.linear(mixed, 32, "out"), "residual_1");
  ir::Value* hidden = m.b().op(
      "gelu", {{"x", l.linear(l.norm(x, "norm_2"), 64, "up")}, {"mode", "EXACT"}}, "hidden");
  m.output(l.of("add", x, l.linear(hidden, 32, "down"), "residual_2"), "y");
}

// Weights as palettes: a product of many rows and one of few.
inline void compressed(BuiltModel& m) {
  Layers l(m);
  const auto palette = [&](int64_t rows, int64_t columns, const std::string& name) {
    Tensor indices(DType::kU8, {rows, columns}), table(DType::kF32, {1, 1, 256, 1});
    for (int64_t i = 0; i < indices.count(); ++i) indices.set_number(i, static_cast<double>(i % 7));
    for (int64_t i = 0; i < table.count(); ++i) table.set_number(i, static_cast<double>(i) / 16);
    return m.b().op("constexpr_lut_to_dense",
                    {{"indices", m.b().constant(ir::Constant::tensor(indices), name + "_indices")},
                     {"lut", m.b().constant(ir::Constant::tensor(table), name + "_table")}},
                    name);
  };
  ir::Value* rows = m.input("rows", {16, 32});
  ir::Value* row = m.input("row", {1, 32});
  const auto linear = [&](ir::Value* x, const std::string& name) {
    return m.b().op("linear",
                    {{"x", x},
                     {"weight", palette(48, 32, name + "_weight")},
                     {"bias", l.weight(name + "_bias", {48})}},
                    name);
  };
  m.output(l.on("relu", linear(rows, "many")), "many_rows");
  m.output(l.on("tanh", linear(row, "few")), "one_row");
}

}  // namespace mw::testing
