// Functions of parts, copied one behind another.
#include "package/link.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "ir/rename.h"
#include "package/one_weight_file.h"

namespace mw::package {
namespace {

using ir::Type;
using ir::Value;

constexpr const char* kRemedy = "take all parts from one conversion";
constexpr std::string_view kOutputPrefix = "output_";
constexpr std::string_view kFillsCache = "prefill";  // functions that begin so

// Results and inputs that are the same thing.
std::string plain(const std::string& name) {
  return name.starts_with(kOutputPrefix) ? name.substr(kOutputPrefix.size()) : name;
}

// One function of the whole, part by part.
class Composer {
 public:
  Composer(Parts& parts, OneWeightFile& weights, ir::Function& made,
           FunctionDescription& description)
      : parts_(parts), weights_(weights), made_(made), description_(description) {}

  void add(Segment& segment) {
    const Model& model = *parts_.models[segment.part];
    const ir::Function& source = *model.program->find_function(segment.function);
    in_context([&] { return where(segment); },
               [&] {
                 expect_opset(source);
                 const FunctionDescription& described = *model.find_function(segment.function);
                 ir::ValueMap map;
                 for (const auto& argument : source.body.arguments) {
                   map[argument.get()] = argument_of(*argument, described, segment);
                 }
                 if (!results_.empty() && segment.taken.empty()) fail_untaken();
                 copy(source, segment.part, map);
                 results_of(source, described, segment.part, map);
               });
  }

  void finish() {
    for (const Result& result : results_) {
      if (result.taken_by) continue;
      if (result.value->producer == nullptr) {
        fail(ErrorCode::kUnsupported,
             "output '{}' of {}: is an input as it comes, which linking "
             "cannot keep",
             result.feature.name, parts_.title(result.part));
      }
      if (!names_.insert(result.feature.name).second) {
        fail(ErrorCode::kInvalidModel,
             "output '{}' of {}: another input or output of the linked function '{}' has this "
             "name; rename one by convert",
             result.feature.name, parts_.title(result.part), made_.name);
      }
      result.value->name = result.feature.name;
      made_.body.outputs.push_back(result.value);
      description_.outputs.push_back(result.feature);
    }
  }

 private:
  struct Result {
    size_t part = 0;
    Feature feature;
    Value* value = nullptr;
    std::optional<size_t> taken_by;  // a later part
  };

  [[nodiscard]] std::string where(const Segment& segment) const {
    return fmt::format("part {}: function '{}'", parts_.title(segment.part), segment.function);
  }

  void expect_opset(const ir::Function& source) {
    if (!first_) {
      made_.opset = source.opset;
      made_.attributes = source.attributes;
      first_ = true;
    }
    if (made_.opset == source.opset) return;
    fail(ErrorCode::kInvalidModel,
         "expected {} as the parts before it are for, got {}; convert all "
         "parts for one deployment target",
         ir::name_of(made_.opset), ir::name_of(source.opset));
  }

  [[noreturn]] void fail_untaken() const {
    std::string names;
    for (const Result& result : results_) {
      if (!result.taken_by) names += (names.empty() ? "'" : ", '") + result.feature.name + "'";
    }
    fail(ErrorCode::kInvalidModel,
         "expected an input for a result of the parts before it ({}), got none; {}",
         names.empty() ? "none is left" : names, kRemedy);
  }

  [[noreturn]] void fail_type(const Value& argument, const Type& wanted, size_t of,
                              const std::string& as) const {
    fail(ErrorCode::kInvalidModel, "{} '{}': expected {}, as '{}' of {} is, got {}; {}",
         argument.type.is_state() ? "state" : "input", argument.name, wanted.str(), as,
         parts_.title(of), argument.type.str(), kRemedy);
  }

  Value* argument_of(const Value& argument, const FunctionDescription& described,
                     Segment& segment) {
    const std::string& name = argument.name;
    if (!argument.type.is_state()) {
      if (Result* result = newest(name)) {
        if (result->taken_by) {
          fail(
              ErrorCode::kInvalidModel,
              "input '{}': expected a result that is left, but '{}' of {} went to {} already; name "
              "the parts in their order",
              name, result->feature.name, parts_.title(result->part),
              parts_.title(*result->taken_by));
        }
        if (!compatible(result->value->type, argument.type)) {
          fail_type(argument, result->value->type, result->part, result->feature.name);
        }
        settle(*result, argument.type);
        result->taken_by = segment.part;
        segment.taken.emplace_back(name, result->value->name);
        return result->value;
      }
    }
    if (Value* known = made_.find_argument(name)) {
      if (!(known->type == argument.type)) {
        fail_type(argument, known->type, first_user_.at(name), name);
      }
      return known;
    }
    names_.insert(name);
    first_user_[name] = segment.part;
    auto& features = argument.type.is_state() ? description_.states : description_.inputs;
    const Feature* feature =
        argument.type.is_state() ? described.find_state(name) : described.find_input(name);
    if (feature != nullptr) features.push_back(*feature);
    return made_.body.add_argument(name, argument.type);
  }

