// SharedWeights: which constants of two functions of one program are the same weight.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/program.h"

namespace mw::ops {

// Where a weight of one function stands in another one.
struct Twin {
  ir::Value* value = nullptr;  // of a const, or of the last constexpr op of a chain
  std::vector<ir::Use> uses;   // those that are meant
  bool whole = true;           // `uses` are all there are
};

// Constants are the same weight where they show the same blob; a compressed weight where all its
// parts do. Small constants stand in the program itself, in an .mlmodel all do, and one repeated
// number has one blob whatever it is for: those are the same where name, bytes and readers are, in
// functions that share other weights.
class SharedWeights {
 public:
  // Both outlive this, and their operations stay as they are until the last call.
  SharedWeights(const ir::Function& ours, const ir::Function& theirs);

  // `use`: the use of our value that is asked about; -1: the value as a whole.
  [[nodiscard]] std::vector<Twin> twins(const ir::Value& ours, int64_t use = -1) const;
  // Names of what has the blob of our value as a part of something else.
  [[nodiscard]] std::vector<std::string> other_readers(const ir::Value& ours) const;

 private:
  struct Side {
    explicit Side(const ir::Function& function);
    [[nodiscard]] const std::vector<ir::Use>& uses_of(const ir::Value& value) const;

    std::unordered_map<const ir::Value*, std::vector<ir::Use>> uses;
    std::multimap<std::string, const ir::Value*> weights;  // by key, in the order of the program
    std::multimap<std::string, std::string> parts;         // key of a const -> what it is a part of
    bool has_blobs = false;
  };
  [[nodiscard]] bool are_related() const;
  [[nodiscard]] bool is_same(const ir::Value& ours, const ir::Value& theirs) const;
  [[nodiscard]] bool is_same_by_name(const ir::Value& ours, const ir::Value& theirs) const;

  Side ours_, theirs_;
  bool related_;
};

}  // namespace mw::ops
