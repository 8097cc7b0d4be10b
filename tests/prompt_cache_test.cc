// Texts that go back, and states that are kept in files: the same numbers as a text run anew, and
// a sentence for every file that is not the one that was written.
#include <fstream>

#include "generation_testing.h"
#include "lm/prompt_cache.h"
#include "process_testing.h"

namespace mw {
namespace {

using lm::LanguageModel;
using suite::error_of;
using suite::Generating;
using suite::SmallModel;
using Ids = std::vector<int32_t>;
using Row = std::vector<float>;

const SmallModel kRewritable{.longest = 30, .cache = 40};
const SmallModel kOneByOne{.time = 1, .cache = 40};
const SmallModel kByPosition{.time = 1, .cache = 40, .by_position = true};

Row logits_of(const LanguageModel& lm, const Ids& ids) {
  return LanguageModel::Stream(lm).extend(ids);
}

void expect_alike(const Row& got, const Row& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
}

TEST_F(Generating, a_text_goes_back_where_its_states_can_be_written_again) {
  const Ids ids = suite::some_ids({.vocabulary = 300}, 20);
  for (const SmallModel& m : {SmallModel{.longest = 30}, kRewritable, kOneByOne}) {
    const auto model = with_tokenizer(m);
    const LanguageModel lm(model.impl());
    LanguageModel::Stream stream(lm);
    (void)stream.extend(ids);
    ASSERT_TRUE(stream.truncate(11));
    EXPECT_EQ(stream.ids(), Ids(ids.begin(), ids.begin() + 11));
    Ids other(ids.begin(), ids.begin() + 11);
    other.insert(other.end(), {5, 6, 7});
    expect_alike(stream.extend({5, 6, 7}), logits_of(lm, other));
    stream.keep_beginning_of(ids, 20);
    EXPECT_EQ(stream.size(), 11);
    stream.keep_beginning_of({ids[0], ids[1]}, 1);
    EXPECT_EQ(stream.size(), 1);
    expect_alike(stream.extend({ids.begin() + 1, ids.end()}), logits_of(lm, ids));
    ASSERT_TRUE(stream.truncate(0));
    expect_alike(stream.extend({9}), logits_of(lm, {9}));
  }
}

TEST_F(Generating, a_text_begins_anew_where_its_states_cannot) {
  const Ids ids = suite::some_ids({.vocabulary = 300}, 12);
  const auto model = with_tokenizer(kByPosition);
  const LanguageModel lm(model.impl());
  LanguageModel::Stream stream(lm);
  (void)stream.extend(ids);
  EXPECT_TRUE(stream.truncate(12));
  EXPECT_FALSE(stream.truncate(5));
  EXPECT_EQ(stream.size(), 12) << "nothing is forgotten";
  Ids longer = ids;
  longer.push_back(3);
  stream.keep_beginning_of(longer, 12);
  EXPECT_EQ(stream.size(), 12);
  stream.keep_beginning_of(ids, 11);
  EXPECT_EQ(stream.size(), 0);
  expect_alike(stream.extend({9}), logits_of(lm, {9}));
}

class PromptCaches : public Generating {
 protected:
  [[nodiscard]] std::filesystem::path file() const { return folder_ / "prompt.cache"; }
  [[nodiscard]] GenerationSettings settings() const {
    GenerationSettings settings{.max_tokens = 8, .ignore_end = true};
    settings.prompt_cache = file();
    return settings;
  }
  [[nodiscard]] std::string note(const std::string& what) const {
    return "prompt cache " + file().string() + ": " + what;
  }
  std::string error_with(const CoreMLModelWrapper& model, ErrorCode code) const {
    return error_of([&] { (void)model.generate("The quick", settings()); }, code);
  }
};

TEST_F(PromptCaches, give_the_text_that_a_whole_run_gives) {
  for (const SmallModel& m : {kRewritable, kOneByOne, kByPosition}) {
    std::filesystem::remove(file());
    const auto model = with_tokenizer(m);
    const auto plain = [&](const std::string& prompt) {
      return model.generate(prompt, {.max_tokens = 8, .ignore_end = true}).ids;
    };
    const Generation first = model.generate("The quick", settings());
    const auto count = first.prompt_tokens;
    EXPECT_EQ(first.ids, plain("The quick"));
    EXPECT_EQ(first.reused_tokens, 0);
    EXPECT_EQ(first.notes, std::vector{note("written, " + std::to_string(count) + " tokens")});

    const std::string before = testing::read_file(file());
    const Generation again = model.generate("The quick", settings());
    EXPECT_EQ(again.ids, first.ids);
    EXPECT_EQ(again.reused_tokens, count);
    EXPECT_EQ(again.notes,
              std::vector{note("its " + std::to_string(count) + " tokens are not run again")});

    const Generation longer = model.generate("The quick brown fox", settings());
    EXPECT_EQ(longer.ids, plain("The quick brown fox"));
    EXPECT_EQ(longer.reused_tokens, count);

    const Generation other = model.generate("The quiet", settings());
    EXPECT_EQ(other.ids, plain("The quiet"));
    const bool goes_back = !m.by_position;
    EXPECT_EQ(other.reused_tokens > 0, goes_back);
    EXPECT_LT(other.reused_tokens, count);
    EXPECT_NE(other.notes.at(0).find(goes_back ? "the prompt has the first " : "is run as a whole"),
              std::string::npos)
        << other.notes.at(0);
    EXPECT_EQ(model.generate("no", settings()).ids, plain("no"));
    EXPECT_EQ(testing::read_file(file()), before) << "a file that is there stays";
  }
}

TEST_F(PromptCaches, hold_the_places_of_their_tokens_alone) {
  const auto model = with_tokenizer({.longest = 30, .cache = 30000});
  (void)model.generate("The quick", settings());
  EXPECT_LT(std::filesystem::file_size(file()), 30000U);
}

TEST_F(PromptCaches, of_something_else_are_refused) {
  const auto model = with_tokenizer(kRewritable);
  (void)model.generate("The quick", settings());
  SmallModel other = kRewritable;
  other.width = 6;
  const auto of_other = with_tokenizer(other, "other");
  const std::string begin = file().string() + ": prompt cache: expected states of this ";
  EXPECT_TRUE(error_with(of_other, ErrorCode::kInvalidArgument).starts_with(begin + "model ("));
  LoadOptions options;
  options.tokenizer = model.tokenizer().path();
  options.compute = Compute::kFp16;
  const auto path = folder_ / "model.mlpackage";
  EXPECT_EQ(error_with(CoreMLModelWrapper::load(path, options), ErrorCode::kInvalidArgument),
            begin +
                "compute (fp16), got those of another (fp32); remove the file, or give another "
                "as prompt_cache");
  options.compute = Compute::kFp32;
  const auto copy = folder_ / "tokenizer.json";
  std::filesystem::copy_file(options.tokenizer, copy);
  std::ofstream(copy, std::ios::app) << "\n";
  options.tokenizer = copy;
  EXPECT_TRUE(error_with(CoreMLModelWrapper::load(path, options), ErrorCode::kInvalidArgument)
                  .starts_with(begin + "tokenizer ("));
  GenerationSettings nowhere = settings();
  nowhere.prompt_cache = folder_ / "missing" / "file";
  EXPECT_NE(error_of([&] { (void)model.generate("The quick", nowhere); }, ErrorCode::kIo)
                .find("expected a file in a folder that is there"),
            std::string::npos);
}

TEST_F(PromptCaches, that_lie_about_their_states_are_refused) {
  const auto model = with_tokenizer(kRewritable);
  const LanguageModel lm(model.impl());
  LanguageModel::Stream stream(lm);
  (void)stream.extend({1, 2, 3});
  const LanguageModel::Stream::Snapshot whole = stream.snapshot();
  const auto refused = [&](const auto& change) {
    LanguageModel::Stream::Snapshot changed = whole;
    change(changed);
    const std::string error =
        error_of([&] { stream.restore(changed); }, ErrorCode::kInvalidArgument);
    EXPECT_EQ(stream.ids(), (Ids{1, 2, 3})) << "the text stays";
    return error;
  };
  EXPECT_EQ(refused([](auto& s) { s.states.clear(); }),
            "state 'cache': expected fp16 [1, 3, 5], got none");
  EXPECT_EQ(refused([](auto& s) { s.ids.push_back(4); }),
            "state 'cache': expected fp16 [1, 4, 5], got fp16 [1, 3, 5]");
  EXPECT_EQ(refused([](auto& s) { s.ids.resize(41); }), "expected at most 40 tokens, got 41");
  EXPECT_EQ(refused([](auto& s) {
              s.states["cache"] = Tensor(DType::kF32, {1, 3, 5});
            }),
            "state 'cache': expected fp16 [1, 3, 5], got fp32 [1, 3, 5]");
}

// Every byte of a small file changed, and every length that it may be cut to.
TEST_F(PromptCaches, that_are_damaged_are_refused_in_a_sentence) {
  const auto model = with_tokenizer(kRewritable);
  const Ids want = model.generate("The quick", settings()).ids;
  const std::string whole = testing::read_file(file());
  const LanguageModel lm(model.impl());
  const lm::PromptCache cache(file(), lm, model.impl());
  size_t accepted = 0;
  const auto read = [&](const std::string& bytes) {
    std::ofstream(file(), std::ios::binary) << bytes;
    LanguageModel::Stream stream(lm);
    try {
      (void)cache.read(stream);
      ++accepted;
    } catch (const Error& e) {
      const std::string begin = file().string() + ": damaged prompt cache: ";
      EXPECT_TRUE(std::string(e.what()).starts_with(begin)) << e.what();
      EXPECT_NE(static_cast<int>(e.code()), static_cast<int>(ErrorCode::kInternal)) << e.what();
      EXPECT_EQ(stream.size(), 0);
    }
  };
  for (size_t length = 0; length < whole.size(); length += 1 + length / 64) {
    read(whole.substr(0, length));
  }
  EXPECT_EQ(accepted, 0U);
  for (size_t at = 0; at < whole.size(); at += 1 + at / 256) {
    for (const int bit : {0, 3, 7}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      read(changed);
    }
  }
  // White space of the header may change.
  EXPECT_LT(accepted, 40U);
  std::ofstream(file(), std::ios::binary) << whole;
  EXPECT_EQ(model.generate("The quick", settings()).ids, want);
}

}  // namespace
}  // namespace mw
