// Trained weights and adapters brought back to the package they came from.
#include "api/student_files.h"

#include <algorithm>
#include <ranges>

#include "exporter/export.h"

namespace mw {
namespace {

// The parameters that are weights of the model.
auto weights_in(const training::Trainer& trainer) {
  return trainer.parameters() |
         std::views::filter([](const training::Parameter& p) { return !p.is_factor; });
}

}  // namespace

std::vector<std::string> save_student(const StudentPackage& source,
                                      const training::Student& student,
                                      const std::filesystem::path& path) {
  const training::Trainer& trainer = student.trainer();
  std::vector<exporter::TrainedWeight> weights;
  for (const training::Parameter& parameter : weights_in(trainer)) {
    weights.push_back({&parameter, trainer.master(parameter)});
  }
  auto exported = exporter::with_weights(source.model, source.function, weights, source.reach);
  const auto more = exporter::fuse(exported.model, source.function.name,
                                   student.adapters().now(trainer), source.reach);
  exported.warnings.insert(exported.warnings.end(), more.begin(), more.end());
  if (const int64_t steps = trainer.steps_done(); steps > 0) {
    auto& metadata = exported.model.metadata.user_defined;
    metadata["millwright.trained_steps"] = std::to_string(steps);
    metadata["millwright.trained_parameters"] = std::to_string(trainer.parameters().size());
  }
  const auto notes = package::write(exported.model, path);
  exported.warnings.insert(exported.warnings.end(), notes.begin(), notes.end());
  return exported.warnings;
}

std::vector<std::string> notes_of_student(const StudentPackage& source,
                                          const training::Student& student) {
  const training::Trainer& trainer = student.trainer();
  const auto constants = ir::constants_by_name(source.function);
  std::vector<const ir::Value*> values;
  for (const training::Parameter& parameter : weights_in(trainer)) {
    const ir::Value* value = constants.at(parameter.places.front().value);
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  auto notes = exporter::notes_on_sharing(source.model, source.function, values, source.reach);
  const auto more = exporter::notes_on_sharing(source.model, source.function,
                                               student.adapters().now(trainer), source.reach);
  notes.insert(notes.end(), more.begin(), more.end());
  return notes;
}

}  // namespace mw
