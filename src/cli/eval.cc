// millwright eval MODEL --data FILE: mean cross entropy and perplexity over windows of a text.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/language_model.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string data, target;
  int64_t seq_len = 0, stride = 0, batch_size = 8;
  bool json = false;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(ErrorCode::kIo, "{}: cannot open the text", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Sum over positions of -log softmax(logits)[label], in double.
double cross_entropy(const float* logits, int64_t vocabulary, int32_t label) {
  const double largest = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (int64_t v = 0; v < vocabulary; ++v) sum += std::exp(logits[v] - largest);
  return largest + std::log(sum) - logits[label];
}

struct Loss {
  int64_t windows = 0, tokens = 0;
  double total = 0;
};

// Windows [start, start + seq_len) predict the tokens one further on; of overlapping windows only
// the positions that no earlier window has seen count.
Loss evaluate(const LanguageModel& lm, const std::vector<int32_t>& ids, const Options& o,
              int64_t seq_len) {
  const int64_t stride = o.stride > 0 ? o.stride : seq_len;
  std::vector<int64_t> starts;
  for (int64_t at = 0; at + seq_len + 1 <= static_cast<int64_t>(ids.size()); at += stride) {
    starts.push_back(at);
  }
  if (starts.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected at least {} tokens for one window, got {}; lower --seq-len", o.data,
         seq_len + 1, ids.size());
  }
  const auto batch = std::min<int64_t>(o.batch_size, lm.max_batch());
  Loss loss;
  Progress progress("eval", static_cast<int64_t>(starts.size()));
  for (size_t first = 0; first < starts.size(); first += static_cast<size_t>(batch)) {
    stop_if_interrupted();
    const auto rows = std::min<int64_t>(batch, static_cast<int64_t>(starts.size() - first));
    Tensor input(DType::kI32, {rows, seq_len});
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(ids.begin() + starts[first + static_cast<size_t>(r)], seq_len,
                  input.mutable_data<int32_t>() + r * seq_len);
    }
    const Tensor logits = lm.logits(input);
    const int64_t vocabulary = logits.dim(2);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t start = starts[first + static_cast<size_t>(r)];
      const int64_t skip = start == 0 ? 0 : std::max<int64_t>(seq_len - stride, 0);
      for (int64_t t = skip; t < seq_len; ++t) {
        const int32_t label = ids[static_cast<size_t>(start + t + 1)];
        if (label >= vocabulary) {
          fail(ErrorCode::kInvalidArgument, "token id {} is outside the model's vocabulary of {}",
               label, vocabulary);
        }
        loss.total +=
            cross_entropy(logits.data<float>() + (r * seq_len + t) * vocabulary, vocabulary, label);
        ++loss.tokens;
      }
    }
    loss.windows += rows;
    progress.update(loss.windows);
  }
  return loss;
}

void run(const Options& o) {
  watch_interrupts();
  const CoreMLModelWrapper model = o.model.load();
  const Tokenizer& tokenizer = model.tokenizer();
  const LanguageModel lm(model, o.target);
  const std::vector<int32_t> ids = tokenizer.encode(read_text(o.data), false);
  int64_t seq_len = o.seq_len;
  if (seq_len == 0) seq_len = std::min<int64_t>(lm.max_time(), 512);
  if (seq_len > lm.max_time()) {
    fail(ErrorCode::kInvalidArgument, "--seq-len {}: the model takes at most {} tokens", seq_len,
         lm.max_time());
  }
  if (o.stride > seq_len) {
    fail(ErrorCode::kInvalidArgument, "--stride {}: expected at most --seq-len {}", o.stride,
         seq_len);
  }
  const double started = now_seconds();
  const Loss loss = evaluate(lm, ids, o, seq_len);
  stop_if_interrupted();
  const double seconds = now_seconds() - started;
  const double mean = loss.total / static_cast<double>(loss.tokens);
  if (o.json) {
    print_json({{"windows", loss.windows},
                {"tokens", loss.tokens},
                {"mean_loss", mean},
                {"perplexity", std::exp(mean)},
                {"seconds", seconds},
                {"weight_bytes_held", model.weight_bytes_held()}});
    return;
  }
  answer("windows     {}\ntokens      {}\nmean loss   {:.5f}\nperplexity  {:.4f}\n",
         with_commas(loss.windows), with_commas(loss.tokens), mean, std::exp(mean));
  inform("{:.1f} s, {:.0f} tokens/s\n", seconds,
         static_cast<double>(loss.windows * seq_len) / seconds);
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("eval", "Mean cross entropy and perplexity of a language model on a text");
  options->model.add_to(*command, true);
  options->model.add_adapter_to(*command);
  command->add_option("--data", options->data, "a UTF-8 text; tokenized as one string")->required();
  command
      ->add_option("--seq-len", options->seq_len,
                   "tokens per window (default: the model's length, at most 512)")
      ->check(CLI::Range(1, 1 << 24));
  command
      ->add_option("--stride", options->stride,
                   "tokens from one window to the next (default: --seq-len)")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--batch-size", options->batch_size, "windows per call")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--target", options->target, "name of the logits output");
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
