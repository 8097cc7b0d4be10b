// Factors of PEFT's modules to adapters of our weights, and back.
#include "adapters/peft.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "adapters/module_names.h"
#include "adapters/peft_config.h"
#include "base/atomic_write.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";
constexpr const char* kTensors = "adapter_model.safetensors";
constexpr const char* kPickle = "adapter_model.bin";
constexpr std::string_view kRoot = "base_model.model.";

struct Files {
  fs::path config, tensors;
};

Files files_at(const fs::path& path) {
  if (!is_folder(path)) return {path.parent_path() / kConfig, path};
  Files files = {path / kConfig, path / kTensors};
  if (!is_there(files.config)) {
    fail(ErrorCode::kIo, "{}: expected {} in an adapter's folder, found none", path.string(),
         kConfig);
  }
  if (!is_there(files.tensors)) {
    fail(ErrorCode::kIo, "{}: expected {} in an adapter's folder, found {}", path.string(),
         kTensors,
         is_there(path / kPickle) ? "adapter_model.bin, a pickle; save it as safetensors" : "none");
  }
  return files;
}

// The factors of one module, as the file has them.
struct Factors {
  const Tensor *a = nullptr, *b = nullptr;
};

struct Part {
  std::string module;
  bool is_a;
};

// "base_model.model.MODULE.lora_A.weight"; between the last two there may be the adapter's name.
Part part_of(const std::string& name) {
  const auto refuse = [&](const char* what) {
    fail(ErrorCode::kUnsupported, "tensor '{}': {}", name, what);
  };
  if (name.find("lora_magnitude_vector") != std::string::npos) {
    refuse("weights split into magnitude and direction (DoRA) cannot be computed here");
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
  const std::string module = name.substr(0, is_a ? a : b);
  return {module.starts_with(kRoot) ? module.substr(kRoot.size()) : module, is_a};
}

std::map<std::string, Factors> factors_in(const TensorMap& tensors) {
  std::map<std::string, Factors> modules;
  for (const auto& [name, tensor] : tensors) {
    const Part part = part_of(name);
    Factors& factors = modules[part.module];
    const Tensor*& place = part.is_a ? factors.a : factors.b;
    if (place != nullptr) {
      fail(ErrorCode::kInvalidArgument,
           "tensor '{}': module '{}' has this factor twice; keep one adapter", name, part.module);
    }
    place = &tensor;
  }
  for (const auto& [module, factors] : modules) {
    if (factors.a != nullptr && factors.b != nullptr) continue;
    fail(ErrorCode::kInvalidArgument, "module '{}': expected both factors, got lora_{} alone",
         module, factors.a != nullptr ? "A" : "B");
  }
  if (modules.empty()) fail(ErrorCode::kInvalidArgument, "it holds no factors");
  return modules;
}

// The weight of each module.
std::vector<size_t> places_of(const std::map<std::string, Factors>& modules,
                              const std::vector<AdaptableWeight>& weights) {
  std::vector<KnownName> known;
  for (size_t i = 0; i < weights.size(); ++i) {
    for (const std::string& name : weights[i].names) known.push_back({module_of_weight(name), i});
  }
  std::vector<std::string> wanted;
  wanted.reserve(modules.size());
  for (const auto& [module, factors] : modules) wanted.push_back(plain_name(module));
  NameMatches matches = match_names(wanted, known);
  if (!matches.problem.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "expected modules that are named like weights of the model: {}; these can be adapted: {}",
         matches.problem, names_of(weights));
  }
  return matches.places;
}

// Trailing extents of one do not count: a linear module may be a convolution of width 1 here.
Tensor fitted(const Tensor& tensor, const Shape& expected, const std::string& name) {
  const auto squeezed = [](Shape shape) {
    while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
    return shape;
  };
  if (!is_float(tensor.dtype()) || squeezed(tensor.shape()) != squeezed(expected)) {
    fail(ErrorCode::kInvalidArgument,
         "module '{}': expected floats of shape {}, got {} {}; it belongs to another model", name,
         to_string(expected), name_of(tensor.dtype()), to_string(tensor.shape()));
  }
  if (const auto at = first_not_finite(tensor)) {
    fail(ErrorCode::kInvalidArgument, "module '{}': expected finite numbers, got {}", name,
         not_finite_text(tensor, *at));
  }
  return tensor.to(DType::kF32).reshaped(expected);
}

Adapter adapter_of(const std::string& module, const Factors& factors, const AdaptableWeight& weight,
                   const PeftConfig& config) {
  if (!weight.obstacle.empty()) {
    fail(ErrorCode::kInvalidArgument, "module '{}': '{}' cannot be adapted: {}", module,
         weight.name(), weight.obstacle);
  }
  const int64_t rank = config.rank_of(module);
  return {weight.name(), fitted(*factors.a, weight.shape_of_a(rank), module + ".lora_A"),
          fitted(*factors.b, weight.shape_of_b(rank), module + ".lora_B"), config.scale_of(module)};
}