  Result* newest(const std::string& input) {
    const auto found = std::find_if(results_.rbegin(), results_.rend(), [&](const Result& result) {
      return plain(result.feature.name) == plain(input);
    });
    return found == results_.rend() ? nullptr : &*found;
  }

  // Where the result of a part with flexible inputs is taken at one length, its inputs get it.
  void settle(const Result& result, const Type& wanted) {
    Type& type = result.value->type;
    if (!type.is_tensor() || !wanted.is_tensor() || !type.has_rank() || !wanted.is_static()) return;
    std::set<int64_t> extents;
    for (size_t i = 0; i < type.shape().size(); ++i) {
      if (type.shape()[i] < 0) extents.insert(wanted.shape()[i]);
    }
    if (extents.size() == 1) {
      for (Feature& feature : description_.inputs) settle(feature, result, *extents.begin());
    }
    type = refine(type, wanted);
  }
  void settle(Feature& feature, const Result& result, int64_t extent) {
    Value* argument = made_.find_argument(feature.name);
    if (first_user_.at(feature.name) != result.part || argument == nullptr ||
        !argument->type.is_tensor() || !argument->type.has_rank() || argument->type.is_static()) {
      return;
    }
    Shape shape = argument->type.shape();
    for (int64_t& size : shape) size = size < 0 ? extent : size;
    if (!feature.accepts(shape)) {
      fail(ErrorCode::kInvalidModel,
           "expected that input '{}' of {} may have the shape {}, got another list of shapes; {}",
           feature.name, parts_.title(result.part), to_string(shape), kRemedy);
    }
    argument->type = Type::tensor(argument->type.dtype(), shape);
    feature.shape = shape;
    feature.ranges.clear();
    feature.enumerated.clear();
  }

  void copy(const ir::Function& source, size_t part, ir::ValueMap& map) {
    for (const auto& op : source.body.ops) {
      ir::Operation* made = ir::clone_into(*op, made_.body, map);
      weights_.take(part, *made);
      ir::rename(*made, [&](const std::string& name) { return parts_.linked_name(part, name); });
    }
  }

  void results_of(const ir::Function& source, const FunctionDescription& described, size_t part,
                  const ir::ValueMap& map) {
    for (const Value* output : source.body.outputs) {
      const Feature* feature = described.find_output(output->name);
      MW_CHECK(feature != nullptr);
      results_.push_back({part, *feature, map.at(output)});
    }
  }

