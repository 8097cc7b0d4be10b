// ProgramText: a program in textual MIL, put together statement by statement from random choices.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "package/feature.h"

namespace mw::testing {

using Extents = std::vector<int64_t>;  // -1: not known

// The last function that was applied to a value, of those that a loss is taken before.
enum class Activation : uint8_t { kNone, kSoftmax, kLogSoftmax, kSigmoid, kLogSigmoid };

struct Value {
  std::string name, dtype;
  Extents shape;
  Activation activation = Activation::kNone;
  int64_t classes = -1;  // axis of the softmax, or of the features of a layer; -1: none
  bool narrow = false;   // it was rounded to fp16
  [[nodiscard]] int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};

// Moves the constants of these names by `step` in a direction of ones and minus ones.
struct Nudge {
  std::set<std::string> names;
  double step = 0;
};

// That direction, the same on every machine.
inline double direction_of(const std::string& name, uint64_t index) {
  uint64_t hash = 0xCBF29CE484222325ULL + index * 0x9E3779B97F4A7C15ULL;
  for (const char c : name) hash = (hash ^ static_cast<uint64_t>(c)) * 0x100000001B3ULL;
  hash ^= hash >> 29;
  return (hash * 0xBF58476D1CE4E5B9ULL >> 40) % 2 == 0 ? 1 : -1;
}

inline std::string list_of(const std::vector<std::string>& items) {
  return "[" + fmt::format("{}", fmt::join(items, ", ")) + "]";
}

inline std::string type_of(const std::string& dtype, const Extents& shape) {
  if (shape.empty()) return dtype;
  std::vector<std::string> extents;
  for (const int64_t extent : shape) extents.push_back(extent < 0 ? "?" : std::to_string(extent));
  return fmt::format("tensor<{}, {}>", dtype, list_of(extents));
}

class ProgramText {
 public:
  explicit ProgramText(uint64_t seed, Nudge nudge = {})
      : state_(seed * 0x9E3779B97F4A7C15ULL + 1), nudge_(std::move(nudge)) {}

  // A number below `count`, the same on every machine.
  uint64_t pick(uint64_t count) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545F4914F6CDD1DULL >> 33) % count;
  }
  bool once_in(uint64_t count) { return pick(count) == 0; }
  template <class T>
  T one_of(const std::vector<T>& choices) {
    return choices[pick(choices.size())];
  }

  void line(const std::string& text) { body_ += "  " + text + "\n"; }

  Value statement(const std::string& op, const std::string& operands, const std::string& dtype,
                  Extents shape) {
    Value result{fresh("v"), dtype, std::move(shape)};
    line(fmt::format("{} {} = {}({})[name = string(\"{}\")];", type_of(dtype, result.shape),
                     result.name, op, operands, result.name));
    return result;
  }

  Value constant(const Extents& shape) {
    Value result{fresh("weight"), "fp32", shape};
    const std::string type = type_of("fp32", shape);
    uint64_t index = 0;
    line(fmt::format("{} {} = const()[name = string(\"{}\"), val = {}({})];", type, result.name,
                     result.name, type, numbers(result.name, shape, 0, index)));
    return result;
  }

  // A flexible input varies along `axis`; without one along axis 1 or, less often, axis 0.
  Value input(const std::string& name, const std::string& dtype, Extents shape, bool flexible,
              std::optional<size_t> axis = std::nullopt) {
    package::Feature feature;
    feature.name = name;
    feature.dtype = *dtype_named(dtype);
    feature.shape = shape;
    if (flexible && !shape.empty()) shape = let_vary(feature, axis);
    arguments_ += (arguments_.empty() ? "" : ", ") + type_of(dtype, shape) + " " + name;
    inputs_.push_back(std::move(feature));
    return {name, dtype, std::move(shape)};
  }
  void argument(const std::string& text) { arguments_ += ", " + text; }

  void result(const std::string& name) { results_ += (results_.empty() ? "" : ", ") + name; }

  [[nodiscard]] std::string text(const std::string& opset) const {
    return fmt::format("program(1.3)\n{{ func main<{}>({}) {{\n{}}} -> ({}); }}\n", opset,
                       arguments_, body_, results_);
  }
  [[nodiscard]] const std::vector<package::Feature>& inputs() const { return inputs_; }

 private:
  std::string fresh(const std::string& stem) { return fmt::format("{}_{}", stem, ++names_); }

  // Few digits, so that sums are exact in fp32 and equal ones are equal.
  std::string numbers(const std::string& name, const Extents& shape, size_t axis, uint64_t& index) {
    if (axis == shape.size()) {
      const double moved = nudge_.names.contains(name) ? direction_of(name, index) : 0;
      ++index;
      return fmt::format("{:.10f}",
                         (static_cast<double>(pick(33)) - 16) / 16 + moved * nudge_.step);
    }
    std::vector<std::string> items;
    for (int64_t i = 0; i < shape[axis]; ++i) {
      items.push_back(numbers(name, shape, axis + 1, index));
    }
    return list_of(items);
  }

  Extents let_vary(package::Feature& feature, std::optional<size_t> given) {
    Extents shape = feature.shape;
    const size_t axis = given ? *given : shape.size() > 1 && !once_in(4) ? 1 : 0;
    if (once_in(3)) {
      for (const int64_t extent : {shape[axis], shape[axis] + 2}) {
        feature.enumerated.push_back(shape);
        feature.enumerated.back()[axis] = extent;
      }
    } else {
      for (const int64_t extent : shape) feature.ranges.push_back({extent, extent});
      feature.ranges[axis] = {1, once_in(2) ? -1 : 8};
    }
    shape[axis] = -1;
    return shape;
  }

  uint64_t state_;
  Nudge nudge_;
  int names_ = 0;
  std::string arguments_, body_, results_;
  std::vector<package::Feature> inputs_;
};

}  // namespace mw::testing
