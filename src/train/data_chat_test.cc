// Conversations as data: what the template reads of a line, and which tokens are learnt.
#include "train/data_chat.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "base/testing.h"
#include "millwright/error.hpp"

namespace mw::training {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kChatMl =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

Json message(const std::string& role, const Json& content) {
  return {{"role", role}, {"content", content}};
}

class Conversations : public ::testing::Test {
 protected:
  Conversations() : tokenizer_(Tokenizer::from_file(examples() / "shakespeare/tokenizer.json")) {}

  static fs::path examples() {
    const char* root = std::getenv("MW_EXAMPLES");
    return root == nullptr ? "examples" : root;
  }
  void use(const std::string& source) {
    std::ofstream(folder_ / "chat_template.jinja", std::ios::binary) << source;
    chat_ = text::ChatTemplate::find(folder_);
  }
  [[nodiscard]] TokenStream read(const Json& line) const {
    std::ofstream(folder_ / "a.jsonl", std::ios::binary) << "\n" << line.dump() << "\n";
    return read_tokens(folder_ / "a.jsonl", {.tokenizer = &tokenizer_, .chat = &*chat_});
  }
  // The text of the tokens that are learnt, '|' where others are between them.
  [[nodiscard]] std::string learnt(const Json& line) const {
    const TokenStream stream = read(line);
    std::string text;
    for (size_t i = 0; i < stream.ids.size(); ++i) {
      if (stream.learnt[i]) {
        text += tokenizer_.decode(std::span(&stream.ids[i], 1), false);
      } else if (!text.empty() && text.back() != '|') {
        text += '|';
      }
    }
    return text;
  }
  [[nodiscard]] std::string error_of(const Json& line) const {
    try {
      (void)read(line);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_;
  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

const Json kTalk = {{"messages",
                     {message("user", "Who art thou"), message("assistant", "A king"),
                      message("user", "Whence"), message("assistant", "From York")}}};

TEST_F(Conversations, learn_each_answer_up_to_what_ends_it) {
  use(kChatMl);
  EXPECT_EQ(learnt(kTalk), "A king</>\n|From York</>\n");
}

TEST_F(Conversations, learn_what_stands_in_generation_blocks_and_nothing_else) {
  use("{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}"
      "{{ m.content }}</>{% endgeneration %}{% else %}{{ m.content }}</>{% endif %}\n{% endfor %}");
  EXPECT_EQ(learnt(kTalk), "A king</>|From York</>");
  // Not the assistant's words: the template decides.
  use("{% for m in messages %}{% if loop.first %}{% generation %}{{ m.content }}{% endgeneration %}"
      "{% else %};{{ m.content }}{% endif %}{% endfor %}");
  EXPECT_EQ(learnt({{"messages", {message("user", "\nO"), message("assistant", "Yea")}}}), "O|")
      << "the first token of an example has nothing before it to be told from";
}

TEST_F(Conversations, refuse_generation_blocks_whose_place_is_not_known) {
  use("{% macro say(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
      "{% for m in messages %}{{ say(m) }}{% endfor %}");
  EXPECT_NE(error_of(kTalk).find("a.jsonl:2: messages: the chat template has a {% generation %} "
                                 "block inside a macro"),
            std::string::npos)
      << error_of(kTalk);
}

TEST_F(Conversations, know_answers_behind_a_prompt_that_says_more) {
  // The prompt opens a thought, which an answer that is given does not have.
  use("{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
      "{% if add_generation_prompt %}<assistant><think>\n{% endif %}");
  EXPECT_EQ(learnt(kTalk), "A king</>\n|From York</>\n");
  // An answer whose text occurs in what stands before it.
  const Json short_answer = {{"messages", {message("user", "s"), message("assistant", "s")}}};
  EXPECT_EQ(learnt(short_answer), "s</>\n");
}

TEST_F(Conversations, refuse_answers_that_cannot_be_told_from_the_rest) {
  use("{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}</>\n{% endfor %}"
      "{% if add_generation_prompt %}[answer]{% endif %}");
  EXPECT_NE(error_of(kTalk).find("a.jsonl:2: messages[3]: the chat template's text for this "
                                 "answer cannot be told"),
            std::string::npos)
      << error_of(kTalk);
  use("{% for m in messages %}{% if m.role == 'user' %}<{{ m.content }}>{% endif %}{% endfor %}");
  EXPECT_NE(error_of(kTalk).find("messages[3]"), std::string::npos) << "answers are left out";
  // The whole is told in another way than its beginnings.
  use("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_NE(error_of({{"messages",
                       {message("user", "a"), message("assistant", "b"), message("user", "c")}}})
                .find("messages[1]: the chat template's text for this answer cannot be told"),
            std::string::npos);
}

TEST_F(Conversations, leave_out_earlier_answers_that_are_told_in_another_way) {
  use("{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last or m.role == 'user' else "
      "m.content.split('/')[-1] }}</>\n{% endfor %}{% if add_generation_prompt %}<assistant>"
      "{% endif %}");
  EXPECT_EQ(learnt({{"messages",
                     {message("user", "a"), message("assistant", "hm/A king"), message("user", "b"),
                      message("assistant", "so/From York")}}}),
            "so/From York</>\n");
}

TEST_F(Conversations, begin_with_the_assistant_where_its_text_is_found) {
  use(kChatMl);
  EXPECT_EQ(learnt({{"messages",
                     {message("assistant", "Hail"), message("user", "Who"),
                      message("assistant", "A king")}}}),
            "Hail</>\n|A king</>\n");
  EXPECT_NE(error_of({{"messages", {message("assistant", "a")}}}).find("messages[0]"),
            std::string::npos)
      << "'a' also stands in what the template puts before it";
}

TEST_F(Conversations, render_calls_parts_and_members_beside_the_messages) {
  use("{{ tools | tojson }}{% for m in messages %}<{{ m.role }}>"
      "{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}"
      "{% elif m.content is string %}{{ m.content }}"
      "{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}</>\n{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}");
  const Json call = {{"function", {{"name", "f"}, {"arguments", {{"b", 1}, {"a", "x <'&>"}}}}}};
  const Json line = {
      {"messages",
       {message("user", Json::array({{{"type", "text"}, {"text", "O"}}})),
        {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array({call})}},
        {{"role", "tool"}, {"content", "3"}},
        message("assistant", "Yea")}},
      {"tools", Json::array({{{"z", 1}, {"a", 2}}})}};
  EXPECT_EQ(learnt(line), "{\"b\": 1, \"a\": \"x <'&>\"}</>\n|Yea</>\n");
  const TokenStream stream = read(line);
  EXPECT_EQ(tokenizer_.decode(stream.ids, false).substr(0, 30),
            "[{\"z\": 1, \"a\": 2}]<user>O</>\n<");
  // Prompt and completion are a conversation, too, with the line's other members.
  EXPECT_EQ(learnt({{"tools", nullptr}, {"prompt", "Who"}, {"completion", "A king"}}),
            "A king</>\n");
}

TEST_F(Conversations, that_are_none_are_named_with_their_line) {
  use(kChatMl);
  const auto said = [&](const Json& messages) { return error_of({{"messages", messages}}); };
  const std::pair<Json, const char*> rows[] = {
      {Json("x"), "a.jsonl:2: messages: expected a list of messages, got string"},
      {Json::array({5}), "messages: expected objects, got number"},
      {Json::array({{{"content", "x"}}}), "messages: role: expected a text, got none"},
      {Json::array({{{"role", 1}}}), "messages: role: expected a text, got number"},
      {Json::array({message("assistant", 5)}),
       "messages: content: expected a text, null or a list of parts, got number"},
      {Json::array({message("user", "x")}), "expected one with role assistant, got none"}};
  for (const auto& [messages, expected] : rows) {
    EXPECT_NE(said(messages).find(expected), std::string::npos) << said(messages);
  }
  use("{{ raise_exception('roles must alternate') }}");
  EXPECT_NE(error_of(kTalk).find("a.jsonl:2: "), std::string::npos);
  EXPECT_NE(error_of(kTalk).find("roles must alternate"), std::string::npos);
}

}  // namespace
}  // namespace mw::training
