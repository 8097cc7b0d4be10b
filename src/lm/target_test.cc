// Tests of the rule that chooses the output a loss or a continuation is taken from.
#include "lm/target.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace mw::lm {
namespace {

using ir::Type;

struct Output {
  std::string name;
  Type type;
};

// A function whose results are its arguments.
struct Outputs {
  explicit Outputs(const std::vector<Output>& outputs) {
    for (const Output& output : outputs) {
      function.body.outputs.push_back(function.body.add_argument(output.name, output.type));
      description.outputs.push_back({.name = output.name});
    }
  }
  [[nodiscard]] Target target(const std::string& wanted = "", int64_t vocabulary = 0) const {
    return find_target(description, function, wanted, [&] { return vocabulary; });
  }
  [[nodiscard]] std::string error(const std::string& wanted = "", int64_t vocabulary = 0) const {
    try {
      return "chose " + target(wanted, vocabulary).name;
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 1);
      return e.what();
    }
  }
  ir::Function function;
  package::FunctionDescription description;
};

Type floats(const Shape& shape, DType dtype = DType::kF32) { return Type::tensor(dtype, shape); }
Type probabilities(DType key = DType::kString) {
  return Type::dict(Type::scalar(key), Type::scalar(DType::kF64));
}

TEST(Target, is_the_one_that_is_named) {
  const Outputs outputs({{"hidden", floats({1, 4})}, {"logits", floats({1, 9})}});
  EXPECT_EQ(outputs.target("hidden").name, "hidden");
  EXPECT_FALSE(outputs.target("hidden").is_logits);
  EXPECT_EQ(outputs.error("other"), "target 'other': expected one of the outputs hidden, logits");
}

TEST(Target, is_the_one_that_is_called_logits) {
  EXPECT_EQ(Outputs({{"a", floats({3})}, {"logits", floats({9})}}).target().name, "logits");
  for (const char* name : {"Logits", "LOGITS", "logits_", "lo_gits"}) {
    const Target target = Outputs({{name, floats({9})}, {"a", floats({3})}}).target();
    EXPECT_EQ(target.name, name);
    EXPECT_TRUE(target.is_logits);
  }
  EXPECT_EQ(Outputs({{"Logits", floats({9})}, {"logits", floats({9})}}).target().name, "logits");
}

TEST(Target, is_the_only_one_that_holds_floats) {
  const Outputs outputs({{"label", Type::scalar(DType::kString)},
                         {"count", Type::scalar(DType::kI32)},
                         {"var_12", floats({1, 9}, DType::kF16)}});
  EXPECT_EQ(outputs.target().name, "var_12");
  EXPECT_EQ(outputs.target().value, outputs.function.body.outputs[2]);
  EXPECT_FALSE(outputs.target().is_dictionary);
}

TEST(Target, may_be_the_dictionary_of_a_classifier) {
  for (const DType key : {DType::kString, DType::kI64}) {
    const Outputs outputs({{"classLabel", Type::scalar(key)}, {"probs", probabilities(key)}});
    EXPECT_EQ(outputs.target().name, "probs");
    EXPECT_TRUE(outputs.target().is_dictionary);
    EXPECT_EQ(outputs.target("probs").name, "probs");
    EXPECT_NE(outputs.error("classLabel").find("target 'classLabel': expected an output of floats"),
              std::string::npos)
        << outputs.error("classLabel");
  }
}

TEST(Target, is_the_one_with_the_extent_of_the_vocabulary) {
  const Outputs outputs({{"hidden", floats({1, -1, 64})}, {"scores", floats({1, 500, 1, -1})}});
  EXPECT_EQ(outputs.target("", 500).name, "scores");
  EXPECT_EQ(outputs.target("", 64).name, "hidden");
}

TEST(Target, may_be_in_numbered_parts) {
  // Twelve of them: 10 comes after 9, not after 1.
  std::vector<Output> parts;
  for (const int number : {3, 12, 1, 2, 10, 4, 5, 11, 6, 7, 9, 8}) {
    parts.push_back({fmt::format("logits{}", number), floats({1, 1, number == 12 ? 20 : 32})});
  }
  const Outputs outputs(parts);
  for (const char* wanted : {"", "logits"}) {
    const Target target = outputs.target(wanted);
    EXPECT_EQ(target.name, "logits1 to logits12");
    EXPECT_TRUE(target.is_logits);
    ASSERT_EQ(target.parts.size(), 12U);
    for (size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(target.parts[i].name, fmt::format("logits{}", i + 1));
      EXPECT_EQ(target.parts[i].value->name, target.parts[i].name);
    }
  }
  EXPECT_EQ(outputs.target("logits3").parts.size(), 1U);
  EXPECT_EQ(Outputs({{"out_logits_0", floats({9})}, {"out_logits_1", floats({9})}}).target().name,
            "out_logits_0 to out_logits_1");
  EXPECT_EQ(Outputs({{"logits1", floats({9})}, {"logits3", floats({9})}}).error(),
            "outputs logits1 to logits3: expected logits numbered without a gap, got 'logits3'");
  EXPECT_EQ(Outputs({{"logits", floats({9})}, {"logits1", floats({9})}, {"logits2", floats({9})}})
                .target()
                .name,
            "logits");
}

TEST(Target, may_be_the_likeliest_alone) {
  const Outputs outputs(
      {{"argmax_idx", Type::tensor(DType::kI32, {8})}, {"argmax_val", floats({8}, DType::kF16)}});
  const Target target = outputs.target();
  ASSERT_TRUE(target.best);
  EXPECT_EQ(target.best->index.name, "argmax_idx");
  EXPECT_EQ(target.best->logit.name, "argmax_val");
}

TEST(Target, is_asked_for_where_it_cannot_be_told) {
  const Outputs outputs({{"part1", floats({1, 1, 32})}, {"part2", floats({1, 1, 32})}});
  for (const int64_t vocabulary : {0, 64, 32}) {
    EXPECT_EQ(outputs.error("", vocabulary),
              "target: expected the name of an output, one of part1, part2; which of them is "
              "meant cannot be told");
  }
  EXPECT_NE(Outputs({{"Logits", floats({9})}, {"LOGITS", floats({9})}}).error().find("Logits, LOG"),
            std::string::npos);
  EXPECT_EQ(Outputs({{"id", Type::scalar(DType::kI32)}}).error(),
            "target: expected an output of floats, got only id");
  EXPECT_EQ(Outputs({}).error(), "target: expected an output of floats, got none");
}

TEST(Target, a_value_that_is_returned_twice_is_one_choice) {
  Outputs outputs({{"scores", floats({1, 9})}});
  outputs.function.body.outputs.push_back(outputs.function.body.outputs[0]);
  outputs.description.outputs.push_back(outputs.description.outputs[0]);
  EXPECT_EQ(outputs.target().name, "scores");
  EXPECT_EQ(outputs.target("scores").name, "scores");
}

TEST(Target, the_vocabulary_is_asked_for_only_where_it_decides) {
  const Outputs outputs({{"hidden", floats({4})}, {"logits", floats({9})}});
  const auto never = []() -> int64_t { throw std::logic_error("asked"); };
  EXPECT_EQ(find_target(outputs.description, outputs.function, "", never).name, "logits");
  EXPECT_EQ(find_target(outputs.description, outputs.function, "hidden", never).name, "hidden");
}

}  // namespace
}  // namespace mw::lm
