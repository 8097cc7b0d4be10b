// Language models in every form that logits come in: the same numbers as one that is read naively.
#include "lm/language_model.h"
#include "api/impl.h"
#include "built_model.h"
#include "facade_testing.h"
#include "language_model_testing.h"
#include "lm/sample_text.h"
#include "lm/sampler.h"

namespace mw {
namespace {

using suite::expected_logits;
using suite::Form;
using suite::is_last_only;
using suite::kForms;
using suite::LanguageModels;
using suite::SmallModel;
using suite::some_ids;
using testing::error_of;

// As softmax sees them: differences to the largest.
void expect_row(const std::vector<float>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  const double a = *std::max_element(got.begin(), got.end());
  const double b = *std::max_element(want.begin(), want.end());
  for (size_t v = 0; v < want.size(); ++v) {
    if (want[v] - b < -8) {  // of which fp16 keeps few bits after a softmax
      ASSERT_LT(got[v] - a, -7) << "class " << v;
      continue;
    }
    ASSERT_NEAR(got[v] - a, want[v] - b, tolerance) << "class " << v;
  }
}

double tolerance_of(const SmallModel& m) { return m.dtype == DType::kF16 ? 0.02 : 1e-4; }

std::string text_of(const SmallModel& m) {
  return fmt::format("form {}, time {}, vocabulary {}, {}{}, cache {}", static_cast<int>(m.form),
                     m.time, m.vocabulary, name_of(m.dtype), m.softmax ? ", softmax" : "", m.cache);
}

TEST_F(LanguageModels, give_the_same_logits_in_every_form) {
  for (const Form form : kForms) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      for (const bool softmax : {false, true}) {
        for (const int64_t vocabulary : {31, 12, 12}) {
          SmallModel m{.form = form, .vocabulary = vocabulary, .dtype = dtype, .softmax = softmax};
          if (form == Form::kDictionary) m.dtype = DType::kF32, m.softmax = true;
          SCOPED_TRACE(text_of(m));
          const auto model = model_of(m);
          const lm::LanguageModel lm(model.impl());
          // 12 tokens of a vocabulary of 12, too: extents that are alike by chance.
          for (const int64_t time : {1, 2, 12, 24}) {
            const std::vector<int32_t> ids = some_ids(m, time);
            const auto want = expected_logits(m, ids);
            const lm::Logits logits = lm.logits(Tensor::from(ids, {1, time}));
            ASSERT_EQ(logits.last_only(), is_last_only(form) && time > 1);
            for (int64_t p = 0; p < logits.positions(); ++p) {
              expect_row(logits.row(0, p), want[static_cast<size_t>(time - logits.positions() + p)],
                         tolerance_of(m));
            }
          }
        }
      }
    }
  }
}

TEST_F(LanguageModels, say_the_same_however_their_output_ends) {
  for (const char* end : {"softmax", "log softmax", "quotient", "product", "unknown"}) {
    for (const Form form : kForms) {
      for (const DType dtype : {DType::kF32, DType::kF16}) {
        SmallModel m{.form = form, .dtype = dtype, .end = end};
        if (form == Form::kDictionary) m.dtype = DType::kF32;
        SCOPED_TRACE(std::string(end) + ", " + text_of(m));
        const auto model = model_of(m);
        const std::vector<int32_t> ids = some_ids(m, 9);
        const lm::Logits logits = lm::LanguageModel(model.impl()).logits(Tensor::from(ids, {1, 9}));
        EXPECT_EQ(logits.numbers(), std::string(end) == "log softmax"
                                        ? lm::Numbers::kLogits
                                        : lm::Numbers::kProbabilities);
        expect_row(logits.row(0, logits.positions() - 1), expected_logits(m, ids).back(),
                   tolerance_of(m));
      }
    }
  }
}

TEST_F(LanguageModels, that_end_in_a_sigmoid_are_not_sampled_from) {
  for (const char* end : {"sigmoid", "log sigmoid"}) {
    for (const Form form : kForms) {
      const SmallModel m{.form = form, .end = end};
      SCOPED_TRACE(std::string(end) + ", " + text_of(m));
      const auto model = model_of(m);
      EXPECT_EQ(model.forward(some_ids(m, 7)).rank(), 3) << "the numbers are there";
      const lm::LanguageModel lm(model.impl());
      lm::LanguageModel::Stream stream(lm);
      const std::string error =
          error_of([&] { (void)stream.extend(some_ids(m, 7)); }, ErrorCode::kInvalidArgument);
      EXPECT_TRUE(testing::has(error, "output 'logits': expected logits or a softmax of them"));
    }
  }
}

