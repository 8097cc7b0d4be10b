// Conversations: what the model is given, what it is not given again, and what is left out.
#include "lm/chat.h"

#include "generation_testing.h"
#include "process_testing.h"

namespace mw {
namespace {

using lm::Chat;
using suite::error_of;
using suite::Generating;
using suite::SmallModel;
using Ids = std::vector<int32_t>;

constexpr const char* kPlain =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";
// Leaves the first half of earlier answers out, as templates do with thoughts.
constexpr const char* kRewriting =
    "{% for m in messages %}{{ m.role[0] }}:"
    "{% if m.role == 'assistant' %}{{ m.content[3:] }}{% else %}{{ m.content }}{% endif %}{{ '\\n' "
    "}}"
    "{% endfor %}{% if add_generation_prompt %}a:{% endif %}";

class Chats : public Generating {
 protected:
  text::ChatTemplate with(const char* source) const {
    return text::ChatTemplate::from_file(folder_.with("chat.jinja", source), folder_.path());
  }
  static GenerationSettings short_ones() { return {.max_tokens = 6, .ignore_end = true}; }
};

TEST_F(Chats, answer_as_if_all_were_run_anew_and_run_only_what_is_new) {
  for (const SmallModel& m :
       {SmallModel{.longest = 300, .cache = 300}, SmallModel{.time = 1, .cache = 300},
        SmallModel{.time = 1, .cache = 300, .by_position = true}, SmallModel{.longest = 300}}) {
    const auto model = with_tokenizer(m);
    const lm::LanguageModel lm(model.impl());
    Chat chat(lm, model.impl(), with(kPlain), short_ones(), "Be brief.");
    std::string text = "s:Be brief.\n";
    int64_t before = 0;
    for (const std::string message : {"hello", "what is it?", "who?"}) {
      text += "u:" + message + "\na:";
      const Generation said = chat.ask(message, {});
      const Ids ids = model.tokenizer().encode(text, false);
      EXPECT_EQ(said.prompt_tokens, static_cast<int64_t>(ids.size()));
      EXPECT_EQ(said.ids, model.generate(ids, short_ones()).ids);
      EXPECT_EQ(said.text, model.tokenizer().decode(said.ids));
      EXPECT_TRUE(said.notes.empty());
      // The last token of an answer was chosen and not run; tokens may merge at the borders.
      if (m.cache > 0 && !m.by_position && before > 0) {
        EXPECT_GT(said.reused_tokens, before - 4);
      }
      before = said.prompt_tokens + 5;
      text += said.text + "\n";
    }
  }
}

TEST_F(Chats, begin_again_where_the_template_rewrites_what_was_said) {
  for (const bool by_position : {false, true}) {
    const auto model = with_tokenizer({.time = 1, .cache = 300, .by_position = by_position});
    const lm::LanguageModel lm(model.impl());
    Chat chat(lm, model.impl(), with(kRewriting), short_ones(), "");
    const Generation first = chat.ask("hello", {});
    ASSERT_GT(first.text.size(), 3U);
    const std::string text = "u:hello\na:" + suite::from_character(first.text, 3) + "\nu:why?\na:";
    const Ids ids = model.tokenizer().encode(text, false);
    const Generation second = chat.ask("why?", {});
    EXPECT_EQ(second.prompt_tokens, static_cast<int64_t>(ids.size()));
    EXPECT_EQ(second.ids, model.generate(ids, short_ones()).ids);
    EXPECT_EQ(second.reused_tokens > 0, !by_position);
    EXPECT_LE(second.reused_tokens, first.prompt_tokens);
  }
}

TEST_F(Chats, leave_out_the_oldest_turns_and_never_the_system_text) {
  for (const int64_t cache : {0, 64}) {
    const auto model = with_tokenizer({.longest = 64, .cache = cache});
    const lm::LanguageModel lm(model.impl());
    Chat chat(lm, model.impl(), with(kPlain), short_ones(), "Be brief.");
    std::vector<std::string> turns;
    size_t left_out = 0;
    for (int i = 0; i < 8; ++i) {
      const std::string message = "turn " + std::to_string(i);
      const Generation said = chat.ask(message, {});
      turns.push_back("u:" + message + "\na:");
      const auto text = [&] {
        std::string all = "s:Be brief.\n";
        for (size_t t = left_out; t < turns.size(); ++t) all += turns[t];
        return model.tokenizer().encode(all, false);
      };
      while (text().size() + 6 > 64) ++left_out;
      EXPECT_EQ(said.prompt_tokens, static_cast<int64_t>(text().size()));
      EXPECT_EQ(said.ids, model.generate(text(), short_ones()).ids);
      if (!said.notes.empty()) {
        EXPECT_EQ(said.notes[0],
                  "the model takes 64 tokens: the oldest turn is left out of the conversation");
      }
      turns.back() += said.text + "\n";
    }
    EXPECT_GT(left_out, 1U);
  }
}

TEST_F(Chats, go_on_in_the_middle_of_an_answer) {
  const auto model = with_tokenizer({.longest = 64, .cache = 64});
  const lm::LanguageModel lm(model.impl());
  GenerationSettings settings{.max_tokens = 40, .ignore_end = true};
  Chat chat(lm, model.impl(), with(kPlain), settings, "Be brief.");
  // Room for a quarter of the cache is made; an answer of 40 tokens needs more.
  Generation said = chat.ask("one", {});
  EXPECT_EQ(said.ids.size(), 40U);
  said = chat.ask("two", {});
  EXPECT_EQ(said.ids.size(), 40U);
  ASSERT_FALSE(said.notes.empty());
  EXPECT_EQ(said.notes.back(),
            "the model takes 64 tokens: the oldest turn is left out of the conversation");
}

TEST_F(Chats, without_a_turn_to_leave_out_end_full) {
  const auto model = with_tokenizer({.longest = 40, .cache = 40});
  const lm::LanguageModel lm(model.impl());
  GenerationSettings settings{.max_tokens = 100, .ignore_end = true};
  Chat chat(lm, model.impl(), with(kPlain), settings, "");
  const Generation said = chat.ask("one", {});
  EXPECT_EQ(said.end, GenerationEnd::kFull);
  EXPECT_EQ(static_cast<int64_t>(said.ids.size()), 40 - said.prompt_tokens + 1);
  const std::string error =
      error_of([&] { (void)chat.ask(std::string(200, 'x'), {}); }, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(
      error.starts_with("the message: expected at most 39 tokens with what stands around "
                        "it, got "))
      << error;
  EXPECT_FALSE(chat.ask("two", {}).ids.empty()) << "the conversation goes on";
}

TEST_F(Chats, forget_turns_and_change_the_system_text) {
  const auto model = with_tokenizer({.longest = 300, .cache = 300});
  const lm::LanguageModel lm(model.impl());
  Chat chat(lm, model.impl(), with(kPlain), short_ones(), "Be brief.");
  const Generation first = chat.ask("hello", {});
  (void)chat.ask("more", {});
  chat.forget_turns();
  const Generation again = chat.ask("hello", {});
  EXPECT_EQ(again.ids, first.ids);
  EXPECT_EQ(again.prompt_tokens, first.prompt_tokens);
  EXPECT_EQ(again.reused_tokens, first.prompt_tokens - 1);
  chat.forget_turns();
  chat.set_system("Shout.");
  const Ids ids = model.tokenizer().encode("s:Shout.\nu:hello\na:", false);
  EXPECT_EQ(chat.ask("hello", {}).ids, model.generate(ids, short_ones()).ids);
}

TEST_F(Chats, keep_a_partial_answer_and_drop_a_turn_without_one) {
  const auto model = with_tokenizer({.longest = 300, .cache = 300});
  const lm::LanguageModel lm(model.impl());
  Chat chat(lm, model.impl(), with(kPlain), short_ones(), "");
  lm::GeneratorHooks hooks;
  hooks.may_run = [](int64_t) { return false; };
  EXPECT_EQ(chat.ask("hello", hooks).end, GenerationEnd::kOnText);
  hooks.may_run = {};
  hooks.on_text = [](const std::string&) { return false; };
  const Generation part = chat.ask("hello", hooks);
  EXPECT_EQ(part.end, GenerationEnd::kOnText);
  ASSERT_FALSE(part.text.empty());
  const Ids ids = model.tokenizer().encode("u:hello\na:" + part.text + "\nu:more\na:", false);
  EXPECT_EQ(chat.ask("more", {}).prompt_tokens, static_cast<int64_t>(ids.size()));
}

TEST_F(Chats, say_what_the_template_refuses_and_stay_as_they_were) {
  const auto model = with_tokenizer({.longest = 300, .cache = 300});
  const lm::LanguageModel lm(model.impl());
  const auto strict = with(
      "{% if messages[-1].content == 'no' %}{{ raise_exception('not so') }}{% endif %}"
      "{% for m in messages %}{{ m.content }}\n{% endfor %}");
  Chat chat(lm, model.impl(), strict, short_ones(), "");
  const int64_t first = chat.ask("hello", {}).prompt_tokens;
  const std::string error =
      error_of([&] { (void)chat.ask("no", {}); }, ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("not so"), std::string::npos) << error;
  EXPECT_GT(chat.ask("hello", {}).prompt_tokens, first);
}

TEST_F(Chats, keep_what_stands_before_the_first_message_in_a_prompt_cache) {
  for (const bool by_position : {false, true}) {
    const auto model = with_tokenizer({.time = 1, .cache = 300, .by_position = by_position});
    const lm::LanguageModel lm(model.impl());
    GenerationSettings settings = short_ones();
    settings.prompt_cache = folder_ / "system.cache";
    std::filesystem::remove(settings.prompt_cache);
    const auto answer = [&](const std::string& message, GenerationSettings with_those) {
      Chat chat(lm, model.impl(), with(kPlain), with_those, "Be brief and kind.");
      return chat.ask(message, {});
    };
    const Generation first = answer("hello", settings);
    EXPECT_EQ(first.ids, answer("hello", short_ones()).ids);
    EXPECT_EQ(first.reused_tokens, 0) << "they were run in this turn";
    ASSERT_EQ(first.notes.size(), 1U);
    EXPECT_NE(first.notes[0].find("written, "), std::string::npos) << first.notes[0];
    const Generation second = answer("what?", settings);
    EXPECT_EQ(second.ids, answer("what?", short_ones()).ids);
    EXPECT_GT(second.reused_tokens, 5);
    EXPECT_NE(second.notes[0].find("tokens are not run again"), std::string::npos)
        << second.notes[0];
    std::filesystem::resize_file(settings.prompt_cache, 100);
    EXPECT_NE(error_of([&] { (void)answer("what?", settings); }, ErrorCode::kInvalidArgument)
                  .find(": damaged prompt cache: "),
              std::string::npos);
  }
}

}  // namespace
}  // namespace mw
