// What each() of a struct of settings tells of a member beside its name and its help.
#pragma once

#include <limits>

namespace mw {

// What a number may be: from `least` to `most`. NaN is nothing that it may be.
struct Allowed {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool below_most = false;  // `most` itself is not allowed
  bool bytes = false;       // an amount of memory
};
namespace allowed {
inline constexpr Allowed kAnything{};
inline constexpr Allowed kAtLeastZero{.least = 0, .below_most = true};
// With an inverse that is a float.
inline constexpr Allowed kAboveZero{.least = std::numeric_limits<float>::min(), .below_most = true};
inline constexpr Allowed kBelowOne{.least = 0, .most = 1, .below_most = true};  // from 0
inline constexpr Allowed kShare{.least = 0, .most = 1};
inline constexpr Allowed kCount{.least = 1, .most = 0x1p40};
inline constexpr Allowed kCountOrNone{.least = 0, .most = 0x1p40};
// As many as a checkpoint can count.
inline constexpr Allowed kSteps{.least = 0, .most = 2147483646};
}  // namespace allowed

// Of a member that is itself such a struct (or one of several, or optional): what its settings'
// names begin with where all settings of training stand side by side. `kind` is then called as the
// member.
struct Within {
  const char* prefix = "";
};

// The names of an enumeration's values, in their order.
template <class Enum>
struct Choices;

}  // namespace mw