AdapterSet parse(const TensorMap& tensors, const PeftConfig& config,
                 const std::vector<AdaptableWeight>& weights) {
  const auto modules = factors_in(tensors);
  const std::vector<size_t> places = places_of(modules, weights);
  std::map<size_t, std::string> taken;
  AdapterSet set;
  size_t i = 0;
  for (const auto& [module, factors] : modules) {
    const size_t place = places[i++];
    const auto [other, fresh] = taken.emplace(place, module);
    if (!fresh) {
      fail(ErrorCode::kInvalidArgument, "modules '{}' and '{}' are one weight of the model, '{}'",
           other->second, module, weights[place].name());
    }
    set.adapters.push_back(adapter_of(module, factors, weights[place], config));
  }
  // In the order of the program.
  std::map<std::string, size_t> order;
  for (size_t k = 0; k < weights.size(); ++k) order.emplace(weights[k].name(), k);
  std::sort(set.adapters.begin(), set.adapters.end(),
            [&](const auto& a, const auto& b) { return order.at(a.weight) < order.at(b.weight); });
  set.rank = config.rank;
  set.alpha = config.scale_of("") * static_cast<double>(config.rank);
  return set;
}

// --- writing -----------------------------------------------------------------------------------

// A module of the model that the program was converted from.
struct Module {
  std::string name;
  size_t rank = 0;  // of its weight; 0: not known
};

// The names in the index of a model that lies in several files, whose shapes it does not tell.
Shapes indexed_names(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const auto* text = reinterpret_cast<const char*>(file->bytes().data());
  const auto json = nlohmann::json::parse(text, text + file->bytes().size(), nullptr, false);
  file->check_intact();
  Shapes names;
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected the index of a model, with a weight_map",
         path.string());
  }
  for (const auto& [name, place] : json["weight_map"].items()) names[name] = {};
  return names;
}

std::vector<Module> modules_in(const fs::path& path) {
  constexpr std::string_view kWeight = ".weight";
  std::vector<Module> modules;
  const auto shapes = path.extension() == ".json" ? indexed_names(path) : safetensors_shapes(path);
  for (const auto& [name, shape] : shapes) {
    if (!name.ends_with(kWeight)) continue;
    modules.push_back({name.substr(0, name.size() - kWeight.size()), shape.size()});
  }
  if (modules.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected tensors named MODULE.weight, found none",
         path.string());
  }
  return modules;
}

std::vector<Module> modules_of(const AdapterSet& set, const fs::path& module_names) {
  std::vector<std::string> wanted;
  std::vector<Module> modules;
  for (const Adapter& adapter : set.adapters) {
    wanted.push_back(module_of_weight(adapter.weight));
    modules.push_back({wanted.back()});
  }
  if (module_names.empty()) return modules;
  const std::vector<Module> source = modules_in(module_names);
  std::vector<KnownName> known;
  for (size_t i = 0; i < source.size(); ++i) known.push_back({plain_name(source[i].name), i});
  const NameMatches matches = match_names(wanted, known);
  if (!matches.problem.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected modules that are named like the weights of the model: {}",
         module_names.string(), matches.problem);
  }
  for (size_t i = 0; i < modules.size(); ++i) modules[i] = source[matches.places[i]];
  return modules;
}

// A convolution of width 1 that is a linear module there.
Tensor as_in(const Module& module, const Tensor& factor) {
  if (module.rank != 2 || factor.rank() <= 2) return factor;
  return factor.reshaped({factor.dim(0), factor.count() / factor.dim(0)});
}

// What users keep beside an adapter, such as a README.
void keep_others(const fs::path& old, const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(old)) {
    const fs::path name = entry.path().filename();
    if (name == kConfig || name == kTensors) continue;
    fs::copy(entry.path(), folder / name,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
}

}  // namespace

void expect_replaceable_peft(const fs::path& folder) {
  std::error_code error;
  if (!is_there(folder)) return;
  if (!is_folder(folder)) {
    fail(ErrorCode::kIo, "{}: expected a folder to replace, got a file; remove it first",
         folder.string());
  }
  if (fs::is_empty(folder, error) || is_there(folder / kConfig)) return;
  fail(ErrorCode::kIo, "{}: expected an adapter's folder to replace, found no {} in it",
       folder.string(), kConfig);
}

bool is_peft(const fs::path& path) {
  if (is_folder(path)) return true;
  return path.extension() == ".safetensors" && is_there(path.parent_path() / kConfig) &&
         !is_own_adapter(path);
}

AdapterSet read_peft(const fs::path& path, const std::vector<AdaptableWeight>& weights) {
  const Files files = files_at(path);
  const PeftConfig config = read_peft_config(files.config);
  const TensorMap tensors = read_tensors(files.tensors);
  return in_context([&] { return files.tensors.string(); },
                    [&] { return parse(tensors, config, weights); });
}

void write_peft(const fs::path& folder, const AdapterSet& set, const fs::path& module_names) {
  const std::vector<Module> modules = modules_of(set, module_names);
  TensorMap tensors;
  std::vector<std::string> names;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (std::find(names.begin(), names.end(), modules[i].name) != names.end()) {
      fail(ErrorCode::kInvalidArgument,
           "{}: two adapters would be of the module '{}'; tell the names of the modules",
           folder.string(), modules[i].name);
    }
    const std::string name = std::string(kRoot) + modules[i].name;
    tensors[name + ".lora_A.weight"] = as_in(modules[i], set.adapters[i].a);
    tensors[name + ".lora_B.weight"] = as_in(modules[i], set.adapters[i].b);
    names.push_back(modules[i].name);
  }
  AtomicFolder target(folder);
  write_safetensors(target.temporary() / kTensors, tensors, {{"format", "pt"}});
  write_file_atomically(target.temporary() / kConfig,
                        peft_config_text({.rank = set.rank, .alpha = set.alpha}, names));
  target.publish([&](const fs::path& old) {
    expect_replaceable_peft(old);
    keep_others(old, target.temporary());
  });
}

}  // namespace mw::adapters
