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

void add_factor(const std::string& name, const ir::Operation& op,
                std::vector<Parameter>& parameters) {
  parameters.push_back({.name = name, .places = {{op.outputs[0]->name}}, .is_factor = true});
}

// Among what a student says of its parameters.
void list(const adapters::Adapter& adapter, std::vector<mw::Parameter>& parameters) {
  for (mw::Parameter& parameter : parameters) {
    if (parameter.name == adapter.weight) parameter.reason = "frozen; LoRA adapts it";
  }
  const std::string reason = "LoRA of " + adapter.weight;
  parameters.push_back({adapters::name_of_a(adapter.weight), adapter.a.shape(), DType::kF32, true,
                        reason, mw::Parameter::Role::kAdapter});
  parameters.push_back({adapters::name_of_b(adapter.weight), adapter.b.shape(), DType::kF32, true,
                        reason, mw::Parameter::Role::kAdapter});
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
    const adapters::AdapterSet its = {rank, adapter.scale * static_cast<double>(rank), {}};
    if (rank == wanted.rank && static_cast<float>(its.alpha) == static_cast<float>(wanted.alpha)) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "expected {} as the student has, got {} of '{}'",
         describe(wanted), describe(its), adapter.weight);
  }
}

}  // namespace

StudentAdapters::StudentAdapters(const ir::Function& source, const Lora& lora, Selection& selection,
                                 passes::Watch* watch)
    : source_(source),
      begun_(adapters::begin_adapters(source, ops::catalog(), lora, names_of(selection.trained))) {
  adapters::Adapted adapted =
      adapters::adapted_by(source, begun_.adapters, {ops::catalog(), watch});
  function_ = std::move(adapted.function);
  for (const adapters::InsertedAdapter& made : adapted.made) {
    add_factor(adapters::name_of_a(made.weight), *made.a, selection.trained);
    add_factor(adapters::name_of_b(made.weight), *made.b, selection.trained);
  }
  for (const adapters::Adapter& adapter : begun_.adapters) list(adapter, selection.parameters);
}

adapters::AdapterSet StudentAdapters::now(const Trainer& trainer) const {
  adapters::AdapterSet set = begun_;
  for (adapters::Adapter& adapter : set.adapters) {
    adapter.a =
        copy_of(trainer.master(parameter_named(trainer, adapters::name_of_a(adapter.weight))));
    adapter.b =
        copy_of(trainer.master(parameter_named(trainer, adapters::name_of_b(adapter.weight))));
  }
  return set;
}

void StudentAdapters::load(const std::filesystem::path& path, Trainer& trainer) const {
  const adapters::AdapterSet set = adapters::read_adapters(path, source_, ops::catalog());
  in_context([&] { return path.string(); }, [&] { check_same(begun_, set); });
  for (const adapters::Adapter& adapter : set.adapters) {
    trainer.set_master(parameter_named(trainer, adapters::name_of_a(adapter.weight)), adapter.a);
    trainer.set_master(parameter_named(trainer, adapters::name_of_b(adapter.weight)), adapter.b);
  }
}

}  // namespace mw::training
