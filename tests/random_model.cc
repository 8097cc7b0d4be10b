// Random models: a trunk that makes an array of floats, and one or more ends behind it.
#include "random_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "ir/text/text.h"
#include "package/package.h"
#include "program_text.h"

namespace mw::testing {
namespace {

class Maker : private ProgramText {
 public:
  explicit Maker(uint64_t seed) : ProgramText(seed) {}

  package::Model make();
  std::string program();

 private:
  Value cast(const Value& x, const std::string& dtype) {
    return statement("cast", fmt::format("x = {}, dtype = string(\"{}\")", x.name, dtype), dtype,
                     x.shape);
  }
  Value unary(const std::string& op, const Value& x) {
    return statement(op, "x = " + x.name, x.dtype, x.shape);
  }

  Value trunk();
  Value tokens();
  Value arrange(const Value& logits);
  Value last_position(const Value& logits, bool squeeze);
  Value transposed(const Value& x, const std::vector<int>& order);
  Value expanded(const Value& x, const std::vector<int64_t>& axes);
  Value rows();
  Value image();
  Value elementwise();
  Value stateful();

  void end(Value x);
  Value end_of_floats(const Value& x);
  Value number_end(const Value& x);
  void classifier(Value x);
  void give(const Value& value, const std::string& name);

