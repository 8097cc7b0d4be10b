// ChatTemplate: rendering as Hugging Face does, where templates are found, and what is refused.
#include "text/chat_template.h"

#include "text/chat_testing.h"

namespace mw::text {
namespace {

using namespace mw::testing;  // NOLINT(google-build-using-namespace)

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const OrderedJson kTalk = OrderedJson::parse(
    R"({"messages": [{"role": "user", "content": "2 < 3?"},
                     {"role": "assistant", "content": "yes"}]})");

OrderedJson line(const std::string& members) {
  OrderedJson all = kTalk;
  all.update(OrderedJson::parse(members));
  return all;
}

TEST(ChatTemplate, renders_a_conversation) {
  const TempFolder folder;
  const ChatTemplate chat = with_config(folder, {{"chat_template", kChatMl}});
  EXPECT_EQ(chat.render(kTalk, false).text,
            "<|im_start|>user\n2 < 3?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n");
  EXPECT_TRUE(chat.render(kTalk, true).text.ends_with("<|im_end|>\n<|im_start|>assistant\n"));
}

TEST(ChatTemplate, knows_the_tokens_and_the_python_methods_that_templates_use) {
  const TempFolder folder;
  const ChatTemplate chat = with_config(folder, {{"chat_template",
                                                  "{{ bos_token }}{% for m in messages %}\n"
                                                  "    {% if m.role == 'user' %}\n"
                                                  "[INST] {{ m.content.strip() }} [/INST]\n"
                                                  "    {% else %}\n"
                                                  "{{ m['content'] | trim }}{{ eos_token }}\n"
                                                  "    {% endif %}\n"
                                                  "{% endfor %}"},
                                                 {"bos_token", "<s>"},
                                                 {"eos_token", {{"content", "</s>"}}}});
  EXPECT_EQ(chat.render(kTalk, false).text, "<s>[INST] 2 < 3? [/INST]\nyes</s>\n");
}

TEST(ChatTemplate, comes_from_a_file_with_the_tokens_of_the_folder) {
  const TempFolder folder;
  write_file(folder.path() / "tokenizer_config.json",
             R"({"bos_token": "<s>", "chat_template": "another"})");
  const auto text_with = [&](const std::string& name, const std::string& content) {
    return ChatTemplate::from_file(folder.with(name, content), folder.path())
        .render(kTalk, false)
        .text;
  };
  const std::string source = "{{ bos_token }}{{ messages[1].content }}";
  EXPECT_EQ(text_with("a.jinja", source), "<s>yes");
  EXPECT_EQ(text_with("template", source), "<s>yes");
  EXPECT_EQ(text_with("a.json", json({{"chat_template", source}}).dump()), "<s>yes");
  const Caught none = caught([&] { (void)text_with("b.json", "{}"); });
  EXPECT_EQ(none.text,
            (folder / "b.json").string() + ": expected a member chat_template, got none");
  EXPECT_EQ(caught([&] { (void)ChatTemplate::from_file(folder / "missing", folder.path()); }).code,
            ErrorCode::kIo);
}

TEST(ChatTemplate, tells_a_token_that_is_not_stated_from_an_empty_one) {
  const TempFolder folder;
  write_file(folder.path() / "special_tokens_map.json",
             R"({"pad_token": {"content": "<pad>"}, "eos_token": "<end>"})");
  const char* source =
      "{{ bos_token is defined }} {{ unk_token is defined }} {{ pad_token }} {{ eos_token }}";
  EXPECT_EQ(
      with_config(folder, {{"chat_template", source}, {"bos_token", ""}, {"unk_token", nullptr}})
          .render(kTalk, false)
          .text,
      "True False <pad> <end>");
  const ChatTemplate newer =
      with_config(folder, {{"chat_template", source}, {"added_tokens_decoder", json::object()}});
  EXPECT_EQ(newer.render(kTalk, false).text, "False False  ");
}