  Parts& parts_;
  OneWeightFile& weights_;
  ir::Function& made_;
  FunctionDescription& description_;
  std::vector<Result> results_;
  std::map<std::string, size_t> first_user_;  // of an argument
  std::set<std::string> names_;               // of arguments and results
  bool first_ = false;
};

std::set<std::string> functions_of(const Model& model) {
  std::set<std::string> names;
  for (const auto& function : model.program->functions) names.insert(function->name);
  return names;
}

bool is_of_one(const Parts& parts, size_t i) {
  return !parts.list.files[i].function.empty() || parts.models[i]->program->functions.size() > 1;
}

// The functions of the whole, the default one first.
std::vector<std::string> linked_names(const Parts& parts) {
  std::vector<std::string> names;
  std::optional<size_t> first;
  for (size_t i = 0; i < parts.models.size(); ++i) {
    const Model& model = *parts.models[i];
    if (!parts.list.files[i].function.empty()) {
      names.push_back(parts.list.files[i].function);
      continue;
    }
    if (model.program->functions.size() == 1) continue;
    if (!first) {
      first = i;
      names.push_back(model.default_function);
      for (const auto& function : model.program->functions) names.push_back(function->name);
    } else if (functions_of(model) != functions_of(*parts.models[*first])) {
      fail(ErrorCode::kInvalidModel,
           "part {}: expected the functions {}, as {} has them, got {}; {}", parts.title(i),
           fmt::join(functions_of(*parts.models[*first]), ", "), parts.title(*first),
           fmt::join(functions_of(model), ", "), kRemedy);
    }
  }
  if (names.empty()) names.push_back(parts.models[0]->default_function);
  std::vector<std::string> once;
  for (const std::string& name : names) {
    if (std::find(once.begin(), once.end(), name) == once.end()) once.push_back(name);
  }
  return once;
}

LinkedFunction linked_function(const Parts& parts, const std::string& name) {
  LinkedFunction made{.name = name};
  size_t behind = 0;  // the last part that is not of every function
  for (size_t i = 0; i < parts.models.size(); ++i) {
    const PartFile& file = parts.list.files[i];
    if (!file.function.empty() && file.function != name) continue;
    const Model& model = *parts.models[i];
    const bool has_it = model.program->find_function(name) != nullptr;
    made.segments.push_back({i, has_it ? name : model.default_function});
    if (is_of_one(parts, i)) behind = made.segments.size();
  }
  if (name.starts_with(kFillsCache) && behind > 0) made.segments.resize(behind);
  return made;
}

void take_names(const ir::Block& block, std::unordered_set<std::string>& names) {
  for (const auto& argument : block.arguments) names.insert(argument->name);
  for (const auto& op : block.ops) {
    names.insert(op->name());
    for (const auto& output : op->outputs) names.insert(output->name);
    for (const auto& nested : op->blocks) take_names(*nested, names);
  }
}

void find_names(Parts& parts) {
  std::unordered_map<std::string, std::string> first;  // the label of the first part that has it
  for (size_t i = 0; i < parts.models.size(); ++i) {
    auto& names = parts.names.emplace_back();
    for (const auto& function : parts.models[i]->program->functions) {
      take_names(function->body, names);
    }
    const std::string& label = parts.list.files[i].label;
    for (const std::string& name : names) {
      if (first.try_emplace(name, label).first->second != label) parts.common_names.insert(name);
    }
  }
}

// What all parts that say it say alike.
Metadata common_metadata(const Parts& parts) {
  Metadata common = parts.models[0]->metadata;
  std::set<std::string> differ;
  for (const auto& model : parts.models) {
    const Metadata& other = model->metadata;
    if (other.short_description != common.short_description) common.short_description.clear();
    if (other.version != common.version) common.version.clear();
    if (other.author != common.author) common.author.clear();
    if (other.license != common.license) common.license.clear();
    for (const auto& [key, value] : other.user_defined) {
      if (common.user_defined.emplace(key, value).first->second != value) differ.insert(key);
    }
  }
  for (const std::string& key : differ) common.user_defined.erase(key);
  return common;
}

Model composed(const std::shared_ptr<Parts>& parts) {
  Model model;
  const Model& first = *parts->models[0];
  model.program = std::make_unique<ir::Program>();
  model.program->version = first.program->version;
  model.program->attributes = first.program->attributes;
  OneWeightFile weights(*parts);
  for (const std::string& name : linked_names(*parts)) {
    LinkedFunction linked = linked_function(*parts, name);
    ir::Function* made = model.program->add_function(name, ir::Opset::kIos15);
    FunctionDescription description{.name = name};
    Composer composer(*parts, weights, *made, description);
    for (Segment& segment : linked.segments) composer.add(segment);
    composer.finish();
    model.functions.push_back(std::move(description));
    parts->functions.push_back(std::move(linked));
  }
  model.default_function = model.functions[0].name;
  model.multi_function = model.functions.size() > 1;
  model.metadata = common_metadata(*parts);
  for (const auto& part : parts->models) {
    model.spec_version = std::max(model.spec_version, part->spec_version);
    model.weight_files.insert(model.weight_files.end(), part->weight_files.begin(),
                              part->weight_files.end());
  }
  model.path = parts->list.folder;
  model.parts = parts;
  return model;
}

}  // namespace

std::string Parts::linked_name(size_t part, const std::string& name) const {
  return common_names.contains(name) ? list.files[part].label + "_" + name : name;
}

std::optional<std::string> Parts::own_name(size_t part, const std::string& linked) const {
  const std::string prefix = list.files[part].label + "_";
  if (linked.starts_with(prefix)) {
    std::string own = linked.substr(prefix.size());
    if (common_names.contains(own) && names[part].contains(own)) return own;
  }
  if (!names[part].contains(linked)) return std::nullopt;
  return linked;
}

std::string Parts::title(size_t part) const {
  const PartFile& file = list.files[part];
  return file.label.empty() ? file.name : fmt::format("{} ({})", file.label, file.name);
}

Model link(PartList list, const std::function<Model(const std::filesystem::path&)>& read) {
  const auto parts = std::make_shared<Parts>();
  parts->list = std::move(list);
  for (const PartFile& file : parts->list.files) {
    parts->models.push_back(std::make_shared<const Model>(
        in_context([&] { return file.name; }, [&] { return read(file.path); })));
  }
  find_names(*parts);
  Model model = composed(parts);
  check_claims(model);
  return model;
}

}  // namespace mw::package