// Each row of the table holds probabilities.
std::filesystem::path write_table_model(const std::filesystem::path& path, bool has_layer) {
  testing::BuiltModel built;
  ir::Builder& b = built.b();
  ir::Value* ids = built.input("input_ids", {1, -1}, DType::kI32);
  // A layer of numbers from 0 to 1 might be of probabilities; these are none.
  const float sign = has_layer ? -1 : 1;
  ir::Value* table =
      built.weight("table", {sign * 0.5F, sign * 0.5F, sign * 0.125F, sign * 0.875F}, {2, 2});
  ir::Value* rows = b.op("gather", {{"x", table}, {"indices", ids}, {"axis", 0}});
  if (has_layer) {
    ir::Value* weight = built.weight("weight", {-1, 0, 0, -1}, {2, 2});
    rows = b.op("linear", {{"x", rows}, {"weight", weight}});
  }
  built.output(rows, "logits");
  return built.write(path);
}

TEST_F(LanguageModels, are_looked_at_only_where_the_program_does_not_say) {
  for (const bool has_layer : {true, false}) {
    const auto model =
        CoreMLModelWrapper::load(write_table_model(folder_ / "table.mlpackage", has_layer));
    const lm::Logits logits =
        lm::LanguageModel(model.impl()).logits(Tensor::from<int32_t>({0, 1}, {1, 2}));
    EXPECT_EQ(logits.row(0, 1)[0], has_layer ? 0.125F : std::log(0.125F));
  }
}

TEST_F(LanguageModels, forward_gives_what_is_there_and_no_more) {
  for (const Form form : kForms) {
    const SmallModel m{.form = form, .softmax = form == Form::kDictionary};
    const auto model = model_of(m);
    const Tensor logits = model.forward(some_ids(m, 7));
    EXPECT_EQ(to_string(logits.shape()), is_last_only(form) ? "[1, 1, 31]" : "[1, 7, 31]");
  }
}

TEST_F(LanguageModels, a_stream_continues_in_every_form) {
  for (const Form form : kForms) {
    const SmallModel m{.form = form, .longest = 10, .softmax = form == Form::kDictionary};
    SCOPED_TRACE(text_of(m));
    const auto model = model_of(m);
    const lm::LanguageModel lm(model.impl());
    lm::LanguageModel::Stream stream(lm);
    const std::vector<int32_t> ids = some_ids(m, 16);
    std::vector<float> row = stream.extend({ids.begin(), ids.begin() + 5});
    for (size_t at = 5; at < ids.size(); ++at) {
      // The oldest leave the window of ten tokens.
      const size_t begin = at > 10 ? at - 10 : 0;
      expect_row(row,
                 expected_logits(m, {ids.begin() + static_cast<int64_t>(begin),
                                     ids.begin() + static_cast<int64_t>(at)})
                     .back(),
                 1e-4);
      EXPECT_EQ(stream.obstacle(), "");
      row = stream.extend({ids[at]});
    }
  }
}

TEST_F(LanguageModels, of_fixed_length_are_read_at_the_right_position) {
  for (const Form form : kForms) {
    const SmallModel m{.form = form, .time = 8, .softmax = form == Form::kDictionary};
    SCOPED_TRACE(text_of(m));
    const auto model = model_of(m);
    const lm::LanguageModel lm(model.impl());
    const std::vector<int32_t> ids = some_ids(m, 8);
    const auto want = expected_logits(m, ids);
    lm::LanguageModel::Stream whole(lm), part(lm);
    expect_row(whole.extend(ids), want.back(), 1e-4);
    EXPECT_EQ(whole.obstacle(), "");
    const std::vector<int32_t> few(ids.begin(), ids.begin() + 3);
    if (is_last_only(form)) {
      const std::string error =
          error_of([&] { (void)part.extend(few); }, ErrorCode::kInvalidArgument);
      EXPECT_NE(error.find("holds logits for the last token only, and the model takes exactly 8 "
                           "tokens: expected a text of as many, got 3"),
                std::string::npos)
          << error;
      error_of([&] { (void)model.forward(few); }, ErrorCode::kInvalidArgument);
      continue;
    }
    expect_row(part.extend(few), want[2], 1e-4);
    EXPECT_EQ(model.forward(few).dim(1), 3);
  }
}

