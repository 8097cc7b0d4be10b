// Language models of a few numbers in every form that logits come in, and what they must say.
#pragma once

#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "ir/builder.h"
#include "millwright/millwright.hpp"
#include "ops/catalog.h"
#include "package/package.h"

namespace mw::suite {

// [1, T, V] or another arrangement of it; the lower ones hold the last position only.
enum class Form : uint8_t {
  kPlain,       // [1, T, V]
  kNoBatch,     // [T, V]
  kHead,        // [1, V, 1, T], as a convolution gives it
  kTrailing,    // [1, T, V, 1, 1]
  kTimeFirst,   // [T, rows, V]
  kLast,        // [1, 1, V]
  kLastRow,     // [1, V]
  kLastFlat,    // [V]
  kLastHead,    // [1, V, 1, 1]
  kDictionary,  // of a classifier whose classes are the ids
};
inline bool is_last_only(Form form) { return form >= Form::kLast; }

struct SmallModel {
  Form form = Form::kPlain;
  int64_t vocabulary = 31, width = 5;
  int64_t rows = 1;  // of ids
  int64_t time = 0;  // of one call; 0: 1 to `longest`
  int64_t longest = 24;
  DType dtype = DType::kF32;  // of the logits
  bool softmax = false;
  std::string end;           // what the logits go through, as ended() has it; "": as `softmax` says
  bool rank_one = false;     // ids [T]
  int64_t cache = 0;         // places of a cache of embeddings; 0: no states
  bool by_position = false;  // there is no mask: an input says which place the one token has
  std::vector<int64_t> listed;  // lengths, instead of a range
  std::string output = "logits";
  bool broken = false;  // a weight of token 3 is no number
};

inline double table_at(int64_t row, int64_t column, int64_t seed) {
  const auto mixed = static_cast<uint64_t>(row * 131 + column * 17 + seed) * 0x9E3779B97F4A7C15ULL;
  return static_cast<double>(mixed >> 60) / 8 - 1;  // eighths: exact in every dtype
}

inline ir::ConstantPtr table(int64_t rows, int64_t columns, int64_t seed, DType dtype) {
  Tensor tensor(dtype, {rows, columns});
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, table_at(i / columns, i % columns, seed));
  }
  return ir::Constant::tensor(tensor);
}

// The logits after each of `ids`: every token's embedding is added to those before it.
inline std::vector<std::vector<double>> expected_logits(const SmallModel& m,
                                                        const std::vector<int32_t>& ids) {
  std::vector<double> sum(static_cast<size_t>(m.width));
  std::vector<std::vector<double>> rows;
  for (const int32_t id : ids) {
    for (int64_t d = 0; d < m.width; ++d) sum[static_cast<size_t>(d)] += table_at(id, d, 1);
    std::vector<double> row(static_cast<size_t>(m.vocabulary));
    for (int64_t v = 0; v < m.vocabulary; ++v) {
      for (int64_t d = 0; d < m.width; ++d) {
        row[static_cast<size_t>(v)] += table_at(v, d, 2) * sum[static_cast<size_t>(d)] / 8;
      }
    }
    rows.push_back(row);
  }
  return rows;
}

