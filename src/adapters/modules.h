// Modules, as frameworks call what holds a weight: which weight of a program is whose, and back.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "adapters/set.h"

namespace mw::adapters {

// Which weight a module has, by the names of both, as a file says it: a JSON object, or a line
// `MODULE = WEIGHT` each, where # begins a comment. For a weight the op that takes it may stand.
using ModuleMap = std::map<std::string, std::string>;
// Empty for no path, and for a model's weights, which modules_of() reads.
ModuleMap read_module_map(const std::filesystem::path& path);

// The weight of each module: what the map says, else the one that is named alike (module_names.h).
// Throws where there is none, or two would do.
std::vector<size_t> places_of(const std::vector<std::string>& modules,
                              const std::vector<AdaptableWeight>& weights, const ModuleMap& map);

// What a file has of one module.
struct ModuleParts {
  Tensor a, b, magnitude;  // any floats; the last may be empty
  int64_t rank = 0;        // that the file says
  double scale = 1;
};
// In the order of the program. Throws where a part has another shape than the weight asks for, or
// holds what is not finite. Trailing extents of one do not count: a linear module may be a
// convolution of width 1 here.
AdapterSet matched_adapters(const std::map<std::string, ModuleParts>& modules,
                            const std::vector<AdaptableWeight>& weights, const ModuleMap& map);

// A module of the model that the program was converted from.
struct Module {
  std::string name;
  size_t rank = 0;  // of its weight; 0: not known
};
// Of each adapter, by `names`: a .safetensors file with the weights of that model, the index .json
// of several, or a map as above. Without it as the weight is called, where dots are lost.
std::vector<Module> modules_of(const AdapterSet& set, const std::filesystem::path& names);
// Throws where two are called alike.
void expect_distinct(const std::vector<Module>& modules);

// The folder of an adapter that a framework reads.
inline constexpr const char* kAdapterConfig = "adapter_config.json";
inline constexpr const char* kPeftTensors = "adapter_model.safetensors";
inline constexpr const char* kMlxTensors = "adapters.safetensors";
// Throws where something else than an adapter's folder, or an empty one, stands at the place.
void expect_replaceable_folder(const std::filesystem::path& folder);
// Both files, in place of those of either form; other files in the folder stay. Atomic.
void write_adapter_folder(const std::filesystem::path& folder, const std::string& config,
                          const char* tensors_name, const TensorMap& tensors,
                          const std::map<std::string, std::string>& metadata);
// A JSON file of at most 1 MiB, as text.
std::string config_text(const std::filesystem::path& path);

}  // namespace mw::adapters
