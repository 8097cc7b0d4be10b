// ChatTemplate: rendering as Hugging Face does, and what is refused.
#include "text/chat_template.h"

#include "text/test_support.h"

namespace mw::text {
namespace {

using namespace mw::testing;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

constexpr const char* kTalk =
    R"([{"role": "user", "content": "2 < 3?"}, {"role": "assistant", "content": "yes"}])";

ChatTemplate with(const TemporaryFolder& folder, const json& config) {
  write_file(folder.path() / "tokenizer_config.json", config.dump());
  const auto chat = ChatTemplate::find(folder.path());
  if (!chat) throw std::runtime_error("no template");
  return *chat;
}

TEST(ChatTemplate, RendersAConversation) {
  const TemporaryFolder folder;
  const ChatTemplate chat = with(folder, {{"chat_template", kChatMl}});
  EXPECT_EQ(chat.render(kTalk, false),
            "<|im_start|>user\n2 < 3?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n");
  EXPECT_TRUE(chat.render(kTalk, true).ends_with("<|im_end|>\n<|im_start|>assistant\n"));
}

TEST(ChatTemplate, KnowsTheTokensAndThePythonMethodsThatTemplatesUse) {
  const TemporaryFolder folder;
  const ChatTemplate chat = with(folder, {{"chat_template",
                                           "{{ bos_token }}{% for m in messages %}\n"
                                           "    {% if m.role == 'user' %}\n"
                                           "[INST] {{ m.content.strip() }} [/INST]\n"
                                           "    {% else %}\n"
                                           "{{ m['content'] | trim }}{{ eos_token }}\n"
                                           "    {% endif %}\n"
                                           "{% endfor %}"},
                                          {"bos_token", "<s>"},
                                          {"eos_token", {{"content", "</s>"}}}});
  EXPECT_EQ(chat.render(kTalk, false), "<s>[INST] 2 < 3? [/INST]\nyes</s>\n");
}

TEST(ChatTemplate, TakesTheDefaultOfSeveralAndAFileOfItsOwn) {
  const TemporaryFolder folder;
  EXPECT_EQ(with(folder, {{"chat_template",
                           {{{"name", "tool_use"}, {"template", "tools"}},
                            {{"name", "default"}, {"template", "plain"}}}}})
                .render("[]", false),
            "plain");
  const TemporaryFolder other;
  EXPECT_FALSE(ChatTemplate::find(other.path()));
  write_file(other.path() / "chat_template.jinja", "{{ messages | length }}");
  EXPECT_EQ(ChatTemplate::find(other.path())->render(kTalk, false), "2");
}

TEST(ChatTemplate, TellsWhyItRefuses) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& source) {
    const ChatTemplate chat = with(folder, {{"chat_template", source}});
    try {
      return chat.render(kTalk, false);
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  EXPECT_NE(error("{{ raise_exception('roles must alternate') }}").find("roles must alternate"),
            std::string::npos);
  EXPECT_NE(error("{% if %}").find("tokenizer_config.json: chat template:"), std::string::npos);
  EXPECT_NE(error("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}")
                .find("chat template:"),
            std::string::npos)
      << "an endless template is stopped";
  write_file(folder.path() / "tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THROW((void)ChatTemplate::find(folder.path()), Error);
}

}  // namespace
}  // namespace mw::text
