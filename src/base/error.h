// Throwing mw::Error with a formatted message, adding context, and checking our own invariants.
#pragma once

#include <fmt/format.h>

#include <new>
#include <utility>

#include "millwright/error.hpp"

namespace mw {

// fail(ErrorCode::kInvalidModel, "gamma: expected shape {}, got {}", a, b)
template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Runs `body`; an mw::Error that leaves it gains `context()` in front. The context is built only
// then. An allocation that failed becomes an mw::Error.
template <class Context, class Body>
decltype(auto) in_context(Context&& context, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const Error& e) {
    throw e.within(context());
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, "out of memory", std::string(context()));
  } catch (const std::length_error&) {
    throw Error(ErrorCode::kOutOfMemory, "out of memory", std::string(context()));
  }
}

// For invariants of ours; user input never reaches it. Stays on in release builds.
#define MW_CHECK(condition, ...)                                                                \
  do {                                                                                          \
    if (!(condition)) [[unlikely]]                                                              \
      ::mw::fail(::mw::ErrorCode::kInternal, "internal error at {}:{}: {} is false; report it", \
                 __FILE_NAME__, __LINE__, #condition);                                          \
  } while (false)

}  // namespace mw
