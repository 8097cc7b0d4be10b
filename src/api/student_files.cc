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

template <class Keep>
void keep_functions(package::Model& model, const Keep& keep) {
  std::erase_if(model.program->functions, [&](const auto& f) { return !keep(f->name); });
  std::erase_if(model.functions, [&](const auto& f) { return !keep(f.name); });
}

// What changes together with the function that is trained: of one that stands for another, that one
// at least.
package::Model reached(const StudentPackage& source) {
  package::Model model = source.model.clone();
  if (source.stands_for.empty() || source.reach == exporter::Reach::kAllFunctions) return model;
  keep_functions(model, [&](const std::string& name) {
    return name == source.function.name || name == source.stands_for;
  });
  return model;
}
exporter::Reach reach_of(const StudentPackage& source) {
  return source.stands_for.empty() ? source.reach : exporter::Reach::kAllFunctions;
}

// The package as it was, with the functions that changed, and without one that stands for another.
package::Model written(const StudentPackage& source, package::Model changed) {
  if (source.stands_for.empty()) return changed;
  package::Model model = source.model.clone();
  for (auto& function : model.program->functions) {
    for (auto& other : changed.program->functions) {
      if (other != nullptr && other->name == function->name) function = std::move(other);
    }
  }
  keep_functions(model, [&](const std::string& name) { return name != source.function.name; });
  model.metadata = std::move(changed.metadata);
  return model;
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
  const package::Model model = reached(source);
  auto exported = exporter::with_weights(model, source.function, weights, reach_of(source));
  const auto more = exporter::fuse(exported.model, source.function.name,
                                   student.adapters().now(trainer), reach_of(source));
  exported.warnings.insert(exported.warnings.end(), more.begin(), more.end());
  if (const int64_t steps = trainer.steps_done(); steps > 0) {
    auto& metadata = exported.model.metadata.user_defined;
    metadata["millwright.trained_steps"] = std::to_string(steps);
    metadata["millwright.trained_parameters"] = std::to_string(trainer.parameters().size());
  }
  const auto notes = package::write(written(source, std::move(exported.model)), path);
  exported.warnings.insert(exported.warnings.end(), notes.begin(), notes.end());
  return exported.warnings;
}

std::vector<std::string> notes_of_student(const StudentPackage& source,
                                          const training::Student& student) {
  const training::Trainer& trainer = student.trainer();
  // One that stands for another calls its weights as that one does.
  package::Model model = source.model.clone();
  const std::string name = source.stands_for.empty() ? source.function.name : source.stands_for;
  if (!source.stands_for.empty()) {
    keep_functions(model, [&](const std::string& f) { return f != source.function.name; });
  }
  const ir::Function& function = *model.program->find_function(name);
  const auto constants = ir::constants_by_name(function);
  std::vector<const ir::Value*> values;
  for (const training::Parameter& parameter : weights_in(trainer)) {
    const auto found = constants.find(parameter.places.front().value);
    if (found == constants.end()) continue;
    const ir::Value* value = found->second;
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  auto notes = exporter::notes_on_sharing(model, function, values, source.reach);
  const auto more =
      exporter::notes_on_sharing(model, function, student.adapters().now(trainer), source.reach);
  notes.insert(notes.end(), more.begin(), more.end());
  return notes;
}

}  // namespace mw
