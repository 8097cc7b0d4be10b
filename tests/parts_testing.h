// A small language model in parts, as ANEMLL lays one out: embeddings, chunks with the functions
// infer and prefill over one cache, a head in two pieces.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/testing.h"
#include "facade_testing.h"
#include "ir/builder.h"
#include "ops/catalog.h"
#include "package/package.h"

namespace mw::testing {

namespace fs = std::filesystem;

struct SmallParts {
  int64_t vocabulary = 300, width = 4, context = 24, block = 4;
  int64_t chunks = 2;
  std::string form = ".mlpackage";
  std::string tag;  // "_lut4": behind the names of the chunks
  bool with_meta = true, with_tokenizer = true;
  bool rotates = false;  // has infer_rotate and prefill_rotate, too
  // What a test makes wrong in one of the chunks.
  std::map<int64_t, std::function<void(SmallParts&)>> other_chunk;
  ir::Opset opset = ir::Opset::kIos18;
  std::string state = "model_model_kv_cache_0";
  DType dtype = DType::kF16;
};

namespace parts {

using ir::Builder;
using ir::Type;
using ir::Value;
using Ints = std::vector<int64_t>;

// Differs from weight to weight; eighths.
inline Tensor numbers(DType dtype, const Shape& shape, int64_t seed) {
  Tensor tensor(dtype, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const auto mixed = static_cast<uint64_t>(i * 131 + seed * 7919 + 17) * 0x9E3779B97F4A7C15ULL;
    tensor.set_number(i, static_cast<double>(mixed >> 60) / 8 - 1);
  }
  return tensor;
}

// A model with one weight file, whose functions share what has one offset.
class Part {
 public:
  explicit Part(const SmallParts& m) : m_(m) {
    model_.program = std::make_unique<ir::Program>();
    model_.program->version = "1.3";
    model_.spec_version = 9;
  }

  Builder begin(const std::string& name) {
    function_ = model_.program->add_function(name, m_.opset);
    model_.functions.push_back({.name = name});
    if (model_.default_function.empty()) model_.default_function = name;
    return {function_->body, ops::catalog(), m_.opset};
  }
  Value* input(const std::string& name, DType dtype, const Shape& shape) {
    description().inputs.push_back({.name = name, .dtype = dtype, .shape = shape});
    return function_->body.add_argument(name, Type::tensor(dtype, shape));
  }
  Value* state(const Shape& shape) {
    description().states.push_back({.name = m_.state,
                                    .kind = package::Feature::Kind::kState,
                                    .dtype = DType::kF16,
                                    .shape = shape});
    return function_->body.add_argument(m_.state, Type::state(Type::tensor(DType::kF16, shape)));
  }
  void output(const std::string& name, Value* value) {
    value->name = name;
    description().outputs.push_back({.name = name, .dtype = value->type.dtype()});
    function_->body.outputs.push_back(value);
  }
  // The same bytes at the same place whenever it is asked for by this name.
  Value* weight(Builder& b, const std::string& name, const Shape& shape, int64_t seed) {
    const auto [at, fresh] = offsets_.try_emplace(name, 64 * (offsets_.size() + 1) * 64);
    return b.constant(ir::Constant::blob(numbers(m_.dtype, shape, seed),
                                         {"@model_path/weights/weight.bin", at->second}),
                      name);
  }
  package::FunctionDescription& description() { return model_.functions.back(); }
  package::Model& model() { return model_; }
  void write(const fs::path& path) {
    model_.multi_function = model_.functions.size() > 1;
    package::write(model_, path);
  }

