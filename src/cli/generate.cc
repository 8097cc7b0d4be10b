// millwright generate MODEL --prompt TEXT: streams a continuation to stdout, facts to stderr.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "api/language_model.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string prompt, target;
  int64_t max_tokens = 100;
  double temperature = 0, top_p = 1;
  int64_t top_k = 0;
  uint64_t seed = 0;
  bool ignore_end = false;
};

int32_t greedy(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Softmax at temperature T over the k likeliest, cut where their probability reaches p.
int32_t sample(const std::vector<float>& logits, const Options& o, std::mt19937_64& random) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t keep =
      o.top_k > 0 ? std::min<size_t>(static_cast<size_t>(o.top_k), order.size()) : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(keep), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[static_cast<size_t>(a)],
                                  y = logits[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  std::vector<double> weights;
  const double largest = logits[static_cast<size_t>(order[0])];
  double total = 0;
  for (size_t i = 0; i < keep; ++i) {
    weights.push_back(std::exp((logits[static_cast<size_t>(order[i])] - largest) / o.temperature));
    total += weights.back();
  }
  double limit = 0;
  size_t count = 0;
  while (count < keep && limit < o.top_p * total) limit += weights[count++];
  double at = static_cast<double>(random() >> 11) * 0x1p-53 * limit;
  for (size_t i = 0; i < count; ++i) {
    at -= weights[i];
    if (at < 0) return order[i];
  }
  return order[count - 1];
}

// A model may have learnt to say anything, also what a terminal takes for orders.
void print(const std::string& text) {
  static const bool kTerminal = isatty(STDOUT_FILENO) != 0;
  if (kTerminal) {
    answer_text(text);
  } else {
    answer_bytes(text);
  }
  flush_answers();
}

void run(const Options& o) {
  watch_interrupts();
  const CoreMLModelWrapper model = o.model.load();
  const Tokenizer& tokenizer = model.tokenizer();
  const LanguageModel lm(model, o.target);
  const std::vector<int32_t> prompt = tokenizer.encode(o.prompt);
  if (prompt.empty()) {
    fail(ErrorCode::kInvalidArgument, "--prompt: expected at least one token, got none");
  }
  std::mt19937_64 random(o.seed);
  LanguageModel::Stream stream(lm);
  StreamDecoder decoder(tokenizer);

  const double started = now_seconds();
  std::vector<float> logits = stream.extend(prompt);
  stop_if_interrupted();
  tokenizer.check_fits(static_cast<int64_t>(logits.size()));
  const double prefilled = now_seconds();
  for (const int32_t id : prompt) print(decoder.push(id));
  int64_t count = 0;
  const char* why = "reached --max-tokens";
  while (count < o.max_tokens) {
    const int32_t id = o.temperature > 0 ? sample(logits, o, random) : greedy(logits);
    if (!o.ignore_end && tokenizer.is_end_of_text(id)) {
      why = "end of text";
      break;
    }
    print(decoder.push(id));
    ++count;
    if (is_interrupted()) {
      why = "interrupted";
      break;
    }
    if (count == o.max_tokens) break;
    if (lm.has_cache() && stream.size() >= lm.max_total()) {
      why = "the cache is full";
      break;
    }
    logits = stream.extend({id});
  }
  print(decoder.flush() + "\n");
  const double seconds = now_seconds() - prefilled;
  inform("prompt {} tokens in {:.3f} s; {} tokens in {:.3f} s, {:.1f} tokens/s; {}\n",
         prompt.size(), prefilled - started, count, seconds,
         count > 0 ? static_cast<double>(count) / seconds : 0.0, why);
  stop_if_interrupted();
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("generate", "Continue a prompt; the text streams to stdout");
  options->model.add_to(*command, true);
  options->model.add_adapter_to(*command);
  command->add_option("--prompt", options->prompt, "the text to continue")->required();
  command->add_option("--max-tokens", options->max_tokens, "tokens to generate at most")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0: greedy")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-k", options->top_k, "sample among the k likeliest (0: all)")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command
      ->add_option("--top-p", options->top_p,
                   "sample among the likeliest that hold this probability")
      ->check(CLI::Range(1e-9, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "seed of the sampling")->capture_default_str();
  command->add_option("--target", options->target, "name of the logits output");
  command->add_flag("--ignore-end", options->ignore_end, "go on after the end token");
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
