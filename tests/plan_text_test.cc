// Plans as text: tests/data/plans/NAME.plan holds what each model is planned as, on every machine
// and for any number of threads. `make plans` writes them anew.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "api/impl.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/testing.h"
#include "devices/devices.h"
#include "exec/run.h"
#include "lm/language_model.h"
#include "millwright/training.hpp"
#include "passes/specialise.h"
#include "plan/constant_pool.h"
#include "plan/row.h"
#include "plan_models.h"
#include "small_language_models.h"
#include "suite.h"
#include "train/student.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using training::Kind;

// A plan of a model, or of a program of its training.
struct Case {
  std::string name;
  fs::path model;
  TensorMap inputs = {};  // those not named have the shape that the model names
  std::optional<Kind> program = std::nullopt;
  Loss loss = Loss::kCrossEntropy;
  bool plain = false;  // trained by SGD, whose steps are short
};

TensorMap inputs_of(const Case& c, const CoreMLModelWrapper& model) {
  TensorMap inputs = c.inputs;
  for (const FeatureDescription& input : model.inputs()) {
    if (!inputs.contains(input.name)) inputs[input.name] = Tensor(input.dtype, input.shape);
  }
  return inputs;
}

std::string plan_of(const Case& c, int threads) {
  LoadOptions load;
  load.threads = threads;
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(c.model, load);
  const TensorMap inputs = inputs_of(c, model);
  if (c.program) {
    StudentOptions options;
    options.loss = c.loss;
    if (c.plain) options.optimizer = Sgd{};
    return student_of(StudentModel(model, options)).plan_text(*c.program, inputs);
  }
  Shapes shapes;
  for (const auto& [name, tensor] : model.impl().prepare(inputs)) shapes[name] = tensor.shape();
  return model.impl().session->plan_text(shapes);
}

bool writes() { return std::getenv("MW_WRITE_PLANS") != nullptr; }

fs::path golden_folder() { return fs::path(std::getenv("MW_TEST_DATA")) / "plans"; }

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_text(const std::string& file, const std::string& text) {
  const fs::path path = golden_folder() / file;
  if (writes()) std::ofstream(path, std::ios::binary) << text;
  ASSERT_TRUE(fs::exists(path)) << path << ": not there; `make plans` writes it";
  std::istringstream expected(contents(path)), got(text);
  std::string expected_line, got_line;
  for (int line = 1;; ++line) {
    const bool more = static_cast<bool>(std::getline(expected, expected_line));
    const bool ours = static_cast<bool>(std::getline(got, got_line));
    ASSERT_EQ(more, ours) << file << " has another number of lines, from " << line
                          << " on; `make plans` writes it anew";
    if (!more) break;
    ASSERT_EQ(expected_line, got_line)
        << file << ":" << line
        << "; where the plan is meant to change, `make plans` writes it anew";
  }
  EXPECT_EQ(contents(path), text) << file << " ends in another way";
}

// A checksum, and what the plan comes to.
std::string summary_of(const Case& c) {
  const std::string text = plan_of(c, 2);
  return fmt::format("{}  {:016x}  {}\n", c.name, Checksum().add(text).value(),
                     text.substr(0, text.find('\n')));
}

// Rules of gradients are formulas in which each operator appends an op, and C++ leaves it to the
// compiler which operand comes first: the ops of a step stand in its order.
struct Letter {};
Letter operator+(Letter /*a*/, Letter /*b*/) { return {}; }
bool right_operand_first() {
  std::string order;
  const auto letter = [&](char name) {
    order += name;
    return Letter();
  };
  letter('a') + letter('b');
  return order == "ba";
}
constexpr const char* kOtherOrder = "this compiler orders the operands of formulas otherwise";

class Plans : public ::testing::Test {
 protected:
  template <class Add>
  fs::path built(const std::string& name, const Add& add) const {
    testing::BuiltModel model;
    add(model);
    return model.write(folder_ / (name + ".mlpackage"));
  }
  static void check(const Case& c) {
    const std::string text = plan_of(c, 1);
    EXPECT_EQ(text, plan_of(c, 2)) << c.name << " depends on the number of threads";
    expect_text(c.name + ".plan", text);
  }
  static fs::path example(const char* name) {
    return fs::path(std::getenv("MW_EXAMPLES")) / "shakespeare" / name;
  }
  static Tensor ids(int64_t time) { return {DType::kI32, {1, time}}; }
  static fs::path package(const char* name) {
    return fs::path(std::getenv("MW_TEST_DATA")) / "packages" / name;
  }

  testing::TempFolder folder_;
};

