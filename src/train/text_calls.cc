// Calls as lm::Calls makes them, with what the model's roles say each argument holds.
#include "train/text_calls.h"

#include <algorithm>

#include "base/error.h"

namespace mw::training {
namespace {

// Axes of the outputs in the order that unroll_calls() reads them; empty where it is no other.
std::vector<int64_t> order_of(const lm::Layout& layout, size_t rank) {
  if (layout.time < 0) return {};
  std::vector<int64_t> order;
  for (int64_t axis = 0; axis < static_cast<int64_t>(rank); ++axis) {
    if (axis != layout.time && axis != layout.classes) order.push_back(axis);
  }
  order.push_back(layout.time);
  order.push_back(layout.classes);
  return std::ranges::is_sorted(order) ? std::vector<int64_t>() : order;
}

// In a program of training each operation of a call takes some 6 kB.
constexpr int64_t kMostOperations = 1'000'000;

void check_length(size_t calls, int64_t time, const ir::Function& called) {
  const int64_t each =
      std::ranges::count_if(called.body.ops, [](const auto& op) { return !op->is_const(); });
  const int64_t most = std::max<int64_t>(kMostOperations / std::max<int64_t>(each, 1), 1);
  const auto count = static_cast<int64_t>(calls);
  if (count <= most) return;
  fail(ErrorCode::kUnsupported,
       "{} {}: expected a text of at most {} calls of the model, {} tokens, as one program of "
       "training, got {} calls",
       setting("seq_len"), time, most, most * time / count, count);
}

}  // namespace

TextCalls::TextCalls(const lm::LanguageModel& language, std::string text, std::string target,
                     DType floats, int64_t cut_every)
    : language_(language),
      text_(std::move(text)),
      target_(std::move(target)),
      floats_(floats),
      cut_every_(cut_every) {}

int64_t TextCalls::shortest() const { return language_.shapes().smallest().time; }

ops::TextOfCalls TextCalls::of(int64_t time, const ir::Function& called) const {
  const lm::Entry& entry = language_.entry();
  entry.expect_logits("training");
  if (time > language_.max_total()) {
    fail(ErrorCode::kInvalidArgument, "{} {}: the model's cache holds {} tokens",
         setting("seq_len"), time, language_.max_total());
  }
  ops::TextOfCalls all{.text = text_,
                       .target = target_,
                       .ids = entry.roles().ids_input().name,
                       .floats = floats_,
                       .cut_every = cut_every_};
  for (const lm::Cache& cache : entry.roles().caches()) {
    all.caches.emplace_back(cache.input, cache.output);
  }
  const auto calls = lm::Calls::of_text(entry, time, lm::Calls::Want::kEvery);
  check_length(calls.size(), time, called);
  int64_t longest = 0, done = 0;
  for (const lm::Calls::Call& call : calls) {
    const int64_t tokens = call.count + call.pads;
    if (call.last_only && call.pads > 0) entry.fail_last_only(call.count);
    const Tensor ids(DType::kI32, {1, tokens});
    TensorMap inputs =
        entry.model().prepare(entry.inputs_for(ids, {.past = call.begin, .pads = call.pads}));
    inputs.erase(all.ids);
    if (!all.calls.empty()) {
      for (const auto& [input, output] : all.caches) inputs.erase(input);
    }
    all.calls.push_back({.begin = call.begin,
                         .count = call.count,
                         .pads = call.pads,
                         .known = done - call.begin,
                         .last_only = call.last_only,
                         .inputs = std::move(inputs)});
    done = call.begin + call.count;
    longest = std::max(longest, tokens);
  }
  for (const lm::Entry::Part& part : entry.parts({1, longest})) {
    all.outputs.push_back({.name = part.name,
                           .order = order_of(part.layout, part.shape.size()),
                           .classes = part.shape[static_cast<size_t>(part.layout.classes)]});
  }
  return all;
}

}  // namespace mw::training
