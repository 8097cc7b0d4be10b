// Throwing mw::Error with a formatted message, adding context, turning other exceptions into it,
// and checking our own invariants.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "millwright/error.hpp"

namespace mw {

// fail(ErrorCode::kInvalidModel, "gamma: expected shape {}, got {}", a, b)
template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// The name of a setting as it may stand in a message, where each face spells it its own way:
// fail(code, "{} {}: the model takes at most {} tokens", setting("seq_len"), a, b)
std::string setting(std::string_view name);

// The exception being handled, in a catch block, as the caller is told of it: an mw::Error as it
// is; those of the operating system, of an allocation and of a parser with their codes. Nothing for
// any other.
std::optional<Error> known_error();
// The same; any other is an internal error.
Error current_error();
// Throws it again with `where` in front. One that is none of these passes as it is.
[[noreturn]] void rethrow_within(std::string_view where);

// Runs `body`; what it throws gains `context()` in front, as rethrow_within() does. The context is
// built only then.
template <class Context, class Body>
decltype(auto) in_context(Context&& context, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    rethrow_within(context());
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
