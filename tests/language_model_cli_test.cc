// The commands on language models in every form that logits come in: the same answer, or one
// sentence, whatever lies behind a tensor.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "api/impl.h"
#include "language_model_cli_testing.h"
#include "millwright/training.hpp"
#include "train/run.h"

namespace mw {
namespace {

using suite::Form;
using suite::is_last_only;
using suite::SmallModel;
using testing::Answer;
using testing::has;
using testing::LanguageModelCli;
using testing::Perturbed;
using testing::Words;
using testing::fs::path;

constexpr Form kForms[] = {Form::kPlain, Form::kNoBatch, Form::kHead,     Form::kTrailing,
                           Form::kLast,  Form::kLastRow, Form::kLastFlat, Form::kLastHead};

TEST_F(LanguageModelCli, generate_gives_the_same_text_in_every_form) {
  std::string want;
  for (const Form form : kForms) {
    for (const bool softmax : {false, true}) {
      const std::string file = model_of({.form = form, .longest = 40, .softmax = softmax});
      for (const char* byte : {"0", "85"}) {
        const Perturbed perturbed(byte);
        const std::string text = text_of(generate(file));
        if (want.empty()) want = text;
        EXPECT_EQ(text, want) << static_cast<int>(form);
      }
    }
  }
  EXPECT_TRUE(want.starts_with("The quick")) << want;
}

TEST_F(LanguageModelCli, eval_gives_the_same_loss_in_every_form_or_refuses) {
  double want = 0;
  for (const Form form : kForms) {
    for (const int64_t time : {0, 16}) {
      for (const bool softmax : {false, true}) {
        const std::string file =
            model_of({.form = form, .time = time, .longest = 16, .softmax = softmax});
        const Answer answer = eval(file);
        if (is_last_only(form) && time > 0) {
          expect_sentence(answer,
                          "output 'logits' holds logits for the last token only, and the model "
                          "takes exactly 16 tokens: expected a text of as many, got 1");
          continue;
        }
        EXPECT_EQ(has(answer.out, "which is slow"), is_last_only(form));
        const std::string json = answer.out.substr(answer.out.find('{'));
        const double loss = loss_of({.code = answer.code, .out = json});
        if (want == 0) want = loss;
        EXPECT_NEAR(loss, want, 1e-5) << static_cast<int>(form);
      }
    }
  }
  EXPECT_GT(want, 1);
}

// A text of 17 tokens is a window of 16, and one of 90 five and a rest of nine; the rest of eight
// behind 20 windows is too small to count.
TEST_F(LanguageModelCli, eval_leaves_no_more_than_a_sixteenth_out) {
  for (const int64_t tokens : {2, 17, 90, 329}) {
    const int64_t counted = tokens == 329 ? 320 : tokens - 1;
    const std::string data = scratch("some.txt");
    std::ofstream(data) << std::string(static_cast<size_t>(tokens), 'a');
    const auto scored = [&](const SmallModel& m, const Words& more) {
      Words words = {"eval", model_of(m), "--data", data, "--json"};
      words.insert(words.end(), more.begin(), more.end());
      return nlohmann::json::parse(millwright(words).out);
    };
    const auto json = scored({.longest = 16}, {});
    EXPECT_EQ(json["tokens"], counted);
    EXPECT_EQ(json["windows"], (counted + 15) / 16);
    // Padded, and through a cache.
    for (const SmallModel& m : {SmallModel{.time = 16}, SmallModel{.time = 4, .cache = 16}}) {
      EXPECT_NEAR(scored(m, {})["mean_loss"].get<double>(), json["mean_loss"].get<double>(), 1e-5);
    }
  }
}

TEST_F(LanguageModelCli, a_model_that_ends_in_a_sigmoid_is_refused_by_what_samples_and_scores) {
  const std::string file = model_of({.longest = 40, .end = "sigmoid"});
  const std::string sentence =
      "output 'logits': expected logits or a softmax of them, got a sigmoid";
  expect_sentence(generate(file), sentence);
  expect_sentence(generate(file, {"--temperature", "0.7"}), sentence);
  expect_sentence(eval(file), sentence);
}

TEST_F(LanguageModelCli, a_model_of_the_last_position_learns_what_follows_its_windows) {
  for (const Form form : {Form::kLast, Form::kLastRow, Form::kLastFlat, Form::kLastHead}) {
    for (const int64_t time : {0, 16}) {
      const Answer answer = train_on(model_of({.form = form, .time = time, .longest = 16}), "out");
      EXPECT_EQ(answer.code, 0) << answer.out;
      EXPECT_TRUE(has(answer.out,
                      "output 'logits' holds logits for the last token only: a window of 16 tokens "
                      "teaches what follows its last one, and nothing else"))
          << answer.out;
    }
  }
}

TEST_F(LanguageModelCli, ids_of_rank_one_train) {
  const std::string file = model_of({.form = Form::kNoBatch, .time = 16, .rank_one = true});
  const Answer answer = train_on(file, "out");
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_LT(loss_of(eval(scratch("out.mlpackage"))), loss_of(eval(file)));
}

// The same net with a cache and without.
TEST_F(LanguageModelCli, stateful_models_say_and_learn_what_others_do) {
  const std::string plain = model_of({.longest = 40}), text = text_of(generate(plain));
  const Words window = {"--seq-len", "16"};
  const double before = loss_of(eval(plain, window));
  ASSERT_EQ(train_on(plain, "plain_out", window).code, 0);
  const double after = loss_of(eval(scratch("plain_out.mlpackage"), window));
  EXPECT_LT(after, before - 1e-3);
  for (const int64_t call : {1, 2, 3, 4, 0}) {
    SCOPED_TRACE(call);
    const std::string file = model_of({.time = call, .longest = 40, .cache = 40}, "cached");
    for (const char* byte : {"0", "85"}) {
      const Perturbed perturbed(byte);
      EXPECT_EQ(text_of(generate(file)), text);
    }
    EXPECT_NEAR(loss_of(eval(file, window)), before, 1e-5);
    const Answer trained = train_on(file, "out", window);
    ASSERT_EQ(trained.code, 0) << trained.out;
    // The cache is fp16.
    EXPECT_NEAR(loss_of(eval(scratch("out.mlpackage"), window)), after, 2e-3);
  }
}

TEST_F(LanguageModelCli, a_teacher_with_a_cache_runs_apart_and_is_kept) {
  const std::string student = model_of({.rows = 2, .longest = 40}, "student"),
                    teacher = model_of({.width = 4, .longest = 40, .cache = 40}, "teacher"),
                    other = model_of({.width = 3, .longest = 40, .cache = 40}, "other"),
                    file = scratch("said");
  const auto distil = [&](const Words& more, const std::string& from,
                          const std::string& data = "train.txt") {
    Words words = {"distill",     "--teacher",   from,
                   "--student",   student,       "--data",
                   scratch(data), "--output",    scratch("out.mlpackage"),
                   "--steps",     "4",           "--threads",
                   "1",           "--overwrite", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  };
  const Words window = {"--seq-len", "16", "--batch-size", "4"};
  const auto with = [&](Words words) {
    words.insert(words.end(), window.begin(), window.end());
    return words;
  };
  const auto loss = [](const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    return nlohmann::json::parse(answer.out.substr(answer.out.find('{')))["loss"].get<double>();
  };
  const Answer plain = distil(window, teacher);
  EXPECT_TRUE(has(plain.out, "the teacher runs apart, row by row: it has states ('cache')"))
      << plain.out;
  const double want = loss(plain);
  const Answer all = distil(with({"--teacher-cache", file, "--teacher-top-k", "0"}), teacher);
  EXPECT_TRUE(has(all.out, "what it says is kept")) << all.out;
  EXPECT_NEAR(loss(all), want, 1e-4);
  ASSERT_TRUE(std::filesystem::remove(file));
  const double first = loss(distil(with({"--teacher-cache", file}), teacher));
  EXPECT_NEAR(first, want, 0.05);
  const auto size = std::filesystem::file_size(file);
  EXPECT_EQ(loss(distil(with({"--teacher-cache", file}), teacher)), first);
  EXPECT_EQ(std::filesystem::file_size(file), size);
  const auto refuse = [&](const Words& more, const std::string& from, const std::string& part,
                          const std::string& data = "train.txt") {
    Words words = {"--teacher-cache", file};
    words.insert(words.end(), more.begin(), more.end());
    const Answer answer = distil(words, from, data);
    expect_sentence(answer, part);
    EXPECT_TRUE(has(answer.out, "; remove the file, or give another as --teacher-cache"));
    EXPECT_EQ(std::filesystem::file_size(file), size);
  };
  refuse(window, other, "the teacher's model: expected ");
  refuse({"--seq-len", "12", "--batch-size", "4"}, teacher,
         "the windows: expected 12 tokens, got predictions of 16 tokens in ");
  refuse(window, teacher, "the data: expected ", "valid.txt");
  refuse(with({"--temperature", "3"}), teacher,
         "--temperature: expected 3, got predictions of 2 in ");
  refuse(with({"--teacher-top-k", "7"}), teacher,
         "--teacher-top-k: expected 7, got predictions of 64 in ");
  // A vocabulary that is written otherwise.
  std::filesystem::remove_all(scratch("out.mlpackage"));
  std::ofstream(path(student) / "tokenizer.json", std::ios::app) << "\n";
  refuse(window, teacher, "the tokenizer: expected ");
}

TEST_F(LanguageModelCli, what_inputs_of_a_teacher_take_is_said_beside_it) {
  const std::string student = model_of({.longest = 40}, "student"),
                    teacher = model_of({.longest = 40, .cache = 40}, "teacher"),
                    renamed = scratch("renamed.mlpackage");
  ASSERT_EQ(millwright({"convert", teacher, renamed, "--rename", "causal_mask=window"}).code, 0);
  const auto distil = [&](const Words& more) {
    Words words = {"distill",
                   "--teacher",
                   renamed,
                   "--student",
                   student,
                   "--data",
                   scratch("train.txt"),
                   "--output",
                   scratch("out.mlpackage"),
                   "--steps",
                   "2",
                   "--seq-len",
                   "16",
                   "--threads",
                   "1",
                   "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  };
  const Answer refused = distil({});
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(has(refused.out,
                  "--teacher: it has states ('cache'), so it would have to run apart, "
                  "from token ids: input 'window'"))
      << refused.out;
  EXPECT_TRUE(has(refused.out, "say what it takes (--teacher-role window=ROLE;")) << refused.out;
  EXPECT_TRUE(has(distil({"--teacher-role", "window=nothing"}).out,
                  "from token ids: --teacher-role 'window=nothing': expected the name of"));
  expect_sentence(distil({"--teacher-role", "window=causal_mask", "--teacher-top-k", "8"}),
                  "--teacher-top-k 8: says what --teacher-cache keeps, and there is none");
  const Answer answer = distil({"--teacher-role", "window=causal_mask"});
  EXPECT_EQ(answer.code, 0) << answer.out;
}

TEST_F(LanguageModelCli, a_number_of_tokens_that_is_not_listed_is_named) {
  const std::string file = model_of({.listed = {8, 16, 32}});
  EXPECT_EQ(text_of(generate(file)), text_of(generate(model_of({.longest = 40}, "plain"))));
  expect_sentence(train_on(file, "out", {"--seq-len", "24", "--batch-size", "1"}),
                  "--seq-len 24: expected a number of tokens that the model takes: 8, 16 or 32");
  const Answer answer = train_on(file, "out", {"--batch-size", "1"});
  EXPECT_EQ(answer.code, 0) << answer.out;
}

TEST_F(LanguageModelCli, a_batch_is_cut_into_calls_that_the_model_takes) {
  // The rows are fixed by a range of one number; or only some numbers of tokens and rows are
  // listed.
  for (const std::vector<int64_t>& listed : {std::vector<int64_t>{}, {8, 512}}) {
    const std::string file = model_of({.rows = 3, .longest = 16, .listed = listed});
    expect_sentence(train_on(file, "out", {"--batch-size", "4"}),
                    "--batch-size 4: expected a multiple of 3, which the model takes at a time");
    for (const char* batch : {"3", "6"}) {
      const Answer answer = train_on(file, "out", {"--batch-size", batch});
      EXPECT_EQ(answer.code, 0) << answer.out;
    }
  }
}

TEST_F(LanguageModelCli, logits_that_are_no_numbers_are_no_score_and_no_text) {
  const std::string file = model_of({.longest = 16, .broken = true});
  expect_sentence(eval(file),
                  "output 'logits': expected logits with a finite loss, got no number "
                  "in window 1, for what follows its token 1");
  const Answer answer = generate(file);
  EXPECT_EQ(answer.code, 1);
  EXPECT_TRUE(has(answer.out, "logits: expected a number for token 3, got nan")) << answer.out;
  EXPECT_TRUE(has(answer.out, "The quick\nmillwright: ")) << "what was said ends its line first";
}

TEST_F(LanguageModelCli, what_is_no_file_is_no_text_to_score) {
  const std::string file = model_of({.longest = 16}), pipe = scratch("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& data : {scratch(""), pipe, std::string("/dev/zero"), scratch("absent")}) {
    const Answer answer = millwright({"eval", file, "--data", data});
    expect_sentence(answer, data);
    EXPECT_FALSE(has(answer.out, "internal")) << answer.out;
  }
}

class Notes : public TrainingObserver {
 public:
  void note(const std::string& sentence) override { notes.push_back(sentence); }
  std::vector<std::string> notes;
};

// A run whose package goes nowhere.
struct NoFiles : training::RunFiles {
  explicit NoFiles(const CoreMLModelWrapper& model) : model(shared_model(model)) {}
  [[nodiscard]] std::string title() const override { return "none"; }
  std::vector<std::string> write() override { return {}; }
  [[nodiscard]] std::shared_ptr<const lm::Model> before() const override { return model; }
  [[nodiscard]] std::shared_ptr<const lm::Model> written() const override { return model; }
  std::shared_ptr<const lm::Model> model;
};

TEST_F(LanguageModelCli, a_text_that_cannot_be_sampled_is_a_note) {
  const auto model = CoreMLModelWrapper::load(model_of({.longest = 16}));
  RunSettings settings;
  settings.data = scratch("train.txt");
  settings.output = scratch("out.mlpackage");
  settings.batch_size = 2;
  settings.seq_len = 16;
  settings.steps = 60;
  training::TrainingData data = training::load_training_data(model.impl(), settings);
  data.prompt = {testing::kVocabulary + 1000};
  const StudentModel student(model);
  NoFiles files(model);
  Notes observer;
  training::Run run(student_of(student), std::move(data), {.settings = settings}, files, observer);
  const TrainingReport outcome = run.finish();
  EXPECT_EQ(outcome.step, 60);
  const auto told = std::count_if(observer.notes.begin(), observer.notes.end(), [](auto& note) {
    return note.starts_with("no text for the report: ");
  });
  EXPECT_EQ(told, 2);  // before and after
}

TEST(Samples, take_a_small_part_of_a_run) {
  constexpr int64_t kTokens = 2048;
  for (const int64_t steps : {0, 1, 8, 40, 41, 100, 1000, 100000}) {
    const int64_t budget = training::Run::sample_budget(steps, kTokens);
    // Two texts; each gets a model ready, which is as much as a step, and runs it forward, which
    // is at most half of a step for each token.
    const double cost = budget == 0 ? 0 : 2.0 * (kTokens + static_cast<double>(budget) / 2);
    EXPECT_LE(cost, 0.05 * static_cast<double>(steps * kTokens)) << steps;
    EXPECT_EQ(budget > 0, steps > 40) << steps;
  }
}

}  // namespace
}  // namespace mw