TEST(ChatTemplate, takes_a_template_by_name_and_a_file_of_its_own) {
  const TempFolder folder;
  const json config = {{"chat_template",
                        {{{"name", "tool_use"}, {"template", "tools"}},
                         {{"name", "default"}, {"template", "plain"}}}}};
  const ChatTemplate named = with_config(folder, config);
  EXPECT_EQ(named.render(kTalk, false).text, "plain");
  EXPECT_EQ(named.render(line(R"({"tools": null})"), false).text, "plain");
  EXPECT_EQ(named.render(line(R"({"tools": [{"name": "f"}]})"), false).text, "tools");

  const TempFolder other;
  EXPECT_FALSE(ChatTemplate::find(other.path()));
  write_file(other.path() / "chat_template.json", R"({"chat_template": "from json"})");
  EXPECT_EQ(ChatTemplate::find(other.path())->render(kTalk, false).text, "from json");
  EXPECT_EQ(with_config(other, {{"chat_template", "from config"}}).render(kTalk, false).text,
            "from config");
  write_file(other.path() / "chat_template.jinja", "{{ messages | length }}");
  EXPECT_EQ(ChatTemplate::find(other.path())->render(kTalk, false).text, "2");
  std::filesystem::create_directory(other.path() / "chat_templates");
  write_file(other.path() / "chat_templates/tool_use.jinja", "with tools");
  EXPECT_EQ(ChatTemplate::find(other.path())->render(line(R"({"tools": []})"), false).text,
            "with tools");
}

TEST(ChatTemplate, gives_the_template_every_member_of_a_line) {
  const TempFolder folder;
  const ChatTemplate chat = with_config(
      folder, {{"chat_template",
                "{{ tools | tojson }} {{ documents is none }} {{ lang }} {{ thinking }}"}});
  EXPECT_EQ(chat.render(line(R"({"tools": [{"zz": "<", "a": 1}], "lang": "no",
                                 "chat_template_kwargs": {"thinking": false}})"),
                        false)
                .text,
            R"([{"zz": "<", "a": 1}] True no False)");
}

TEST(ChatTemplate, tells_what_stands_in_generation_blocks) {
  const TempFolder folder;
  const auto rendered = [&](const std::string& source) {
    return with_config(folder, {{"chat_template", source}}).render(kTalk, false);
  };
  const auto plain = rendered(
      "\xC3\xA9{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %};{% endfor "
      "%}");
  EXPECT_EQ(plain.text, "\xC3\xA9user;assistant;");
  using Ranges = std::vector<std::pair<size_t, size_t>>;
  EXPECT_EQ(plain.generated, (Ranges{{2, 6}, {7, 16}}));
  EXPECT_EQ(rendered("none").generated, Ranges{});
  const auto captured =
      rendered("{% macro m() %}a{% generation %}b{% endgeneration %}{% endmacro %}c{{ m() }}");
  EXPECT_EQ(captured.text, "cab");
  EXPECT_EQ(captured.generated, std::nullopt) << "its place is not known";
}

TEST(ChatTemplate, tells_why_it_refuses) {
  const TempFolder folder;
  const auto error = [&](const std::string& source) {
    const ChatTemplate chat = with_config(folder, {{"chat_template", source}});
    return caught([&] { (void)chat.render(kTalk, false); }).text;
  };
  EXPECT_TRUE(has(error("{{ raise_exception('roles must alternate') }}"), "roles must alternate"));
  EXPECT_TRUE(has(error("{% if %}"), "tokenizer_config.json: chat template: expected"));
  EXPECT_TRUE(has(error("a\nb\n{{ messages[0].nope.deeper }}"),
                  "'dict object' has no attribute 'nope' (line 3 of the template)"));
  EXPECT_TRUE(has(error("{% include 'x' %}"), "the tag 'include' is not supported"));
  EXPECT_TRUE(has(error("{{ 'x' | urlize }}"), "the filter 'urlize' is not supported"));
}

