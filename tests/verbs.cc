// Running commands, the list of them, and what they say beside their answers.
#include "verbs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <thread>

#include "verb_data.h"

namespace mw::testing {
namespace {

using Words = std::vector<std::string>;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void redirect(int descriptor, const fs::path& path) {
  dup2(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), descriptor);
}

int wait_for(pid_t child, double seconds) {
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(seconds);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() - start > limit) kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

class Verbs {
 public:
  Verbs(const Subject& subject, fs::path folder)
      : subject_(subject),
        folder_(std::move(folder)),
        data_(write_verb_data(subject.model, folder_)) {
    std::ofstream(at("text.txt")) << subject.text;
    command_ = std::getenv("MW_CLI");
    if (fs::exists(subject.tokenizer)) tokenizer_ = {"--tokenizer", subject.tokenizer};
  }

  std::vector<Verb> all() {
    add("inspect", {"inspect", subject_.model});
    add("inspect json", {"inspect", subject_.model, "--json"});
    runs();
    texts();
    arrays();
    gradchecks();
    add("convert", {"convert", subject_.model, at("converted.mlpackage")},
        {at("converted.mlpackage")});
    add("diff", {"diff", subject_.model, at("converted.mlpackage")});
    return std::move(verbs_);
  }

 private:
  // What a loss is of: the labels in the files batch-LABELS and data-LABELS.
  struct Loss {
    std::string name, labels, loss = "cross_entropy";
    Words options = {};
    std::string target = {};
  };

  [[nodiscard]] std::string at(const std::string& name) const { return folder_ / name; }

  Verb& add(const std::string& name, Words words, const std::vector<fs::path>& files = {}) {
    words.insert(words.begin(), command_);
    return verbs_.emplace_back(Verb{.name = name, .words = std::move(words), .files = files});
  }
  Verb& with_tokenizer(const std::string& name, Words words) {
    words.insert(words.end(), tokenizer_.begin(), tokenizer_.end());
    return add(name, std::move(words));
  }

  void runs() {
    const Words run = {"run", subject_.model, "--inputs", at("inputs.safetensors")};
    const auto with = [&](Words words, const Words& more) {
      words.insert(words.end(), more.begin(), more.end());
      return words;
    };
    for (const char* how : {"", "--naive"}) {
      const std::string output = at(fmt::format("run{}.npz", how));
      Words more = {"--output", output, "--threads", "2"};
      if (*how != '\0') more.emplace_back(how);
      add(fmt::format("run{}", how), with(run, more), {output});
    }
    add("run safetensors", with(run, {"--output", at("run.safetensors")}), {at("run.safetensors")});
    add("run shown", run);
  }

  void texts() {
    for (const auto& [name, prompt] :
         {std::pair{"generate", subject_.prompt}, std::pair{"generate short", subject_.opening}}) {
      with_tokenizer(name, {"generate", subject_.model, "--prompt", prompt, "--max-tokens", "3",
                            "--ignore-end"});
    }
    Verb& eval =
        with_tokenizer("eval", {"eval", subject_.model, "--data", at("text.txt"), "--json"});
    eval.loss = "cross_entropy";
    eval.data = at("text.txt");
    training("train text", {"train", subject_.model}, "text.txt", 2, tokenizer_).loss =
        "cross_entropy";
    training("distill text", distilling(), "text.txt", 2, tokenizer_).loss = "distillation";
  }

  [[nodiscard]] Words distilling() const {
    return {"distill", "--teacher", subject_.model, "--student", subject_.model};
  }

  // Writes OUTPUT.mlpackage; a step or two of little.
  Verb& training(const std::string& name, Words words, const std::string& data, int64_t batch,
                 const Words& more) {
    std::string stem = name;
    std::replace(stem.begin(), stem.end(), ' ', '-');
    const std::string output = at(stem + ".mlpackage");
    const Words rest = {"--data", at(data),    "--output", output,         "--steps",
                        "2",      "--threads", "1",        "--batch-size", std::to_string(batch)};
    words.insert(words.end(), rest.begin(), rest.end());
    words.insert(words.end(), more.begin(), more.end());
    Verb& verb = add(name, std::move(words), {output, at(stem + ".run")});
    verb.data = at(data);
    verb.batch = batch;
    return verb;
  }

  void arrays() {
    Loss output{"output", "none", "output", {"--loss", "output"}, data_.scalar};
    if (!output.target.empty())
      output.options.insert(output.options.end(), {"--target", output.target});
    const std::vector<Loss> losses = {
        {"last", "last"},
        {"second", "second"},
        {"binary", "shares", "binary_cross_entropy", {"--loss", "binary_cross_entropy"}},
        {"mse", "floats", "mse", {"--loss", "mse"}},
        output};
    for (const Loss& loss : losses) {
      Verb& train = training("train " + loss.name, {"train", subject_.model},
                             "data-" + loss.labels + ".safetensors", data_.examples, loss.options);
      train.loss = loss.loss;
      train.target = loss.target;
      gradients(loss);
    }
    training("train adapters", {"train", subject_.model}, "data-last.safetensors", data_.examples,
             {"--lora-rank", "1"})
        .loss = "cross_entropy";
    training("distill arrays", distilling(), "data-last.safetensors", data_.examples, {}).loss =
        "distillation";
  }