  std::string opset_ = "ios17", label_, probabilities_;
};

Value Maker::transposed(const Value& x, const std::vector<int>& order) {
  Extents shape;
  for (const int axis : order) shape.push_back(x.shape[static_cast<size_t>(axis)]);
  return statement("transpose",
                   fmt::format("x = {}, perm = tensor<int32, [{}]>([{}])", x.name, order.size(),
                               fmt::join(order, ", ")),
                   x.dtype, shape);
}

// `axes` count in the result.
Value Maker::expanded(const Value& x, const std::vector<int64_t>& axes) {
  Extents shape = x.shape;
  for (const int64_t axis : axes) shape.insert(shape.begin() + axis, 1);
  return statement("expand_dims",
                   fmt::format("x = {}, axes = tensor<int32, [{}]>([{}])", x.name, axes.size(),
                               fmt::join(axes, ", ")),
                   x.dtype, shape);
}

Value Maker::last_position(const Value& logits, bool squeeze) {
  Extents shape = {logits.shape[0], 1, logits.shape[2]};
  if (squeeze) shape.erase(shape.begin() + 1);
  return statement("slice_by_index",
                   fmt::format("x = {}, begin = tensor<int32, [3]>([0, -1, 0]), "
                               "end = tensor<int32, [3]>([0, 0, 0]), "
                               "begin_mask = tensor<bool, [3]>([true, false, true]), "
                               "end_mask = tensor<bool, [3]>([true, true, true]), "
                               "squeeze_mask = tensor<bool, [3]>([false, {}, false])",
                               logits.name, squeeze),
                   logits.dtype, shape);
}

Value Maker::arrange(const Value& logits) {
  switch (pick(8)) {
    case 0:
      return last_position(logits, false);
    case 1:
      return last_position(logits, true);
    case 2:
      return transposed(logits, {0, 2, 1});
    case 3:
      return expanded(transposed(logits, {0, 2, 1}), {2});
    case 4:
      return expanded(logits, {3, 4});
    default:
      return logits;
  }
}

Value Maker::tokens() {
  const int64_t vocabulary = one_of<int64_t>({kTokens, kTokens, kTokens, kTokens + 2, 4, 1});
  const int64_t width = one_of<int64_t>({2, 4}), time = one_of<int64_t>({1, 4, 6});
  const std::string name =
      one_of<std::string>({"input_ids", "input_ids", "ids", "tokens", "inputIds"});
  const bool flat = once_in(8);
  const Extents shape = flat ? Extents{time} : Extents{one_of<int64_t>({1, 1, 1, 2}), time};
  const Value ids = input(name, "int32", shape, once_in(2));
  const Value table = constant({vocabulary, width});
  Extents wide = ids.shape, logits = ids.shape;
  wide.push_back(width);
  logits.push_back(vocabulary);
  const Value found = statement(
      "gather", fmt::format("x = {}, indices = {}, axis = int32(0)", table.name, ids.name), "fp32",
      wide);
  const Value weight = constant({vocabulary, width}), bias = constant({vocabulary});
  const Value result = statement(
      "linear", fmt::format("x = {}, weight = {}, bias = {}", found.name, weight.name, bias.name),
      "fp32", logits);
  return flat ? result : arrange(result);
}

Value Maker::rows() {
  const int64_t width = one_of<int64_t>({1, 3, 4}), classes = one_of<int64_t>({1, 2, 3, 5});
  const Extents shape = {one_of<int64_t>({1, 2, 3}), width};
  const Value x = input("x", one_of<std::string>({"fp32", "fp32", "fp16"}), shape, false);
  const Value wide = x.dtype == "fp32" ? x : cast(x, "fp32");
  const Value weight = constant({classes, width}), bias = constant({classes});
  return statement("linear",
                   fmt::format("x = {}, weight = {}, bias = {}", wide.name, weight.name, bias.name),
                   "fp32", {shape[0], classes});
}

Value Maker::image() {
  const int64_t channels = one_of<int64_t>({1, 2, 3}), classes = one_of<int64_t>({1, 2, 4});
  const Extents shape = {one_of<int64_t>({1, 2}), channels, one_of<int64_t>({1, 3}), 2};
  const Value x = input("pixels", "fp32", shape, false);
  const Value weight = constant({classes, channels, 1, 1});
  return statement("conv", fmt::format("x = {}, weight = {}", x.name, weight.name), "fp32",
                   {shape[0], classes, shape[2], shape[3]});
}

Value Maker::elementwise() {
  Extents shape;
  for (uint64_t left = pick(6); left > 0; --left) shape.push_back(one_of<int64_t>({1, 2, 3}));
  const Value x = input("x", "fp32", shape, once_in(3));
  const Value factor = constant({}), shift = constant(once_in(2) ? shape : Extents{});
  const Value y =
      statement("mul", fmt::format("x = {}, y = {}", x.name, factor.name), "fp32", x.shape);
  if (x.shape != shape && !shift.shape.empty()) return y;
  return statement("add", fmt::format("x = {}, y = {}", y.name, shift.name), "fp32", x.shape);
}

Value Maker::stateful() {
  opset_ = "ios18";
  const Extents shape = {1, one_of<int64_t>({2, 3})};
  const std::string type = type_of("fp16", shape);
  const Value x = input("x", "fp16", shape, false);
  argument(fmt::format("state<{}> memory", type));
  const Value old = statement("read_state", "input = memory", "fp16", shape);
  const Value sum =
      statement("add", fmt::format("x = {}, y = {}", old.name, x.name), "fp16", shape);
  line(fmt::format("write_state(data = {}, input = memory)[name = string(\"kept\")];", sum.name));
  return cast(sum, "fp32");
}

Value Maker::trunk() {
  switch (pick(8)) {
    case 0:
      return image();
    case 1:
      return rows();
    case 2:
      return elementwise();
    case 3:
      return once_in(2) ? stateful() : rows();
    case 4:
      return elementwise();
    default:
      return tokens();
  }
}

Value Maker::number_end(const Value& x) {
  switch (pick(4)) {
    case 0:
      return cast(x, "int32");
    case 1:  // an array of truth values cannot leave a package
      return cast(
          statement("greater", fmt::format("x = {}, y = fp32(0.25)", x.name), "bool", x.shape),
          "int32");
    case 2: {
      if (x.rank() == 0) return x;
      Extents shape = x.shape;
      shape.pop_back();
      return statement("reduce_argmax",
                       fmt::format("x = {}, axis = int32(-1), keep_dims = bool(false)", x.name),
                       "int32", shape);
    }
    default: {
      if (x.rank() == 0) return x;
      std::vector<int> axes;
      for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
      return statement("reduce_mean",
                       fmt::format("x = {}, axes = tensor<int32, [{}]>([{}]), "
                                   "keep_dims = bool(false)",
                                   x.name, axes.size(), fmt::join(axes, ", ")),
                       "fp32", {});
    }
  }
}

Value Maker::end_of_floats(const Value& x) {
  const auto softmax = [&] {
    const auto rank = static_cast<uint64_t>(x.rank());
    const int axis = once_in(3) ? static_cast<int>(pick(rank)) : -1;
    return statement("softmax", fmt::format("x = {}, axis = int32({})", x.name, axis), "fp32",
                     x.shape);
  };
  switch (pick(x.rank() > 0 ? 8 : 3)) {
    case 0:
      return unary("sigmoid", x);
    case 1:
      return once_in(3) ? statement("log", "x = " + x.name, "fp32", x.shape) : unary("relu", x);
    case 3:
      return softmax();
    case 4:
      return unary("log", softmax());
    case 5: {
      const Value narrow = cast(softmax(), "fp16");
      return once_in(2) || narrow.rank() > 4 ? narrow : expanded(narrow, {0});
    }
    default:
      return x;
  }
}

void Maker::give(const Value& value, const std::string& name) {
  const std::string type = type_of(value.dtype, value.shape);
  line(fmt::format("{} {} = identity(x = {})[name = string(\"{}\")];", type, name, value.name,
                   name));
  result(name);
}

void Maker::classifier(Value x) {
  int64_t count = 1;
  for (const int64_t extent : x.shape) count *= extent;
  const bool strings = once_in(2);
  const std::string dtype = strings ? "string" : "int64";
  std::vector<std::string> classes;
  for (int64_t i = 0; i < count; ++i) {
    classes.push_back(strings ? fmt::format("\"class {}\"", i) : std::to_string(10 * i));
  }
  if (!once_in(4)) {
    x = statement("softmax", fmt::format("x = {}, axis = int32(-1)", x.name), "fp32", x.shape);
  }
  label_ = "classLabel";
  probabilities_ = "classLabel_probs";
  line(fmt::format(
      "list<{0}, {1}> classes = const()[name = string(\"classes\"), val = list<{0}, {1}>([{2}])];",
      dtype, count, fmt::join(classes, ", ")));
  line(
      fmt::format("{0} {1}, dict<{0}, fp64> {2} = classify(probabilities = {3}, "
                  "classes = classes)[name = string(\"classify\")];",
                  dtype, label_, probabilities_, x.name));
  result(label_);
  result(probabilities_);
}

void Maker::end(Value x) {
  const bool fixed = std::none_of(x.shape.begin(), x.shape.end(), [](auto n) { return n < 0; });
  if (fixed && x.rank() > 0 && once_in(4)) return classifier(std::move(x));
  const std::string name = one_of<std::string>({"logits", "logits", "output", "var_9"});
  give(end_of_floats(x), name);
  if (once_in(4)) give(number_end(x), "number");
  if (once_in(6)) give(end_of_floats(x), "second");
  if (once_in(12)) {
    line("string text = const()[name = string(\"text\"), val = string(\"words\")];");
    result("text");
  }
}

std::string Maker::program() {
  end(trunk());
  return text(opset_);
}

package::Model Maker::make() {
  package::Model model;
  model.program = ir::text::parse(program());
  package::FunctionDescription& function = model.functions.emplace_back();
  function.inputs = inputs();
  function.predicted_feature_name = label_;
  function.predicted_probabilities_name = probabilities_;
  return model;
}

void write_tokenizer(const std::filesystem::path& path) {
  std::string vocabulary;
  for (int i = 0; i < kTokens; ++i) {
    vocabulary += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", static_cast<char>('p' + i), i);
  }
  std::ofstream(path) << fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,)"
      R"("pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,)"
      R"("model":{{"type":"WordLevel","vocab":{{{}}},"unk_token":"p"}}}})",
      vocabulary);
}

}  // namespace

std::string random_program(uint64_t seed) { return Maker(seed).program(); }

std::filesystem::path write_random_model(uint64_t seed, const std::filesystem::path& folder) {
  constexpr const char* kNames[] = {"model.mlpackage", "model.mlpackage", "model.mlmodelc",
                                    "model.mlmodel"};
  std::filesystem::create_directories(folder);
  const std::filesystem::path path = folder / kNames[seed % 4];
  package::write(Maker(seed).make(), path);
  write_tokenizer(folder / "tokenizer.json");
  return path;
}

}  // namespace mw::testing
