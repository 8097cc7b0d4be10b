// millwright eval MODEL --data FILE: mean cross entropy and perplexity over windows of a text.

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/impl.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/print.h"
#include "lm/language_model.h"
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
  training::TextReader reader;
  reader.tokenizer = &tokenizer;
  reader.progress = [](int64_t, int64_t) { stop_if_interrupted(); };
  return training::read_text(o.data, reader).ids;
}

lm::Score score(const lm::LanguageModel& lm, const std::vector<int32_t>& ids, const Options& o,
                int64_t seq_len) {
  lm::Windows windows;
  windows.tokens = seq_len;
  windows.stride = o.stride > 0 ? o.stride : seq_len;
  windows.per_call = std::min(o.batch_size, lm.shapes().max_batch());
  windows.with_rest = lm.takes_any_length();
  const int64_t count = windows.count(static_cast<int64_t>(ids.size()));
  if (count == 0) {
    fail(ErrorCode::kInvalidArgument, "{}: expected at least {} tokens for one window, got {}{}",
         o.data, windows.with_rest ? 2 : seq_len + 1, ids.size(),
         windows.with_rest ? "" : "; lower --seq-len");
  }
  Progress progress("eval", count);
  return lm::score_windows(lm, ids, windows, [&](int64_t done) {
    progress.update(done);
    stop_if_interrupted();
  });
}

void run(const Options& o) {
  watch_interrupts();
  const CoreMLModelWrapper model = CoreMLModelWrapper::Impl::for_texts(o.model.load());
  const Tokenizer& tokenizer = model.tokenizer();
  const lm::LanguageModel lm =
      in_context([&] { return model.path().string(); },
                 [&] { return lm::LanguageModel(model.impl(), o.target); });
  const int64_t seq_len = in_context([&] { return model.path().string(); },
                                     [&] {
                                       lm.entry().expect_logits("eval");
                                       const int64_t window = lm.window(o.seq_len, kUsualWindow);
                                       tokenizer.check_fits(lm.classes(lm.largest_call(window)));
                                       return window;
                                     });
  if (o.stride > seq_len) {
    fail(ErrorCode::kInvalidArgument, "--stride {}: expected at most --seq-len {}", o.stride,
         seq_len);
  }
  const std::vector<int32_t> ids = read_ids(o, tokenizer);
  if (lm.is_one_by_one(seq_len)) {
    inform(
        "the model gives logits for the last token only: a call for each of the {} tokens of a "
        "window, which is slow\n",
        seq_len);
  }
  const double started = now_seconds();
  const lm::Score loss = score(lm, ids, o, seq_len);
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
  inform("{:.1f} s, {:.0f} tokens/s\n", seconds, static_cast<double>(loss.tokens) / seconds);
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
