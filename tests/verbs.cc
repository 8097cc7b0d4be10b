// Running commands, and small inputs and labels for any model.
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
#include <optional>
#include <regex>
#include <thread>

#include "base/tensor_file.h"
#include "millwright/millwright.hpp"

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

// Numbers that repeat nowhere soon, within (-1, 1); small ones for integers.
void fill(Tensor& tensor, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const double share = static_cast<double>(state >> 40) / (1 << 24);
    if (is_float(tensor.dtype())) {
      tensor.set_number(i, 2 * share - 1);
    } else {
      tensor.set_integer(i, tensor.dtype() == DType::kBool ? i % 2 : i % 4);
    }
  }
}

Shape shape_of(const FeatureDescription& feature) {
  Shape shape = feature.enumerated.empty() ? feature.shape : feature.enumerated.front();
  for (int64_t& extent : shape) extent = extent < 0 ? 2 : extent;
  return shape;
}

Shape times(Shape shape, int64_t factor) {
  if (!shape.empty()) shape[0] *= factor;
  return shape;
}

// A tensor per input; the first axis, if there is one, `factor` times as long.
TensorMap inputs_of(const CoreMLModelWrapper& model, int64_t factor) {
  TensorMap inputs;
  for (const FeatureDescription& feature : model.inputs()) {
    if (feature.kind != "MultiArray") continue;
    Tensor tensor(feature.dtype, times(shape_of(feature), factor));
    fill(tensor, inputs.size());
    inputs.emplace(feature.name, std::move(tensor));
  }
  return inputs;
}

// The shape of the output that labels are likely to be for.
Shape target_shape(const CoreMLModelWrapper& model, const TensorMap& inputs) {
  try {
    State state = model.make_state();
    const TensorMap outputs = model.predict(inputs, &state, {});
    for (const auto& [name, tensor] : outputs) {
      if (is_float(tensor.dtype()) && name == "logits") return tensor.shape();
    }
    for (const auto& [name, tensor] : outputs) {
      if (is_float(tensor.dtype())) return tensor.shape();
    }
  } catch (const Error&) {
    // The commands say so, too.
  }
  return {1};
}

Shape without_axis(Shape shape, size_t axis) {
  if (axis < shape.size()) shape.erase(shape.begin() + static_cast<int64_t>(axis));
  return shape;
}

Tensor labels(DType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  fill(tensor, 77);
  if (dtype == DType::kI32) {
    for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_integer(i, i % 2);
  }
  return tensor;
}

class Verbs {
 public:
  Verbs(const Subject& subject, fs::path folder) : subject_(subject), folder_(std::move(folder)) {
    std::ofstream(at("text.txt")) << subject.text;
    command_ = std::getenv("MW_CLI");
    if (fs::exists(subject.tokenizer)) tokenizer_ = {"--tokenizer", subject.tokenizer};
  }

  std::vector<Verb> all() {
    write_tensors();
    add("inspect", {"inspect", subject_.model});
    add("inspect json", {"inspect", subject_.model, "--json"});
    for (const char* how : {"", "--naive"}) {
      Words words = {"run",       subject_.model,
                     "--inputs",  inputs_,
                     "--output",  at(fmt::format("run{}.safetensors", how)),
                     "--threads", "2"};
      if (*how != '\0') words.emplace_back(how);
      add(fmt::format("run{}", how), words, {words[5]});
    }
    add("run shown", {"run", subject_.model, "--inputs", inputs_});
    texts();
    arrays();
    add("gradcheck", {"gradcheck", subject_.model, "--directions", "1"});
    add("convert", {"convert", subject_.model, at("converted.mlpackage")},
        {at("converted.mlpackage")});
    add("diff", {"diff", subject_.model, at("converted.mlpackage")});
    return std::move(verbs_);
  }

 private:
  [[nodiscard]] std::string at(const std::string& name) const { return folder_ / name; }

  void add(const std::string& name, Words words, const std::vector<fs::path>& files = {}) {
    words.insert(words.begin(), command_);
    verbs_.push_back({name, std::move(words), files});
  }

