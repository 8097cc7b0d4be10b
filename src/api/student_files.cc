// Trained weights and adapters brought back to the package they came from.
#include "api/student_files.h"

#include <algorithm>
#include <deque>

#include "exporter/export.h"

namespace mw {
namespace {

// The parameters that are weights of the model, as they stand in its function.
std::deque<train::Lifted::Parameter> weights_in(const train::Trainer& trainer,
                                                const StudentAdapters* adapters) {
  std::deque<train::Lifted::Parameter> weights;
  for (const auto& parameter : trainer.parameters()) {
    if (adapters != nullptr && adapters->owns(parameter)) continue;
    weights.push_back(adapters != nullptr ? adapters->of_source(parameter) : parameter);
  }
  return weights;
}

}  // namespace

std::vector<std::string> save_student(const StudentSource& source, const train::Trainer& trainer,
                                      const StudentAdapters* adapters,
                                      const std::filesystem::path& path) {
  const auto parameters = weights_in(trainer, adapters);
  std::vector<exporter::TrainedWeight> weights;
  weights.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    weights.push_back({&parameter, trainer.master(parameter)});
  }
  auto exported = exporter::with_weights(source.model, source.function, weights, source.reach);
  if (adapters != nullptr) {
    const auto more =
        exporter::fuse(exported.model, source.function.name, adapters->now(trainer), source.reach);
    exported.warnings.insert(exported.warnings.end(), more.begin(), more.end());
  }
  if (const int64_t steps = trainer.steps_done(); steps > 0) {
    auto& metadata = exported.model.metadata.user_defined;
    metadata["millwright.trained_steps"] = std::to_string(steps);
    metadata["millwright.trained_parameters"] = std::to_string(trainer.parameters().size());
  }
  const auto notes = package::write(exported.model, path);
  exported.warnings.insert(exported.warnings.end(), notes.begin(), notes.end());
  return exported.warnings;
}

std::vector<std::string> notes_of_student(const StudentSource& source,
                                          const train::Trainer& trainer,
                                          const StudentAdapters* adapters) {
  std::vector<const ir::Value*> values;
  for (const auto& parameter : weights_in(trainer, adapters)) {
    const ir::Value* value = parameter.consts[0]->outputs[0].get();
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  auto notes = exporter::notes_on_sharing(source.model, source.function, values, source.reach);
  if (adapters != nullptr) {
    const auto more = exporter::notes_on_sharing(source.model, source.function,
                                                 adapters->now(trainer), source.reach);
    notes.insert(notes.end(), more.begin(), more.end());
  }
  return notes;
}

}  // namespace mw
