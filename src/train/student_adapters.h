// StudentAdapters: the function that a student with adapters trains, and the adapters' way to and
// from files.
#pragma once

#include <filesystem>
#include <memory>

#include "adapters/file.h"
#include "train/selection.h"
#include "train/trainer.h"

namespace mw::training {

class StudentAdapters {
 public:
  // None.
  explicit StudentAdapters(const ir::Function& source) : source_(source) {}
  // Begins them and adds what is trained of them to the selection, where a weight that has an
  // adapter says so; what is selected already is trained itself. The source outlives this.
  StudentAdapters(const ir::Function& source, const Lora& lora, int64_t last_layers,
                  Selection& selection, passes::Watch* watch);

  // The source with the adapters.
  [[nodiscard]] const ir::Function& function() const {
    return function_ == nullptr ? source_ : *function_;
  }
  [[nodiscard]] bool empty() const { return begun_.adapters.empty(); }

  // The adapters as they are now, in fp32.
  [[nodiscard]] adapters::AdapterSet now(const Trainer& trainer) const;
  // All is checked before anything changes.
  void load(const std::filesystem::path& path, const std::filesystem::path& module_names,
            Trainer& trainer) const;

 private:
  const ir::Function& source_;
  std::unique_ptr<ir::Function> function_;  // null: no adapters
  adapters::AdapterSet begun_;
};

}  // namespace mw::training