  void gradients(const Loss& loss) {
    const std::string data = at("batch-" + loss.labels + ".safetensors");
    const std::string output = at("grad-" + loss.name + ".safetensors");
    Words words = {"grad", subject_.model, "--inputs", data, "--output", output};
    words.insert(words.end(), loss.options.begin(), loss.options.end());
    Verb& verb = add("grad " + loss.name, words, {output});
    verb.loss = loss.loss;
    verb.target = loss.target;
    verb.data = data;
  }

  void gradchecks() {
    const Words words = {"gradcheck", subject_.model, "--directions", "1", "--json"};
    add("gradcheck", words).judges = true;
    Words given = words;
    const Words more = {"--loss", "cross_entropy", "--inputs", at("batch-last.safetensors")};
    given.insert(given.end(), more.begin(), more.end());
    Verb& verb = add("gradcheck given", given);
    verb.judges = true;
    verb.loss = "cross_entropy";
    verb.data = at("batch-last.safetensors");
  }

  const Subject& subject_;
  fs::path folder_;
  VerbData data_;
  std::string command_;
  Words tokenizer_;
  std::vector<Verb> verbs_;
};

// The forms of the lines beside an answer, and of those before a sentence.
const std::regex& note_forms() {
  static const std::regex kForms(
      "trains ([0-9,]+ of [0-9,]+ parameters: [0-9,]+ of [0-9,]+ numbers|"
      "adapters of [0-9,]+ numbers beside .+)|"
      "not trained: [0-9,]+ parameters? of [0-9,]+ numbers \\(.+\\).*|"
      "[0-9,]+ of the model's numbers are compressed and stay as they are; .+|"
      "changes (function|functions) .+|"
      "minimises .+|"
      "step [0-9]+/[0-9]+  loss -?[0-9.]+  .+|"
      ".+: [0-9]+ of [0-9]+ examples have no label that counts and are left out|"
      "output '.+' holds logits for the last token only: a window of [0-9]+ tokens teaches what "
      "follows its last one, and nothing else|"
      "the model gives logits for the last token only: a call for each of the [0-9]+ tokens of a "
      "window, which is slow|"
      "looking for the op that failed first|"
      "this processor multiplies bf16 faster than fp32: .+|"
      "(note|warning|no report|no text for the report): .+|"
      "prompt [0-9]+ tokens, first token after [0-9.]+ s; [0-9]+ tokens in [0-9.]+ s, [0-9.]+ "
      "tokens/s; .+|"
      "[0-9.]+ s, [0-9]+ tokens/s");
  return kForms;
}

}  // namespace

Outcome run_command(const Words& words, const std::map<std::string, std::string>& variables,
                    double seconds) {
  const std::string stem =
      fs::temp_directory_path() / fmt::format("mw_verb_{}_", static_cast<int>(getpid()));
  const fs::path out = stem + "out", err = stem + "err";
  const pid_t child = fork();
  if (child == 0) {
    redirect(STDOUT_FILENO, out);
    redirect(STDERR_FILENO, err);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  Outcome outcome;
  outcome.code = wait_for(child, seconds);
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  fs::remove(out);
  fs::remove(err);
  return outcome;
}

std::vector<Verb> verbs_of(const Subject& subject, const fs::path& folder) {
  fs::create_directories(folder);
  return Verbs(subject, folder).all();
}

std::string fault_of_notes(const std::string& text, bool failed) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  if (!text.empty() && text.back() != '\n') return "its last line has no end";
  if (failed) {
    if (lines.empty() || !lines.back().starts_with("millwright: ")) return "it has no sentence";
    if (lines.back().find("internal error") != std::string::npos) return "it blames itself";
    lines.pop_back();
  }
  for (const std::string& line : lines) {
    if (!std::regex_match(line, note_forms())) return "this line is no note: " + line;
  }
  return "";
}

std::string without_times(const std::string& text) {
  // "3 min 05 s" is one time as "8.2 s" is.
  static const std::regex kUnits(
      R"(([0-9]+ (h|min) )?[0-9][0-9.,:]* ?(ms|s|min|h|left|[a-z]+/s|[kMGT]?B)(?![a-z]))");
  static const std::regex kKeys(
      R"re("([a-z_]*(seconds|time|_per_second|memory|bytes)[a-z_]*)": ?[0-9.eE+-]+)re");
  return std::regex_replace(std::regex_replace(text, kUnits, "#"), kKeys, "\"$1\": #");
}

}  // namespace mw::testing
