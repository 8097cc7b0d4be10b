// LanguageModel: a model that is fed token ids; its masks and positions are made for the caller.
//
//   lm::LanguageModel lm(model);
//   lm::Logits logits = lm.logits(ids);       // of every position, or of the last one
//   lm::LanguageModel::Stream stream(lm);         // one text, extended token by token
//   std::vector<float> next = stream.extend(prompt);
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "lm/calls.h"
#include "lm/entry.h"

namespace mw::lm {

class LanguageModel {
 public:
  // `target` names the output with the logits; empty: as find_target() has it. The model outlives
  // this.
  explicit LanguageModel(const Model& model, const std::string& target = "");

  // Of ids [time] or [batch, time], from the beginning of a text. Shorter ones than the model takes
  // are padded on the right and the logits cut back; that changes nothing to the left of the pads
  // in a causal model, and an attention mask leaves the pads out. A text that is longer than one
  // call goes through the cache. Logits of the last position only where a call gives no others.
  [[nodiscard]] Logits logits(const Tensor& ids) const;
  // The same of the last token alone, [batch, 1, classes]; the others' are not computed.
  [[nodiscard]] Logits last(const Tensor& ids) const;
  // Of every position: where a call gives those of the last one only, by a call for each
  // beginning of the text.
  [[nodiscard]] Logits every(const Tensor& ids) const;
  // Whether every() takes a call for each token of windows as long as `time`.
  [[nodiscard]] bool is_one_by_one(int64_t time) const;
  // All inputs of one call from the beginning of a text; caches are empty.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids) const { return entry_.inputs_for(ids, {}); }
  // The form of the logits of one call, found without running the model.
  [[nodiscard]] Layout layout(CallShape ids) const { return entry_.layout(ids); }
  [[nodiscard]] int64_t classes(CallShape ids) const { return entry_.classes(ids); }
  // Of labels that go with logits of such ids: the logits' shape without their classes. Throws
  // where there are no logits.
  struct LabelForm {
    Shape shape;
    bool time_first = false;  // the positions come before the rows
    bool last_only = false;   // of each row's labels the last one counts
    // `labels`, [time] or [batch, time], in this form; as they are where their number is another.
    [[nodiscard]] Tensor of(const Tensor& labels) const;
  };
  [[nodiscard]] LabelForm label_form(CallShape ids) const;

  [[nodiscard]] const std::string& output() const { return entry_.target().name; }
  [[nodiscard]] const Entry& entry() const { return entry_; }
  [[nodiscard]] const Roles& roles() const { return entry_.roles(); }
  // What one call takes.
  [[nodiscard]] const CallShapes& shapes() const { return roles().shapes(); }
  [[nodiscard]] bool has_cache() const { return roles().has_cache(); }
  // Tokens that a text may have when the model has a cache; INT64_MAX where nothing tells.
  [[nodiscard]] int64_t max_total() const { return roles().places(); }

  // The tokens of a window to be scored: `wanted`, else as many as the model takes, in several
  // calls where it has a cache, at most `usual`. Throws where the model takes no such window.
  [[nodiscard]] int64_t window(int64_t wanted, int64_t usual) const;
  // The largest call that a text of so many tokens needs.
  [[nodiscard]] CallShape largest_call(int64_t time) const;
  // Whether any text that is no longer than the longest can be scored: in one call, padded, or
  // through the cache.
  [[nodiscard]] bool takes_any_length() const;

  // A growing text. Uses the model's cache where it has one, else runs the whole window anew.
  class Stream {
   public:
    explicit Stream(const LanguageModel& model);
    // Appends ids and returns the logits for what follows the last one. Without a cache the oldest
    // tokens leave the window when it is full; with one, throws when the cache is full.
    std::vector<float> extend(const std::vector<int32_t>& ids);
    // Why not one more token can be appended; empty: it can.
    [[nodiscard]] std::string obstacle() const;
    [[nodiscard]] int64_t size() const;
    // Tokens that all calls so far were given, pads and repetitions among them.
    [[nodiscard]] int64_t tokens_run() const;
    // How many more that would be after `count` ids.
    [[nodiscard]] int64_t cost(int64_t count) const;
    [[nodiscard]] const std::vector<int32_t>& ids() const { return calls_ ? calls_->ids() : ids_; }

    // Forgets what comes after the first `count` tokens. False, and nothing is forgotten, where the
    // cache holds a past that cannot be taken back.
    bool truncate(int64_t count);
    // Forgets what `ids` does not begin with, and what its first `most` tokens do not hold: more of
    // it, even all, where the cache asks for that. What is left, size(), is to be extended by the
    // rest of `ids`.
    void keep_beginning_of(const std::vector<int32_t>& ids, int64_t most);
    // Without a cache there is nothing to keep.
    using Snapshot = Calls::Snapshot;
    [[nodiscard]] Snapshot snapshot() const;
    // Throws invalid_argument for what the model does not have; the text stays, then.
    void restore(const Snapshot& snapshot);

   private:
    const LanguageModel& model_;
    std::optional<Calls> calls_;  // with a cache; else:
    std::vector<int32_t> ids_;
    int64_t tokens_run_ = 0;
    bool last_only_ = false;
  };

 private:
  [[nodiscard]] Logits of_text(const Tensor& ids, Calls::Want want) const;
  [[nodiscard]] Logits in_one_call(const Tensor& ids, Calls::Want want) const;
  [[nodiscard]] Logits through_cache(const Tensor& ids, Calls::Want want) const;
  [[nodiscard]] Logits by_prefixes(const Tensor& ids) const;
  [[nodiscard]] bool pads_are_left_out(CallShape padded) const;

  Entry entry_;
  mutable std::atomic<int> leaves_pads_out_ = -1;  // not known
};

}  // namespace mw::lm
