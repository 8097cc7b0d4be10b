// Opening models: package, function, adapters, the program as it is run, its session.
#include "api/open.h"

#include <algorithm>
#include <limits>

#include "adapters/file.h"
#include "adapters/pipeline.h"
#include "api/pipeline.h"
#include "base/error.h"
#include "base/threads.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "ops/rewrites/every_position.h"
#include "plan/constant_pool.h"
#include "train/settings.h"

namespace mw {
namespace {

const package::FunctionDescription& pick_function(const package::Model& model,
                                                  const std::string& wanted) {
  const std::string name = wanted.empty() ? model.default_function : wanted;
  if (const package::FunctionDescription* found = model.find_function(name)) return *found;
  std::string names;
  for (const auto& function : model.functions) names += (names.empty() ? "" : ", ") + function.name;
  fail(ErrorCode::kInvalidArgument, "function '{}': expected one of {}", name, names);
}

// Per flexible input the largest extent of each axis that the description allows.
Shapes largest_shapes(const package::FunctionDescription& description) {
  constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();
  Shapes result;
  for (const package::Feature& input : description.inputs) {
    Shape& largest = result[input.name];
    for (const auto& range : input.ranges) {
      largest.push_back(range.upper < 0 ? kUnbounded : range.upper);
    }
    for (const Shape& shape : input.enumerated) {
      largest.resize(std::max(largest.size(), shape.size()), 0);
      for (size_t i = 0; i < shape.size(); ++i) largest[i] = std::max(largest[i], shape[i]);
    }
    if (largest.empty()) result.erase(input.name);
  }
  return result;
}

// A function that puts tokens into the cache, in blocks.
constexpr const char* kBlockFunction = "prefill";
// Another function of the same package, opened alike; null where it cannot be: an adapter may be of
// one function alone.
std::shared_ptr<const CoreMLModelWrapper::Impl> another(const CoreMLModelWrapper::Impl& impl,
                                                        package::Model model,
                                                        const std::string& function,
                                                        const std::string& stands_for = "") {
  auto other = std::make_shared<CoreMLModelWrapper::Impl>();
  other->path = impl.path;
  other->options = impl.options;
  other->options.function = function;
  other->watch = impl.watch;
  other->model = std::move(model);
  other->stands_for = stands_for;
  try {
    open(*other);
  } catch (const Error&) {
    return nullptr;
  }
  return other;
}

}  // namespace

std::unique_ptr<exec::Session> make_session(const CoreMLModelWrapper::Impl& impl,
                                            const ir::Function& function,
                                            const std::vector<std::string>& taps) {
  const auto specialiser = [&function, watch = impl.watch](const Shapes& shapes) {
    return prediction_at(function, shapes, watch.get());
  };
  exec::SessionOptions options;
  options.threads = impl.options.threads;
  options.naive = impl.options.naive || !numerics_of(impl.options.compute).has_kernels();
  options.profile = impl.options.profile;
  options.taps = taps;
  options.largest_shapes = largest_shapes(*impl.description);
  options.files = impl.model.weight_files;
  options.watch = impl.watch;
  options.pool = impl.pool;
  options.adjustable = [&function, watch = impl.watch](const Shapes& shapes) {
    return adjustable_prediction_at(function, shapes, watch.get());
  };
  return std::make_unique<exec::Session>(function, specialiser,
                                         devices::platform(impl.options.device), options);
}

void open(CoreMLModelWrapper::Impl& impl) {
  impl.description = &pick_function(impl.model, impl.options.function);
  impl.function = impl.model.program->find_function(impl.description->name);
  if (impl.function == nullptr) {
    fail(ErrorCode::kInvalidModel,
         "the description names function '{}', which the program does not have",
         impl.description->name);
  }
  if (impl.options.adapter.empty() && !impl.options.module_names.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {} beside it, got none",
         setting("module_names"), setting("adapter"));
  }
  if (!impl.options.adapter.empty()) {
    const auto set = adapters::read_adapters(impl.options.adapter, *impl.function, ops::catalog(),
                                             impl.options.module_names);
    impl.adapted = adapters::adapted_by(*impl.function, set.adapters, adapters::Inserted::kToRun,
                                        {ops::catalog(), impl.watch.get()})
                       .function;
    impl.function = impl.adapted.get();
  }
  impl.lowered = opened(*impl.function, numerics_of(impl.options.compute), impl.watch.get());
  impl.pool = std::make_shared<plan::ConstantPool>();
  impl.session = make_session(impl, *impl.lowered, {});
}

CoreMLModelWrapper CoreMLModelWrapper::load(const std::filesystem::path& path,
                                            const LoadOptions& options) {
  // All three throw before anything is read.
  training::check(options);
  (void)devices::platform(options.device);
  const auto watch = watch_of(options);
  const Computation computation(1);
  CoreMLModelWrapper wrapper;
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  impl->options = options;
  impl->watch = watch;
  impl->model = package::read(path);
  in_context([&] { return path.string(); },
             [&] {
               (void)package::correct(impl->model, ops::catalog());
               open(*impl);
             });
  wrapper.impl_ = std::move(impl);
  return wrapper;
}

std::shared_ptr<const lm::Model> CoreMLModelWrapper::Impl::beside(const std::string& name) const {
  const std::lock_guard lock(beside_mutex_);
  const auto [known, fresh] = beside_.try_emplace(name);
  if (!fresh || name == description->name || model.find_function(name) == nullptr) {
    return known->second;
  }
  known->second = another(*this, model.clone(), name);
  return known->second;
}

std::shared_ptr<const CoreMLModelWrapper::Impl> CoreMLModelWrapper::Impl::by_blocks() const {
  const std::lock_guard lock(beside_mutex_);
  if (by_blocks_) return *by_blocks_;
  by_blocks_.emplace();
  const package::FunctionDescription* block = model.find_function(kBlockFunction);
  if (!stands_for.empty() || block == nullptr || block == description ||
      block->states != description->states) {
    return nullptr;
  }
  auto made = ops::every_position(*model.program->find_function(description->name),
                                  *model.program->find_function(kBlockFunction), ops::catalog());
  if (made == nullptr) return nullptr;
  // No function of a file is called so: the name would be no identifier. Sentences tell it.
  made->name = description->name + " by blocks";
  package::FunctionDescription described = *block;
  described.name = made->name;
  described.outputs = description->outputs;
  for (package::Feature& output : described.outputs) output.shape.clear();
  const std::string name = made->name;
  package::Model whole = model.clone();
  whole.program->functions.push_back(std::move(made));
  whole.functions.push_back(std::move(described));
  by_blocks_ = another(*this, std::move(whole), name, description->name);
  return *by_blocks_;
}

CoreMLModelWrapper CoreMLModelWrapper::Impl::for_texts(const CoreMLModelWrapper& model) {
  CoreMLModelWrapper made = model;
  if (const auto found = model.impl().by_blocks()) made.impl_ = found;
  return made;
}

}  // namespace mw
