// Prompts that go into the cache in blocks, by a function beside the one that gives logits.
#include "api/impl.h"
#include "lm/language_model.h"
#include "parts_testing.h"

namespace mw {
namespace {

using lm::Calls;
using testing::SmallParts;

namespace fs = std::filesystem;

class Prefill : public testing::Parts {
 protected:
  // The same without the function that fills the cache.
  [[nodiscard]] fs::path alone(const fs::path& folder) const {
    package::Model model = package::read(folder);
    model.program->functions.pop_back();
    model.functions.pop_back();
    (void)package::write(model, scratch("alone.mlpackage"));
    return scratch("alone.mlpackage");
  }
  static std::vector<int32_t> some_ids(int64_t count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>((i * i * 7 + 3) % 300));
    return ids;
  }
  // "4 4 2+2 1": tokens and pads of the calls, those that fill in brackets.
  static std::string calls_of(const CoreMLModelWrapper& model, int64_t time, Calls::Want want) {
    const auto shared = shared_model(model);
    const lm::Entry entry(*shared, "");
    std::string text;
    for (const Calls::Call& call : Calls::of_text(entry, time, want)) {
      std::string one = std::to_string(call.count);
      if (call.pads > 0) one += "+" + std::to_string(call.pads);
      text += (text.empty() ? "" : " ") + (call.fills ? "[" + one + "]" : one);
    }
    return text;
  }
};

TEST_F(Prefill, takes_blocks_and_leaves_the_last_token) {
  const auto model = CoreMLModelWrapper::load(folder());
  EXPECT_EQ(calls_of(model, 11, Calls::Want::kLast), "[4] [4] [2+2] 1");
  EXPECT_EQ(calls_of(model, 9, Calls::Want::kLast), "[4] [4] 1");
  EXPECT_EQ(calls_of(model, 6, Calls::Want::kLast), "[4] 1 1");
  EXPECT_EQ(calls_of(model, 1, Calls::Want::kLast), "1");
  // Where each token's logits are wanted none are filled in.
  EXPECT_EQ(calls_of(model, 6, Calls::Want::kEvery), "1 1 1 1 1 1");
  // The cache has no place for the pads.
  const auto short_of_places = CoreMLModelWrapper::load(folder({.context = 23}, "short"));
  EXPECT_EQ(calls_of(short_of_places, 23, Calls::Want::kLast), "[4] [4] [4] [4] [4] 1 1 1");
  // A few tokens cost less one by one than as a block of pads.
  const auto wide = CoreMLModelWrapper::load(folder({.block = 12}, "wide"));
  EXPECT_EQ(calls_of(wide, 15, Calls::Want::kLast), "[12] 1 1 1");
  EXPECT_EQ(calls_of(wide, 16, Calls::Want::kLast), "[12] [3+9] 1");
}

TEST_F(Prefill, gives_what_tokens_one_by_one_give) {
  const fs::path path = folder();
  const auto filled = CoreMLModelWrapper::load(path), plain = CoreMLModelWrapper::load(alone(path));
  EXPECT_EQ(calls_of(plain, 6, Calls::Want::kLast), "1 1 1 1 1 1");
  const auto a = shared_model(filled), b = shared_model(plain);
  const lm::LanguageModel by_blocks(*a), one_by_one(*b);
  for (const int64_t count : {2, 5, 8, 11, 23, 24}) {
    lm::LanguageModel::Stream x(by_blocks), y(one_by_one);
    const int64_t cost = x.cost(count);
    const std::vector<float> got = x.extend(some_ids(count)), expected = y.extend(some_ids(count));
    EXPECT_EQ(x.tokens_run(), cost);
    EXPECT_EQ(y.tokens_run(), count);
    for (size_t v = 0; v < expected.size(); ++v) ASSERT_NEAR(got[v], expected[v], 0.05) << count;
    // Behind the prompt, where pads were written over.
    if (count == 24) continue;
    const std::vector<float> next = x.extend({77}), expected_next = y.extend({77});
    for (size_t v = 0; v < next.size(); ++v) ASSERT_NEAR(next[v], expected_next[v], 0.05) << count;
  }
  const GenerationSettings settings{.max_tokens = 8, .ignore_end = true};
  for (const int64_t count : {7, 12}) {
    EXPECT_EQ(filled.generate(some_ids(count), settings).ids,
              plain.generate(some_ids(count), settings).ids);
  }
}

TEST_F(Prefill, works_in_one_package_too) {
  (void)package::write(package::read(folder()), scratch("one.mlpackage"));
  const auto one = CoreMLModelWrapper::load(scratch("one.mlpackage"));
  EXPECT_EQ(calls_of(one, 11, Calls::Want::kLast), "[4] [4] [2+2] 1");
  // The function itself has nothing beside it.
  const auto prefill = CoreMLModelWrapper::load(scratch("one.mlpackage"), {.function = "prefill"});
  EXPECT_EQ(shared_model(prefill)->beside("prefill"), nullptr);
}

TEST_F(Prefill, is_not_taken_from_a_function_with_another_cache) {
  package::Model model = package::read(folder());
  model.program->functions[1]->find_argument("model_model_kv_cache_0")->name = "other_cache";
  model.functions[1].states[0].name = "other_cache";
  (void)package::write(model, scratch("other.mlpackage"));
  const auto other = CoreMLModelWrapper::load(scratch("other.mlpackage"));
  EXPECT_NE(shared_model(other)->beside("prefill"), nullptr);
  EXPECT_EQ(calls_of(other, 5, Calls::Want::kLast), "1 1 1 1 1");
}

TEST_F(Prefill, ends_where_a_window_would_have_to_slide) {
  const auto model = CoreMLModelWrapper::load(folder({.rotates = true}));
  EXPECT_EQ(model.functions(),
            (std::vector<std::string>{"infer", "prefill", "infer_rotate", "prefill_rotate"}));
  EXPECT_EQ(calls_of(model, 9, Calls::Want::kLast), "[4] [4] 1");
  const auto shared = shared_model(model);
  const lm::LanguageModel language(*shared);
  lm::LanguageModel::Stream stream(language);
  EXPECT_TRUE(testing::has(
      testing::error_of([&] { (void)stream.extend(some_ids(25)); }, ErrorCode::kInvalidArgument),
      "the cache holds 24 tokens and is full: the function 'infer_rotate', whose window slides on, "
      "is run by name only; shorten the prompt"));
}

TEST_F(Prefill, leaves_a_cache_that_can_be_taken_back) {
  const auto model = CoreMLModelWrapper::load(folder());
  const auto shared = shared_model(model);
  const lm::LanguageModel language(*shared);
  lm::LanguageModel::Stream stream(language), fresh(language);
  (void)stream.extend(some_ids(11));
  ASSERT_TRUE(stream.truncate(6));
  std::vector<int32_t> ids = some_ids(6);
  ids.insert(ids.end(), {9, 8, 7, 6});
  const std::vector<float> got = stream.extend({9, 8, 7, 6}), expected = fresh.extend(ids);
  for (size_t v = 0; v < got.size(); ++v) ASSERT_NEAR(got[v], expected[v], 0.05);
}

}  // namespace
}  // namespace mw