  void write_tensors() {
    TensorMap one, two;
    Shape shape = {1};
    try {
      const CoreMLModelWrapper model = CoreMLModelWrapper::load(subject_.model);
      one = inputs_of(model, 1);
      two = inputs_of(model, 2);
      shape = target_shape(model, one);
    } catch (const Error&) {
      // The commands say so, too.
    }
    inputs_ = at("inputs.safetensors");
    write_safetensors(inputs_, one);
    const size_t last = shape.empty() ? 0 : shape.size() - 1;
    const std::pair<const char*, Tensor> kinds[] = {
        {"last", labels(DType::kI32, without_axis(shape, last))},
        {"second", labels(DType::kI32, without_axis(shape, 1))},
        {"floats", labels(DType::kF32, shape)}};
    for (const auto& [name, tensor] : kinds) {
      one["labels"] = tensor;
      write_safetensors(at(fmt::format("batch-{}.safetensors", name)), one);
      two["labels"] = labels(tensor.dtype(), times(tensor.shape(), 2));
      write_safetensors(at(fmt::format("data-{}.safetensors", name)), two);
    }
  }

  void with_tokenizer(const std::string& name, Words words,
                      const std::vector<fs::path>& files = {}) {
    words.insert(words.end(), tokenizer_.begin(), tokenizer_.end());
    add(name, std::move(words), files);
  }

  void texts() {
    with_tokenizer("generate", {"generate", subject_.model, "--prompt", subject_.prompt,
                                "--max-tokens", "3", "--ignore-end"});
    with_tokenizer("eval", {"eval", subject_.model, "--data", at("text.txt"), "--json"});
    training("train text", {"train", subject_.model}, "text.txt", tokenizer_);
    Words distil = {"distill", "--teacher", subject_.model, "--student", subject_.model};
    training("distill text", distil, "text.txt", tokenizer_);
  }

  // Writes OUTPUT.mlpackage; a step or two of little.
  void training(const std::string& name, Words words, const std::string& data, const Words& more) {
    std::string stem = name;
    std::replace(stem.begin(), stem.end(), ' ', '-');
    const std::string output = at(stem + ".mlpackage");
    const Words rest = {"--data", at(data),    "--output", output,         "--steps",
                        "2",      "--threads", "1",        "--batch-size", "2"};
    words.insert(words.end(), rest.begin(), rest.end());
    words.insert(words.end(), more.begin(), more.end());
    add(name, std::move(words), {output, at(stem + ".run")});
  }

  void arrays() {
    struct Row {
      const char *name, *labels, *loss;
    };
    constexpr Row kRows[] = {{"last", "last", nullptr},
                             {"second", "second", nullptr},
                             {"mse", "floats", "mse"},
                             {"output", "floats", "output"}};
    for (const Row& row : kRows) {
      const Words loss = row.loss == nullptr ? Words{} : Words{"--loss", row.loss};
      training(fmt::format("train {}", row.name), {"train", subject_.model},
               fmt::format("data-{}.safetensors", row.labels), loss);
      const std::string output = at(fmt::format("grad-{}.safetensors", row.name));
      Words grad = {"grad",     subject_.model,
                    "--inputs", at(fmt::format("batch-{}.safetensors", row.labels)),
                    "--output", output};
      grad.insert(grad.end(), loss.begin(), loss.end());
      add(fmt::format("grad {}", row.name), grad, {output});
    }
    training("train adapters", {"train", subject_.model}, "data-last.safetensors",
             {"--lora-rank", "1"});
    training("distill arrays",
             {"distill", "--teacher", subject_.model, "--student", subject_.model},
             "data-last.safetensors", {});
  }

  const Subject& subject_;
  fs::path folder_;
  std::string command_, inputs_;
  Words tokenizer_;
  std::vector<Verb> verbs_;
};

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

std::string without_times(const std::string& text) {
  static const std::regex kUnits(R"([0-9][0-9.,:]* ?(ms|s|min|h|left|[a-z]+/s|[kMGT]?B)(?![a-z]))");
  static const std::regex kKeys(
      R"re("([a-z_]*(seconds|time|_per_second|memory|bytes)[a-z_]*)": ?[0-9.eE+-]+)re");
  return std::regex_replace(std::regex_replace(text, kUnits, "#"), kKeys, "\"$1\": #");
}

}  // namespace mw::testing
