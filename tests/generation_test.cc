// Generation: what is chosen, what ends it, what is told of it; the same on every kind of model.
#include "generation_testing.h"

namespace mw {
namespace {

using suite::error_of;
using suite::Generating;
using suite::SmallModel;
using Ids = std::vector<int32_t>;

const std::string kPrompt = "The quick";

GenerationSettings long_ones() { return {.max_tokens = 12, .ignore_end = true}; }

TEST_F(Generating, takes_the_likeliest_tokens_of_every_kind_of_model) {
  for (const SmallModel& m :
       {SmallModel{.longest = 40}, SmallModel{.longest = 40, .cache = 40},
        SmallModel{.time = 1, .cache = 40}, SmallModel{.time = 4, .cache = 40},
        SmallModel{.time = 1, .cache = 40, .by_position = true}}) {
    const auto model = with_tokenizer(m);
    const Ids prompt = model.tokenizer().encode(kPrompt);
    const Generation said = model.generate(kPrompt, long_ones());
    EXPECT_EQ(said.ids, greedy(prompt, 12));
    EXPECT_EQ(said.text, model.tokenizer().decode(said.ids));
    EXPECT_EQ(said.end, GenerationEnd::kMaxTokens);
    EXPECT_EQ(said.reason, "reached max_tokens");
    EXPECT_EQ(said.prompt_tokens, static_cast<int64_t>(prompt.size()));
    EXPECT_EQ(said.reused_tokens, 0);
    EXPECT_EQ(said.runs, 11);
    EXPECT_EQ(model.generate(prompt, long_ones()).ids, said.ids) << "ids instead of a text";
  }
}

TEST_F(Generating, tells_the_text_in_whole_pieces_until_the_callback_ends_it) {
  const auto model = with_tokenizer({.longest = 40});
  std::vector<std::string> pieces;
  const Generation whole = model.generate(kPrompt, long_ones(), [&](const std::string& piece) {
    pieces.push_back(piece);
    return true;
  });
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  EXPECT_EQ(joined, whole.text);
  ASSERT_GT(pieces.size(), 3U);
  size_t told = 0;
  const Generation ended =
      model.generate(kPrompt, long_ones(), [&](const std::string&) { return ++told < 3; });
  EXPECT_EQ(told, 3U);
  EXPECT_EQ(ended.text, pieces[0] + pieces[1] + pieces[2]);
  EXPECT_EQ(ended.end, GenerationEnd::kOnText);
}

TEST_F(Generating, ends_before_a_stop_text_wherever_it_lies) {
  const auto model = with_tokenizer({.longest = 60});
  GenerationSettings settings{.max_tokens = 24, .ignore_end = true};
  const std::string whole = model.generate(kPrompt, settings).text;
  ASSERT_GT(whole.size(), 20U);
  for (size_t begin = 0; begin < 9; begin += 2) {
    for (const size_t length : {1U, 2U, 5U}) {
      const std::string rest = suite::from_character(whole, begin);
      const std::string stop =
          rest.substr(0, rest.size() - suite::from_character(rest, length).size());
      settings.stop = {"nowhere in it", stop};
      std::string told;
      const Generation said = model.generate(kPrompt, settings, [&](const std::string& piece) {
        told += piece;
        EXPECT_EQ(told.find(stop), std::string::npos);
        return true;
      });
      EXPECT_EQ(said.end, GenerationEnd::kStop);
      EXPECT_EQ(said.text, whole.substr(0, whole.find(stop)));
      EXPECT_EQ(told, said.text);
    }
  }
  settings.stop = {kPrompt};
  EXPECT_EQ(model.generate(kPrompt, settings).text, whole) << "the prompt ends nothing";
  // What was held back for a stop text that does not come is told at the end.
  settings.stop = {suite::from_character(whole, 9) + "and more"};
  EXPECT_EQ(model.generate(kPrompt, settings).text, whole);
}

// Where a character is spelt in bytes the decoder waits for the token behind it.
TEST_F(Generating, leaves_out_all_of_the_prompt_though_its_last_bytes_come_late) {
  const auto model = with_tokenizer({.longest = 60}, "model", "byte_fallback.json", 400);
  GenerationSettings settings{.max_tokens = 3, .logit_bias = {{"395", 1000}}, .ignore_end = true};
  const std::string prompt = "not \u4e2d";
  EXPECT_EQ(model.tokenizer().id_to_token(model.tokenizer().encode(prompt).back()), "<0xAD>");
  std::string told;
  const Generation said = model.generate(prompt, settings, [&](const std::string& piece) {
    told += piece;
    return true;
  });
  EXPECT_EQ(said.text, "lexlexlex");
  EXPECT_EQ(told, said.text);
  settings.stop = {"\u4e2d", "exl"};
  EXPECT_EQ(model.generate(prompt, settings).text, "l");
}

TEST_F(Generating, ends_before_stop_ids_and_the_end_of_text) {
  const auto model = with_tokenizer({.longest = 40});
  const Ids all = model.generate(kPrompt, long_ones()).ids;
  GenerationSettings settings = long_ones();
  settings.stop_ids = {299, all[4]};
  const Generation said = model.generate(kPrompt, settings);
  const auto first = std::find(all.begin(), all.end(), all[4]);
  EXPECT_EQ(said.ids, Ids(all.begin(), first));
  EXPECT_EQ(said.end, GenerationEnd::kStopIds);
  // Token 0 is the end of text.
  settings = {.max_tokens = 5, .logit_bias = {{"0", 1000}}};
  EXPECT_EQ(model.generate(kPrompt, settings).end, GenerationEnd::kEndOfText);
  EXPECT_TRUE(model.generate(kPrompt, settings).ids.empty());
  settings.ignore_end = true;
  EXPECT_EQ(model.generate(kPrompt, settings).ids, Ids(5, 0));
}

TEST_F(Generating, adds_a_bias_to_ids_and_texts) {
  const auto model = with_tokenizer({.longest = 40});
  const auto biased = [&](const std::vector<LogitBias>& bias) {
    GenerationSettings settings{.max_tokens = 2, .ignore_end = true};
    settings.logit_bias = bias;
    return model.generate(kPrompt, settings).ids;
  };
  const int32_t digit = model.tokenizer().encode("6")[0];
  EXPECT_EQ(biased({{"271", 1000}}), Ids(2, 271));
  EXPECT_EQ(biased({{"And", 1000}}), Ids(2, 271));
  EXPECT_EQ(biased({{" the", 1000}}), Ids(2, 283));
  EXPECT_EQ(biased({{"\"6\"", 1000}}), Ids(2, digit));
  EXPECT_EQ(biased({{"\"\\n\"", 1000}}), Ids(2, model.tokenizer().encode("\n")[0]));
  EXPECT_EQ(biased({{"\u0120the", 1000}}), Ids(2, 283)) << "as the vocabulary spells it";
  EXPECT_EQ(biased({{"271", 600}, {"And", 400}, {"5", 900}}), Ids(2, 271)) << "they add up";
  const int32_t likeliest = greedy(model.tokenizer().encode(kPrompt), 1)[0];
  EXPECT_NE(biased({{std::to_string(likeliest), -INFINITY}})[0], likeliest);
}

TEST_F(Generating, counts_what_came_in_the_prompt_too) {
  const auto model = with_tokenizer({.longest = 40});
  const Ids prompt = model.tokenizer().encode(kPrompt);
  GenerationSettings settings = long_ones();
  settings.repetition_penalty = 1.7F;
  for (const int64_t window : {0, 5}) {
    settings.repetition_window = window;
    Ids ids = prompt;
    for (int i = 0; i < 12; ++i) {
      std::vector<double> logits = logits_after(ids);
      const size_t from = window == 0 || window > static_cast<int64_t>(ids.size())
                              ? 0
                              : ids.size() - static_cast<size_t>(window);
      for (size_t v = 0; v < logits.size(); ++v) {
        const auto begin = ids.begin() + static_cast<int64_t>(from);
        if (std::find(begin, ids.end(), static_cast<int32_t>(v)) == ids.end()) continue;
        logits[v] = logits[v] > 0 ? logits[v] / 1.7F : logits[v] * 1.7F;
      }
      ids.push_back(
          static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    }
    const Ids want(ids.begin() + static_cast<int64_t>(prompt.size()), ids.end());
    EXPECT_EQ(model.generate(kPrompt, settings).ids, want) << window;
  }
}

TEST_F(Generating, draws_the_same_with_the_same_seed) {
  const auto model = with_tokenizer({.longest = 40});
  GenerationSettings settings = long_ones();
  settings.temperature = 2;
  settings.seed = 7;
  const Ids first = model.generate(kPrompt, settings).ids;
  EXPECT_EQ(model.generate(kPrompt, settings).ids, first);
  settings.seed = 8;
  EXPECT_NE(model.generate(kPrompt, settings).ids, first);
}

TEST_F(Generating, ends_where_the_cache_is_full) {
  const auto model = with_tokenizer({.longest = 20, .cache = 20});
  const auto count = static_cast<int64_t>(model.tokenizer().encode(kPrompt).size());
  const Generation said = model.generate(kPrompt, {.max_tokens = 100, .ignore_end = true});
  EXPECT_EQ(said.end, GenerationEnd::kFull);
  EXPECT_EQ(said.reason, "the cache is full");
  EXPECT_EQ(static_cast<int64_t>(said.ids.size()), 20 - count + 1);
}

TEST_F(Generating, refuses_what_cannot_be) {
  const auto model = with_tokenizer({.longest = 40});
  const auto error = [&](const GenerationSettings& settings) {
    return error_of([&] { (void)model.generate(kPrompt, settings); }, ErrorCode::kInvalidArgument);
  };
  EXPECT_EQ(error({.max_tokens = -1}),
            "max_tokens: expected a whole number from 0 to 1099511627776, got -1");
  EXPECT_EQ(error({.temperature = std::nanf("")}),
            "temperature: expected a number from 0 to 100, got nan");
  EXPECT_EQ(error({.top_k = -2}), "top_k: expected a whole number from 0 to 1099511627776, got -2");
  EXPECT_EQ(error({.top_p = 0}), "top_p: expected a number from 1e-09 to 1, got 0");
  EXPECT_EQ(error({.min_p = 1.5F}), "min_p: expected a number from 0 to 1, got 1.5");
  EXPECT_EQ(error({.repetition_penalty = 0}),
            "repetition_penalty: expected a number more than 0, got 0");
  EXPECT_EQ(error({.repetition_window = -1}),
            "repetition_window: expected a whole number from 0 to 1099511627776, got -1");
  EXPECT_EQ(error({.stop = {"a", ""}}),
            "stop: expected a text of at least one character, got none");
  EXPECT_EQ(error({.stop_ids = {-1}}),
            "stop_ids: expected a whole number from 0 to 2147483647, got -1");
  EXPECT_EQ(error({.logit_bias = {{"3", INFINITY}}}), "bias: expected a number, got inf");
  EXPECT_EQ(error({.logit_bias = {{"300", 1}}}),
            "logit_bias: expected ids below the model's 300 tokens, got 300");
  EXPECT_EQ(error({.logit_bias = {{"zq", 1}}}),
            "logit_bias: expected an id or a text that is one token, got 'zq', which is 2 tokens "
            "(90, 81)");
  EXPECT_NE(error({.stop = {"\xff"}}).find("stop: "), std::string::npos);
  EXPECT_EQ(error_of([&] { (void)model.generate(Ids()); }, ErrorCode::kInvalidArgument),
            "the prompt has no tokens");
  const auto plain = with_tokenizer({.longest = 40});
  GenerationSettings settings;
  settings.prompt_cache = folder_ / "cache";
  EXPECT_NE(error(settings).find("prompt_cache: expected a model with states"), std::string::npos);
}

}  // namespace
}  // namespace mw