 private:
  const SmallParts& m_;
  package::Model model_;
  ir::Function* function_ = nullptr;
  std::map<std::string, uint64_t> offsets_;
};

inline void write_embeddings(const SmallParts& m, const fs::path& path) {
  Part part(m);
  Builder b = part.begin("main");
  Value* ids = part.input("input_ids", DType::kI32, {1, ir::kUnknownDim});
  part.description().inputs[0].shape = {1, 1};
  part.description().inputs[0].enumerated = {{1, 1}, {1, m.block}};
  Value* table = part.weight(b, "embed_tokens_weight", {m.vocabulary, m.width}, 1);
  part.output("hidden_states", b.op("gather", {{"x", table}, {"indices", ids}, {"axis", 0}}));
  part.write(path);
}

inline void write_head(const SmallParts& m, const fs::path& path) {
  Part part(m);
  Builder b = part.begin("main");
  Value* x = part.input("hidden_states", m.dtype, {1, 1, m.width});
  const int64_t half = m.vocabulary / 2;
  const int64_t sizes[] = {half, m.vocabulary - half};
  for (int64_t i = 0; i < 2; ++i) {
    Value* weight = part.weight(b, fmt::format("heads_{}_weight", i), {sizes[i], m.width}, 2 + i);
    part.output(fmt::format("logits{}", i + 1), b.op("linear", {{"x", x}, {"weight", weight}}));
  }
  part.write(path);
}

// x + attention over the rows of the cache that the mask lets through, of which these are added.
inline void add_chunk(const SmallParts& m, Part& part, const std::string& function, bool prefill,
                      int64_t number) {
  const int64_t time = prefill ? m.block : 1;
  Builder b = part.begin(function);
  Value* x = part.input("hidden_states", m.dtype, {1, time, m.width});
  Value* positions = part.input("position_ids", DType::kI32, {time});
  Value* mask = part.input("causal_mask", DType::kF16, {1, 1, time, m.context});
  Value* current = part.input("current_pos", DType::kI32, {1});
  Value* cache = part.state({m.chunks, m.context, m.width});
  const std::string layer = fmt::format("model_model_layers_{}_", number - 1);
  if (number == 1) {
    Value* table = part.weight(b, "positions", {m.context, m.width}, 40);
    Value* at =
        b.op("gather", {{"x", table}, {"indices", prefill ? positions : current}, {"axis", 0}});
    x = b.op("add",
             {{"x", x}, {"y", b.op("mul", {{"x", at}, {"y", Builder::number_like(at, 0.25)}})}});
  }
  Value* weight = part.weight(b, layer + "v_proj_weight", {m.width, m.width}, 10 + number);
  Value* rows = b.op("linear", {{"x", x}, {"weight", weight}});
  const auto place = [&](Value* first, Value* second, Value* third) {
    return b.op("concat", {{"values", std::vector<Value*>{first, second, third}}, {"axis", 0}});
  };
  const auto ints = [&](const Ints& values) { return b.constant(ir::Constant::int32s(values)); };
  Value* end = b.op("add", {{"x", current}, {"y", ints({time})}});
  Value* half =
      rows->type.dtype() == DType::kF16 ? rows : b.op("cast", {{"x", rows}, {"dtype", "fp16"}});
  Value* updated = b.op("slice_update", {{"x", b.op("read_state", {{"input", cache}})},
                                         {"update", half},
                                         {"begin", place(ints({number - 1}), current, ints({0}))},
                                         {"end", place(ints({number}), end, ints({m.width}))}});
  b.op_results("write_state", {{"input", cache}, {"data", updated}});
  Value* kept = b.op("slice_by_size", {{"x", b.op("read_state", {{"input", cache}})},
                                       {"begin", Ints{number - 1, 0, 0}},
                                       {"size", Ints{1, m.context, m.width}}});
  if (m.dtype != DType::kF16) {
    kept = b.op("cast", {{"x", kept}, {"dtype", std::string(name_of(m.dtype))}});
    mask = b.op("cast", {{"x", mask}, {"dtype", std::string(name_of(m.dtype))}});
  }
  Value* scores = b.op("matmul", {{"x", x}, {"y", kept}, {"transpose_y", true}});
  scores = b.op("add", {{"x", scores}, {"y", b.op("squeeze", {{"x", mask}, {"axes", Ints{0}}})}});
  Value* read =
      b.op("matmul", {{"x", b.op("softmax", {{"x", scores}, {"axis", -1}})}, {"y", kept}});
  Value* y = b.op("add", {{"x", x}, {"y", read}});
  const bool is_last = number == m.chunks;
  if (is_last && prefill) {
    y = b.op("slice_by_size", {{"x", y}, {"begin", Ints{0, 0, 0}}, {"size", Ints{1, 1, m.width}}});
  } else if (is_last) {
    y = b.op("mul", {{"x", y}, {"y", part.weight(b, "model_model_norm_weight", {m.width}, 50)}});
  }
  part.output("output_hidden_states", y);
}

inline void write_chunk(SmallParts m, const fs::path& path, int64_t number) {
  if (const auto other = m.other_chunk.find(number); other != m.other_chunk.end()) other->second(m);
  Part part(m);
  add_chunk(m, part, "infer", false, number);
  add_chunk(m, part, "prefill", true, number);
  if (m.rotates) {
    add_chunk(m, part, "infer_rotate", false, number);
    add_chunk(m, part, "prefill_rotate", true, number);
  }
  part.write(path);
}
// The same with one function, main.
inline void write_function(const SmallParts& m, const fs::path& path, bool prefill) {
  Part part(m);
  add_chunk(m, part, "main", prefill, 1);
  part.write(path);
}

inline void put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace parts

inline std::string meta_yaml(const SmallParts& m) {
  return fmt::format(R"(model_info:
  name: small
  version: 0.3.4
  architecture: llama
  parameters:
    context_length: {}
    batch_size: {}
    lut_embeddings: none
    lut_ffn: {}
    lut_lmhead: none
    num_chunks: {}
    model_prefix: small
    embeddings: small_embeddings.mlmodelc
    lm_head: small_lm_head.mlmodelc
    ffn: small_FFN_PF{}.mlmodelc
    split_lm_head: 2
)",
                     m.context, m.block, m.tag.empty() ? "none" : m.tag.substr(4), m.chunks, m.tag);
}

inline std::string chunk_file(const SmallParts& m, int64_t number) {
  return fmt::format("small_FFN_PF{}_chunk_{:02}of{:02}{}", m.tag, number, m.chunks, m.form);
}

// Writes the folder; its tokenizer is tests/data/tokenizer/byte_level.json, of 300 tokens.
inline fs::path write_small_parts(const fs::path& folder, const SmallParts& m = {}) {
  fs::create_directories(folder);
  parts::write_embeddings(m, folder / ("small_embeddings" + m.form));
  for (int64_t i = 1; i <= m.chunks; ++i) parts::write_chunk(m, folder / chunk_file(m, i), i);
  parts::write_head(m, folder / ("small_lm_head" + m.form));
  if (m.with_meta) parts::put(folder / "meta.yaml", meta_yaml(m));
  const char* data = std::getenv("MW_TEST_DATA");
  if (m.with_tokenizer) {
    fs::copy_file(fs::path(data == nullptr ? "tests/data" : data) / "tokenizer/byte_level.json",
                  folder / "tokenizer.json");
  }
  return folder;
}

// The mask, positions and place of one token, as the protocol has them.
inline TensorMap inputs_at(const SmallParts& m, int64_t position) {
  Tensor mask(DType::kF16, {1, 1, 1, m.context});
  for (int64_t k = position + 1; k < m.context; ++k) mask.set_number(k, -INFINITY);
  return {{"position_ids", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(position)}, {1})},
          {"current_pos", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(position)}, {1})},
          {"causal_mask", mask}};
}

