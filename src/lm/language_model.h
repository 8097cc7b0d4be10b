// LanguageModel: a model that is fed token ids; its masks and positions are made for the caller.
//
//   lm::LanguageModel lm(model);
//   lm::Logits logits = lm.logits(ids);       // of every position, or of the last one
//   lm::LanguageModel::Stream stream(lm);         // one text, extended token by token
//   std::vector<float> next = stream.extend(prompt);
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lm/call_shapes.h"
#include "lm/logits.h"
#include "lm/model.h"
#include "lm/roles.h"

namespace mw::lm {

class LanguageModel {
 public:
  // `target` names the output with the logits; empty: as find_target() has it. The model outlives
  // this.
  explicit LanguageModel(const Model& model, const std::string& target = "");

  // Of ids [time] or [batch, time], from the beginning of a text. Shorter ones than the model takes
  // are padded on the right and the logits cut back; that changes nothing to the left of the pads
  // in a causal model, and an attention mask leaves the pads out.
  [[nodiscard]] Logits logits(const Tensor& ids) const;
  // Inputs for ids, [time] or [batch, time], after `past` cached ones; the last `pads` columns hold
  // no tokens.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids, int64_t past, int64_t pads = 0) const {
    return roles_.inputs_for(ids, past, pads);
  }
  // The form of the logits for such ids, found without running the model.
  [[nodiscard]] Layout layout(CallShape ids) const;
  [[nodiscard]] int64_t classes(CallShape ids) const;
  // Of labels that go with logits of such ids: the logits' shape without their classes. Throws
  // where there are logits for the last token only.
  struct LabelForm {
    Shape shape;
    bool time_first = false;  // the positions come before the rows
    // `labels`, [time] or [batch, time], in this form; as they are where their number is another.
    [[nodiscard]] Tensor of(const Tensor& labels) const;
  };
  [[nodiscard]] LabelForm label_form(CallShape ids) const;

  [[nodiscard]] const std::string& output() const { return target_.name; }
  [[nodiscard]] const Roles& roles() const { return roles_; }
  // What one call takes.
  [[nodiscard]] const CallShapes& shapes() const { return roles_.shapes(); }
  [[nodiscard]] bool has_cache() const { return has_cache_; }
  // Tokens that a text may have when the model has a cache; INT64_MAX where nothing tells.
  [[nodiscard]] int64_t max_total() const { return roles_.max_total(); }

  // The tokens of a window that `purpose` ("eval") works on: `wanted`, else as many as the model
  // takes, at most `usual`. Throws where one call cannot take such a window.
  [[nodiscard]] int64_t window(int64_t wanted, int64_t usual, const std::string& purpose) const;
  // Throws where the model gives logits for the last token of such ids only.
  void expect_all_positions(CallShape ids, const std::string& purpose) const;

  // A growing text. Uses the model's cache states where it has them, else runs the whole window
  // anew.
  class Stream {
   public:
    explicit Stream(const LanguageModel& model);
    // Appends ids and returns the logits for what follows the last one. Without a cache the oldest
    // tokens leave the window when it is full; with one, throws when the cache is full.
    std::vector<float> extend(const std::vector<int32_t>& ids);
    // Why not one more token can be appended; empty: it can.
    [[nodiscard]] std::string obstacle() const;
    [[nodiscard]] int64_t size() const { return static_cast<int64_t>(ids_.size()); }
    // Tokens that all calls so far were given, pads and repetitions among them.
    [[nodiscard]] int64_t tokens_run() const { return tokens_run_; }
    // How many more that would be after `count` ids.
    [[nodiscard]] int64_t cost(int64_t count) const;

   private:
    std::vector<float> extend_cache();
    std::vector<float> run(int64_t begin, int64_t count, int64_t pads);

    const LanguageModel& model_;
    exec::States states_;
    std::vector<int32_t> ids_;
    int64_t cached_ = 0;  // of them, in the state
    int64_t tokens_run_ = 0;
    bool last_only_ = false;
  };

 private:
  [[nodiscard]] bool can_rewrite() const;
  [[nodiscard]] Asked asked(CallShape ids) const;
  [[nodiscard]] bool time_first(CallShape ids) const;
  [[nodiscard]] Shapes input_shapes(CallShape ids) const;
  [[nodiscard]] Shape output_shape(CallShape ids) const;
  [[nodiscard]] Logits run(const TensorMap& inputs, CallShape ids, exec::States& states) const;
  [[noreturn]] void fail_last_only(int64_t time) const;

  const Model& model_;
  bool has_cache_;
  Roles roles_;
  Target target_;
};

}  // namespace mw::lm
