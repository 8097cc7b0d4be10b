// Matching modules with weights; the folders that frameworks keep adapters in.
#include "adapters/modules.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "adapters/module_names.h"
#include "base/atomic_write.h"
#include "base/error.h"
#include "base/finite.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = size_t{1} << 20, kMostIndexBytes = size_t{1} << 28;

std::string text_of(const fs::path& path, size_t most) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > most) {
    fail(ErrorCode::kInvalidArgument, "expected at most {} bytes, got {}", most, bytes.size());
  }
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  file->check_intact();
  return text;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

void add(ModuleMap& map, const std::string& module, const std::string& weight) {
  if (map.emplace(module, weight).second) return;
  fail(ErrorCode::kInvalidArgument, "module '{}': expected one weight, got two", module);
}

ModuleMap map_in_lines(const std::string& text) {
  ModuleMap map;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const size_t sign = line.find('=');
    const std::string module = trimmed(line.substr(0, sign));
    const std::string weight = sign == std::string::npos ? "" : trimmed(line.substr(sign + 1));
    if (module.empty() || weight.empty()) {
      fail(ErrorCode::kInvalidArgument, "line {}: expected MODULE = WEIGHT, got '{}'", number,
           line);
    }
    add(map, module, weight);
  }
  return map;
}

// Nothing where it is the index of a model.
ModuleMap map_in_json(const std::string& text) {
  ModuleMap map;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) fail(ErrorCode::kInvalidArgument, "expected a JSON object");
  if (json.contains("weight_map") && json["weight_map"].is_object()) return map;
  for (const auto& [module, weight] : json.items()) {
    if (!weight.is_string()) {
      fail(ErrorCode::kInvalidArgument, "module '{}': expected the name of a weight, got {}",
           module, weight.type_name());
    }
    add(map, module, weight.get<std::string>());
  }
  return map;
}

size_t place_named(const std::string& module, const std::string& name,
                   const std::vector<AdaptableWeight>& weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto& names = weights[i].names;
    if (std::find(names.begin(), names.end(), name) != names.end()) return i;
  }
  for (size_t i = 0; i < weights.size(); ++i) {
    for (const AdapterSite& site : weights[i].sites) {
      if (site.op->name() == name) return i;
    }
  }
  fail(ErrorCode::kInvalidArgument,
       "module '{}': expected a weight of the model, got '{}'; these can be adapted: {}", module,
       name, names_of(weights));
}

// Without trailing extents of one.
Shape squeezed(Shape shape) {
  while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
  return shape;
}

