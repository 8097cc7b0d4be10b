// `generate` and `chat` as they are typed: what goes to stdout and to stderr, from pipes and in a
// terminal, and how they are interrupted.
#include <pty.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "small_language_models.h"
#include "training_cli_testing.h"

namespace mw {
namespace {

using suite::SmallModel;
using testing::Answer;
using testing::has;
using testing::Words;

constexpr const char* kTemplate =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

// A command with a terminal of its own, and what it has shown there.
class Terminal {
 public:
  explicit Terminal(const Words& words) {
    pid_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Terminal() {
    if (pid_ > 0) kill(pid_, SIGKILL), (void)wait();
    close(fd_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& text) const {
    ASSERT_EQ(write(fd_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Reads until `text` was shown behind what was waited for before.
  bool wait_for(const std::string& text) {
    for (;;) {
      const size_t found = shown_.find(text, seen_);
      if (found != std::string::npos) {
        seen_ = found + text.size();
        return true;
      }
      if (!read_more()) return false;
    }
  }
  // Reads until something was shown behind what was waited for before: what is typed is shown
  // before the command reads it.
  bool wait_for_more() {
    while (shown_.size() == seen_) {
      if (!read_more()) return false;
    }
    return true;
  }
  // Exit code, or minus the signal that ended it.
  int wait() {
    while (read_more()) {
    }
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] const std::string& shown() const { return shown_; }

 private:
  bool read_more() {
    char part[4096];
    const ssize_t count = read(fd_, part, sizeof part);
    if (count > 0) shown_.append(part, static_cast<size_t>(count));
    return count > 0;
  }

  pid_t pid_ = -1;
  int fd_ = -1;
  std::string shown_;
  size_t seen_ = 0;
};

class ChatCli : public testing::TrainingCli {
 protected:
  std::string model_of(SmallModel m) const {
    m.vocabulary = 300;
    const std::string file = scratch("model.mlpackage");
    suite::write_small_model(file, m);
    const auto tokenizer =
        std::filesystem::path(std::getenv("MW_TEST_DATA")) / "tokenizer/byte_level.json";
    std::filesystem::copy_file(tokenizer, std::filesystem::path(file) / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    return file;
  }
  Words chat_words(const std::string& file, const Words& more = {}) const {
    Words words = {std::getenv("MW_CLI"),          "chat",        file, "--chat-template",
                   write("chat.jinja", kTemplate), "--ignore-end"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // stdout alone; what went to stderr is in the file "facts".
  Answer shell(const std::string& input, const Words& words) const {
    std::string line = "printf '%s' \"$0\" | \"$@\" 2>'" + scratch("facts") + "'";
    Words all = {"/bin/bash", "-c", "set -o pipefail; " + line, input};
    all.insert(all.end(), words.begin(), words.end());
    return run(all);
  }
  std::string facts() const { return testing::read_file(scratch("facts")); }
};

TEST_F(ChatCli, a_line_from_a_pipe_is_a_turn) {
  const std::string file = model_of({.longest = 200, .cache = 200});
  const Words words = chat_words(file, {"--max-tokens", "6", "--system", "Be brief."});
  const Answer one = shell("hello\n", words);
  EXPECT_EQ(one.code, 0) << facts();
  const Answer both = shell("hello\n\nand then?", words);  // an empty line is none
  EXPECT_EQ(both.code, 0) << facts();
  EXPECT_TRUE(both.out.starts_with(one.out)) << both.out;
  EXPECT_GT(both.out.size(), one.out.size());
  const std::string told = facts();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 2) << told;
  EXPECT_TRUE(has(told, "first token after "));
  EXPECT_TRUE(has(told, " of them kept)"));
  EXPECT_TRUE(has(told, " tokens/s; reached --max-tokens"));
  const Answer anew = shell("nonsense\n/reset\nhello\n/exit\nnever", words);
  EXPECT_EQ(anew.code, 0);
  EXPECT_TRUE(anew.out.ends_with("\n" + one.out) || anew.out.ends_with(one.out)) << anew.out;
  EXPECT_EQ(shell("/system Be brief.\nhello\n", chat_words(file, {"--max-tokens", "6"})).out,
            one.out);
}

TEST_F(ChatCli, what_cannot_be_is_told_in_a_sentence) {
  const std::string file = model_of({.longest = 40, .cache = 40});
  expect_refusal(shell("hello\n/nothing\n", chat_words(file, {"--max-tokens", "2"})), {});
  EXPECT_TRUE(has(facts(), "millwright: '/nothing': expected /system, /reset, /exit, /help"));
  EXPECT_EQ(shell("//nothing\n", chat_words(file, {"--max-tokens", "2"})).code, 0) << facts();
  expect_refusal(shell(std::string(100, 'x'), chat_words(file)), {});
  EXPECT_TRUE(has(facts(), "the message: expected at most 39 tokens")) << facts();
  const Words bare = {std::getenv("MW_CLI"), "chat", file};
  expect_refusal(shell("hello\n", bare), {});
  EXPECT_TRUE(has(facts(),
                  "expected a chat template beside it, got none; give one as "
                  "--chat-template FILE, or continue a text with millwright generate"));
}

TEST_F(ChatCli, interrupting_an_answer_keeps_the_session) {
  const std::string file = model_of({.time = 1, .cache = 60000});
  Terminal terminal(chat_words(file, {"--max-tokens", "50000"}));
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("hello\n");
  ASSERT_TRUE(terminal.wait_for("hello\r\n") && terminal.wait_for_more()) << terminal.shown();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.wait_for("; interrupted")) << terminal.shown();
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("/nothing\n");
  ASSERT_TRUE(terminal.wait_for("'/nothing': expected /system")) << terminal.shown();
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("more\n");
  ASSERT_TRUE(terminal.wait_for("more\r\n") && terminal.wait_for_more()) << terminal.shown();
  terminal.type("\x03");
  ASSERT_TRUE(terminal.wait_for("; interrupted")) << terminal.shown();
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("\x03");
  EXPECT_EQ(terminal.wait(), 130) << terminal.shown();
}

TEST_F(ChatCli, the_end_of_the_input_ends_the_session) {
  const std::string file = model_of({.longest = 100, .cache = 100});
  Terminal terminal(chat_words(file, {"--max-tokens", "3"}));
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("/help\n");
  ASSERT_TRUE(terminal.wait_for("/system TEXT")) << terminal.shown();
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("hello\n");
  ASSERT_TRUE(terminal.wait_for("tokens/s")) << terminal.shown();
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0) << terminal.shown();
}

TEST_F(ChatCli, a_terminal_takes_no_orders_from_a_model) {
  const std::string file = model_of({.longest = 100, .cache = 100});
  const Words escape = {"--max-tokens", "2", "--logit-bias", "\"\\u001b\"=1000"};
  const Answer piped = shell("hello\n", chat_words(file, escape));
  EXPECT_EQ(piped.out, "\x1b\x1b\n");
  Terminal terminal(chat_words(file, escape));
  ASSERT_TRUE(terminal.wait_for("> ")) << terminal.shown();
  terminal.type("hello\n/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_EQ(terminal.shown().find('\x1b'), std::string::npos) << terminal.shown();
  EXPECT_TRUE(has(terminal.shown(), "\\x1b\\x1b"));
}

TEST_F(ChatCli, generate_takes_stop_texts_of_any_form_and_keeps_its_prompt) {
  const std::string file = model_of({.longest = 60, .cache = 60});
  const Words plain = {std::getenv("MW_CLI"), "generate",     file, "--prompt",
                       "The quick",           "--max-tokens", "12", "--ignore-end"};
  const auto with = [&](const Words& more) {
    Words words = plain;
    words.insert(words.end(), more.begin(), more.end());
    return shell("", words);
  };
  const std::string whole = with({}).out;
  ASSERT_TRUE(whole.starts_with("The quick"));
  // The parser would take it for a list.
  const Words said = {"--logit-bias", "\"[\"=1000", "--stop", "[[[", "--stop", "nowhere"};
  EXPECT_EQ(with(said).out, "The quick\n");
  EXPECT_TRUE(has(facts(), "; a stop text\n")) << facts();
  Words listed = said;
  listed[3] = "[[]";
  EXPECT_EQ(with(listed).out, "The quick" + std::string(12, '[') + "\n") << facts();
  EXPECT_EQ(with({"--stop-ids", "299", "--stop-ids", "300"}).code, 0);
  const Words cached = {"--prompt-cache", scratch("prompt.cache")};
  EXPECT_EQ(with(cached).out, whole);
  EXPECT_TRUE(has(facts(), ": written, "));
  EXPECT_EQ(with(cached).out, whole);
  EXPECT_TRUE(has(facts(), " tokens are not run again\n"));
  EXPECT_TRUE(has(facts(), " of them kept), first token after "));
  write("prompt.cache", "nothing of the kind");
  expect_refusal(with(cached), {});
  EXPECT_TRUE(has(facts(), "millwright: " + scratch("prompt.cache") + ": damaged prompt cache: "))
      << facts();
  for (const Words& wrong :
       {Words{"--min-p", "2"}, Words{"--repetition-penalty", "0"}, Words{"--logit-bias", "the"},
        Words{"--logit-bias", "3=nan"}, Words{"--stop", ""}, Words{"--stop-ids", "-1"}}) {
    expect_refusal(with(wrong), {});
    EXPECT_TRUE(has(facts(), wrong[0] + ": ")) << facts();
  }
}

}  // namespace
}  // namespace mw
