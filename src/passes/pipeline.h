// Pipelines: lists of named passes over a function, run in order; each is timed, its result may be
// looked at, and in tests and debug builds it is verified.
//
//   constexpr passes::Pass<Opening> kOpen[] = {
//       {kAdapters, insert_adapters, has_adapter},  // changes the function in place
//       {passes::kPrecision, set_precision},        // makes another one
//   };
//   auto opened = passes::run<Opening>(kOpen, function, opening, {catalog, &watch});
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/op_def.h"

namespace mw::passes {

// A pass as lists, tables of times and those who want to see its result call it: one word in
// snake_case; and what it does, for docs/passes.md.
struct PassName {
  std::string_view name, does;
};

// A pipeline as docs/passes.md shows it.
struct Listing {
  std::string_view name, when;
  std::vector<PassName> passes;
};

// Verifies after every pass: in debug builds, and where the environment has MW_VERIFY=1.
bool verifies_by_default();

// What looks at functions on their way through pipelines. What is set is set before the first pass;
// the rest is thread-safe.
class Watch {
 public:
  using Observer = std::function<void(std::string_view pass, const ir::Function& after)>;
  struct Time {
    std::string_view pass;
    int64_t calls = 0;
    double seconds = 0;
  };

  bool verifies = verifies_by_default();
  Observer observer;  // empty: nobody looks

  void add_time(std::string_view pass, double seconds);
  // In the order in which passes were first run.
  [[nodiscard]] std::vector<Time> times() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Time> times_;
};

// What every pass of a run is under.
struct Supervision {
  const ir::Catalog& catalog;
  Watch* watch = nullptr;  // null: only what verifies_by_default() says
};

// A pass that is no step of a list, because what it makes is no function alone: `make` is timed,
// then `function_of` what it made is looked at. Throws internal, with the name of the pass, where
// that function is unsound; what `make` throws passes as it is.
template <class Make, class FunctionOf>
auto watched(const PassName& pass, const Supervision& supervision, const Make& make,
             const FunctionOf& function_of);

template <class Context>
struct Pass {
  using Rewrite = void (*)(ir::Function&, Context&);
  using Rebuild = std::unique_ptr<ir::Function> (*)(const ir::Function&, Context&);

  PassName name;
  std::variant<Rewrite, Rebuild> run;
  bool (*applies)(const Context&) = nullptr;  // null: always
};

template <class Context>
std::vector<PassName> names_of(std::span<const Pass<Context>> passes) {
  std::vector<PassName> names;
  for (const Pass<Context>& pass : passes) names.push_back(pass.name);
  return names;
}

namespace detail {

class Stopwatch {
 public:
  Stopwatch();
  [[nodiscard]] double seconds() const;

 private:
  double started_;
};
// After a pass that took so long.
void look(const PassName& pass, const ir::Function& function, double seconds,
          const Supervision& supervision);

}  // namespace detail

// Runs the passes of a list that apply, over `function` itself. None of them makes another one.
template <class Context>
void rewrite(std::span<const Pass<Context>> passes, ir::Function& function, Context& context,
             const Supervision& supervision) {
  for (const Pass<Context>& pass : passes) {
    if (pass.applies != nullptr && !pass.applies(context)) continue;
    const detail::Stopwatch time;
    std::get<typename Pass<Context>::Rewrite>(pass.run)(function, context);
    detail::look(pass.name, function, time.seconds(), supervision);
  }
}

// Runs the passes of a list that apply. `source` stays as it is; where none applies, the result is
// a copy of it.
template <class Context>
std::unique_ptr<ir::Function> run(std::span<const Pass<Context>> passes, const ir::Function& source,
                                  Context& context, const Supervision& supervision) {
  std::unique_ptr<ir::Function> function;
  for (const Pass<Context>& pass : passes) {
    if (pass.applies != nullptr && !pass.applies(context)) continue;
    const detail::Stopwatch time;
    if (const auto* rebuild = std::get_if<typename Pass<Context>::Rebuild>(&pass.run)) {
      function = (*rebuild)(function != nullptr ? *function : source, context);
    } else {
      if (function == nullptr) function = ir::clone(source).function;
      std::get<typename Pass<Context>::Rewrite>(pass.run)(*function, context);
    }
    detail::look(pass.name, *function, time.seconds(), supervision);
  }
  return function != nullptr ? std::move(function) : ir::clone(source).function;
}

template <class Make, class FunctionOf>
auto watched(const PassName& pass, const Supervision& supervision, const Make& make,
             const FunctionOf& function_of) {
  const detail::Stopwatch time;
  auto made = make();
  const double seconds = time.seconds();
  if (const ir::Function* function = function_of(made)) {
    detail::look(pass, *function, seconds, supervision);
  }
  return made;
}

}  // namespace mw::passes
