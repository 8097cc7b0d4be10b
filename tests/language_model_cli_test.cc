// The commands on language models in every form that logits come in: the same answer, or one
// sentence, whatever lies behind a tensor.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "api/impl.h"
#include "millwright/training.hpp"
#include "small_language_models.h"
#include "train/run.h"
#include "training_cli_testing.h"

namespace mw {
namespace {

using suite::Form;
using suite::is_last_only;
using suite::SmallModel;
using testing::Answer;
using testing::has;
using testing::Words;
using testing::fs::path;

constexpr int64_t kVocabulary = 300;  // of tests/data/tokenizer/byte_level.json
constexpr Form kForms[] = {Form::kPlain, Form::kNoBatch, Form::kHead,     Form::kTrailing,
                           Form::kLast,  Form::kLastRow, Form::kLastFlat, Form::kLastHead};

class LanguageModelCli : public testing::TrainingCli {
 protected:
  std::string model_of(SmallModel m, const std::string& name = "model") const {
    m.vocabulary = kVocabulary;
    const std::string file = scratch(name + ".mlpackage");
    suite::write_small_model(file, m);
    const path tokenizer = path(std::getenv("MW_TEST_DATA")) / "tokenizer/byte_level.json";
    std::filesystem::copy_file(tokenizer, path(file) / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    return file;
  }
  Answer generate(const std::string& file, const Words& more = {}) const {
    Words words = {"generate", file, "--prompt", "The quick", "--max-tokens", "8", "--ignore-end"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  Answer eval(const std::string& file, const Words& more = {}) const {
    Words words = {"eval", file, "--data", scratch("valid.txt"), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  Answer train_on(const std::string& file, const std::string& name, Words more = {}) const {
    if (std::find(more.begin(), more.end(), "--batch-size") == more.end()) {
      more.insert(more.end(), {"--batch-size", "2"});
    }
    Words words = {"train",      file,
                   "--data",     scratch("train.txt"),
                   "--output",   scratch(name + ".mlpackage"),
                   "--steps",    "3",
                   "--threads",  "1",
                   "--overwrite"};
    words.insert(words.end(), more.begin(), more.end());
    return millwright(words);
  }
  // One line, exit code 1.
  static void expect_sentence(const Answer& answer, const std::string& part) {
    EXPECT_EQ(answer.code, 1) << answer.out;
    EXPECT_EQ(std::count(answer.out.begin(), answer.out.end(), '\n'), 1) << answer.out;
    EXPECT_TRUE(has(answer.out, part)) << part << " is not in: " << answer.out;
  }
  // What was generated, without the times.
  static std::string text_of(const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    return answer.out.substr(0, answer.out.rfind("\nprompt "));
  }
  static double loss_of(const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    return nlohmann::json::parse(answer.out)["mean_loss"];
  }
};

// Memory that the C library gives out is filled with this byte's complement.
struct Perturbed {
  explicit Perturbed(const char* byte) { setenv("MALLOC_PERTURB_", byte, 1); }
  ~Perturbed() { unsetenv("MALLOC_PERTURB_"); }
};

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
        if (is_last_only(form)) {
          expect_sentence(answer,
                          "output 'logits' holds logits for the last token only, and eval needs "
                          "those of every token");
          continue;
        }
        const double loss = loss_of(answer);
        if (want == 0) want = loss;
        EXPECT_NEAR(loss, want, 1e-5) << static_cast<int>(form);
      }
    }
  }
  EXPECT_GT(want, 1);
}

TEST_F(LanguageModelCli, a_model_that_ends_in_a_sigmoid_is_refused_by_what_samples_and_scores) {
  const std::string file = model_of({.longest = 40, .end = "sigmoid"});
  const std::string sentence =
      "output 'logits': expected logits or a softmax of them, got a sigmoid";
  expect_sentence(generate(file), sentence);
  expect_sentence(generate(file, {"--temperature", "0.7"}), sentence);
  expect_sentence(eval(file), sentence);
}

TEST_F(LanguageModelCli, train_refuses_a_model_that_gives_the_last_logits_only) {
  for (const Form form : {Form::kLast, Form::kLastRow, Form::kLastFlat, Form::kLastHead}) {
    for (const int64_t time : {0, 16}) {
      expect_sentence(train_on(model_of({.form = form, .time = time, .longest = 16}), "out"),
                      "output 'logits' holds logits for the last token only, and training needs "
                      "those of every token");
      EXPECT_FALSE(std::filesystem::exists(scratch("out.mlpackage")));
      EXPECT_FALSE(std::filesystem::exists(run_folder("out")));
    }
  }
}

TEST_F(LanguageModelCli, ids_of_rank_one_train) {
  const std::string file = model_of({.form = Form::kNoBatch, .time = 16, .rank_one = true});
  const Answer answer = train_on(file, "out");
  EXPECT_EQ(answer.code, 0) << answer.out;
  EXPECT_LT(loss_of(eval(scratch("out.mlpackage"))), loss_of(eval(file)));
}

TEST_F(LanguageModelCli, stateful_models_are_not_scored_or_trained_without_their_past) {
  for (const int64_t call : {1, 4}) {
    const std::string file = model_of({.time = call, .cache = 40});
    const std::string part =
        fmt::format("the model takes {} token{} a call and keeps those before in its states", call,
                    call == 1 ? "" : "s");
    expect_sentence(eval(file), part);
    expect_sentence(train_on(file, "out"), part);
    EXPECT_FALSE(std::filesystem::exists(scratch("out.mlpackage")));
    expect_sentence(
        millwright({"distill", "--teacher", model("student.mlpackage"), "--student", file, "--data",
                    scratch("train.txt"), "--output", scratch("out.mlpackage"), "--steps", "2"}),
        part);
  }
  const std::string plain = model_of({.longest = 40}), text = text_of(generate(plain));
  for (const int64_t call : {1, 2, 4, 0}) {
    for (const char* byte : {"0", "85"}) {
      const Perturbed perturbed(byte);
      EXPECT_EQ(text_of(generate(model_of({.time = call, .longest = 40, .cache = 40}, "cached"))),
                text)
          << call;
    }
  }
}

TEST_F(LanguageModelCli, a_stateful_teacher_is_refused) {
  const std::string student = model_of({.longest = 40}, "student"),
                    teacher = model_of({.longest = 40, .cache = 40}, "teacher");
  expect_sentence(millwright({"distill", "--teacher", teacher, "--student", student, "--data",
                              scratch("train.txt"), "--output", scratch("out.mlpackage"), "--steps",
                              "2", "--seq-len", "16"}),
                  "teacher: expected a model without states, got one with 'cache'");
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

// The larger suites, where they are installed.
class SharedCases : public LanguageModelCli {
 protected:
  void SetUp() override {
    LanguageModelCli::SetUp();
    const char* root = std::getenv("MW_SHARED");
    if (root == nullptr || !std::filesystem::exists(path(root) / "cases")) {
      GTEST_SKIP() << "MW_SHARED has no cases";
    }
    root_ = root;
    tokenizer_ = root_ / "cases/last-token-logits-out-of-bounds/tokenizer.json";
  }
  [[nodiscard]] std::string file(const std::string& name) const { return root_ / name; }
  [[nodiscard]] nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(testing::read_file(root_ / name));
  }
  Answer generated(const std::string& name, int tokens = 8) const {
    return millwright({"generate", file(name), "--prompt", "The quick", "--max-tokens",
                       std::to_string(tokens), "--tokenizer", tokenizer_});
  }
  Answer scored(const std::string& name) const {
    return eval(file(name), {"--tokenizer", tokenizer_});
  }
  Answer trained(const std::string& name) const {
    return train_on(file(name), "out", {"--tokenizer", tokenizer_, "--batch-size", "1"});
  }
  void expect_no_training(const std::string& name, const std::string& part) const {
    expect_sentence(trained(name), part);
    EXPECT_FALSE(std::filesystem::exists(scratch("out.mlpackage")));
  }
  path root_;
  std::string tokenizer_;
};

TEST_F(SharedCases, logits_of_the_last_token) {
  const std::string folder = "cases/last-token-logits-out-of-bounds/";
  const std::string text = json(folder + "expected.json")["text"];
  for (const char* byte : {"0", "85"}) {
    const Perturbed perturbed(byte);
    for (const char* name : {"full.mlpackage", "model.mlpackage"}) {
      EXPECT_EQ(text_of(generated(folder + name)), "The quick" + text);
    }
    expect_sentence(scored(folder + "model.mlpackage"), "for the last token only");
  }
  EXPECT_GT(loss_of(scored(folder + "full.mlpackage")), 0);
  expect_no_training(folder + "model.mlpackage", "for the last token only");
}

TEST_F(SharedCases, classes_on_another_axis_or_in_parts) {
  const std::string folder = "cases/logits-not-last-axis/";
  for (const char* byte : {"0", "85"}) {
    const Perturbed perturbed(byte);
    EXPECT_TRUE(text_of(generated(folder + "lm_nchw.mlpackage")).starts_with("The quick"));
    EXPECT_NEAR(loss_of(scored(folder + "lm_nchw.mlpackage")), 5.8, 0.5);
  }
  const std::string part = "one of logits1, logits2, logits3, logits4";
  expect_sentence(generated(folder + "lm_split.mlpackage"), part);
  expect_sentence(scored(folder + "lm_split.mlpackage"), part);
  expect_no_training(folder + "lm_split.mlpackage", part);
}

TEST_F(SharedCases, one_or_four_tokens_a_call) {
  const std::string folder = "cases/decode-only-stateful-eval-train/";
  const std::string text = json(folder + "expected.json")["greedy_after_The_quick"];
  for (const std::string name : {"lm_dec1.mlpackage", "lm_pre4.mlpackage"}) {
    EXPECT_EQ(text_of(generated(folder + name)), "The quick" + text) << name;
    expect_sentence(scored(folder + name), "keeps those before in its states");
    expect_no_training(folder + name, "keeps those before in its states");
  }
}

TEST_F(SharedCases, a_cache_of_fixed_width) {
  for (const std::string name : {"lm_cachefixed.mlpackage", "lm_anemll.mlpackage"}) {
    const std::string model = "cases/fixed-width-cache/" + name;
    const std::string part =
        "input 'causal_mask': expected a mask as wide as the text so far, got "
        "a fixed width of 24";
    expect_sentence(generated(model), part);
    expect_sentence(scored(model), part);
    expect_no_training(model, part);
  }
}

TEST_F(SharedCases, layouts_of_language_models) {
  tokenizer_ = root_ / "lm/fixed/tokenizer.json";
  const auto reference = json("lm/fixed/reference.json");
  const std::string text = reference["greedy_text"];
  const auto generate = [&](const std::string& name) {
    return millwright({"generate", file("lm/fixed/" + name), "--prompt",
                       reference["prompt"].get<std::string>(), "--max-tokens", "40", "--tokenizer",
                       tokenizer_});
  };
  for (const char* name :
       {"enumerated.mlpackage", "exporters-logits.mlpackage", "last-logits-flexible.mlpackage",
        "rank1-tokens.mlpackage", "rank5-logits.mlpackage"}) {
    EXPECT_EQ(text_of(generate(name)), text) << name;
  }
  expect_sentence(generate("last-logits.mlpackage"),
                  "holds logits for the last token only, and the model takes exactly 128 tokens");
  for (const std::string name : {"last-logits.mlpackage", "last-logits-flexible.mlpackage"}) {
    expect_sentence(scored("lm/fixed/" + name), "for the last token only");
    expect_no_training("lm/fixed/" + name, "for the last token only");
  }
  for (const std::string name : {"enumerated.mlpackage", "rank1-tokens.mlpackage"}) {
    const Answer answer = trained("lm/fixed/" + name);
    EXPECT_EQ(answer.code, 0) << answer.out;
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
  data.prompt = {kVocabulary + 1000};
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