class Parts : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path folder(const SmallParts& m = {}, const std::string& name = "model") const {
    return write_small_parts(folder_ / name, m);
  }
  [[nodiscard]] fs::path scratch(const std::string& name) const { return folder_ / name; }
  static std::string refusal(const fs::path& path, ErrorCode code = ErrorCode::kInvalidModel) {
    return error_of([&] { (void)CoreMLModelWrapper::load(path); }, code);
  }
  // Each part run by itself, over one state.
  static std::vector<Tensor> by_hand(const fs::path& folder, const SmallParts& m,
                                     const std::vector<int32_t>& ids) {
    const auto open = [&](const std::string& name) {
      return CoreMLModelWrapper::load(folder / (name + m.form));
    };
    const auto embeddings = open("small_embeddings"), head = open("small_lm_head");
    std::vector<CoreMLModelWrapper> chunks;
    for (int64_t i = 1; i <= m.chunks; ++i) {
      chunks.push_back(CoreMLModelWrapper::load(folder / chunk_file(m, i)));
    }
    State state = chunks[0].make_state();
    std::vector<Tensor> logits;
    for (size_t t = 0; t < ids.size(); ++t) {
      Tensor hidden = embeddings.predict({{"input_ids", Tensor::from(std::vector{ids[t]}, {1, 1})}})
                          .at("hidden_states");
      for (const auto& chunk : chunks) {
        TensorMap inputs = inputs_at(m, static_cast<int64_t>(t));
        inputs["hidden_states"] = hidden;
        hidden = chunk.predict(inputs, state).at("output_hidden_states");
      }
      const TensorMap outputs = head.predict({{"hidden_states", hidden}});
      std::vector<float> row;
      for (const char* name : {"logits1", "logits2"}) {
        const Tensor& part = outputs.at(name);
        for (int64_t i = 0; i < part.count(); ++i)
          row.push_back(static_cast<float>(part.number_at(i)));
      }
      logits.push_back(Tensor::from(row, {m.vocabulary}));
    }
    return logits;
  }
  static void expect_same_as_by_hand(const fs::path& whole, const fs::path& folder,
                                     const SmallParts& m = {}) {
    const std::vector<int32_t> ids = {5, 77, 5, 299, 0, 140};
    const std::vector<Tensor> expected = by_hand(folder, m, ids);
    const Tensor got = CoreMLModelWrapper::load(whole).forward(ids);
    ASSERT_EQ(got.shape(), (Shape{1, 6, m.vocabulary}));
    for (int64_t t = 0; t < 6; ++t) {
      for (int64_t v = 0; v < m.vocabulary; ++v) {
        ASSERT_NEAR(got.number_at(t * m.vocabulary + v), expected[t].number_at(v), 0.05) << t;
      }
    }
  }
  const TempFolder folder_;
};

}  // namespace mw::testing
