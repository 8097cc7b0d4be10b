// LanguageModel: which inputs and outputs of a model mean what when it is fed token ids.
//
//   LanguageModel lm(model);
//   Tensor logits = lm.logits(ids);           // [batch, time, vocab], all positions
//   LanguageModel::Stream stream(lm);         // one text, extended token by token
//   std::vector<float> next = stream.extend(prompt);
#pragma once

#include <string>
#include <vector>

#include "millwright/millwright.hpp"

namespace mw {

class LanguageModel {
 public:
  // `target` names the output with the logits; empty: as lm::find_target() has it.
  explicit LanguageModel(const CoreMLModelWrapper& model, const std::string& target = "");

  // [batch, time] int32 -> [batch, time, vocab] fp32.
  [[nodiscard]] Tensor logits(const Tensor& ids) const;
  // Inputs for `ids`, [batch, time], after `past` cached ones.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids, int64_t past) const;
  // Tokens that one call can take; INT64_MAX when the file states no bound.
  [[nodiscard]] int64_t max_time() const { return max_time_; }
  [[nodiscard]] int64_t max_batch() const { return max_batch_; }
  [[nodiscard]] bool has_cache() const { return has_cache_; }
  // Tokens that prompt and continuation may have together when the model has a cache.
  [[nodiscard]] int64_t max_total() const { return max_total_; }

  // A growing text. Uses the model's cache states where it has them, else runs the whole window
  // anew.
  class Stream {
   public:
    explicit Stream(const LanguageModel& model);
    // Appends ids and returns the logits [vocab] for what follows the last one. Without a cache the
    // oldest tokens leave the window when it is full; with one, throws when the cache is full.
    std::vector<float> extend(const std::vector<int32_t>& ids);
    [[nodiscard]] int64_t size() const { return static_cast<int64_t>(ids_.size()); }

   private:
    std::vector<float> extend_cache(const std::vector<int32_t>& ids);
    const LanguageModel& model_;
    State state_;
    std::vector<int32_t> ids_;
  };

 private:
  struct Role {
    std::string name;
    enum class Kind : uint8_t { kIds, kAttentionMask, kCausalMask, kPositions } kind;
    DType dtype;
    int64_t rank;
  };
  void find_inputs();
  [[nodiscard]] Tensor run(const TensorMap& inputs, State* state) const;

  const CoreMLModelWrapper& model_;
  std::vector<Role> roles_;
  std::string output_;
  bool has_cache_ = false;
  int64_t fixed_time_ = 0, fixed_batch_ = 0;  // 0: flexible
  int64_t max_time_ = 0, max_batch_ = 0, max_total_ = 0;
};

}  // namespace mw
