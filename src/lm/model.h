// Model: what is asked of a loaded model that is fed token ids.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/session.h"
#include "lm/logits.h"
#include "lm/target.h"
#include "millwright/feature.hpp"
#include "millwright/tokenizer.hpp"

namespace mw::lm {

// Which outputs of a run are read.
struct Reading {
  std::vector<std::string> whole;
  // Those that hold something for each position of a text, with the axis that counts these; of them
  // the one position is read.
  std::vector<std::pair<std::string, int64_t>> chosen;
  int64_t position = 0;
  // Shapes of the inputs of calls with several positions, two of them if calls differ in how many.
  // Asked once for all readings of these outputs.
  std::function<std::vector<Shapes>()> calls;
};

// Calls may come from several threads.
class Model {
 public:
  virtual ~Model() = default;
  // What errors call it: the path it was loaded from.
  [[nodiscard]] virtual std::string name() const = 0;
  // What its numbers depend on, each with a digest or a name that tells it from others: the files
  // of the model, the function, what it is computed in. Reads all of the weights.
  [[nodiscard]] virtual std::map<std::string, std::string> identity() const = 0;
  [[nodiscard]] virtual std::vector<FeatureDescription> inputs() const = 0;
  [[nodiscard]] virtual std::vector<FeatureDescription> outputs() const = 0;
  [[nodiscard]] virtual std::vector<FeatureDescription> states() const = 0;
  // What the file says of the model beside its description, by key.
  [[nodiscard]] virtual std::map<std::string, std::string> metadata() const = 0;
  // What a user said of its inputs: LoadOptions::role.
  [[nodiscard]] virtual std::vector<std::string> stated_roles() const = 0;
  // The extent of a state along which the program writes at places that a run tells: one place for
  // each token of a cache. Nothing where the program writes it otherwise.
  [[nodiscard]] virtual std::optional<int64_t> places(const std::string& state) const = 0;
  // Throws where there is none.
  [[nodiscard]] virtual const Tokenizer& tokenizer() const = 0;
  // Ids that its tokenizer has; 0 where there is none.
  [[nodiscard]] virtual int64_t vocabulary() const = 0;
  // The output that is meant by `wanted`; see find_target().
  [[nodiscard]] virtual Target target(const std::string& wanted) const = 0;
  // How an output ends; looked for once, at the shapes of the inputs that `shapes` gives.
  [[nodiscard]] virtual Ending ending(const std::string& output,
                                      const std::function<Shapes()>& shapes) const = 0;
  // Of an output for inputs of these shapes; nullopt for a dictionary and where only a run tells.
  [[nodiscard]] virtual std::optional<Shape> shape_of(const std::string& output,
                                                      const Shapes& inputs) const = 0;
  // Inputs as the function wants them: names, dtypes, extents checked; defaults of optional ones
  // filled in. Throws invalid_argument.
  [[nodiscard]] virtual TensorMap prepare(const TensorMap& given) const = 0;
  // All of the model's, zero.
  [[nodiscard]] virtual exec::States make_states() const = 0;
  [[nodiscard]] virtual exec::RunResult run(const TensorMap& inputs,
                                            exec::States& states) const = 0;
  // The same for one reading: other outputs are not there, and chosen ones have an extent of 1 on
  // their axis. What only they need is not computed; states are written as in run().
  [[nodiscard]] virtual exec::RunResult read(const TensorMap& inputs, exec::States& states,
                                             const Reading& reading) const = 0;
  // Another function of the same package; null where there is none that can be run.
  [[nodiscard]] virtual std::shared_ptr<const Model> beside(const std::string& /*function*/) const {
    return nullptr;
  }
};

}  // namespace mw::lm