TEST_F(Plans, of_networks) {
  check({"digits_cnn", built("digits_cnn", testing::digits_cnn)});
  check({"u_net", built("u_net", testing::u_net)});
  check({"lstm", built("lstm", testing::lstm)});
  check({"attention_block", built("attention_block", testing::attention_block)});
  check({"compressed", built("compressed", testing::compressed)});
  check({"control_flow", package("control_flow.mlpackage")});
}

TEST_F(Plans, of_a_model_with_states) {
  const fs::path path = folder_ / "cache.mlpackage";
  suite::write_small_model(path, {.cache = 16});
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(path);
  const lm::LanguageModel lm(model.impl());
  check({"cache", path, lm.inputs_for(ids(3))});
}

TEST_F(Plans, of_the_examples) {
  check({"example_student", example("student.mlpackage"), {{"input_ids", ids(16)}}});
  // Too long to be kept.
  const TensorMap one = {{"input_ids", ids(1)}}, many = {{"input_ids", ids(16)}};
  expect_text("examples.txt", summary_of({"model", example("model.mlpackage"), one}) +
                                  summary_of({"model", example("model.mlpackage"), many}));
}

TEST_F(Plans, of_training) {
  if (!right_operand_first()) GTEST_SKIP() << kOtherOrder;
  const fs::path digits = built("digits_cnn", testing::digits_cnn);
  check({"digits_cnn_step", digits, {}, Kind::kStep, Loss::kCrossEntropy, true});
  check({"digits_cnn_accumulate", digits, {}, Kind::kAccumulate, Loss::kCrossEntropy, true});
  check({"digits_cnn_apply", digits, {}, Kind::kApply, Loss::kCrossEntropy, true});
  check({"u_net_gradients",
         built("u_net", testing::u_net),
         {},
         Kind::kGradients,
         Loss::kBinaryCrossEntropy});
  const fs::path linear = package("linear.mlpackage");
  check({"linear_step", linear, {}, Kind::kStep, Loss::kMeanSquaredError});
  const TensorMap inputs = {{"input_ids", ids(16)}};
  expect_text("example_steps.txt",
              summary_of({"student step", example("student.mlpackage"), inputs, Kind::kStep}));
}

TEST_F(Plans, of_shared_models) {
  const fs::path root = suite::shared();
  if (root.empty()) GTEST_SKIP() << "the larger suites are not there";
  std::string table;
  for (const char* name :
       {"models/minilm/minilm-fp16-flex.mlpackage", "models/shakespeare-stateful-ios18.mlpackage",
        "models/shakespeare-int4-block32-ios18.mlpackage", "models/lstm-fp32.mlpackage",
        "models/digits-cnn-fp32.mlpackage", "real/hand-detector.mlpackage",
        "real/silero-vad.mlpackage", "real/crepe-tiny.mlpackage",
        "real/sam2-prompt-encoder.mlpackage"}) {
    table += summary_of({name, root / name});
  }
  expect_text("shared.txt", table);
}

TEST_F(Plans, of_training_shared_models) {
  const fs::path root = suite::shared();
  if (root.empty()) GTEST_SKIP() << "the larger suites are not there";
  if (!right_operand_first()) GTEST_SKIP() << kOtherOrder;
  std::string table;
  for (const char* name : {"models/digits-cnn-fp32.mlpackage", "models/student-fp16.mlpackage"}) {
    table += summary_of({name, root / name, {}, Kind::kStep});
  }
  expect_text("shared_steps.txt", table);
}

TEST_F(Plans, that_are_described_are_not_run) {
  const CoreMLModelWrapper model = CoreMLModelWrapper::load(package("linear.mlpackage"));
  plan::ConstantPool pool;
  plan::Request request{devices::platform("cpu"), &pool};
  request.described = true;
  const auto plan =
      plan::make(passes::specialise(*model.impl().lowered, ops::catalog(), {}), request);
  EXPECT_THROW(exec::Run(plan, exec::RunSettings{}), Error);
}

TEST(RowNames, follow_the_order_of_the_instructions) {
  using plan::RowOp;
  EXPECT_EQ(plan::name_of(RowOp::kCopy), "copy");
  EXPECT_EQ(plan::name_of(RowOp::kGeluTanh), "gelu_tanh");
  EXPECT_EQ(plan::name_of(RowOp::kAdd), "add");
  EXPECT_EQ(plan::name_of(RowOp::kLessEqualInt), "less_equal_int");
  EXPECT_EQ(plan::name_of(RowOp::kSelect), "select");
  EXPECT_EQ(plan::name_of(RowOp::kRowLogSum), "row_log_sum");
}

}  // namespace
}  // namespace mw
