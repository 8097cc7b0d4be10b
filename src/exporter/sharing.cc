// notes_on_sharing(): the trained weights looked up in every other function.
#include "exporter/sharing.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "ops/catalog.h"
#include "ops/weights/shared_weights.h"

namespace mw::exporter {
namespace {

using Weight = std::vector<const ir::Value*>;  // all that show it

struct Other {
  std::string name;
  size_t shared = 0;  // of the trained weights
};

std::string text_of(const std::string& function, const std::vector<Other>& others, size_t all,
                    Reach reach) {
  std::string list;
  for (const Other& other : others) {
    list += fmt::format("{}{} ({} of {} weights)", list.empty() ? "" : ", ", other.name,
                        other.shared, all);
  }
  if (reach == Reach::kAllFunctions) {
    return fmt::format("changes functions {}, {}, which share what is trained", function, list);
  }
  return fmt::format(
      "changes function {} alone, whose weights are no longer shared with {}; the "
      "package grows by them",
      function, list);
}

std::vector<std::string> notes(const package::Model& model, const ir::Function& function,
                               const std::vector<Weight>& weights, Reach reach) {
  std::vector<std::string> sentences;
  std::vector<Other> others;
  for (const auto& candidate : model.program->functions) {
    if (candidate->name == function.name) continue;
    const ops::SharedWeights shared(function, *candidate);
    Other other{candidate->name};
    for (const Weight& weight : weights) {
      std::set<std::string> kept;
      bool is_shared = false;
      for (const ir::Value* value : weight) {
        is_shared = is_shared || !shared.twins(*value).empty();
        for (const std::string& name : shared.other_readers(*value)) kept.insert(name);
      }
      other.shared += is_shared ? 1 : 0;
      for (const std::string& name : kept) {
        sentences.push_back(
            fmt::format("function '{}': '{}' is made of the bytes of '{}', keeps them as they "
                        "were, and the package grows by them",
                        candidate->name, name, weight.front()->name));
      }
    }
    if (other.shared > 0) others.push_back(std::move(other));
  }
  if (!others.empty()) {
    sentences.insert(sentences.begin(), text_of(function.name, others, weights.size(), reach));
  }
  return sentences;
}

}  // namespace

std::vector<std::string> notes_on_sharing(const package::Model& model, const ir::Function& function,
                                          const std::vector<const ir::Value*>& weights,
                                          Reach reach) {
  std::vector<Weight> all;
  all.reserve(weights.size());
  for (const ir::Value* value : weights) all.push_back({value});
  return notes(model, function, all, reach);
}

std::vector<std::string> notes_on_sharing(const package::Model& model, const ir::Function& function,
                                          const adapters::AdapterSet& set, Reach reach) {
  if (set.adapters.empty()) return {};
  std::vector<Weight> all;
  for (const adapters::AdaptableWeight& weight :
       adapters::adaptable_weights(function, ops::catalog())) {
    const bool adapted = std::any_of(
        set.adapters.begin(), set.adapters.end(),
        [&](const adapters::Adapter& adapter) { return adapter.weight == weight.name(); });
    if (adapted) all.emplace_back(weight.values.begin(), weight.values.end());
  }
  return notes(model, function, all, reach);
}

}  // namespace mw::exporter
