// What happens after each pass: its time is kept, its result verified and shown.
#include "passes/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/error.h"
#include "ir/verify.h"

namespace mw::passes {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void expect_sound(const PassName& pass, const ir::Function& function, const ir::Catalog& catalog) {
  try {
    ir::verify(function, catalog);
  } catch (const Error& e) {
    fail(ErrorCode::kInternal, "pass '{}' left a program that is not sound: {}; report it",
         pass.name, e.what());
  }
}

}  // namespace

bool verifies_by_default() {
  static const bool kVerifies = [] {
    const char* value = std::getenv("MW_VERIFY");
    const std::string_view asked = value != nullptr ? value : "";
    if (!asked.empty() && asked != "0" && asked != "1") {
      fail(ErrorCode::kInvalidArgument, "MW_VERIFY: expected 0 or 1, got {}", asked);
    }
#ifdef NDEBUG
    return asked == "1";
#else
    return asked != "0";
#endif
  }();
  return kVerifies;
}

void Watch::add_time(std::string_view pass, double seconds) {
  const std::lock_guard lock(mutex_);
  auto known = std::ranges::find(times_, pass, &Time::pass);
  if (known == times_.end()) known = times_.insert(known, {pass});
  ++known->calls;
  known->seconds += seconds;
}

std::vector<Watch::Time> Watch::times() const {
  const std::lock_guard lock(mutex_);
  return times_;
}

namespace detail {

Stopwatch::Stopwatch() : started_(now()) {}
double Stopwatch::seconds() const { return now() - started_; }

void look(const PassName& pass, const ir::Function& function, double seconds,
          const Supervision& supervision) {
  Watch* watch = supervision.watch;
  if (watch != nullptr) watch->add_time(pass.name, seconds);
  // The program is shown first: who looks for what is wrong with it wants to see it.
  if (watch != nullptr && watch->observer) watch->observer(pass.name, function);
  if (watch != nullptr ? watch->verifies : verifies_by_default()) {
    expect_sound(pass, function, supervision.catalog);
  }
}

}  // namespace detail
}  // namespace mw::passes
