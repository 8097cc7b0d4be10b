// Adapters are inserted into a copy of the function, where the constants keep their names.
#include "train/student_adapters.h"

#include <algorithm>

#include "adapters/pipeline.h"
#include "base/error.h"
#include "ops/catalog.h"

namespace mw::training {
namespace {

std::vector<std::string> names_of(const std::vector<Parameter>& parameters) {
  std::vector<std::string> names;
  for (const Parameter& parameter : parameters) {
    for (const ir::ParameterId& place : parameter.places) names.push_back(place.value);
  }
  return names;
}

void add_part(const adapters::InsertedPart& part, std::vector<Parameter>& parameters) {
  Parameter parameter = {
      .name = part.name, .places = {{part.trained->outputs[0]->name}}, .is_factor = true};
  if (part.still != nullptr) parameter.still = part.still->outputs[0]->name;
  parameters.push_back(std::move(parameter));
}

// Among what a student says of its parameters.
void list(const adapters::Adapter& adapter, std::vector<mw::Parameter>& parameters) {
  for (mw::Parameter& parameter : parameters) {
    if (parameter.name == adapter.weight) parameter.reason = "frozen; LoRA adapts it";
  }
  const std::string reason = "LoRA of " + adapter.weight;
  for (const auto& [name, value] : adapters::parts_of(adapter)) {
    parameters.push_back(
        {name, value->shape(), DType::kF32, true, reason, mw::Parameter::Role::kAdapter});
  }
}

const Parameter& parameter_named(const Trainer& trainer, const std::string& name) {
  const auto& all = trainer.parameters();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& p) { return p.name == name; });
  MW_CHECK(found != all.end());
  return *found;
}

Tensor copy_of(const Tensor& master) {
  return master.dtype() == DType::kF32 ? master.clone() : master.to(DType::kF32);
}

void check_same(const adapters::AdapterSet& wanted, const adapters::AdapterSet& got) {
  const auto lacks = [](const adapters::AdapterSet& set, const adapters::Adapter& adapter) {
    return std::none_of(set.adapters.begin(), set.adapters.end(),
                        [&](const auto& other) { return other.weight == adapter.weight; });
  };
  for (const adapters::Adapter& adapter : wanted.adapters) {
    if (!lacks(got, adapter)) continue;
    fail(ErrorCode::kInvalidArgument, "expected factors of '{}' as the student has, got none",
         adapter.weight);
  }
  for (const adapters::Adapter& adapter : got.adapters) {
    if (lacks(wanted, adapter)) {
      fail(ErrorCode::kInvalidArgument,
           "it has factors of '{}', which the student does not adapt; name it in the targets",
           adapter.weight);
    }
    const int64_t rank = adapter.a.dim(0);
    const adapters::AdapterSet its = {rank, adapter.scale * static_cast<double>(rank), {adapter}};
    if (rank == wanted.rank && static_cast<float>(its.alpha) == static_cast<float>(wanted.alpha) &&
        adapters::has_magnitudes(its) == adapters::has_magnitudes(wanted)) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "expected {} as the student has, got {} of '{}'",
         describe(wanted), describe(its), adapter.weight);
  }
}

}  // namespace

StudentAdapters::StudentAdapters(const ir::Function& source, const Lora& lora, int64_t last_layers,
                                 Selection& selection, passes::Watch* watch)
    : source_(source),
      begun_(adapters::begin_adapters(source, ops::catalog(), lora, names_of(selection.trained),
                                      last_layers)) {
  adapters::Adapted adapted = adapters::adapted_by(
      source, begun_.adapters, adapters::Inserted::kToTrain, {ops::catalog(), watch});
  function_ = std::move(adapted.function);
  for (const adapters::InsertedAdapter& made : adapted.made) {
    for (const adapters::InsertedPart& part : made.parts) add_part(part, selection.trained);
  }
  for (const adapters::Adapter& adapter : begun_.adapters) list(adapter, selection.parameters);
}

adapters::AdapterSet StudentAdapters::now(const Trainer& trainer) const {
  adapters::AdapterSet set = begun_;
  for (adapters::Adapter& adapter : set.adapters) {
    for (const auto& [name, value] : adapters::parts_of(adapter)) {
      *value = copy_of(trainer.master(parameter_named(trainer, name)));
    }
  }
  return set;
}

void StudentAdapters::load(const std::filesystem::path& path,
                           const std::filesystem::path& module_names, Trainer& trainer) const {
  const adapters::AdapterSet set =
      adapters::read_adapters(path, source_, ops::catalog(), module_names);
  in_context([&] { return path.string(); }, [&] { check_same(begun_, set); });
  for (const adapters::Adapter& adapter : set.adapters) {
    for (const auto& [name, value] : adapters::parts_of(adapter)) {
      trainer.set_master(parameter_named(trainer, name), *value);
    }
  }
}

}  // namespace mw::training
