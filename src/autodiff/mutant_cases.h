// Mutants of gradient rules: the ops that differentiation appended, one of them changed at a time.
//
//   Mutants(subject, gradients, before, measured).run(tally);
//
// A mutant flips a sign, of one result or of the gradient of one value, or drops a term of one sum
// or one gradient. Index arithmetic that a rule does in floats counts as well. A mutant is known by
// what it changes and by the ops of the gradient in their order: cases that take the same path
// through a rule share its mutants, and one of them has to tell each from the rule. The sign of
// what is zero throughout (there for the sake of its own gradient) is told by the second order.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "autodiff/testing.h"

namespace mw::autodiff {

// What the differences say about one direction.
struct Measured {
  ir::Value* value;
  Tensor direction;
  Slopes slopes;
};

// Of one op's rule: the cases checked, and its mutants, true once one was told apart.
struct Tally {
  int cases = 0;
  std::map<std::string, bool> caught;
};

// "", or in what the gradients of a random combination of the gradients differ from differences.
// Appends to the function.
std::string second_order_problem(Subject& subject, const std::vector<ir::Value*>& gradients,
                                 std::mt19937_64& random);

class Mutants {
 public:
  // `gradients` are of subject.wrt, null where there is none; the ops in `before` are not mutated.
  Mutants(Subject& subject, const std::vector<ir::Value*>& gradients,
          const std::set<const ir::Operation*>& before, const std::vector<Measured>& measured);
  // Tries those not told apart so far. Leaves the function as it was.
  void run(Tally& tally);

 private:
  void find_telling();
  [[nodiscard]] bool told_apart(const std::vector<ir::Value*>& gradients) const;
  [[nodiscard]] bool told_by_second_order(const std::vector<ir::Value*>& gradients) const;
  // Whether the differences tell `gradient` from that by subject.wrt[which].
  [[nodiscard]] bool differs(size_t which, const Tensor& gradient) const;
  template <class Try>
  void record(Tally& tally, const std::string& change, const Try& attempt) const;
  [[nodiscard]] std::string at(size_t index) const;
  void change_gradients(Tally& tally) const;
  void drop_term(Tally& tally, size_t index, const char* input) const;
  void flip_sum(Tally& tally, size_t index) const;
  void flip_result(Tally& tally, size_t index, size_t output, bool telling) const;

  Subject& subject_;
  const std::vector<ir::Value*>& gradients_;
  const std::vector<Measured>& measured_;
  std::vector<ir::Operation*> ops_;
  std::string path_;
  // Floats that the gradients are made of; true where a change can be seen: not zeros throughout.
  std::map<const ir::Value*, bool> telling_;
};

}  // namespace mw::autodiff
