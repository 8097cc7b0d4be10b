// Adapters of our own format; those of others are passed on.
#include "adapters/file.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "adapters/mlx.h"
#include "adapters/peft.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/paths.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

using Weights = std::vector<AdaptableWeight>;

constexpr const char* kFormat = "millwright.lora";
// The second has magnitudes.
constexpr const char *kVersion = "1", *kVersionWithMagnitudes = "2";

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
    fail(ErrorCode::kInvalidArgument, "tensor '{}': expected all parts of an adapter, got none",
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
         "expected an adapter that Millwright wrote, or one of Hugging Face PEFT or mlx-lm with "
         "adapter_config.json beside it");
  }
  const std::string told = version == metadata.end() ? "none" : version->second;
  const bool with_magnitudes = told == kVersionWithMagnitudes;
  if (told != kVersion && !with_magnitudes) {
    fail(ErrorCode::kUnsupported, "metadata 'version': expected {} or {}, got {}", kVersion,
         kVersionWithMagnitudes, told);
  }
  AdapterSet set;
  set.rank = rank_in(metadata);
  set.alpha = static_cast<float>(number_in(metadata, "alpha"));
  check_alpha(set.alpha);
  for (const AdaptableWeight& weight : weights) {
    const std::string a = name_of_a(weight.name()), b = name_of_b(weight.name());
    if (!weight.obstacle.empty() || (!tensors.contains(a) && !tensors.contains(b))) continue;
    check_factor(tensors, a, weight.shape_of_a(set.rank));
    check_factor(tensors, b, weight.shape_of_b(set.rank));
    Adapter adapter = {weight.name(), tensors.at(a).to(DType::kF32), tensors.at(b).to(DType::kF32),
                       set.alpha / static_cast<double>(set.rank)};
    if (with_magnitudes) {
      const std::string m = name_of_magnitude(weight.name());
      check_factor(tensors, m, {adapter.b.dim(0)});
      adapter.magnitude = tensors.at(m).to(DType::kF32);
    }
    set.adapters.push_back(std::move(adapter));
  }
  for (const auto& [name, tensor] : tensors) {
    const bool known =
        std::any_of(set.adapters.begin(), set.adapters.end(), [&n = name](const Adapter& adapter) {
          const auto parts = parts_of(adapter);
          return std::any_of(parts.begin(), parts.end(),
                             [&](const auto& part) { return part.first == n; });
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

bool is_own_adapter(const std::filesystem::path& path) {
  const auto metadata = safetensors_metadata(path);
  const auto format = metadata.find("format");
  return format != metadata.end() && format->second == kFormat;
}

void write_own(const std::filesystem::path& path, const AdapterSet& set) {
  TensorMap tensors;
  for (const Adapter& adapter : set.adapters) {
    for (const auto& [name, value] : parts_of(adapter)) tensors[name] = *value;
  }
  write_safetensors(path, tensors,
                    {{"format", kFormat},
                     {"version", has_magnitudes(set) ? kVersionWithMagnitudes : kVersion},
                     {"rank", std::to_string(set.rank)},
                     {"alpha", fmt::format("{}", static_cast<float>(set.alpha))}});
}

}  // namespace

std::optional<AdapterFormat> format_at(const std::filesystem::path& path) {
  if (!is_there(path)) return std::nullopt;
  const bool file = path.extension() == ".safetensors" && !is_folder(path);
  if (!file && !is_folder(path)) return std::nullopt;
  if (file && is_own_adapter(path)) return AdapterFormat::kMillwright;
  if (is_mlx(path)) return AdapterFormat::kMlx;
  const auto config = (file ? path.parent_path() : path) / kAdapterConfig;
  if (is_there(config)) return AdapterFormat::kPeft;
  return std::nullopt;
}

AdapterFormat format_for(const std::filesystem::path& path) {
  if (!path.extension().empty()) return AdapterFormat::kMillwright;
  return is_folder(path) && is_mlx(path) ? AdapterFormat::kMlx : AdapterFormat::kPeft;
}

void write_adapters(const std::filesystem::path& path, const AdapterSet& set, AdapterFormat format,
                    const std::filesystem::path& module_names) {
  for (const Adapter& adapter : set.adapters) {
    for (const auto& [name, value] : parts_of(adapter)) expect_finite(name, *value);
  }
  const bool own = format == AdapterFormat::kMillwright;
  if (path.extension() != (own ? ".safetensors" : "")) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected a name that ends in .safetensors, or, for a folder of Hugging Face PEFT or "
         "mlx-lm, one without an extension",
         path.string());
  }
  if (own && !module_names.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected no names of modules for a .safetensors file, which has those of weights; "
         "they are for a folder",
         path.string());
  }
  if (own) return write_own(path, set);
  if (format == AdapterFormat::kPeft) return write_peft(path, set, module_names);
  write_mlx(path, set, module_names);
}

AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog, const std::filesystem::path& module_names) {
  const auto weights = [&] { return adaptable_weights(function, catalog); };
  const std::optional<AdapterFormat> format = format_at(path);
  if (format == AdapterFormat::kMlx) {
    return read_mlx(path, weights(), read_module_map(module_names));
  }
  if (format == AdapterFormat::kPeft || is_folder(path)) {
    return read_peft(path, weights(), read_module_map(module_names));
  }
  if (path.extension() != ".safetensors") {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected an adapter, a .safetensors file or a folder of Hugging Face PEFT or mlx-lm",
         path.string());
  }
  const TensorMap tensors = read_tensors(path);
  const auto metadata = safetensors_metadata(path);
  return in_context([&] { return path.string(); },
                    [&] { return parse(tensors, metadata, weights()); });
}

}  // namespace mw::adapters