namespace small {

using ir::Builder;
using ir::Value;
using Ints = std::vector<int64_t>;

// Embeddings summed over what the mask lets through of the cache, into which they are written.
inline Value* cached_sums(Builder& b, const SmallModel& m, Value* embedded, Value* mask,
                          Value* cache) {
  const auto scalar = [&](Value* shape, int64_t axis) {
    return b.op("slice_by_size", {{"x", shape}, {"begin", Ints{axis}}, {"size", Ints{1}}});
  };
  Value* shape = b.op("shape", {{"x", mask}});
  Value* end = scalar(shape, 3);
  Value* begin = b.op("sub", {{"x", end}, {"y", scalar(shape, 2)}});
  Value* zero = b.constant(ir::Constant::int32s({0}));
  Value* one = b.constant(ir::Constant::int32s({1}));
  Value* width = b.constant(ir::Constant::int32s({m.width}));
  const auto place = [&](Value* first, Value* second, Value* third) {
    return b.op("concat", {{"values", std::vector<Value*>{first, second, third}}, {"axis", 0}});
  };
  Value* old = b.op("read_state", {{"input", cache}});
  Value* half = b.op("cast", {{"x", embedded}, {"dtype", "fp16"}});
  Value* updated = b.op("slice_update", {{"x", old},
                                         {"update", half},
                                         {"begin", place(zero, begin, zero)},
                                         {"end", place(one, end, width)}});
  b.op_results("write_state", {{"input", cache}, {"data", updated}});
  Value* rows = b.op("slice_by_index",
                     {{"x", updated}, {"begin", Ints{0, 0, 0}}, {"end", place(one, end, width)}});
  Value* open =
      b.op("greater", {{"x", b.op("cast", {{"x", mask}, {"dtype", "fp32"}})}, {"y", -1.0F}});
  Value* gate =
      b.op("squeeze", {{"x", b.op("cast", {{"x", open}, {"dtype", "fp32"}})}, {"axes", Ints{0}}});
  return b.op("matmul", {{"x", gate}, {"y", b.op("cast", {{"x", rows}, {"dtype", "fp32"}})}});
}

// The same for one token whose place is an input; places that were never written hold zeros.
inline Value* placed_sums(Builder& b, const SmallModel& m, Value* embedded, Value* position,
                          Value* cache) {
  Value* zero = b.constant(ir::Constant::int32s({0}));
  const auto place = [&](Value* second) {
    return b.op("concat", {{"values", std::vector<Value*>{zero, second, zero}}, {"axis", 0}});
  };
  Value* begin = place(position);
  Value* size = b.constant(ir::Constant::int32s({1, 1, m.width}));
  Value* updated =
      b.op("slice_update", {{"x", b.op("read_state", {{"input", cache}})},
                            {"update", b.op("cast", {{"x", embedded}, {"dtype", "fp16"}})},
                            {"begin", begin},
                            {"end", b.op("add", {{"x", begin}, {"y", size}})}});
  b.op_results("write_state", {{"input", cache}, {"data", updated}});
  return b.op("reduce_sum", {{"x", b.op("cast", {{"x", updated}, {"dtype", "fp32"}})},
                             {"axes", Ints{1}},
                             {"keep_dims", true}});
}

// The logits [1, T, V] with an activation over the classes, written in one of several ways.
inline Value* ended(Builder& b, const std::string& end, Value* logits) {
  const auto on = [&](const char* op, Value* x) { return b.op(op, {{"x", x}}); };
  const auto two = [&](const char* op, Value* x, Value* y) {
    return b.op(op, {{"x", x}, {"y", y}});
  };
  const auto sum = [&](Value* x) {
    return b.op("reduce_sum", {{"x", x}, {"axes", Ints{-1}}, {"keep_dims", true}});
  };
  const auto softmax = [&] { return b.op("softmax", {{"x", logits}, {"axis", -1}}); };
  if (end == "softmax") return softmax();
  if (end == "softmax of positions") return b.op("softmax", {{"x", logits}, {"axis", 1}});
  if (end == "log softmax") return on("log", softmax());
  if (end == "sigmoid") return on("sigmoid", logits);
  if (end == "log sigmoid") return on("log", on("sigmoid", logits));
  // Between 0 and 1, and of no activation that is known.
  if (end == "unknown") return b.op("clip", {{"x", softmax()}, {"alpha", 0.0F}, {"beta", 1.0F}});
  Value* e = on("exp", logits);
  if (end == "quotient") return two("real_div", e, sum(e));
  return two("mul", e, on("inverse", sum(e)));  // "product"
}

inline Value* in_form(Builder& b, const SmallModel& m, Value* logits) {
  if (is_last_only(m.form)) {
    logits = b.op("slice_by_index", {{"x", logits},
                                     {"begin", Ints{0, -1, 0}},
                                     {"end", Ints{0, 0, 0}},
                                     {"end_mask", ir::Constant::tensor([] {
                                        Tensor mask(DType::kBool, {3});
                                        for (int64_t i = 0; i < 3; ++i) mask.set_integer(i, 1);
                                        return mask;
                                      }())}});
  }
  if (m.softmax) logits = ended(b, "softmax", logits);
  if (!m.end.empty()) logits = ended(b, m.end, logits);
  switch (m.form) {
    case Form::kPlain:
    case Form::kLast:
      break;
    case Form::kNoBatch:
    case Form::kLastRow:
      logits = b.op("squeeze", {{"x", logits}, {"axes", Ints{0}}});
      break;
    case Form::kLastFlat:
    case Form::kDictionary:
      logits = b.op("squeeze", {{"x", logits}, {"axes", Ints{0, 1}}});
      break;
    case Form::kHead:
    case Form::kLastHead:
      logits = b.op("transpose", {{"x", logits}, {"perm", Ints{0, 2, 1}}});
      logits = b.op("expand_dims", {{"x", logits}, {"axes", Ints{2}}});
      break;
    case Form::kTimeFirst:
      logits = b.op("transpose", {{"x", logits}, {"perm", Ints{1, 0, 2}}});
      break;
    case Form::kTrailing:
      logits = b.op("expand_dims", {{"x", logits}, {"axes", Ints{3, 4}}});
      break;
  }
  if (m.dtype != DType::kF32) {
    logits = b.op("cast", {{"x", logits}, {"dtype", std::string(name_of(m.dtype))}});
  }
  return logits;
}

inline std::vector<Value*> classified(Builder& b, const SmallModel& m, Value* probabilities) {
  std::vector<ir::ConstantPtr> ids;
  for (int64_t v = 0; v < m.vocabulary; ++v) {
    ids.push_back(ir::Constant::tensor(Tensor::scalar<int64_t>(v)));
  }
  const auto list = ir::Type::list(ir::Type::scalar(DType::kI64));
  return b.op_results("classify", {{"probabilities", probabilities},
                                   {"classes", ir::Constant::aggregate(list, ids)}});
}

inline package::FunctionDescription description_of(const SmallModel& m) {
  package::FunctionDescription description{.name = "main"};
  const int64_t time = m.time > 0 ? m.time : m.longest;
  package::Feature ids{.name = "input_ids", .dtype = DType::kI32, .shape = {m.rows, time}};
  if (m.rank_one) ids.shape = {time};
  if (m.time == 0 && m.listed.empty()) {
    if (!m.rank_one) ids.ranges.push_back({m.rows, m.rows});
    ids.ranges.push_back({1, m.longest});
  }
  for (const int64_t listed : m.listed) ids.enumerated.push_back({m.rows, listed});
  if (!m.listed.empty()) ids.shape = ids.enumerated.front();
  description.inputs = {ids};
  if (m.by_position) {
    description.inputs.push_back({.name = "position", .dtype = DType::kI32, .shape = {1}});
  } else if (m.cache > 0) {
    package::Feature mask{
        .name = "causal_mask", .dtype = DType::kF16, .shape = {1, 1, time, m.cache}};
    mask.ranges = {{1, 1}, {1, 1}, {m.time > 0 ? m.time : 1, time}, {1, m.cache}};
    description.inputs.push_back(mask);
  }
  return description;
}

}  // namespace small

