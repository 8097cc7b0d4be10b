// The lists of passes between a file and a plan; printing what a pass has made.
#include "api/pipeline.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "adapters/pipeline.h"
#include "base/error.h"
#include "base/printable.h"
#include "ir/text/text.h"
#include "ops/catalog.h"
#include "passes/dead_code.h"
#include "passes/precision.h"
#include "passes/round_products.h"
#include "passes/specialise.h"
#include "plan/pipeline.h"
#include "train/pipeline.h"

namespace mw {
namespace {

using ir::Function;
using FunctionPtr = std::unique_ptr<Function>;
using passes::Numerics;
using passes::Pass;

constexpr const char* kAll = "all";

FunctionPtr set_precision(const Function& source, const Numerics& numerics) {
  return passes::set_precision(source, ops::catalog(), numerics);
}

void round_products(Function& function, const Numerics&) {
  passes::round_products(function, ops::catalog());
}
bool multiplies_bf16(const Numerics& numerics) { return numerics.bf16_products; }

constexpr Pass<const Numerics> kOpen[] = {
    {passes::kPrecision, set_precision},
    {passes::kRoundProducts, round_products, multiplies_bf16},
};

FunctionPtr specialise(const Function& source, const Shapes& shapes) {
  return passes::specialise(source, ops::catalog(), {.shapes = shapes});
}

constexpr Pass<const Shapes> kPredict[] = {
    {passes::kSpecialise, specialise},
};

struct Chosen {
  const lm::Reading& reading;
  std::string position = {};  // set by one_position
};

FunctionPtr one_position(const Function& source, Chosen& chosen) {
  std::vector<FunctionPtr> specialised;
  if (!chosen.reading.chosen.empty()) {
    for (const Shapes& shapes : chosen.reading.calls()) {
      specialised.push_back(specialise(source, shapes));
    }
  }
  std::vector<ops::OutputAxis> outputs;
  outputs.reserve(chosen.reading.chosen.size());
  for (const auto& [name, axis] : chosen.reading.chosen) outputs.push_back({name, axis});
  auto made = ops::one_position(source, specialised, chosen.reading.whole, outputs, ops::catalog());
  chosen.position = std::move(made.position);
  return std::move(made.function);
}

void drop_dead_code(Function& function, Chosen& /*chosen*/) {
  passes::remove_dead_ops(function, ops::catalog());
}

constexpr passes::PassName kOnePosition = {
    "one_position",
    "keeps the outputs that are read, and computes of those with every position the one that is"};

constexpr Pass<Chosen> kRead[] = {
    {kOnePosition, one_position},
    {passes::kDeadCode, drop_dead_code},
};

// In the order of the pipelines, each once.
std::vector<std::string_view> known_names() {
  std::vector<std::string_view> names;
  for (const auto& pipeline : all_pipelines()) {
    for (const auto& pass : pipeline.passes) {
      if (std::ranges::find(names, pass.name) == names.end()) names.push_back(pass.name);
    }
  }
  return names;
}

void expect_known(const std::vector<std::string>& wanted) {
  const auto names = known_names();
  for (const std::string& name : wanted) {
    if (name == kAll || std::ranges::find(names, name) != names.end()) continue;
    fail(ErrorCode::kInvalidArgument, "{}: expected {} or one of {}, got '{}'",
         setting("print_after"), kAll, fmt::join(names, ", "), name);
  }
}

// At once, so that programs of several threads do not mix.
void print(std::string_view pass, const Function& function) {
  const std::string text =
      printable(fmt::format("// after {}\n{}", pass, ir::text::print(function)), Lines::kKept);
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

std::vector<passes::Listing> all_pipelines() {
  std::vector<passes::Listing> all = adapters::pipelines();
  all.push_back({"open", "a model is opened", passes::names_of<const Numerics>(kOpen)});
  all.push_back(
      {"predict", "it is run with inputs of new shapes", passes::names_of<const Shapes>(kPredict)});
  all.push_back({"read", "a text is generated", passes::names_of<Chosen>(kRead)});
  for (auto& of_room : {training::pipelines(), plan::pipelines()}) {
    all.insert(all.end(), of_room.begin(), of_room.end());
  }
  return all;
}

std::shared_ptr<passes::Watch> watch_of(const LoadOptions& options) {
  expect_known(options.print_after);
  auto watch = std::make_shared<passes::Watch>();
  if (options.print_after.empty()) return watch;
  const std::set<std::string, std::less<>> wanted(options.print_after.begin(),
                                                  options.print_after.end());
  watch->observer = [wanted](std::string_view pass, const Function& after) {
    if (wanted.contains(pass) || wanted.contains(kAll)) print(pass, after);
  };
  return watch;
}

Numerics numerics_of(Compute compute) {
  switch (compute) {
    case Compute::kFp64:
      return passes::kFp64;
    case Compute::kFp16:
      return passes::kFp16;
    case Compute::kBf16:
      return passes::kBf16;
    default:
      return passes::kFp32;
  }
}

FunctionPtr opened(const Function& function, const Numerics& numerics, passes::Watch* watch) {
  return passes::run<const Numerics>(kOpen, function, numerics, {ops::catalog(), watch});
}

FunctionPtr prediction_at(const Function& opened, const Shapes& shapes, passes::Watch* watch) {
  return passes::run<const Shapes>(kPredict, opened, shapes, {ops::catalog(), watch});
}

std::unique_ptr<ir::AdjustableFunction> adjustable_prediction_at(const Function& opened,
                                                                 const Shapes& shapes,
                                                                 passes::Watch* watch) {
  return passes::watched(
      passes::kSpecialise, {ops::catalog(), watch},
      [&] { return passes::specialise_adjustable(opened, ops::catalog(), {.shapes = shapes}); },
      [](const auto& made) { return made != nullptr ? made->function().get() : nullptr; });
}

ops::OnePosition read_of(const Function& opened, const lm::Reading& reading, passes::Watch* watch) {
  Chosen chosen{reading};
  FunctionPtr function = passes::run<Chosen>(kRead, opened, chosen, {ops::catalog(), watch});
  return {std::move(function), std::move(chosen.position)};
}

}  // namespace mw
