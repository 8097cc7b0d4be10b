// StepGraph::cost(): lifetimes over the order of ops. A value that nothing but a chain of ops over
// equally many elements reads takes no memory; what it is made from then lives to the end of the
// chain.
#include <algorithm>

#include "autodiff/step_graph.h"

namespace mw::autodiff {
namespace {

// What is known of one buffer, or of its second incarnation.
struct Life {
  int64_t bytes = 0;
  int64_t first = -1, last = -1;  // entries
  int64_t until = -1;             // the last entry in which a reader is computed
  bool chained = true;            // by readers of its own chain alone
};

}  // namespace

StepGraph::Cost StepGraph::cost(const Choice& choice) const {
  const std::vector<Entry> entries = order(choice).entries;
  const size_t count = buffers_.size();
  std::vector<Life> lives(2 * count);
  const auto backward = [&](const Entry& entry) { return entry.again || entry.op >= turn_; };
  const auto life_of = [&](const Value& value, const Entry& entry) -> Life& {
    const auto buffer = static_cast<size_t>(value.buffer);
    return lives[backward(entry) && is_gone(choice, value) ? buffer + count : buffer];
  };
  Cost cost;
  const auto end = static_cast<int64_t>(entries.size());
  int64_t turn = end;
  for (int64_t at = end; at-- > 0;) {
    const Entry& entry = entries[static_cast<size_t>(at)];
    const Op& op = ops_[entry.op];
    if (entry.again) cost.work += op.work;
    if (backward(entry)) turn = at;
    int64_t computed = at;
    for (const size_t buffer : op.makes) {
      Life& life = lives[entry.again ? buffer + count : buffer];
      const bool output = buffers_[buffer].output;
      if (op.chains && life.chained && life.until > at && !output) {
        computed = life.until;
      } else {
        life.bytes = (buffers_[buffer].bytes + 63) / 64 * 64;
      }
      life.first = at;
      life.last = output ? end - 1 : std::max(life.last, at);
    }
    for (const size_t read : op.reads) {
      const Value& value = values_[read];
      if (value.buffer == kFree) continue;
      Life& life = life_of(value, entry);
      const Buffer& buffer = buffers_[static_cast<size_t>(value.buffer)];
      const bool made_there = buffer.op >= turn_ || is_gone(choice, value);
      life.last = std::max(life.last, computed);
      life.until = std::max(life.until, computed);
      life.chained = life.chained && op.chains && op.elements == ops_[buffer.op].elements &&
                     made_there == backward(entry);
    }
  }
  std::vector<int64_t> change(entries.size() + 1, 0);
  for (const Life& life : lives) {
    if (life.first < 0) continue;
    change[static_cast<size_t>(life.first)] += life.bytes;
    change[static_cast<size_t>(life.last) + 1] -= life.bytes;
  }
  int64_t alive = 0;
  for (int64_t at = 0; at < end; ++at) {
    alive += change[static_cast<size_t>(at)];
    cost.peak = std::max(cost.peak, alive);
    if (at == turn) cost.at_turn = alive;
  }
  return cost;
}

}  // namespace mw::autodiff