TEST(ChatTemplate, refuses_broken_files_in_one_sentence) {
  const TempFolder folder;
  const auto config = folder.path() / "tokenizer_config.json";
  const auto error = [&](const std::string& text) {
    write_file(config, text);
    return caught([&] {
             const auto chat = ChatTemplate::find(folder.path());
             if (chat) (void)chat->render(kTalk, false);
           })
        .text;
  };
  EXPECT_TRUE(has(error(R"({"chat_template": 5})"), "expected a text or a list of templates"));
  EXPECT_TRUE(has(error(R"({"chat_template": []})"), "expected a text or a list of templates"));
  EXPECT_TRUE(has(error(R"({"chat_template": [{"name": "a", "template": "x"}]})"),
                  "expected one named 'default', got a"));
  EXPECT_TRUE(has(error(R"({"chat_template": "x", "bos_token": 5})"), "bos_token: expected"));
  EXPECT_TRUE(
      has(error(R"({"chat_template": "x", "eos_token": {"content": []}})"), "eos_token: expected"));
  EXPECT_TRUE(has(error("{\"chat_template\": \"\xFF\"}"), "expected a JSON object"));
  EXPECT_TRUE(has(error(std::string(100000, '[')), "levels of nesting"));
  EXPECT_TRUE(has(error("{\"chat_template\": \"" + std::string(17 << 20, 'x') + "\"}"),
                  "expected at most"));
  EXPECT_TRUE(has(error("{\"chat_template\": \"" + std::string(2 << 20, 'x') + "\"}"),
                  "expected at most 1048576 bytes"));
  EXPECT_TRUE(has(error(""), "expected a JSON object"));
  write_file(config, "{}");
  write_file(folder.path() / "chat_template.jinja", "\xFF\xFE");
  EXPECT_TRUE(
      has(caught([&] { (void)ChatTemplate::find(folder.path())->render(kTalk, false); }).text,
          "expected a template in UTF-8"));
}

// The text that transformers makes of each case; the fixture names the script that asked it.
TEST(ChatTemplate, renders_what_transformers_renders) {
  const TempFolder folder;
  const OrderedJson all = OrderedJson::parse(read_file(chat_fixture("templates.json")));
  constexpr int64_t kNow = 1720105569;  // 2024-07-04T15:06:09
  ASSERT_EQ(all["now"], "2024-07-04T15:06:09");
  size_t refused = 0;
  for (const OrderedJson& row : all["cases"]) {
    SCOPED_TRACE(row["name"].get<std::string>() + ": " + row["template"].get<std::string>());
    json config = all["tokens"];
    config["chat_template"] = row["template"];
    const ChatTemplate chat = with_config(folder, config);
    const bool open = row.value("add_generation_prompt", false);
    if (row.contains("error")) {
      ++refused;
      const Caught error = caught([&] { (void)chat.render(row, open, kNow); });
      EXPECT_TRUE(error.code == ErrorCode::kInvalidArgument ||
                  error.code == ErrorCode::kInvalidModel);
      continue;
    }
    const auto rendering = chat.render(row, open, kNow);
    EXPECT_EQ(rendering.text, row["text"].get<std::string>());
    if (!row.contains("generated")) continue;
    ASSERT_TRUE(rendering.generated);
    ASSERT_EQ(rendering.generated->size(), row["generated"].size());
    for (size_t i = 0; i < rendering.generated->size(); ++i) {
      const auto [begin, end] = (*rendering.generated)[i];
      EXPECT_EQ(characters_in(rendering.text.substr(0, begin)), row["generated"][i][0]);
      EXPECT_EQ(characters_in(rendering.text.substr(0, end)), row["generated"][i][1]);
    }
  }
  EXPECT_GT(refused, 50U);
  EXPECT_GT(all["cases"].size(), refused + 50U);
}

}  // namespace
}  // namespace mw::text