TEST_F(LanguageModels, of_listed_lengths_take_shorter_texts_padded) {
  SmallModel m{.listed = {8, 4, 16}};
  auto model = model_of(m);
  const std::vector<int32_t> ids = some_ids(m, 20);
  const auto row_after = [&](const lm::LanguageModel& lm, int64_t count) {
    lm::LanguageModel::Stream stream(lm);
    return stream.extend({ids.begin(), ids.begin() + count});
  };
  {
    const lm::LanguageModel lm(model.impl());
    for (const int64_t count : {1, 4, 5, 11, 16}) {
      expect_row(row_after(lm, count),
                 expected_logits(m, {ids.begin(), ids.begin() + count}).back(), 1e-4);
    }
  }
  m.form = Form::kLast;
  model = model_of(m);
  const lm::LanguageModel lm(model.impl());
  expect_row(row_after(lm, 8), expected_logits(m, {ids.begin(), ids.begin() + 8}).back(), 1e-4);
  error_of([&] { (void)row_after(lm, 9); }, ErrorCode::kInvalidArgument);
  lm::LanguageModel::Stream stream(lm);
  (void)stream.extend({ids.begin(), ids.begin() + 8});
  EXPECT_EQ(stream.obstacle(), "the model takes 4, 8 or 16 tokens, not 9");
}

// Rows that stand for nothing beside the text's are no pads of it.
TEST_F(LanguageModels, of_several_rows_go_on_as_those_of_one) {
  const SmallModel m{.form = Form::kLast, .rows = 2, .time = 4};
  const auto model = model_of(m);
  const lm::LanguageModel lm(model.impl());
  const std::vector<int32_t> ids = some_ids(m, 6);
  lm::LanguageModel::Stream stream(lm);
  (void)stream.extend({ids.begin(), ids.begin() + 4});
  for (size_t at = 4; at < ids.size(); ++at) {
    ASSERT_EQ(stream.obstacle(), "");
    const auto window = ids.begin() + static_cast<int64_t>(at) - 3;
    expect_row(stream.extend({ids[at]}), expected_logits(m, {window, window + 4}).back(), 1e-4);
  }
}

TEST_F(LanguageModels, with_a_cache_continue_whatever_they_take_per_call) {
  for (const int64_t call : {1, 2, 4, 0}) {
    for (const Form form : {Form::kPlain, Form::kNoBatch, Form::kHead, Form::kLast}) {
      const SmallModel m{.form = form, .time = call, .longest = 6, .cache = 13};
      SCOPED_TRACE(text_of(m));
      const auto model = model_of(m);
      const lm::LanguageModel lm(model.impl());
      const std::vector<int32_t> ids = some_ids(m, 13);
      const auto want = expected_logits(m, ids);
      for (int64_t prompt = 1; prompt <= 9; ++prompt) {
        SCOPED_TRACE(prompt);
        lm::LanguageModel::Stream stream(lm);
        const std::vector<int32_t> first(ids.begin(), ids.begin() + prompt);
        if (form == Form::kLast && prompt < call) {
          error_of([&] { (void)stream.extend(first); }, ErrorCode::kInvalidArgument);
          continue;
        }
        expect_row(stream.extend(first), want[static_cast<size_t>(prompt - 1)], 1e-4);
        for (size_t at = static_cast<size_t>(prompt); at < ids.size(); ++at) {
          ASSERT_EQ(stream.obstacle(), "");
          expect_row(stream.extend({ids[at]}), want[at], 1e-4);
        }
        EXPECT_EQ(stream.obstacle(), "the cache is full");
        error_of([&] { (void)stream.extend({0}); }, ErrorCode::kInvalidArgument);
      }
    }
  }
}

