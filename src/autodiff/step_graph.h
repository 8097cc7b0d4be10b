// StepGraph: the ops of a program of training, numbered, and what it costs to compute some of its
// values again in the backward pass instead of keeping them.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ir/op_def.h"

namespace mw::autodiff {

// What the graph cannot know of an op. All follow from types.
struct RecomputeHints {
  // What it takes to compute the op once, in any unit.
  std::function<double(const ir::Operation&)> work;
  // The operand that all results are views of; null: they have memory of their own.
  std::function<const ir::Value*(const ir::Operation&)> viewed;
  // Whether intermediate results of a chain of such ops over equally many elements take no memory.
  std::function<bool(const ir::Operation&)> chains;
};

// By buffer: whether it is computed again. Buffers that the backward pass does not read are made
// again where others are made from them.
using Choice = std::vector<bool>;

class StepGraph {
 public:
  struct Entry {
    size_t op = 0;
    bool again = false;
  };
  struct Order {
    std::vector<Entry> entries;
    std::vector<bool> again;  // by op
  };
  struct Cost {
    int64_t peak = 0;     // bytes of the values alive at the worst moment, by estimate
    int64_t at_turn = 0;  // at the beginning of the backward pass
    double work = 0;      // of what is computed again
  };

  // The backward pass begins after the last op that one of `ends` (the loss) is made from. Types
  // are static but for values that are never computed again. `function` outlives the graph.
  StepGraph(const ir::Function& function, const ir::Catalog& catalog,
            const std::vector<const ir::Value*>& ends, const RecomputeHints& hints);

  // Buffers of the forward pass that the backward pass reads and that could be computed again,
  // large ones first; what hardly matters is left out.
  [[nodiscard]] const std::vector<size_t>& candidates() const { return candidates_; }
  [[nodiscard]] int64_t bytes_of(size_t buffer) const { return buffers_[buffer].bytes; }
  [[nodiscard]] Choice nothing() const { return Choice(buffers_.size(), false); }
  // All ops in order, those computed again right before the first that needs them.
  [[nodiscard]] Order order(const Choice& choice) const;
  [[nodiscard]] Cost cost(const Choice& choice) const;
  // What computing `buffer` again adds to the work of a choice whose order is `order`.
  [[nodiscard]] double added_work(const Choice& choice, const Order& order, size_t buffer) const;
  // A copy of the function that does so. Its results are the same bits in any executor: what a plan
  // decides by the uses of a value is decided by ir::kApart as if nothing had changed.
  [[nodiscard]] std::unique_ptr<ir::Function> apply(const Choice& choice) const;

 private:
  static constexpr int kFree = -1;  // a buffer that is there anyway: inputs, constants, states

  struct Op {
    const ir::Operation* op = nullptr;
    std::vector<size_t> reads, results;  // values
    std::vector<size_t> makes;           // buffers
    double work = 0;
    int64_t elements = 0;
    bool chains = false, again = true;  // again: may be computed again
  };
  struct Value {
    int op = -1;  // -1: an argument
    int buffer = kFree;
  };
  struct Buffer {
    int64_t bytes = 0;
    size_t op = 0;
    bool read_back = false, output = false;
  };

  void number_ops(const ir::Catalog& catalog, const RecomputeHints& hints);
  void add_results(Op& op, size_t index, const ir::OpDef& def, const RecomputeHints& hints);
  void find_turn(const std::vector<const ir::Value*>& ends);
  void find_candidates();
  [[nodiscard]] bool is_gone(const Choice& choice, const Value& value) const;
  // Appends the ops without which `values` are not there, in order, to `closure`.
  void close(const Choice& choice, std::vector<size_t> values, std::vector<bool>& again,
             std::vector<size_t>& closure) const;

  const ir::Function& function_;
  std::vector<Op> ops_;
  std::vector<Value> values_;
  std::vector<Buffer> buffers_;
  std::vector<size_t> candidates_;
  std::unordered_map<const ir::Value*, size_t> numbers_;
  std::vector<bool> constant_;  // by value
  size_t turn_ = 0;             // the first op of the backward pass
};

}  // namespace mw::autodiff
