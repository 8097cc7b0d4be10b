// Adapters are inserted into a copy of the function; what is trained beside them is found there by
// its place.
#include "api/student_adapters.h"

#include <algorithm>

#include "base/error.h"
#include "ir/op_pairs.h"
#include "ops/catalog.h"

namespace mw {
namespace {

std::vector<std::string> names_of(const std::vector<train::Candidate>& candidates) {
  std::vector<std::string> names;
  names.reserve(candidates.size());
  for (const train::Candidate& candidate : candidates) names.push_back(candidate.name);
  return names;
}

const train::Lifted::Parameter& parameter_named(const train::Trainer& trainer,
                                                const std::string& name) {
  const auto& all = trainer.parameters();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& p) { return p.name == name; });
  MW_CHECK(found != all.end());
  return *found;
}

Tensor copy_of(const Tensor& master) {
  return master.dtype() == DType::kF32 ? master.clone() : master.to(DType::kF32);
}

void check_same(const train::AdapterSet& wanted, const train::AdapterSet& got) {
  const auto lacks = [](const train::AdapterSet& set, const ops::Adapter& adapter) {
    return std::none_of(set.adapters.begin(), set.adapters.end(),
                        [&](const auto& other) { return other.weight == adapter.weight; });
  };
  for (const ops::Adapter& adapter : wanted.adapters) {
    if (!lacks(got, adapter)) continue;
    fail(ErrorCode::kInvalidArgument, "expected factors of '{}' as the student has, got none",
         adapter.weight);
  }
  for (const ops::Adapter& adapter : got.adapters) {
    if (lacks(wanted, adapter)) {
      fail(ErrorCode::kInvalidArgument,
           "it has factors of '{}', which the student does not adapt; name it in the targets",
           adapter.weight);
    }
    const int64_t rank = adapter.a.dim(0);
    const train::AdapterSet its = {rank, adapter.scale * static_cast<double>(rank), {}};
    if (rank == wanted.rank && static_cast<float>(its.alpha) == static_cast<float>(wanted.alpha)) {
      continue;
    }
    fail(ErrorCode::kInvalidArgument, "expected {} as the student has, got {} of '{}'",
         describe(wanted), describe(its), adapter.weight);
  }
}

}  // namespace

StudentAdapters::StudentAdapters(const ir::Function& source, const Lora& lora,
                                 const std::vector<train::Candidate>& beside)
    : source_(source),
      function_(ir::clone(source)),
      begun_(train::begin_adapters(source, ops::catalog(), lora, names_of(beside))) {
  const ir::OpPairs pairs = ir::pair_ops(source.body, function_->body);
  for (const train::Candidate& candidate : beside) {
    const ir::Operation* op = pairs.at(candidate.op);
    sources_[op] = candidate.op;
    candidates_.push_back({op, candidate.name});
  }
  for (const ops::InsertedAdapter& made :
       ops::insert_adapters(*function_, ops::catalog(), begun_.adapters)) {
    candidates_.push_back({made.a, ops::name_of_a(made.weight), true});
    candidates_.push_back({made.b, ops::name_of_b(made.weight), true});
  }
}

void StudentAdapters::add_to(std::vector<Parameter>& parameters) const {
  for (const ops::Adapter& adapter : begun_.adapters) {
    for (Parameter& parameter : parameters) {
      if (parameter.name == adapter.weight) parameter.reason = "frozen; LoRA adapts it";
    }
    const std::string reason = "LoRA of " + adapter.weight;
    parameters.push_back({ops::name_of_a(adapter.weight), adapter.a.shape(), DType::kF32, true,
                          reason, Parameter::Role::kAdapter});
    parameters.push_back({ops::name_of_b(adapter.weight), adapter.b.shape(), DType::kF32, true,
                          reason, Parameter::Role::kAdapter});
  }
}

bool StudentAdapters::owns(const train::Lifted::Parameter& parameter) const {
  return std::any_of(begun_.adapters.begin(), begun_.adapters.end(), [&](const auto& adapter) {
    return parameter.name == ops::name_of_a(adapter.weight) ||
           parameter.name == ops::name_of_b(adapter.weight);
  });
}

train::Lifted::Parameter StudentAdapters::of_source(train::Lifted::Parameter parameter) const {
  for (const ir::Operation*& op : parameter.consts) op = sources_.at(op);
  return parameter;
}

train::AdapterSet StudentAdapters::now(const train::Trainer& trainer) const {
  train::AdapterSet set = begun_;
  for (ops::Adapter& adapter : set.adapters) {
    adapter.a = copy_of(trainer.master(parameter_named(trainer, ops::name_of_a(adapter.weight))));
    adapter.b = copy_of(trainer.master(parameter_named(trainer, ops::name_of_b(adapter.weight))));
  }
  return set;
}

void StudentAdapters::load(const std::filesystem::path& path, train::Trainer& trainer) const {
  const train::AdapterSet set = train::read_adapters(path, source_, ops::catalog());
  in_context([&] { return path.string(); }, [&] { check_same(begun_, set); });
  for (const ops::Adapter& adapter : set.adapters) {
    trainer.set_master(parameter_named(trainer, ops::name_of_a(adapter.weight)), adapter.a);
    trainer.set_master(parameter_named(trainer, ops::name_of_b(adapter.weight)), adapter.b);
  }
}

}  // namespace mw