TEST_F(LanguageModels, without_a_mask_use_their_cache_up_to_its_end) {
  for (const bool naive : {false, true}) {
    const SmallModel m{.time = 1, .cache = 13, .by_position = true};
    (void)model_of(m);
    const auto model = CoreMLModelWrapper::load(folder_ / "model.mlpackage", {.naive = naive});
    const lm::LanguageModel lm(model.impl());
    lm::LanguageModel::Stream stream(lm);
    const std::vector<int32_t> ids = some_ids(m, 13);
    const auto want = expected_logits(m, ids);
    expect_row(stream.extend({ids.begin(), ids.begin() + 4}), want[3], 1e-4);
    for (size_t at = 4; at < ids.size(); ++at) expect_row(stream.extend({ids[at]}), want[at], 1e-4);
    // The file does not say how many tokens it holds: what the program writes does.
    EXPECT_EQ(stream.obstacle(), "the cache is full");
    EXPECT_EQ(error_of([&] { (void)stream.extend({0}); }, ErrorCode::kInvalidArgument),
              "the cache holds 13 tokens and is full; shorten the prompt or lower max_tokens");
    EXPECT_EQ(lm.window(0, 512), 13);
  }
}

TEST_F(LanguageModels, are_sampled_within_a_budget) {
  for (const int64_t cache : {0, 24}) {
    const SmallModel m{.vocabulary = 300, .cache = cache};
    const auto path = folder_ / "model.mlpackage";
    suite::write_small_model(path, m);
    LoadOptions options;
    options.tokenizer =
        std::filesystem::path(std::getenv("MW_TEST_DATA")) / "tokenizer/byte_level.json";
    const auto model = CoreMLModelWrapper::load(path, options);
    for (const int64_t budget : {0, 1, 2, 7, 30, 100, 1000}) {
      const lm::SampledText sampled = lm::sample_text(
          model.impl(), model.tokenizer(), "", some_ids(m, 10), {.tokens = 12, .budget = budget});
      EXPECT_LE(sampled.tokens_run, budget);
      EXPECT_EQ(sampled.tokens_run > 0, budget > 0) << budget;
      EXPECT_EQ(sampled.text.empty(), budget == 0) << budget;
    }
    const lm::SampledText stopped = lm::sample_text(
        model.impl(), model.tokenizer(), "", some_ids(m, 10), {.should_stop = [] { return true; }});
    EXPECT_EQ(stopped.tokens_run, 0);
  }
}

TEST_F(LanguageModels, say_the_same_whatever_their_output_is_called) {
  for (const char* name : {"var_412", "Logits", "scores"}) {
    const SmallModel m{.form = Form::kHead, .output = name};
    const auto model = model_of(m);
    EXPECT_EQ(lm::LanguageModel(model.impl()).output(), name);
    EXPECT_EQ(to_string(model.forward(some_ids(m, 4)).shape()), "[1, 4, 31]");
  }
}

TEST_F(LanguageModels, are_told_what_to_do_about_an_input_without_a_role) {
  testing::BuiltModel built;
  ir::Value* ids = built.input("inputIds", {1, 4}, DType::kI32);
  (void)built.input("current", {1, 4}, DType::kI32);
  built.output(built.b().op("cast", {{"x", ids}, {"dtype", std::string("fp32")}}), "logits");
  const auto path = folder_ / "named.mlpackage";
  built.write(path);
  const auto error = [&](const std::vector<std::string>& roles) {
    const auto model = CoreMLModelWrapper::load(path, {.role = roles});
    return error_of([&] { const lm::LanguageModel lm(model.impl()); }, ErrorCode::kInvalidArgument);
  };
  EXPECT_EQ(error({}),
            "input 'current' (int32 [1, 4]) cannot be made from token ids; say what it takes (role "
            "current=ROLE; the roles are ids, attention_mask, causal_mask, sliding_mask, "
            "positions, past_length, update_mask, zeros, cache), or give all inputs by name with "
            "predict()");
  EXPECT_EQ(error({"current=what"}).substr(0, 60),
            "role 'current=what': expected the name of an input and its r");
  EXPECT_EQ(error({"other=ids"}), "role 'other': the model has no input of that name");
  EXPECT_EQ(error({"current=ids"}),
            "expected one input for token ids, got 'inputIds' and 'current'; say what the others "
            "take (role NAME=ROLE)");
  const auto model = CoreMLModelWrapper::load(path, {.role = {"current=positions"}});
  const TensorMap inputs =
      lm::LanguageModel(model.impl()).inputs_for(Tensor::from<int32_t>({5, 6, 7, 8}, {1, 4}));
  EXPECT_TRUE(bit_equal(inputs.at("current"), Tensor::from<int32_t>({0, 1, 2, 3}, {1, 4})));
}

}  // namespace
}  // namespace mw
