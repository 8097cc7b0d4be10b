// States: the memory of states. A read is a view of it, an update of a part is written in place,
// and what still needs the old content is copied away before a write.
#pragma once

#include <unordered_map>
#include <vector>

#include "plan/values.h"
#include "plan/waiting.h"

namespace mw::plan {

class States {
 public:
  // All outlive it.
  States(const BlockFacts& block, Values& values, const Waiting& waiting, Deferred& deferred)
      : block_(block), values_(values), waiting_(waiting), deferred_(deferred) {}

  // Gives buffers to the states that can be used as memory: nothing but reads and writes of this
  // block touches them.
  void bind();
  // False: the op has to be a reference step.
  bool read(const ir::OpView& op, const ReadsState& form);
  bool write(const ir::OpView& op, const WritesState& form);
  // Of anything, in place where it is a state that is written with the result.
  bool update(const ir::OpView& op, const UpdateOf& form);
  // A value that is an alias of another, which may be a state.
  void note_alias(const ir::Value* value, const Place& place);

  // The buffer of the state that the value is written to; -1: of none.
  [[nodiscard]] int written_with(const ir::Value* value) const;
  // At the end: steps that compute what is written to a state write it there where they can.
  void write_in_place();

 private:
  // The buffer of the state that it is a part of; -1: of none.
  [[nodiscard]] int state_of(int buffer) const;
  [[nodiscard]] Place place_of(const ir::Value& state, int buffer) const;
  [[nodiscard]] bool is_plain(const ir::Value& state) const;
  [[nodiscard]] const ir::Operation* writer_of(const ir::Value& value, int buffer) const;
  [[nodiscard]] bool returns_to(int buffer, const ir::Operation& op) const;
  void protect(int buffer, size_t order);
  [[nodiscard]] bool uses_any(const ir::Operation& op,
                              const std::vector<const ir::Value*>& values) const;

  struct WriteBack {
    int from = -1, state = -1;  // buffers
    size_t step = 0;            // the copy
  };
  [[nodiscard]] bool can_share(const WriteBack& back) const;

  const BlockFacts& block_;
  Values& values_;
  const Waiting& waiting_;
  Deferred& deferred_;
  std::unordered_map<const ir::Value*, int> buffers_;  // by state
  // By buffer: the values that lie there, and the ops that access the state.
  std::unordered_map<int, std::vector<const ir::Value*>> aliases_;
  std::unordered_map<int, std::vector<const ir::Operation*>> accesses_;
  std::vector<WriteBack> write_backs_;  // of whole buffers
};

}  // namespace mw::plan
