// Which language models are scored and trained, and on which labels.
#include "api/impl.h"
#include "built_model.h"
#include "facade_testing.h"
#include "language_model_testing.h"
#include "lm/language_model.h"
#include "lm/score.h"
#include "millwright/training.hpp"

namespace mw {
namespace {

using suite::Form;
using suite::is_last_only;
using suite::kForms;
using suite::LanguageModels;
using suite::SmallModel;
using suite::some_ids;
using testing::error_of;

// A step on ids and the ids that follow them.
StepResult step_of(const CoreMLModelWrapper& model, const SmallModel& m, const Shape& shape) {
  const std::vector<int32_t> ids = some_ids(m, count_of(shape) + 1);
  StudentModel student(model, {.optimizer = Sgd{.learning_rate = 0}});
  return student.training_step(Batch(Tensor::from<int32_t>({ids.begin(), ids.end() - 1}, shape),
                                     Tensor::from<int32_t>({ids.begin() + 1, ids.end()}, shape)));
}

// Whose windows go through calls of one, two, three or four tokens.
TEST_F(LanguageModels, with_a_cache_have_the_gradients_of_those_without) {
  const std::vector<int32_t> ids = some_ids({}, 10);
  const Batch batch(Tensor::from<int32_t>({ids.begin(), ids.end() - 1}, {1, 9}),
                    Tensor::from<int32_t>({ids.begin() + 1, ids.end()}, {1, 9}));
  const auto gradients_of = [&](const SmallModel& m) {
    StudentModel student(model_of(m), {.trainable = {"embeddings", "head_weight"}});
    StepResult result;
    TensorMap gradients = student.backward(batch, &result);
    EXPECT_EQ(result.tokens, 9);
    gradients["loss"] = Tensor::scalar(static_cast<float>(result.loss));
    return gradients;
  };
  const TensorMap want = gradients_of({});
  ASSERT_EQ(want.size(), 3U);
  for (const Form form : {Form::kPlain, Form::kHead, Form::kNoBatch}) {
    for (const int64_t call : {1, 2, 3, 4}) {
      SCOPED_TRACE(fmt::format("form {}, {} a call", static_cast<int>(form), call));
      const TensorMap got = gradients_of({.form = form, .time = call, .cache = 13});
      for (const auto& [name, gradient] : want) {
        double square = 0, error = 0;
        for (int64_t i = 0; i < gradient.count(); ++i) {
          const double number = gradient.number_at(i), off = got.at(name).number_at(i) - number;
          square += number * number;
          error += off * off;
        }
        EXPECT_LE(error, 1e-8 * square) << name;
      }
    }
  }
}

// The loss is that of the last five tokens of nine. What comes before the cut has a part in it, and
// no gradient.
TEST_F(LanguageModels, with_a_cache_cut_the_backward_pass_where_they_are_told) {
  const Tensor ids = Tensor::from<int32_t>({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 9});
  const Tensor labels = Tensor::from<int32_t>({-100, -100, -100, -100, 6, 7, 8, 9, 10}, {1, 9});
  const auto backward = [&](const SmallModel& m, int64_t tbptt) {
    StudentModel student(model_of(m), {.trainable = {"embeddings"}, .tbptt = tbptt});
    StepResult result;
    const Tensor gradient = student.backward(Batch(ids, labels), &result).at("embeddings");
    return std::pair(result.loss, gradient);
  };
  const auto square_of_row = [](const Tensor& gradient, int64_t row) {
    const int64_t width = gradient.shape().back();
    double square = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      square += gradient.number_at(i) * gradient.number_at(i);
    }
    return square;
  };
  for (const int64_t call : {1, 2, 3, 4}) {
    const SmallModel m{.time = call, .cache = 13};
    const auto [loss, whole] = backward(m, 0);
    for (const int64_t tbptt : {2, 4, 9}) {
      SCOPED_TRACE(fmt::format("{} a call, cut at multiples of {}", call, tbptt));
      const auto [same, cut] = backward(m, tbptt);
      EXPECT_EQ(same, loss);
      // Where the last call begins, up to that of the first label, before which it is cut.
      int64_t begin = 0;
      for (int64_t at = call; at <= 4; at += call) {
        if (at / tbptt > (at - call) / tbptt) begin = at;
      }
      for (int64_t row = 1; row <= 4; ++row) {  // the token of position row - 1
        EXPECT_GT(square_of_row(whole, row), 0) << row;
        EXPECT_EQ(square_of_row(cut, row) == 0, row <= begin) << row;
      }
      if (tbptt == 9) {
        EXPECT_TRUE(bit_equal(cut, whole));
      }
    }
  }
  const std::string error = error_of([&] { (void)backward({}, 4); }, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(testing::has(error, "tbptt 4: the model takes 9 tokens in one call")) << error;
}

TEST_F(LanguageModels, with_a_cache_make_no_program_without_end) {
  const SmallModel m{.time = 1, .cache = 200'000};
  const std::string error = error_of(
      [&] {
        (void)step_of(model_of(m), m, {1, 190'000});
      },
      ErrorCode::kUnsupported);
  EXPECT_TRUE(testing::has(error, "seq_len 190000: expected a text of at most ")) << error;
}

TEST_F(LanguageModels, with_a_cache_are_trained_as_far_as_it_goes) {
  const SmallModel m{.time = 1, .cache = 13};
  EXPECT_EQ(lm::LanguageModel(model_of(m).impl()).window(0, 512), 13);
  const std::string error = error_of(
      [&] {
        (void)step_of(model_of(m), m, {1, 14});
      },
      ErrorCode::kInvalidArgument);
  EXPECT_TRUE(testing::has(error, "seq_len 14: the model's cache holds 13 tokens")) << error;
  const std::string rows = error_of(
      [&] {
        (void)step_of(model_of(m), m, {2, 4});
      },
      ErrorCode::kInvalidArgument);
  EXPECT_TRUE(testing::has(rows, "is trained on row by row: expected a batch of 1, got 2")) << rows;
  // Logits of the last of four tokens only, and no call of fewer.
  const SmallModel last{.form = Form::kLast, .time = 4, .cache = 13};
  const std::string pads = error_of(
      [&] {
        (void)step_of(model_of(last), last, {1, 8});
      },
      ErrorCode::kInvalidArgument);
  EXPECT_TRUE(testing::has(pads, "holds logits for the last token only")) << pads;
}

void expect_rows(const lm::Logits& got, const SmallModel& m,
                 const std::vector<std::vector<int32_t>>& texts) {
  ASSERT_FALSE(got.last_only());
  ASSERT_EQ(got.batch(), static_cast<int64_t>(texts.size()));
  for (int64_t row = 0; row < got.batch(); ++row) {
    const auto want = suite::expected_logits(m, texts[static_cast<size_t>(row)]);
    ASSERT_EQ(got.positions(), static_cast<int64_t>(want.size()));
    for (int64_t p = 0; p < got.positions(); ++p) {
      const std::vector<float> have = got.row(row, p);
      const std::vector<double>& right = want[static_cast<size_t>(p)];
      // As softmax sees them: a dictionary holds probabilities.
      for (size_t v = 1; v < right.size(); ++v) {
        ASSERT_NEAR(have[v] - have[0], right[v] - right[0], 2e-3) << "position " << p;
      }
    }
  }
}

// Also where a call gives the last one only, or takes a part of the text.
TEST_F(LanguageModels, are_scored_at_every_position) {
  for (const Form form : kForms) {
    for (const int64_t cache : {0, 13}) {
      for (const int64_t call : {0, 1, 4}) {
        if (cache == 0 && call > 0) continue;
        const SmallModel m{
            .form = form, .time = call, .softmax = form == Form::kDictionary, .cache = cache};
        SCOPED_TRACE(
            fmt::format("form {}, cache {}, call {}", static_cast<int>(form), cache, call));
        const auto model = model_of(m);
        const lm::LanguageModel lm(model.impl());
        EXPECT_EQ(lm.classes(lm.largest_call(9)), 31);
        EXPECT_EQ(lm.is_one_by_one(9), is_last_only(form) && call != 1);
        const std::vector<int32_t> ids = some_ids(m, 9);
        // A call of four that ends before the fourth token would end in a pad.
        if (is_last_only(form) && call == 4) {
          error_of([&] { (void)lm.every(Tensor::from(ids, {1, 9})); }, ErrorCode::kInvalidArgument);
          continue;
        }
        expect_rows(lm.every(Tensor::from(ids, {1, 9})), m, {ids});
      }
    }
  }
}

TEST_F(LanguageModels, with_a_cache_take_rows_in_turn) {
  const SmallModel m{.time = 4, .cache = 13};
  const auto model = model_of(m);
  const std::vector<int32_t> ids = some_ids(m, 14);
  expect_rows(lm::LanguageModel(model.impl()).every(Tensor::from(ids, {2, 7})), m,
              {{ids.begin(), ids.begin() + 7}, {ids.begin() + 7, ids.end()}});
}

TEST_F(LanguageModels, train_on_labels_for_every_position) {
  const SmallModel plain, row{.form = Form::kNoBatch, .time = 7, .rank_one = true};
  const StepResult want = step_of(model_of(plain), plain, {1, 7});
  EXPECT_EQ(want.tokens, 7);
  for (const Shape& shape : {Shape{1, 7}, Shape{7}}) {
    const StepResult got = step_of(model_of(row), row, shape);
    EXPECT_EQ(got.tokens, 7);
    EXPECT_NEAR(got.loss, want.loss, 1e-6);
    EXPECT_NEAR(got.grad_norm, want.grad_norm, 1e-5 * want.grad_norm);
  }
  // Of the last position only: what follows the window.
  const SmallModel m;
  const std::vector<int32_t> ids = some_ids(m, 8);
  const std::vector<double> logits = suite::expected_logits(m, {ids.begin(), ids.end() - 1}).back();
  const double loss =
      lm::cross_entropy({logits.begin(), logits.end()}, static_cast<int32_t>(ids[7]));
  for (const Form form : {Form::kLast, Form::kLastRow, Form::kLastFlat, Form::kLastHead}) {
    const StepResult got = step_of(model_of({.form = form}), {.form = form}, {1, 7});
    EXPECT_EQ(got.tokens, 1);
    EXPECT_NEAR(got.loss, loss, 1e-4);
  }
}

TEST_F(LanguageModels, with_positions_before_rows_are_read_and_trained_in_the_same_order) {
  for (const int64_t fixed : {0, 7}) {
    for (const int64_t rows : {2, 7, 9}) {
      if (fixed == rows) continue;  // the program says nothing of which is which
      const SmallModel plain{.rows = rows, .time = fixed},
          turned{.form = Form::kTimeFirst, .rows = rows, .time = fixed};
      const std::vector<int32_t> ids = some_ids(plain, rows * 7);
      const Tensor tokens = Tensor::from(ids, {rows, 7});
      const Tensor want = model_of(plain).forward(tokens), got = model_of(turned).forward(tokens);
      ASSERT_EQ(to_string(got.shape()), to_string(want.shape())) << rows;
      EXPECT_TRUE(bit_equal(got, want)) << rows << " rows, fixed " << fixed;
      const StepResult loss = step_of(model_of(plain), plain, {rows, 7});
      const StepResult same = step_of(model_of(turned), turned, {rows, 7});
      EXPECT_NEAR(same.loss, loss.loss, 1e-6) << rows << " rows, fixed " << fixed;
      EXPECT_NEAR(same.grad_norm, loss.grad_norm, 1e-5 * loss.grad_norm);
    }
  }
}

TEST_F(LanguageModels, learn_from_a_teacher_whose_positions_and_rows_lie_in_another_order) {
  constexpr Form kOrders[] = {Form::kPlain, Form::kTimeFirst};
  for (const int64_t rows : {2, 7}) {
    const std::vector<int32_t> ids = some_ids({}, rows * 7 + 1);
    const Batch batch(Tensor::from<int32_t>({ids.begin(), ids.end() - 1}, {rows, 7}),
                      Tensor::from<int32_t>({ids.begin() + 1, ids.end()}, {rows, 7}));
    const double alone = step_of(model_of({.rows = rows}), {.rows = rows}, {rows, 7}).loss;
    for (const Form ours : kOrders) {
      for (const Form theirs : kOrders) {
        const auto path = folder_ / "teacher.mlpackage";
        suite::write_small_model(path, {.form = theirs, .rows = rows, .softmax = rows == 2});
        const auto teacher = CoreMLModelWrapper::load(path);
        StudentModel student(model_of({.form = ours, .rows = rows}),
                             {.optimizer = Sgd{.learning_rate = 0}});
        student.set_teacher(teacher, {.temperature = 2, .alpha = 0.25F});
        // It says what the student says.
        EXPECT_NEAR(student.training_step(batch).loss, 0.75 * alone, 1e-5) << rows << " rows";
      }
    }
  }
}

TEST_F(LanguageModels, say_why_a_teachers_logits_do_not_go_with_theirs) {
  const auto why = [&](const SmallModel& theirs) {
    const auto path = folder_ / "teacher.mlpackage";
    suite::write_small_model(path, theirs);
    const auto teacher = CoreMLModelWrapper::load(path);
    const auto model = model_of({});
    StudentModel student(model, {.optimizer = Sgd{.learning_rate = 0}});
    student.set_teacher(teacher, {.temperature = 2, .alpha = 0.25F});
    const Tensor ids = Tensor::from<int32_t>({1, 2, 3}, {1, 3});
    return error_of([&] { (void)student.training_step(Batch(ids, ids)); },
                    ErrorCode::kInvalidArgument);
  };
  EXPECT_NE(why({.vocabulary = 30})
                .find("teacher: expected logits of shape [1, 3, 31] as the student's, got [1, 3, "
                      "30]; both need the same vocabulary"),
            std::string::npos);
  EXPECT_NE(why({.end = "softmax of positions"})
                .find("teacher: expected the softmax of output 'logits' [1, 3, 31] over axis 2, "
                      "that of the classes, got one over axis 1"),
            std::string::npos);
}

TEST_F(LanguageModels, with_a_softmax_of_the_positions_have_classes_where_the_layer_has_them) {
  for (const int64_t fixed : {0, 7}) {
    const SmallModel m{.vocabulary = 7, .time = fixed, .end = "softmax of positions"};
    const auto model = model_of(m);
    EXPECT_EQ(lm::LanguageModel(model.impl()).layout({1, 7}).classes, 2) << "fixed " << fixed;
    const std::string error = error_of(
        [&] {
          (void)step_of(model, m, {1, 7});
        },
        ErrorCode::kInvalidArgument);
    EXPECT_NE(error.find("labels of shape [1, 7] go with axis 1, over which its softmax is, and "
                         "with axis 2; class_axis 1 says that the softmax is of the classes"),
              std::string::npos)
        << error;
  }
}

}  // namespace
}  // namespace mw
