// Choosing, beginning, writing and reading adapters.
#include "train/lora.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/finite.h"
#include "base/glob.h"
#include "base/random.h"
#include "base/tensor_file.h"
#include "train/checksum.h"
#include "train/peft.h"

namespace mw::train {
namespace {

using ops::AdaptableWeight;
using Weights = std::vector<AdaptableWeight>;

constexpr const char* kFormat = "millwright.lora";
constexpr const char* kVersion = "1";

bool matches(const std::string& glob, const AdaptableWeight& weight) {
  return std::any_of(weight.names.begin(), weight.names.end(),
                     [&](const std::string& name) { return matches_glob(glob, name); });
}

void check_alpha(double alpha) {
  if (std::isfinite(alpha) && alpha > 0) return;
  fail(ErrorCode::kInvalidArgument, "lora: alpha: expected a number above 0, got {}", alpha);
}

void check_rank(int64_t rank) {
  if (rank >= 1 && rank <= kMostRank) return;
  fail(ErrorCode::kInvalidArgument, "lora: rank: expected a number from 1 to {}, got {}", kMostRank,
       rank);
}

// Which weights a target takes in; an error that says why it takes none.
void mark(const std::string& target, const Weights& weights, std::vector<bool>& chosen) {
  const AdaptableWeight* refused = nullptr;
  bool any = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!matches(target, weights[i])) continue;
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

double number_in(const std::map<std::string, std::string>& metadata, const char* key) {
  const auto found = metadata.find(key);
  double number = 0;
  if (found != metadata.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return number;
  }
  fail(ErrorCode::kInvalidArgument, "metadata '{}': expected a number, got {}", key,
       found == metadata.end() ? "none" : "'" + found->second + "'");
}

int64_t rank_in(const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find("rank");
  const std::string text = found == metadata.end() ? "" : found->second;
  int64_t rank = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
  if (error == std::errc() && end == text.data() + text.size()) {
    check_rank(rank);
    return rank;
  }
  fail(ErrorCode::kInvalidArgument,
       "metadata 'rank': expected a whole number from 1 to {} in digits, got {}", kMostRank,
       found == metadata.end() ? "none" : "'" + text + "'");
}

void check_factor(const TensorMap& tensors, const std::string& name, const Shape& expected) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    fail(ErrorCode::kInvalidArgument, "tensor '{}': expected both factors of a weight, got one",
         name);
  }
  const Tensor& tensor = found->second;
  if (tensor.shape() != expected || !is_float(tensor.dtype())) {
    fail(ErrorCode::kInvalidArgument,
         "tensor '{}': expected floats of shape {}, got {} {}; it belongs to another model or rank",
         name, to_string(expected), name_of(tensor.dtype()), to_string(tensor.shape()));
  }
  if (const auto at = first_not_finite(tensor)) {
    fail(ErrorCode::kInvalidArgument, "tensor '{}': expected finite numbers, got {}", name,
         not_finite_text(tensor, *at));
  }
}

AdapterSet parse(const TensorMap& tensors, const std::map<std::string, std::string>& metadata,
                 const Weights& weights) {
  const auto format = metadata.find("format"), version = metadata.find("version");
  if (format == metadata.end() || format->second != kFormat) {
    fail(ErrorCode::kInvalidArgument,
         "expected an adapter that Millwright wrote, or one of Hugging Face PEFT with "
         "adapter_config.json beside it");
  }
  if (version == metadata.end() || version->second != kVersion) {
    fail(ErrorCode::kUnsupported, "metadata 'version': expected {}, got {}", kVersion,
         version == metadata.end() ? "none" : version->second);
  }
  AdapterSet set;
  set.rank = rank_in(metadata);
  set.alpha = static_cast<float>(number_in(metadata, "alpha"));
  check_alpha(set.alpha);
  for (const AdaptableWeight& weight : weights) {
    const std::string a = ops::name_of_a(weight.name()), b = ops::name_of_b(weight.name());
    if (!weight.obstacle.empty() || (!tensors.contains(a) && !tensors.contains(b))) continue;
    check_factor(tensors, a, weight.shape_of_a(set.rank));
    check_factor(tensors, b, weight.shape_of_b(set.rank));
    set.adapters.push_back({weight.name(), tensors.at(a).to(DType::kF32),
                            tensors.at(b).to(DType::kF32),
                            set.alpha / static_cast<double>(set.rank)});
  }
  for (const auto& [name, tensor] : tensors) {
    const bool known = std::any_of(
        set.adapters.begin(), set.adapters.end(), [&n = name](const ops::Adapter& adapter) {
          return n == ops::name_of_a(adapter.weight) || n == ops::name_of_b(adapter.weight);
        });
    if (known) continue;
    fail(
        ErrorCode::kInvalidArgument,
        "tensor '{}': expected the factor of a weight that the model has, one of {}; it belongs to "
        "another model",
        name, names_of(weights));
  }
  if (set.adapters.empty()) fail(ErrorCode::kInvalidArgument, "it holds no factors");
  return set;
}