inline ir::ConstantPtr head(const SmallModel& m) {
  const ir::ConstantPtr weight = table(m.vocabulary, m.width, 2, DType::kF32);
  if (!m.broken) return weight;
  Tensor broken = weight->value().clone();
  broken.set_number(3 * m.width, std::nan(""));
  return ir::Constant::tensor(broken);
}

inline void write_small_model(const std::filesystem::path& path, const SmallModel& m) {
  using ir::Type;
  package::Model model;
  model.program = std::make_unique<ir::Program>();
  model.program->version = "1.3";
  ir::Function& main = *model.program->add_function("main", ir::Opset::kIos18);
  const int64_t time = m.time > 0 ? m.time : ir::kUnknownDim;
  ir::Value* ids = main.body.add_argument(
      "input_ids", Type::tensor(DType::kI32, m.rank_one ? Shape{time} : Shape{m.rows, time}));
  ir::Value *mask = nullptr, *cache = nullptr;
  if (m.by_position) {
    mask = main.body.add_argument("position", Type::tensor(DType::kI32, {1}));
  } else if (m.cache > 0) {
    mask = main.body.add_argument("causal_mask",
                                  Type::tensor(DType::kF16, {1, 1, time, ir::kUnknownDim}));
  }
  if (m.cache > 0) {
    cache = main.body.add_argument("cache",
                                   Type::state(Type::tensor(DType::kF16, {1, m.cache, m.width})));
  }
  ir::Builder b(main.body, ops::catalog(), main.opset);
  if (m.rank_one) ids = b.op("expand_dims", {{"x", ids}, {"axes", small::Ints{0}}});
  ir::Value* embeddings = b.constant(table(m.vocabulary, m.width, 1, DType::kF32), "embeddings");
  ir::Value* embedded = b.op("gather", {{"x", embeddings}, {"indices", ids}, {"axis", 0}});
  ir::Value* sums = m.by_position ? small::placed_sums(b, m, embedded, mask, cache)
                    : m.cache > 0 ? small::cached_sums(b, m, embedded, mask, cache)
                                  : b.op("cumsum", {{"x", embedded}, {"axis", 1}});
  sums = b.op("mul", {{"x", sums}, {"y", 0.125F}});
  ir::Value* weight = b.constant(head(m), "head_weight");
  ir::Value* logits = b.op("linear", {{"x", sums}, {"weight", weight}});
  logits = small::in_form(b, m, logits);
  main.body.outputs = {logits};
  if (m.form == Form::kDictionary) main.body.outputs = small::classified(b, m, logits);
  main.body.outputs.back()->name = m.output;
  model.functions = {small::description_of(m)};
  if (m.cache > 0) {
    model.functions[0].states = {{.name = "cache",
                                  .kind = package::Feature::Kind::kState,
                                  .dtype = DType::kF16,
                                  .shape = {1, m.cache, m.width}}};
  }
  if (m.form == Form::kDictionary) {
    model.functions[0].predicted_feature_name = main.body.outputs[0]->name;
    model.functions[0].predicted_probabilities_name = m.output;
  }
  model.default_function = "main";
  model.spec_version = 9;
  package::write(model, path);
}

// Ids that repeat late and differ early.
inline std::vector<int32_t> some_ids(const SmallModel& m, int64_t count) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>((i * i * 7 + i * 3 + 2) % m.vocabulary));
  }
  return ids;
}

}  // namespace mw::suite
