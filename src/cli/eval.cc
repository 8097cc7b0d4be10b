// millwright eval MODEL --data FILE: mean cross entropy and perplexity over windows of a text.

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/language_model.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/print.h"
#include "lm/score.h"
#include "train/data_text.h"

namespace mw::cli {
namespace {

constexpr int64_t kUsualWindow = 512;  // tokens, where a model takes as many

struct Options {
  ModelOptions model;
  std::string data, target;
  int64_t seq_len = 0, stride = 0, batch_size = 8;
  bool json = false;
};

std::vector<int32_t> read_ids(const Options& o, const Tokenizer& tokenizer) {
  train::TextReader reader;
  reader.tokenizer = &tokenizer;
  reader.progress = [](int64_t, int64_t) { stop_if_interrupted(); };
  return train::read_text(o.data, reader).ids;
}

struct Loss {
  int64_t windows = 0, tokens = 0;
  double total = 0;
};

// Windows [start, start + seq_len) predict the tokens one further on; of overlapping windows only
// the positions that no earlier window has seen count.
class Evaluation {
 public:
  Evaluation(const LanguageModel& lm, const std::vector<int32_t>& ids, const Options& o,
             int64_t seq_len)
      : lm_(lm), ids_(ids), seq_len_(seq_len), stride_(o.stride > 0 ? o.stride : seq_len) {
    for (int64_t at = 0; at + seq_len + 1 <= static_cast<int64_t>(ids.size()); at += stride_) {
      starts_.push_back(at);
    }
    if (starts_.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "{}: expected at least {} tokens for one window, got {}; lower --seq-len", o.data,
           seq_len + 1, ids.size());
    }
  }

  Loss run(int64_t batch_size) {
    const auto batch = static_cast<size_t>(std::min(batch_size, lm_.shapes().max_batch()));
    Progress progress("eval", static_cast<int64_t>(starts_.size()));
    for (size_t first = 0; first < starts_.size(); first += batch) {
      stop_if_interrupted();
      score(first, std::min(batch, starts_.size() - first));
      progress.update(loss_.windows);
    }
    return loss_;
  }

 private:
  void score(size_t first, size_t rows) {
    Tensor input(DType::kI32, {static_cast<int64_t>(rows), seq_len_});
    for (size_t r = 0; r < rows; ++r) {
      std::copy_n(ids_.begin() + starts_[first + r], seq_len_,
                  input.mutable_data<int32_t>() + static_cast<int64_t>(r) * seq_len_);
    }
    const lm::Logits logits = lm_.logits(input);
    for (size_t r = 0; r < rows; ++r) {
      const int64_t start = starts_[first + r];
      const int64_t skip = start == 0 ? 0 : std::max<int64_t>(seq_len_ - stride_, 0);
      for (int64_t t = skip; t < seq_len_; ++t) {
        const int32_t label = ids_[static_cast<size_t>(start + t + 1)];
        const double loss = lm::cross_entropy(logits.row(static_cast<int64_t>(r), t), label);
        check_finite(loss, start, t);
        loss_.total += loss;
        ++loss_.tokens;
      }
      ++loss_.windows;
    }
  }

  void check_finite(double loss, int64_t start, int64_t position) const {
    if (std::isfinite(loss)) return;
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected logits with a finite loss, got {} in window {}, for what follows "
         "its token {}",
         lm_.output(), std::isnan(loss) ? "no number" : "an infinite one", start / stride_ + 1,
         position + 1);
  }

  const LanguageModel& lm_;
  const std::vector<int32_t>& ids_;
  int64_t seq_len_, stride_;
  std::vector<int64_t> starts_;
  Loss loss_;
};

void run(const Options& o) {
  watch_interrupts();
  const CoreMLModelWrapper model = o.model.load();
  const Tokenizer& tokenizer = model.tokenizer();
  const LanguageModel lm = in_context([&] { return model.path().string(); },
                                      [&] { return LanguageModel(model, o.target); });
  const int64_t seq_len =
      in_context([&] { return model.path().string(); },
                 [&] {
                   const int64_t window = lm.window(o.seq_len, kUsualWindow, "eval");
                   const lm::CallShape shape = lm.shapes().padded({1, window}).value();
                   lm.expect_all_positions(shape, "eval");
                   tokenizer.check_fits(lm.classes(shape));
                   return window;
                 });
  if (o.stride > seq_len) {
    fail(ErrorCode::kInvalidArgument, "--stride {}: expected at most --seq-len {}", o.stride,
         seq_len);
  }
  const std::vector<int32_t> ids = read_ids(o, tokenizer);
  const double started = now_seconds();
  const Loss loss = Evaluation(lm, ids, o, seq_len).run(o.batch_size);
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