void expect_finite(const std::string& name, const Tensor& factor) {
  if (const auto at = first_not_finite(factor)) {
    fail(
        ErrorCode::kInvalidArgument,
        "adapter '{}': expected finite numbers to write, got {}; lower the learning rate, or go on "
        "from an earlier checkpoint",
        name, not_finite_text(factor, *at));
  }
}

}  // namespace

AdapterSet begin_adapters(const ir::Function& function, const ir::Catalog& catalog,
                          const Lora& lora, const std::vector<std::string>& trained) {
  check_rank(lora.rank);
  check_alpha(lora.alpha);
  Weights weights = ops::adaptable_weights(function, catalog);
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
  for (const std::string& target : lora.targets) mark(target, weights, chosen);
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
    set.adapters.push_back({weight.name(),
                            begin_a(weight.shape_of_a(lora.rank), lora.seed, weight.name()),
                            Tensor(DType::kF32, weight.shape_of_b(lora.rank)),
                            set.alpha / static_cast<double>(set.rank)});
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

bool is_own_adapter(const std::filesystem::path& path) {
  const auto metadata = safetensors_metadata(path);
  const auto format = metadata.find("format");
  return format != metadata.end() && format->second == kFormat;
}

void write_adapters(const std::filesystem::path& path, const AdapterSet& set,
                    const std::filesystem::path& module_names) {
  for (const ops::Adapter& adapter : set.adapters) {
    expect_finite(ops::name_of_a(adapter.weight), adapter.a);
    expect_finite(ops::name_of_b(adapter.weight), adapter.b);
  }
  if (path.extension().empty()) return write_peft(path, set, module_names);
  if (path.extension() != ".safetensors") {
    fail(
        ErrorCode::kInvalidArgument,
        "{}: expected a name that ends in .safetensors, or, for a folder of Hugging Face PEFT, one "
        "without an extension",
        path.string());
  }
  if (!module_names.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected no names of modules for a .safetensors file, which has those of weights; "
         "they are for a folder",
         path.string());
  }
  TensorMap tensors;
  for (const ops::Adapter& adapter : set.adapters) {
    tensors[ops::name_of_a(adapter.weight)] = adapter.a;
    tensors[ops::name_of_b(adapter.weight)] = adapter.b;
  }
  write_safetensors(path, tensors,
                    {{"format", kFormat},
                     {"version", kVersion},
                     {"rank", std::to_string(set.rank)},
                     {"alpha", fmt::format("{}", static_cast<float>(set.alpha))}});
}

AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog) {
  if (is_peft(path)) return read_peft(path, ops::adaptable_weights(function, catalog));
  if (path.extension() != ".safetensors") {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected an adapter, a .safetensors file or a folder of Hugging Face PEFT",
         path.string());
  }
  const TensorMap tensors = read_tensors(path);
  const auto metadata = safetensors_metadata(path);
  return in_context(
      [&] { return path.string(); },
      [&] { return parse(tensors, metadata, ops::adaptable_weights(function, catalog)); });
}

std::string describe(const AdapterSet& set) {
  return fmt::format("rank {}, alpha {}", set.rank, static_cast<float>(set.alpha));
}

}  // namespace mw::train
