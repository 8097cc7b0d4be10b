// Choosing weights, and how their adapters begin.
#include "adapters/set.h"

#include <algorithm>
#include <cmath>

#include "adapters/layers.h"
#include "adapters/magnitude.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/random.h"

namespace mw::adapters {
namespace {

using Weights = std::vector<AdaptableWeight>;

bool matches(const std::string& glob, const AdaptableWeight& weight, const LastLayers& layers) {
  return std::any_of(weight.names.begin(), weight.names.end(), [&](const std::string& name) {
    return matches_glob(glob, name) && layers.takes(name, glob);
  });
}

// Which weights a target takes in; an error that says why it takes none.
void mark(const std::string& target, const Weights& weights, const LastLayers& layers,
          std::vector<bool>& chosen) {
  const AdaptableWeight* refused = nullptr;
  bool any = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!matches(target, weights[i], layers)) continue;
    const bool can = weights[i].obstacle.empty();
    chosen[i] = chosen[i] || can;
    any = any || can;
    if (!can && refused == nullptr) refused = &weights[i];
  }
  if (any) return;
  if (refused != nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "lora: target '{}': '{}' cannot be adapted: {}; these can: {}", target, refused->name(),
         refused->obstacle, names_of(weights));
  }
  fail(ErrorCode::kInvalidArgument,
       "lora: target '{}': expected a glob that matches a weight; these can be adapted: {}", target,
       names_of(weights));
}

// The seed and the name decide, so that other targets change nothing.
Tensor begin_a(const Shape& shape, uint64_t seed, const std::string& weight) {
  uint64_t state = Checksum().add(static_cast<int64_t>(seed)).add(weight).value();
  Tensor a(DType::kF32, shape);
  const double limit = std::sqrt(static_cast<double>(shape[0]) / static_cast<double>(a.count()));
  for (float& number : std::span(a.mutable_data<float>(), static_cast<size_t>(a.count()))) {
    const double unit = next_uniform(state);
    number = static_cast<float>((2 * unit - 1) * limit);
  }
  return a;
}

}  // namespace

void check_alpha(double alpha) {
  if (std::isfinite(alpha) && alpha > 0) return;
  fail(ErrorCode::kInvalidArgument, "lora: alpha: expected a number above 0, got {}", alpha);
}

void check_rank(int64_t rank) {
  if (rank >= 1 && rank <= kMostRank) return;
  fail(ErrorCode::kInvalidArgument, "lora: rank: expected a number from 1 to {}, got {}", kMostRank,
       rank);
}

AdapterSet begin_adapters(const ir::Function& function, const ir::Catalog& catalog,
                          const Lora& lora, const std::vector<std::string>& trained,
                          int64_t last_layers) {
  check_rank(lora.rank);
  check_alpha(lora.alpha);
  Weights weights = adaptable_weights(function, catalog);
  for (AdaptableWeight& weight : weights) {
    const bool itself = std::any_of(trained.begin(), trained.end(), [&](const std::string& name) {
      return std::find(weight.names.begin(), weight.names.end(), name) != weight.names.end();
    });
    if (itself) weight.obstacle = "it is trained itself";
  }
  std::vector<bool> chosen(weights.size(), false);
  if (lora.targets.empty()) {
    fail(ErrorCode::kInvalidArgument, "lora: targets: expected a glob, got none");
  }
  std::vector<std::string> names;
  for (const AdaptableWeight& weight : weights) names.push_back(weight.name());
  const LastLayers layers(names, last_layers);
  for (const std::string& target : lora.targets) mark(target, weights, layers, chosen);
  AdapterSet set{lora.rank, lora.alpha, {}};
  int64_t highest = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (chosen[i]) highest = std::max(highest, weights[i].full_rank());
  }
  if (lora.rank > highest) {
    fail(ErrorCode::kInvalidArgument,
         "lora: rank: expected at most {}, the rank of the largest weight, got {}", highest,
         lora.rank);
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!chosen[i]) continue;
    const AdaptableWeight& weight = weights[i];
    Adapter adapter = {weight.name(),
                       begin_a(weight.shape_of_a(lora.rank), lora.seed, weight.name()),
                       Tensor(DType::kF32, weight.shape_of_b(lora.rank)),
                       set.alpha / static_cast<double>(set.rank)};
    if (lora.dora) adapter.magnitude = lengths_of(weight, value_of(weight, function, catalog));
    set.adapters.push_back(std::move(adapter));
  }
  return set;
}

std::string names_of(const std::vector<AdaptableWeight>& weights) {
  constexpr size_t kShown = 6;
  std::string text;
  size_t count = 0;
  for (const AdaptableWeight& weight : weights) {
    if (!weight.obstacle.empty()) continue;
    if (++count <= kShown) text += (count == 1 ? "" : ", ") + weight.name();
  }
  if (count > kShown) text += fmt::format(" and {} more", count - kShown);
  return count == 0 ? "none" : text;
}

bool has_magnitudes(const AdapterSet& set) {
  return std::any_of(set.adapters.begin(), set.adapters.end(),
                     [](const Adapter& adapter) { return !adapter.magnitude.empty(); });
}

std::string describe(const AdapterSet& set) {
  return fmt::format("rank {}, alpha {}{}", set.rank, static_cast<float>(set.alpha),
                     has_magnitudes(set) ? ", DoRA" : "");
}

}  // namespace mw::adapters
