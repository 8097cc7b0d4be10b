// Adapters of our own format; those of PEFT are passed on.
#include "adapters/file.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "adapters/peft.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

using Weights = std::vector<AdaptableWeight>;

constexpr const char* kFormat = "millwright.lora";
constexpr const char* kVersion = "1";

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
    const std::string a = name_of_a(weight.name()), b = name_of_b(weight.name());
    if (!weight.obstacle.empty() || (!tensors.contains(a) && !tensors.contains(b))) continue;
    check_factor(tensors, a, weight.shape_of_a(set.rank));
    check_factor(tensors, b, weight.shape_of_b(set.rank));
    set.adapters.push_back({weight.name(), tensors.at(a).to(DType::kF32),
                            tensors.at(b).to(DType::kF32),
                            set.alpha / static_cast<double>(set.rank)});
  }
  for (const auto& [name, tensor] : tensors) {
    const bool known =
        std::any_of(set.adapters.begin(), set.adapters.end(), [&n = name](const Adapter& adapter) {
          return n == name_of_a(adapter.weight) || n == name_of_b(adapter.weight);
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

bool is_own_adapter(const std::filesystem::path& path) {
  const auto metadata = safetensors_metadata(path);
  const auto format = metadata.find("format");
  return format != metadata.end() && format->second == kFormat;
}

void write_adapters(const std::filesystem::path& path, const AdapterSet& set,
                    const std::filesystem::path& module_names) {
  for (const Adapter& adapter : set.adapters) {
    expect_finite(name_of_a(adapter.weight), adapter.a);
    expect_finite(name_of_b(adapter.weight), adapter.b);
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
  for (const Adapter& adapter : set.adapters) {
    tensors[name_of_a(adapter.weight)] = adapter.a;
    tensors[name_of_b(adapter.weight)] = adapter.b;
  }
  write_safetensors(path, tensors,
                    {{"format", kFormat},
                     {"version", kVersion},
                     {"rank", std::to_string(set.rank)},
                     {"alpha", fmt::format("{}", static_cast<float>(set.alpha))}});
}

AdapterSet read_adapters(const std::filesystem::path& path, const ir::Function& function,
                         const ir::Catalog& catalog) {
  if (is_peft(path)) return read_peft(path, adaptable_weights(function, catalog));
  if (path.extension() != ".safetensors") {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected an adapter, a .safetensors file or a folder of Hugging Face PEFT",
         path.string());
  }
  const TensorMap tensors = read_tensors(path);
  const auto metadata = safetensors_metadata(path);
  return in_context([&] { return path.string(); },
                    [&] { return parse(tensors, metadata, adaptable_weights(function, catalog)); });
}

}  // namespace mw::adapters
