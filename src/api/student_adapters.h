// StudentAdapters: the function that a student with adapters trains, and the adapters' way to and
// from files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "millwright/training.hpp"
#include "train/lora.h"
#include "train/trainer.h"

namespace mw {

class StudentAdapters {
 public:
  // `beside`: parameters of `source` that are trained themselves. The source outlives this.
  StudentAdapters(const ir::Function& source, const Lora& lora,
                  const std::vector<train::Candidate>& beside);

  // The source with the adapters, and what is trained in it.
  [[nodiscard]] const ir::Function& function() const { return *function_; }
  [[nodiscard]] const std::vector<train::Candidate>& candidates() const { return candidates_; }
  // Appends the adapters; a weight that has one says so.
  void add_to(std::vector<Parameter>& parameters) const;

  [[nodiscard]] bool owns(const train::Lifted::Parameter& parameter) const;
  // A parameter trained beside the adapters, as one of the source.
  [[nodiscard]] train::Lifted::Parameter of_source(train::Lifted::Parameter parameter) const;

  // The adapters as they are now, in fp32.
  [[nodiscard]] train::AdapterSet now(const train::Trainer& trainer) const;
  // All is checked before anything changes.
  void load(const std::filesystem::path& path, train::Trainer& trainer) const;

 private:
  const ir::Function& source_;
  std::unique_ptr<ir::Function> function_;
  train::AdapterSet begun_;
  std::vector<train::Candidate> candidates_;
  std::unordered_map<const ir::Operation*, const ir::Operation*> sources_;
};

}  // namespace mw
