// Entry: a function that is fed token ids. What it takes of a text, call by call, and the logits
// that it gives.
//
//   lm::Entry entry(model, "");
//   lm::Memory memory = entry.make_memory();
//   lm::Logits logits = entry.run(ids, {.past = 0}, memory);
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lm/call_shapes.h"
#include "lm/filler.h"
#include "lm/logits.h"
#include "lm/model.h"
#include "lm/roles.h"

namespace mw::lm {

// What one call leaves for the next: states, and caches that go in and out, by input.
struct Memory {
  exec::States states;
  TensorMap caches;
};

class Entry {
 public:
  // Calls of so many tokens cost about what one of one token costs: all read the same weights.
  static constexpr int64_t kFewTokens = 16;

  // `target` names the output with the logits; empty: as find_target() has it. The model outlives
  // this.
  Entry(const Model& model, const std::string& target);

  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] const Roles& roles() const { return roles_; }
  [[nodiscard]] const Target& target() const { return target_; }
  // Empty: of no call.
  [[nodiscard]] Memory make_memory() const;
  // Of ids [batch, time] at a place of a text (Place::hidden is seen to); `memory` follows. Throws
  // what the model throws.
  Logits run(const Tensor& ids, Place place, Memory& memory) const;
  // The same with the logits of one token alone, [batch, 1, classes], or with none: then they are
  // not computed. Where the model gives those of the last token only, it is that one.
  [[nodiscard]] Logits run_for(const Tensor& ids, Place place, Memory& memory, int64_t token) const;
  void run_for_memory(const Tensor& ids, Place place, Memory& memory) const;
  // What puts tokens into the cache in blocks; null where nothing does.
  [[nodiscard]] const Filler* filler() const;
  // Of ids [time] or [batch, time] at a place of a text, all inputs of the model; caches are empty.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids, Place place) const;

  // The form of the logits for such ids, found without running the model where the program tells.
  // Throws invalid_argument where they are no logits of such ids. Of several parts, the first
  // one's.
  [[nodiscard]] Layout layout(CallShape ids) const;
  struct Part {
    std::string name;
    Shape shape;
    Layout layout;
  };
  [[nodiscard]] std::vector<Part> parts(CallShape ids) const;
  [[nodiscard]] Shape output_shape(CallShape ids) const;  // of all parts together
  // Tokens that logits tell apart.
  [[nodiscard]] int64_t classes(CallShape ids) const;
  // Throws where the model names the likeliest token instead of giving logits.
  void expect_logits(const std::string& purpose) const;
  // Throws: there are logits for the last token only, and of `time` tokens that is a pad.
  [[noreturn]] void fail_last_only(int64_t time) const;
  // Whether of several tokens there are logits for the last one only.
  [[nodiscard]] bool last_only(CallShape ids) const;
  // Places of empty caches; throws unsupported where no mask leaves them out.
  [[nodiscard]] int64_t hidden() const;

 private:
  [[nodiscard]] TensorMap inputs_of_call(const Tensor& ids, Place place,
                                         const Memory& memory) const;
  void keep_caches(const exec::RunResult& result, Memory& memory) const;
  [[nodiscard]] Logits read_logits_of(const exec::RunResult& result, CallShape ids,
                                      bool one_token) const;
  [[nodiscard]] const Reading& reading(CallShape ids) const;
  [[nodiscard]] std::vector<Shapes> calls_like(CallShape ids) const;
  [[nodiscard]] Asked asked(const TargetPart& part, CallShape ids) const;
  [[nodiscard]] bool time_first(const TargetPart& part, CallShape ids) const;
  [[nodiscard]] Shapes input_shapes(CallShape ids) const;
  [[nodiscard]] Shape shape_of(const TargetPart& part, CallShape ids) const;
  [[nodiscard]] Layout layout_of_part(const TargetPart& part, CallShape ids) const;
  [[nodiscard]] Logits read_part(const exec::RunResult& result, const TargetPart& part,
                                 CallShape ids, bool one_token = false) const;
  [[nodiscard]] Logits read_best(const exec::RunResult& result, CallShape ids) const;
  [[nodiscard]] std::vector<int64_t> sizes_of_best(int64_t count) const;

  const Model* model_;
  Roles roles_;
  Target target_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<int64_t, int64_t>, Layout> layouts_;  // by rows and tokens
  mutable std::map<int64_t, Reading> readings_;                    // by rows
  mutable std::optional<std::unique_ptr<const Filler>> filler_;    // once it was looked for
};

}  // namespace mw::lm
