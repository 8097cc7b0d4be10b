// Random models: a trunk that makes an array of floats, and one or more ends behind it.
#include "random_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "ir/text/text.h"
#include "package/package.h"

namespace mw::testing {
namespace {

class Maker : private Trunks {
 public:
  Maker(uint64_t seed, const Nudge& nudge) : Trunks(seed, nudge), seed_(seed) {}

  RandomModel make();
  [[nodiscard]] package::Model package() const;

 private:
  void speaker_end(const Value& x);
  void end(const Value& x);
  Value end_of_floats(const Value& x);
  Value softmax(const Value& x, int64_t axis);
  Value log_of_softmax(const Value& x);
  Value number_end(const Value& x);
  Value mean(const Value& x);
  void classifier(const Value& x, const std::string& dtype, int64_t apart);
  void give(const Value& value, const std::string& name);
  void give_text();
  void describe_inputs();

  uint64_t seed_;
  std::string label_, probabilities_;
  RandomModel model_;
};

Value Maker::softmax(const Value& x, int64_t axis) {
  Value result =
      statement("softmax", fmt::format("x = {}, axis = int32({})", x.name, axis), "fp32", x.shape);
  result.activation = Activation::kSoftmax;
  result.classes = axis < 0 ? axis + x.rank() : axis;
  if (result.classes != x.rank() - 1) model_.traits.insert("class axis not last");
  return result;
}

Value Maker::log_of_softmax(const Value& x) {
  Value result = unary("log", x);
  result.activation = Activation::kLogSoftmax;
  return result;
}

Value Maker::mean(const Value& x) {
  if (x.rank() == 0) return x;
  std::vector<int> axes;
  for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  return statement("reduce_mean",
                   fmt::format("x = {}, axes = tensor<int32, [{}]>([{}]), keep_dims = bool(false)",
                               x.name, axes.size(), fmt::join(axes, ", ")),
                   "fp32", {});
}

Value Maker::number_end(const Value& x) {
  switch (pick(3)) {
    case 0:
      return cast(x, "int32");
    case 1:  // an array of truth values cannot leave a package
      return cast(
          statement("greater", fmt::format("x = {}, y = fp32(0.25)", x.name), "bool", x.shape),
          "int32");
    default: {
      if (x.rank() == 0) return x;
      Extents shape = x.shape;
      shape.pop_back();
      return statement("reduce_argmax",
                       fmt::format("x = {}, axis = int32(-1), keep_dims = bool(false)", x.name),
                       "int32", shape);
    }
  }
}

Value Maker::end_of_floats(const Value& x) {
  const auto any_softmax = [&] {
    const auto rank = static_cast<uint64_t>(x.rank());
    return softmax(x, once_in(3) ? static_cast<int64_t>(pick(rank)) : -1);
  };
  switch (pick(x.rank() > 0 ? 9 : 4)) {
    case 0:
    case 1: {
      Value result = unary("sigmoid", x);
      result.activation = Activation::kSigmoid;
      model_.traits.insert("sigmoid");
      if (!once_in(3)) return result;
      result = unary("log", result);
      result.activation = Activation::kLogSigmoid;
      model_.traits.insert("log-sigmoid");
      return result;
    }
    case 2:
      if (once_in(3)) return unary("log", x);
      model_.has_kinks = true;
      return unary("relu", x);
    case 4:
    case 5:
      model_.traits.insert("softmax");
      return any_softmax();
    case 6:
      model_.traits.insert("log-softmax");
      return log_of_softmax(any_softmax());
    case 7: {
      const Value narrow = cast(any_softmax(), "fp16");
      return once_in(2) || narrow.rank() > 4 ? narrow : expanded(narrow, {0});
    }
    default:
      model_.traits.insert("linear");
      return x;
  }
}

void Maker::give(const Value& value, const std::string& name) {
  const std::string type = type_of(value.dtype, value.shape);
  line(fmt::format("{} {} = identity(x = {})[name = string(\"{}\")];", type, name, value.name,
                   name));
  result(name);
  model_.traits.insert(fmt::format("rank {}", value.rank()));
  if (value.dtype != "int32") model_.outputs.push_back({name, value});
}

void Maker::give_text() {
  line("string text = const()[name = string(\"text\"), val = string(\"words\")];");
  result("text");
  model_.traits.insert("text");
}

// Of texts, or of integers that lie `apart`.
void Maker::classifier(const Value& x, const std::string& dtype, int64_t apart) {
  int64_t count = 1;
  for (const int64_t extent : x.shape) count *= extent;
  std::vector<std::string> classes;
  for (int64_t i = 0; i < count; ++i) {
    classes.push_back(dtype == "string" ? fmt::format("\"class {}\"", i)
                                        : std::to_string(apart * i));
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
  model_.outputs.push_back({probabilities_, x, true});
  model_.traits.insert("dictionary of " + (dtype == "string" ? std::string("texts") : dtype));
}

void Maker::speaker_end(const Value& x) {
  // Behind a slice of the last position it is the last axis.
  const int64_t classes = x.classes < 0 ? x.rank() - 1 : x.classes;
  Value y = x;
  const uint64_t kind = pick(4);
  if (kind > 1) y = softmax(x, classes);
  if (last_only_ && x.rank() == 2 && x.shape[0] == 1 && !once_in(3)) {
    return classifier(y, "int64", 1);
  }
  if (kind == 3) y = log_of_softmax(y);
  if (once_in(6)) y = cast(y, "fp16");
  give(y, one_of<std::string>({"logits", "logits", "logits", "output"}));
}

void Maker::end(const Value& x) {
  const bool fixed = std::none_of(x.shape.begin(), x.shape.end(), [](auto n) { return n < 0; });
  const bool named_by_integers = seed_ % 20 == 3;  // so that few models hold one
  if (fixed && x.rank() > 0 && (once_in(4) || named_by_integers)) {
    const Value y = once_in(4) ? x : softmax(x, -1);
    const auto drawn = one_of<std::string>({"string", "int64"});
    const std::string dtype = named_by_integers ? "int64" : drawn;
    return classifier(y, dtype, one_of<int64_t>({1, 10}));
  }
  const Value y = end_of_floats(x);
  give(y, one_of<std::string>({"logits", "logits", "output", "var_9"}));
  if (once_in(6)) give(end_of_floats(x), "second");
}

void Maker::describe_inputs() {
  for (const package::Feature& feature : inputs()) {
    model_.traits.insert(!feature.enumerated.empty() ? "listed shapes"
                         : !feature.ranges.empty()   ? "ranges"
                                                     : "fixed shapes");
  }
  if (opset_ == "ios18") model_.traits.insert("state");
  if (has_list_) model_.traits.insert("list");
}

// Two of five are plain language models; one of three has its mean as another output.
RandomModel Maker::make() {
  model_.speaks = seed_ % 5 < 2;
  const Value x = model_.speaks ? speaker() : any();
  if (model_.speaks) {
    speaker_end(x);
  } else {
    end(x);
  }
  if (seed_ % 3 == 0) give(mean(x), "number");
  if (once_in(4)) give(number_end(x), "whole");
  if (once_in(10)) give_text();
  if (model_.outputs.size() > 1) model_.traits.insert("several outputs");
  describe_inputs();
  model_.last_only = last_only_;
  model_.program = text(opset_);
  return model_;
}

package::Model Maker::package() const {
  package::Model model;
  model.program = ir::text::parse(text(opset_));
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

RandomModel write_random_model(uint64_t seed, const std::filesystem::path& folder,
                               const Nudge& nudge) {
  constexpr const char* kNames[] = {"model.mlpackage", "model.mlpackage", "model.mlmodelc",
                                    "model.mlmodel"};
  std::filesystem::create_directories(folder);
  Maker maker(seed, nudge);
  RandomModel model = maker.make();
  model.path = folder / kNames[seed % 4];
  package::write(maker.package(), model.path);
  write_tokenizer(folder / "tokenizer.json");
  return model;
}

}  // namespace mw::testing
