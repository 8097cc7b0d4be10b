// PromptCache: a file with the states of a model after a prompt, so that it need not be run again.
//
//   lm::PromptCache cache(file, model, tokenizer);
//   if (cache.is_there()) logits = cache.read(stream);
//   else cache.write(stream, logits);
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/checked_tensors.h"
#include "lm/language_model.h"

namespace mw::lm {

class PromptCache {
 public:
  // Throws invalid_argument for a model without states.
  PromptCache(std::filesystem::path file, const LanguageModel& lm, const Model& model);

  [[nodiscard]] bool is_there() const;
  // The stream holds the tokens of the file; returns the logits after the last of them. Throws io
  // or invalid_argument, and leaves the stream as it is, for a file that is no prompt cache, is
  // damaged, or belongs to another model or tokenizer. Memory is taken for what the file holds, not
  // for what it says.
  std::vector<float> read(LanguageModel::Stream& stream) const;
  // Atomic; `logits` are those after the last token.
  void write(const LanguageModel::Stream& stream, const std::vector<float>& logits) const;

  // Throws io where the file's folder is not there: before a long prompt is run.
  void expect_writable() const;
  // Sentences on what became of it: of `held` tokens in the file so many need not be run.
  [[nodiscard]] std::string used(int64_t held, int64_t reused) const;
  [[nodiscard]] std::string written(int64_t count) const;
  [[nodiscard]] std::string not_written(int64_t count) const;

 private:
  [[nodiscard]] CheckedTensors checked() const;

  std::filesystem::path file_;
  const Model& model_;
};

}  // namespace mw::lm
