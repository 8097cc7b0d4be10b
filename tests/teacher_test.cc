// Teachers of language models that do not take what their students take, and files that keep what
// teachers say.
#include <algorithm>
#include <fstream>
#include <iterator>

#include "api/impl.h"
#include "base/spelled.h"
#include "built_model.h"
#include "facade_testing.h"
#include "language_model_testing.h"
#include "millwright/training.hpp"
#include "train/student.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using suite::Form;
using suite::LanguageModels;
using suite::SmallModel;
using suite::some_ids;
using testing::error_of;
using testing::has;

constexpr int64_t kRows = 3, kTime = 7;

// Of some positions the labels do not count.
Batch batch_of(int64_t rows = kRows, int64_t time = kTime) {
  const std::vector<int32_t> ids = some_ids({}, rows * time + 1);
  std::vector<int32_t> labels(ids.begin() + 1, ids.end());
  for (const size_t ignored : {0, 5, 9}) {
    if (ignored < labels.size()) labels[ignored] = -100;
  }
  return {Tensor::from<int32_t>({ids.begin(), ids.end() - 1}, {rows, time}),
          Tensor::from(labels, {rows, time})};
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Teachers : public LanguageModels {
 protected:
  [[nodiscard]] CoreMLModelWrapper written(const SmallModel& m, const std::string& name) const {
    const auto path = folder_ / (name + ".mlpackage");
    suite::write_small_model(path, m);
    return CoreMLModelWrapper::load(path);
  }
  [[nodiscard]] StepResult taught(const SmallModel& student, const CoreMLModelWrapper& teacher,
                                  const DistillOptions& options, const Batch& batch) const {
    StudentModel learner(written(student, "student"), {.optimizer = Sgd{.learning_rate = 0}});
    learner.set_teacher(teacher, options);
    return learner.training_step(batch);
  }
  [[nodiscard]] StepResult taught(const SmallModel& student,
                                  const CoreMLModelWrapper& teacher) const {
    return taught(student, teacher, kOptions, batch_of());
  }
  static void expect_same(const StepResult& got, const StepResult& want, double tolerance = 1e-6) {
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_NEAR(got.loss, want.loss, tolerance * std::max(1.0, want.loss));
    EXPECT_NEAR(got.grad_norm, want.grad_norm, tolerance * std::max(1.0, want.grad_norm));
  }
  static std::string note_of(StudentModel& student, const Batch& batch = batch_of()) {
    return spelled(student_of(student).teacher_note(batch.tensors),
                   [](std::string_view name, bool) { return std::string(name); });
  }
  [[nodiscard]] fs::path file() const { return folder_ / "said"; }
  [[nodiscard]] DistillOptions kept(int64_t top_k) const {
    DistillOptions options = kOptions;
    options.cache = file();
    options.top_k = top_k;
    return options;
  }

  static inline const DistillOptions kOptions = {.temperature = 2, .alpha = 0.75F};
};

// Another net than the student's, in the layouts that models come in, beside one that is computed
// within the student's program.
TEST_F(Teachers, say_the_same_within_and_apart) {
  const SmallModel layouts[] = {
      {.width = 4},
      {.width = 4, .time = 16},
      {.width = 4, .rows = 2},
      {.width = 4, .listed = {8, 16}},
      {.form = Form::kNoBatch, .width = 4, .rank_one = true},
      {.form = Form::kHead, .width = 4},
      {.form = Form::kTrailing, .width = 4, .softmax = true},
      {.form = Form::kLast, .width = 4},
      {.width = 4, .cache = 24},
      {.width = 4, .time = 1, .cache = 24},
      {.width = 4, .time = 4, .cache = 24},
      {.width = 4, .time = 1, .cache = 24, .by_position = true},
  };
  for (const Form ours : {Form::kPlain, Form::kTimeFirst, Form::kLast}) {
    const SmallModel student = {.form = ours, .rows = kRows};
    const StepResult want =
        taught(student, written({.form = ours, .width = 4, .rows = kRows}, "teacher"));
    EXPECT_EQ(want.tokens, ours == Form::kLast ? kRows : kRows * kTime - 3);
    for (const SmallModel& theirs : layouts) {
      SCOPED_TRACE(
          fmt::format("student {}, layout {}", static_cast<int>(ours), &theirs - &layouts[0]));
      expect_same(taught(student, written(theirs, "teacher")), want);
    }
  }
}

TEST_F(Teachers, of_one_row_with_a_mask_teach_a_batch) {
  testing::BuiltModel built;
  ir::Value* ids = built.input("inputIds", {1, kTime}, DType::kI32);
  ir::Value* mask = built.input("attention_mask", {1, kTime}, DType::kI32);
  ir::Builder& b = built.b();
  ir::Value* rows = b.constant(suite::table(31, 4, 1, DType::kF32), "embeddings");
  ir::Value* embedded = b.op("gather", {{"x", rows}, {"indices", ids}, {"axis", 0}});
  ir::Value* open = b.op("expand_dims", {{"x", b.op("cast", {{"x", mask}, {"dtype", "fp32"}})},
                                         {"axes", std::vector<int64_t>{2}}});
  ir::Value* sums =
      b.op("cumsum", {{"x", b.op("mul", {{"x", embedded}, {"y", open}})}, {"axis", 1}});
  ir::Value* weight = b.constant(suite::table(31, 4, 2, DType::kF32), "head_weight");
  built.output(
      b.op("linear", {{"x", b.op("mul", {{"x", sums}, {"y", 0.125F}})}, {"weight", weight}}),
      "logits");
  const auto teacher = CoreMLModelWrapper::load(built.write(folder_ / "masked.mlpackage"));
  const SmallModel student = {.rows = kRows};
  expect_same(taught(student, teacher),
              taught(student, written({.width = 4, .rows = kRows}, "teacher")));
  StudentModel learner(written(student, "student"));
  learner.set_teacher(teacher, kOptions);
  EXPECT_EQ(note_of(learner),
            "the teacher runs apart, row by row: it takes 'inputIds', which the student does not "
            "(converting it with rename inputIds=input_ids gives it the student's name)");
}

// A student that goes through calls of its own.
TEST_F(Teachers, teach_a_student_with_a_cache) {
  const SmallModel student = {.time = 4, .cache = 24};
  const Batch batch = batch_of(1, 9);
  const StepResult want = taught({}, written({.width = 4}, "teacher"), kOptions, batch);
  for (const SmallModel& theirs : {SmallModel{.width = 4}, SmallModel{.width = 4, .cache = 24}}) {
    // The caches are fp16 in the file, and values of the program here.
    expect_same(taught(student, written(theirs, "teacher"), kOptions, batch), want, 1e-5);
  }
}

TEST_F(Teachers, are_asked_with_the_ids_among_other_inputs) {
  const Batch batch = batch_of(1, 9);
  const SmallModel student = {.cache = 24};  // with a mask among its inputs
  Tensor mask(DType::kF16, {1, 1, 9, 9});
  for (int64_t i = 0; i < 81; ++i) mask.set_number(i, i % 9 > i / 9 ? -1e4 : 0);
  TensorMap named = batch.tensors;
  named["causal_mask"] = mask;
  const StepResult want =
      taught(student, written({.form = Form::kHead, .width = 4}, "teacher"), kOptions, batch);
  const auto apart = written({.width = 4, .time = 4, .cache = 24}, "teacher");
  expect_same(taught(student, apart, kOptions, Batch(named)), want);
  expect_same(taught(student, apart, kOptions, batch), want);
}

// Every way to ask for the loss and its gradients, in every way to compute them.
TEST_F(Teachers, teach_in_all_programs) {
  const auto within = written({.width = 4, .rows = kRows}, "within"),
             apart = written({.width = 4, .time = 4, .cache = 24}, "apart");
  const Batch a = batch_of();
  Tensor ids = a.tensors.at("input_ids").clone();
  for (int64_t i = 0; i < ids.count(); ++i) ids.set_integer(i, (i * 5 + 1) % 31);
  const Batch b(ids, a.tensors.at("labels"));
  const auto asked = [&](const CoreMLModelWrapper& teacher, const DistillOptions& options,
                         const StudentOptions& how, Compute compute) {
    const auto path = folder_ / "student.mlpackage";
    suite::write_small_model(path, {.rows = kRows});
    StudentModel learner(CoreMLModelWrapper::load(path, {.compute = compute}), how);
    learner.set_teacher(teacher, options);
    StepResult backward;
    TensorMap all = learner.backward(a, &backward);
    const StepResult steps[] = {backward, learner.training_step(std::vector<Batch>{a, b}),
                                learner.training_step(b), learner.evaluate(a)};
    for (const StepResult& step : steps) {
      all[fmt::format("loss {}", &step - &steps[0])] =
          Tensor::scalar(static_cast<float>(step.loss));
    }
    return all;
  };
  const StudentOptions planned = {.optimizer = Sgd{.learning_rate = 0.1F}};
  StudentOptions naive = planned, recomputed = planned;
  naive.naive = true;
  recomputed.recompute = true;
  const TensorMap want = asked(within, kOptions, planned, Compute::kFp32);
  EXPECT_EQ(want.size(), 6U);
  for (const auto& [how, compute] :
       {std::pair{planned, Compute::kFp32}, std::pair{naive, Compute::kFp32},
        std::pair{recomputed, Compute::kFp32}, std::pair{planned, Compute::kFp64}}) {
    for (const bool keeps : {false, true}) {
      const TensorMap got = asked(apart, keeps ? kept(0) : kOptions, how, compute);
      for (const auto& [name, tensor] : want) {
        EXPECT_LE(testing::largest_difference(got.at(name).to(DType::kF32), tensor), 2e-6) << name;
      }
    }
  }
}

TEST_F(Teachers, that_cannot_teach_say_why) {
  const auto why = [&](const CoreMLModelWrapper& teacher, const SmallModel& student = {}) {
    return error_of([&] { (void)taught(student, teacher, kOptions, batch_of(1)); },
                    ErrorCode::kInvalidArgument);
  };
  EXPECT_TRUE(has(why(written({.longest = 5, .cache = 5}, "short")),
                  "teacher: expected windows of at most 5 tokens, which it takes, got 7; "
                  "lower seq_len"));
  EXPECT_TRUE(has(why(written({.form = Form::kLast, .time = 7}, "last")),
                  "output 'logits' holds logits for the last token only, and the model takes "
                  "exactly 7 tokens"));
  EXPECT_TRUE(has(why(written({.vocabulary = 32, .cache = 24}, "other")),
                  "expected logits of 31 classes as the student's, got 32; both need the same "
                  "vocabulary"));
  EXPECT_TRUE(has(why(written({.end = "sigmoid", .cache = 24}, "sigmoid")), "sigmoid"));
  EXPECT_TRUE(has(why(written({.cache = 24, .broken = true}, "broken")),
                  "output 'logits': expected logits, got nan"));
  testing::BuiltModel built;
  ir::Value* x = built.input("x", {1, 3});
  ir::Value* w = built.weight("w", std::vector<float>(93), {31, 3});
  built.output(built.b().op("linear", {{"x", x}, {"weight", w}}), "logits");
  const auto error = why(CoreMLModelWrapper::load(built.write(folder_ / "numbers.mlpackage")));
  EXPECT_TRUE(has(error,
                  "teacher: it takes 'x', which the student does not, so it would have to run "
                  "apart, from token ids: the model has no input for token ids"));
}

// What is asked of a model, counted.
class Counted final : public lm::Model {
 public:
  explicit Counted(std::shared_ptr<const lm::Model> model) : model_(std::move(model)) {}
  std::string name() const override { return model_->name(); }
  std::map<std::string, std::string> identity() const override { return model_->identity(); }
  std::vector<FeatureDescription> inputs() const override { return model_->inputs(); }
  std::vector<FeatureDescription> outputs() const override { return model_->outputs(); }
  std::vector<FeatureDescription> states() const override { return model_->states(); }
  std::map<std::string, std::string> metadata() const override { return model_->metadata(); }
  std::vector<std::string> stated_roles() const override { return model_->stated_roles(); }
  std::optional<int64_t> places(const std::string& state) const override {
    return model_->places(state);
  }
  const Tokenizer& tokenizer() const override { return model_->tokenizer(); }
  int64_t vocabulary() const override { return model_->vocabulary(); }
  lm::Target target(const std::string& wanted) const override { return model_->target(wanted); }
  lm::Ending ending(const std::string& output,
                    const std::function<Shapes()>& shapes) const override {
    return model_->ending(output, shapes);
  }
  std::optional<Shape> shape_of(const std::string& output, const Shapes& given) const override {
    return model_->shape_of(output, given);
  }
  TensorMap prepare(const TensorMap& given) const override { return model_->prepare(given); }
  exec::States make_states() const override { return model_->make_states(); }
  exec::RunResult run(const TensorMap& given, exec::States& states) const override {
    ++runs;
    return model_->run(given, states);
  }
  exec::RunResult read(const TensorMap& given, exec::States& states,
                       const lm::Reading& reading) const override {
    ++runs;
    return model_->read(given, states, reading);
  }
  mutable int runs = 0;

 private:
  std::shared_ptr<const lm::Model> model_;
};

TEST_F(Teachers, whose_words_are_kept_are_not_asked_again) {
  const auto teacher = written({.width = 4, .cache = 24}, "teacher");
  const auto counted = std::make_shared<Counted>(shared_model(teacher));
  const auto step = [&](const Batch& batch) {
    counted->runs = 0;
    StudentModel learner(written({.rows = kRows}, "student"),
                         {.optimizer = Sgd{.learning_rate = 0}});
    student_of(learner).set_teacher(counted, *teacher.impl().function, kept(5));
    EXPECT_EQ(note_of(learner, batch), "the teacher runs apart: what it says is kept");
    return learner.training_step(batch);
  };
  const StepResult first = step(batch_of());
  EXPECT_EQ(counted->runs, kRows);
  EXPECT_EQ(step(batch_of()).loss, first.loss);
  EXPECT_EQ(counted->runs, 0);
  // Another order of the rows, one of them twice and one that is new.
  const Batch batch = batch_of();
  Tensor ids = batch.tensors.at("input_ids").clone();
  for (int64_t i = 0; i < kTime; ++i) {
    ids.set_integer(i, ids.integer_at(kTime + i));
    ids.set_integer(2 * kTime + i, i + 1);
  }
  (void)step(Batch(ids, batch.tensors.at("labels")));
  EXPECT_EQ(counted->runs, 1);
  // What a run left that was cut off while it wrote.
  fs::resize_file(file(), fs::file_size(file()) - 3);
  (void)step(Batch(ids, batch.tensors.at("labels")));
  EXPECT_EQ(counted->runs, 1);
  (void)step(Batch(ids, batch.tensors.at("labels")));
  EXPECT_EQ(counted->runs, 0);
}

TEST_F(Teachers, that_are_kept_teach_what_they_say) {
  const SmallModel student = {.rows = kRows};
  const auto teacher = written({.width = 4, .rows = kRows}, "teacher");
  const StepResult want = taught(student, teacher);
  const double alone = taught(student, teacher, {.alpha = 0}, batch_of()).loss;
  // All classes; and one other, which is known by what is left.
  for (const int64_t top_k : {0, 31, 40, 30}) {
    for (int round = 0; round < 2; ++round) {
      expect_same(taught(student, teacher, kept(top_k), batch_of()), want, 2e-6);
    }
    fs::remove(file());
  }
  // Classes that are counted together tell less.
  double before = want.loss;
  for (const int64_t top_k : {20, 5, 1}) {
    const double loss = taught(student, teacher, kept(top_k), batch_of()).loss;
    EXPECT_LT(loss, before) << top_k;
    EXPECT_GT(loss, 0.25 * alone) << top_k;
    before = loss;
    fs::remove(file());
  }
}

TEST_F(Teachers, are_not_taken_for_others) {
  const SmallModel student = {.rows = kRows};
  const auto teacher = written({.width = 4, .rows = kRows}, "teacher");
  (void)taught(student, teacher, kept(5), batch_of());
  const std::string bytes = read_file(file());
  const auto why = [&](const CoreMLModelWrapper& asked, const DistillOptions& options) {
    const std::string error = error_of([&] { (void)taught(student, asked, options, batch_of()); },
                                       ErrorCode::kInvalidArgument);
    EXPECT_EQ(read_file(file()), bytes) << "it is never overwritten";
    EXPECT_TRUE(has(error, "remove the file, or give another as teacher_cache"));
    return error;
  };
  DistillOptions other = kept(5);
  other.temperature = 3;
  EXPECT_TRUE(has(why(teacher, other), "temperature: expected 3, got predictions of 2 in "));
  EXPECT_TRUE(has(why(teacher, kept(6)), "teacher_top_k: expected 6, got predictions of 5 in "));
  EXPECT_TRUE(has(why(written({.width = 3, .rows = kRows}, "another"), kept(5)),
                  "the teacher's model: expected "));
  std::ofstream(file()) << "my notes\n";
  const std::string error = error_of([&] { (void)taught(student, teacher, kept(5), batch_of()); },
                                     ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(error, "expected a file that begins with millwright-teacher-cache-1"));
  EXPECT_EQ(read_file(file()), "my notes\n");
}

}  // namespace
}  // namespace mw
