// Factors of PEFT's modules to adapters of our weights, and back.
#include "adapters/peft.h"

#include <map>

#include "adapters/modules.h"
#include "adapters/peft_config.h"
#include "base/error.h"
#include "base/paths.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPickle = "adapter_model.bin";
constexpr std::string_view kRoot = "base_model.model.", kMagnitude = ".lora_magnitude_vector";

struct Files {
  fs::path config, tensors;
};

Files files_at(const fs::path& path) {
  if (!is_folder(path)) return {path.parent_path() / kAdapterConfig, path};
  Files files = {path / kAdapterConfig, path / kPeftTensors};
  if (!is_there(files.config)) {
    fail(ErrorCode::kIo, "{}: expected {} in an adapter's folder, found none", path.string(),
         kAdapterConfig);
  }
  if (!is_there(files.tensors)) {
    fail(ErrorCode::kIo, "{}: expected {} (or, of mlx-lm, {}) in an adapter's folder, found {}",
         path.string(), kPeftTensors, kMlxTensors,
         is_there(path / kPickle) ? "adapter_model.bin, a pickle; save it as safetensors" : "none");
  }
  return files;
}

// The parts of one module, as the file has them.
struct Parts {
  const Tensor *a = nullptr, *b = nullptr, *magnitude = nullptr;
};

struct Part {
  std::string module;
  const Tensor* Parts::*place;
};

// "base_model.model.MODULE.lora_A.weight", "base_model.model.MODULE.lora_magnitude_vector"; before
// `weight` there may be the adapter's name.
Part part_of(const std::string& name) {
  const auto refuse = [&](const char* what) {
    fail(ErrorCode::kUnsupported, "tensor '{}': {}", name, what);
  };
  const auto before = [&](size_t end) {
    const std::string module = name.substr(0, end);
    return module.starts_with(kRoot) ? module.substr(kRoot.size()) : module;
  };
  if (const size_t at = name.rfind(kMagnitude); at != std::string::npos) {
    return {before(at), &Parts::magnitude};
  }
  if (name.find("lora_embedding_") != std::string::npos) {
    refuse("adapters of embeddings cannot be computed here");
  }
  const size_t a = name.rfind(".lora_A."), b = name.rfind(".lora_B.");
  const bool is_a = a != std::string::npos, is_b = b != std::string::npos;
  if (is_a == is_b) {
    refuse(
        "expected a factor, lora_A or lora_B, of a module; weights trained as a whole "
        "(modules_to_save) are not taken");
  }
  if (!name.ends_with(".weight")) refuse("expected the weight of a factor; biases are not taken");
  return {before(is_a ? a : b), is_a ? &Parts::a : &Parts::b};
}

void expect_all(const std::string& module, const Parts& parts, bool with_magnitude) {
  if (parts.a == nullptr && parts.b == nullptr) {
    fail(ErrorCode::kInvalidArgument, "module '{}': expected both factors, got a magnitude alone",
         module);
  }
  if (parts.a == nullptr || parts.b == nullptr) {
    fail(ErrorCode::kInvalidArgument, "module '{}': expected both factors, got lora_{} alone",
         module, parts.a != nullptr ? "A" : "B");
  }
  if ((parts.magnitude != nullptr) == with_magnitude) return;
  fail(ErrorCode::kInvalidArgument,
       "module '{}': expected {} magnitude, as 'use_dora' says, got {}", module,
       with_magnitude ? "a" : "no", with_magnitude ? "none" : "one");
}

std::map<std::string, Parts> parts_in(const TensorMap& tensors, const PeftConfig& config) {
  std::map<std::string, Parts> modules;
  for (const auto& [name, tensor] : tensors) {
    const Part part = part_of(name);
    const Tensor*& place = modules[part.module].*part.place;
    if (place != nullptr) {
      fail(ErrorCode::kInvalidArgument,
           "tensor '{}': module '{}' has this factor twice; keep one adapter", name, part.module);
    }
    place = &tensor;
  }
  for (const auto& [module, parts] : modules) expect_all(module, parts, config.has_magnitudes);
  if (modules.empty()) fail(ErrorCode::kInvalidArgument, "it holds no factors");
  return modules;
}

AdapterSet parse(const TensorMap& tensors, const PeftConfig& config,
                 const std::vector<AdaptableWeight>& weights, const ModuleMap& map) {
  std::map<std::string, ModuleParts> modules;
  for (const auto& [module, parts] : parts_in(tensors, config)) {
    modules[module] = {*parts.a, *parts.b, parts.magnitude == nullptr ? Tensor() : *parts.magnitude,
                       config.rank_of(module), config.scale_of(module)};
  }
  AdapterSet set = matched_adapters(modules, weights, map);
  set.rank = config.rank;
  set.alpha = config.scale_of("") * static_cast<double>(config.rank);
  return set;
}

// A convolution of width 1 that is a linear module there.
Tensor as_in(const Module& module, const Tensor& factor) {
  if (module.rank != 2 || factor.rank() <= 2) return factor;
  return factor.reshaped({factor.dim(0), factor.count() / factor.dim(0)});
}

// PEFT has the magnitude of a convolution along the axis of its outputs.
Tensor magnitude_in(const Module& module, const Adapter& adapter) {
  if (module.rank == 2 || adapter.b.rank() <= 2) return adapter.magnitude;
  Shape shape(static_cast<size_t>(adapter.b.rank()), 1);
  shape[1] = adapter.magnitude.count();
  return adapter.magnitude.reshaped(shape);
}

}  // namespace

AdapterSet read_peft(const fs::path& path, const std::vector<AdaptableWeight>& weights,
                     const ModuleMap& map) {
  const Files files = files_at(path);
  const PeftConfig config = read_peft_config(files.config);
  const TensorMap tensors = read_tensors(files.tensors);
  return in_context([&] { return files.tensors.string(); },
                    [&] { return parse(tensors, config, weights, map); });
}

void write_peft(const fs::path& folder, const AdapterSet& set, const fs::path& module_names) {
  const std::vector<Module> modules = modules_of(set, module_names);
  in_context([&] { return folder.string(); }, [&] { expect_distinct(modules); });
  TensorMap tensors;
  std::vector<std::string> names;
  for (size_t i = 0; i < modules.size(); ++i) {
    const Adapter& adapter = set.adapters[i];
    const std::string name = std::string(kRoot) + modules[i].name;
    tensors[name + ".lora_A.weight"] = as_in(modules[i], adapter.a);
    tensors[name + ".lora_B.weight"] = as_in(modules[i], adapter.b);
    if (!adapter.magnitude.empty()) {
      tensors[name + std::string(kMagnitude)] = magnitude_in(modules[i], adapter);
    }
    names.push_back(modules[i].name);
  }
  const PeftConfig config = {
      .rank = set.rank, .alpha = set.alpha, .has_magnitudes = has_magnitudes(set)};
  write_adapter_folder(folder, peft_config_text(config, names), kPeftTensors, tensors,
                       {{"format", "pt"}});
}

}  // namespace mw::adapters
