// RunFiles: what a run of training has to do with models in files. api/ has that of packages.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lm/model.h"

namespace mw::training {

class RunFiles {
 public:
  virtual ~RunFiles() = default;
  // Of the report: what is trained and what becomes of it.
  [[nodiscard]] virtual std::string title() const = 0;
  // The weights as they are now, whole or not at all. Gives sentences about those that the stored
  // dtype could not hold.
  virtual std::vector<std::string> write() = 0;
  // To continue a text with: the model as it was before the run, and as it was written.
  [[nodiscard]] virtual std::shared_ptr<const lm::Model> before() const = 0;
  [[nodiscard]] virtual std::shared_ptr<const lm::Model> written() const = 0;
};

}  // namespace mw::training