Tensor fitted(const Tensor& tensor, const Shape& expected, const std::string& name) {
  const bool vector = expected.size() == 1;
  const bool fits =
      vector ? tensor.count() == expected[0] : squeezed(tensor.shape()) == squeezed(expected);
  if (!is_float(tensor.dtype()) || !fits) {
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

Adapter adapter_of(const std::string& module, const ModuleParts& parts,
                   const AdaptableWeight& weight) {
  if (!weight.obstacle.empty()) {
    fail(ErrorCode::kInvalidArgument, "module '{}': '{}' cannot be adapted: {}", module,
         weight.name(), weight.obstacle);
  }
  Adapter adapter = {
      weight.name(), fitted(parts.a, weight.shape_of_a(parts.rank), module + ".lora_A"),
      fitted(parts.b, weight.shape_of_b(parts.rank), module + ".lora_B"), parts.scale};
  if (!parts.magnitude.empty()) {
    adapter.magnitude = fitted(parts.magnitude, {adapter.b.dim(0)}, module + ".magnitude");
  }
  return adapter;
}

// The names in the index of a model that lies in several files, whose shapes it does not tell.
Shapes indexed_names(const fs::path& path) {
  const Json json = Json::parse(text_of(path, kMostIndexBytes), nullptr, false);
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

std::vector<Module> mapped_modules(const AdapterSet& set, const ModuleMap& map,
                                   const fs::path& names) {
  std::map<std::string, std::string> by_weight;
  for (const auto& [module, weight] : map) by_weight.emplace(weight, module);
  std::vector<Module> modules;
  for (const Adapter& adapter : set.adapters) {
    const auto found = by_weight.find(adapter.weight);
    if (found == by_weight.end()) {
      fail(ErrorCode::kInvalidArgument, "{}: expected a module for the weight '{}', found none",
           names.string(), adapter.weight);
    }
    modules.push_back({found->second, 2});
  }
  return modules;
}

// What users keep beside an adapter, such as a README.
void keep_others(const fs::path& old, const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(old)) {
    const fs::path name = entry.path().filename();
    if (name == kAdapterConfig || name == kPeftTensors || name == kMlxTensors) continue;
    fs::copy(entry.path(), folder / name,
             fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
}

}  // namespace

std::string config_text(const fs::path& path) { return text_of(path, kMostBytes); }

ModuleMap read_module_map(const fs::path& path) {
  if (path.empty() || path.extension() == ".safetensors") return {};
  return in_context([&] { return path.string(); },
                    [&] {
                      const std::string text = text_of(path, kMostIndexBytes);
                      return path.extension() == ".json" ? map_in_json(text) : map_in_lines(text);
                    });
}

std::vector<size_t> places_of(const std::vector<std::string>& modules,
                              const std::vector<AdaptableWeight>& weights, const ModuleMap& map) {
  std::vector<KnownName> known;
  for (size_t i = 0; i < weights.size(); ++i) {
    for (const std::string& name : weights[i].names) known.push_back({module_of_weight(name), i});
  }
  std::vector<std::string> wanted;
  for (const std::string& module : modules) {
    if (!map.contains(module)) wanted.push_back(plain_name(module));
  }
  const NameMatches matches = match_names(wanted, known);
  if (!matches.problem.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "expected modules that are named like weights of the model: {}; these can be adapted: {}; "
         "{} says which module has which weight",
         matches.problem, names_of(weights), setting("module_names"));
  }
  std::vector<size_t> places;
  auto next = matches.places.begin();
  for (const std::string& module : modules) {
    const auto found = map.find(module);
    places.push_back(found == map.end() ? *next++ : place_named(module, found->second, weights));
  }
  return places;
}

AdapterSet matched_adapters(const std::map<std::string, ModuleParts>& modules,
                            const std::vector<AdaptableWeight>& weights, const ModuleMap& map) {
  std::vector<std::string> names;
  names.reserve(modules.size());
  for (const auto& [module, parts] : modules) names.push_back(module);
  const std::vector<size_t> places = places_of(names, weights, map);
  std::map<size_t, std::string> by_place;  // in the order of the program
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [other, fresh] = by_place.emplace(places[i], names[i]);
    if (fresh) continue;
    fail(ErrorCode::kInvalidArgument, "modules '{}' and '{}' are one weight of the model, '{}'",
         other->second, names[i], weights[places[i]].name());
  }
  AdapterSet set;
  for (const auto& [place, module] : by_place) {
    set.adapters.push_back(adapter_of(module, modules.at(module), weights[place]));
  }
  return set;
}

std::vector<Module> modules_of(const AdapterSet& set, const fs::path& names) {
  if (const ModuleMap map = read_module_map(names); !map.empty()) {
    return mapped_modules(set, map, names);
  }
  std::vector<std::string> wanted;
  std::vector<Module> modules;
  for (const Adapter& adapter : set.adapters) {
    wanted.push_back(module_of_weight(adapter.weight));
    modules.push_back({wanted.back()});
  }
  if (names.empty()) return modules;
  const std::vector<Module> source = modules_in(names);
  std::vector<KnownName> known;
  for (size_t i = 0; i < source.size(); ++i) known.push_back({plain_name(source[i].name), i});
  const NameMatches matches = match_names(wanted, known);
  if (!matches.problem.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected modules that are named like the weights of the model: {}", names.string(),
         matches.problem);
  }
  for (size_t i = 0; i < modules.size(); ++i) modules[i] = source[matches.places[i]];
  return modules;
}

void expect_distinct(const std::vector<Module>& modules) {
  std::set<std::string> names;
  for (const Module& module : modules) {
    if (names.insert(module.name).second) continue;
    fail(ErrorCode::kInvalidArgument,
         "two adapters would be of the module '{}'; tell the names of the modules", module.name);
  }
}

void expect_replaceable_folder(const fs::path& folder) {
  std::error_code error;
  if (!is_there(folder)) return;
  if (!is_folder(folder)) {
    fail(ErrorCode::kIo, "{}: expected a folder to replace, got a file; remove it first",
         folder.string());
  }
  if (fs::is_empty(folder, error) || is_there(folder / kAdapterConfig)) return;
  fail(ErrorCode::kIo, "{}: expected an adapter's folder to replace, found no {} in it",
       folder.string(), kAdapterConfig);
}

void write_adapter_folder(const fs::path& folder, const std::string& config,
                          const char* tensors_name, const TensorMap& tensors,
                          const std::map<std::string, std::string>& metadata) {
  AtomicFolder target(folder);
  write_safetensors(target.temporary() / tensors_name, tensors, metadata);
  write_file_atomically(target.temporary() / kAdapterConfig, config);
  target.publish([&](const fs::path& old) {
    expect_replaceable_folder(old);
    keep_others(old, target.temporary());
  });
}

}  // namespace mw::adapters
