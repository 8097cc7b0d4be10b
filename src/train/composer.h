// Composer: the parts of a program of training, each added to the function of the forward pass.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/program.h"

namespace mw::training {

// One program. Parts are added in the order of the methods, to one function; those before have left
// their values there.
class Composer {
 public:
  // All outlives it. `shapes`: of the arguments.
  Composer(const Recipe& recipe, Kind kind, const Shapes& shapes);

  // Takes logarithms of activations for what they are, before anything else reads the target.
  void find_target(ir::Function& function);
  // The sum of the loss and the number of its terms are the results.
  void add_loss(ir::Function& function);
  // The loss becomes that of distillation, from a teacher within the same function or from what
  // arguments say of one.
  void add_divergence(ir::Function& function);
  // The loss and the product that its logits come from become one, where the logits are large.
  void join_head(ir::Function& function);
  // Of the loss by each parameter, and by inputs; where there is no model, from the sums.
  void add_gradients(ir::Function& function);
  void return_gradients(ir::Function& function);
  void add_to_sums(ir::Function& function);
  void add_update(ir::Function& function);

 private:
  using Results = std::vector<std::pair<ir::Value*, std::string>>;

  // Every part has a builder of its own: names are fresh among all that the parts before have made.
  void begin(ir::Function& function);
  [[nodiscard]] ops::Expr expr(ir::Value* value) { return {*b_, value}; }
  [[nodiscard]] ir::Value* argument(const std::string& name) const;
  ir::Value* in_dtype(ir::Value* value);
  void add_results(const Results& results);
  ops::Taught taught(const Shape& student);
  ir::Value* inlined_teacher();
  [[nodiscard]] Shapes shapes_of_teacher() const;
  void name_as_teacher(ir::Operation& op);
  ir::Value* value_of(const Parameter& parameter);
  [[nodiscard]] ir::Value* sum_state(size_t i) const;
  [[nodiscard]] double decay_of(const std::string& name, double& rate_factor) const;
  ops::Expr is_sound(const ops::Expr& squares);
  ops::Expr clip();

  const Recipe& recipe_;
  Kind kind_;
  const Shapes& shapes_;
  ir::Function* function_ = nullptr;
  std::optional<ir::Builder> b_;
  std::optional<Target> target_;
  ir::Value *sum_ = nullptr, *count_ = nullptr;
  std::vector<ir::Value*> values_, gradients_;  // by parameter; gradients by inputs last
};

}  // namespace mw::training
