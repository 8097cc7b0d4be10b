// OP_CASES: one block of cases per op, run by a suite that checks each of them in every way there
// is.
//
//   OP_CASES(layer_norm) {
//     add("last axis", {{"x", normal({2, 3, 5})}, {"axes", ints({-1})}, {"gamma", normal({5})}});
//     add("exact", {{"x", values({1, 2}, {2})}}).expect({values({0, 0}, {2})});
//     reject("axis too large", {{"x", normal({2})}, {"axes", ints({5})}},
//            "axes: expected values in [-1, 0], got 5");
//     reference([](const OpCase& c) { ...f64 tensors in, expected f64/int tensors out... });
//   }
//
// Float inputs are made in fp64 and rounded to the dtype under test; the reference sees the rounded
// values. An op with an `expand` needs no reference. Without .expect() and reference() a case is an
// error.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ir/op_def.h"
#include "millwright/tensor.hpp"

namespace mw::ops {

enum class Kind : uint8_t { kExact, kElementwise, kReduction, kLoose };

struct CaseInput {
  std::string name;
  std::vector<Tensor> tensors;  // several: a variadic input
  bool variadic = false;
  CaseInput(std::string name, Tensor tensor) : name(std::move(name)), tensors{std::move(tensor)} {}
  CaseInput(std::string name, std::vector<Tensor> tensors)
      : name(std::move(name)), tensors(std::move(tensors)), variadic(true) {}
};

class OpCase {
 public:
  std::string op, title;
  ir::Opset opset = ir::Opset::kIos18;
  std::vector<CaseInput> inputs;
  std::vector<Tensor> expected;  // set by expect(): used for every dtype
  std::string error;             // set by reject(): a part of the message
  Kind kind = Kind::kElementwise;
  std::vector<std::string>
      constants;              // inputs given as constants; by default those the OpDef marks kConst
  std::vector<DType> dtypes;  // float dtypes to run in; default fp64, fp32, fp16
  double factor = 1;  // widens the tolerance where the op cancels; give the reason beside it

  [[nodiscard]] bool has(std::string_view name) const;
  // For references: float inputs as fp64, others as given.
  [[nodiscard]] const Tensor& operator[](std::string_view name) const;
  [[nodiscard]] const std::vector<Tensor>& list(std::string_view name) const;
  [[nodiscard]] std::vector<int64_t> ints(std::string_view name) const;
  [[nodiscard]] double number(std::string_view name, double fallback) const;

  OpCase& expect(std::vector<Tensor> results) {
    expected = std::move(results);
    return *this;
  }
  OpCase& at(ir::Opset value) {
    opset = value;
    return *this;
  }
  OpCase& tolerance(Kind value, double times = 1) {
    kind = value;
    factor = times;
    return *this;
  }
  OpCase& constant(std::vector<std::string> names) {
    constants = std::move(names);
    return *this;
  }
  OpCase& only(std::vector<DType> values) {
    dtypes = std::move(values);
    return *this;
  }
};

using Reference = std::function<std::vector<Tensor>(const OpCase&)>;

class OpCases {
 public:
  explicit OpCases(std::string op) : op_(std::move(op)) {}
  OpCase& add(std::string title, std::vector<CaseInput> inputs);
  OpCase& reject(std::string title, std::vector<CaseInput> inputs, std::string error);
  void reference(Reference function);
  // Runs all cases of the op, one failure message per broken check.
  void run() const;

  // Data, seeded by the order of the calls: the same in every run.
  Tensor normal(const Shape& shape, double mean = 0, double deviation = 1);
  Tensor uniform(const Shape& shape, double low, double high);
  Tensor random_ints(const Shape& shape, int64_t low, int64_t high,
                     DType dtype = DType::kI32);                                 // [low, high)
  static Tensor values(const std::vector<double>& numbers, const Shape& shape);  // fp64
  static Tensor ints(const std::vector<int64_t>& numbers);                       // int32, rank 1
  static Tensor ints(const std::vector<int64_t>& numbers, const Shape& shape,
                     DType dtype = DType::kI32);
  static Tensor integer(int64_t number);  // int32, rank 0
  static Tensor number(double value);     // fp64, rank 0
  static Tensor flag(bool value);
  static Tensor bools(const std::vector<int>& flags, const Shape& shape);
  static Tensor text(const std::string& value);

 private:
  std::string op_;
  std::vector<OpCase> cases_;
  Reference reference_;
  uint64_t state_ = 0x9E3779B97F4A7C15ull;
};

// Runs a built case another way: same function, same inputs, results to compare with the naive
// ones. The suite calls every registered runner for every case; exec and plan register theirs.
using CaseRunner = std::function<std::vector<Tensor>(
    const ir::Function&, const std::vector<std::pair<std::string, Tensor>>&)>;
void register_case_runner(std::string name, CaseRunner runner);

// NOLINTNEXTLINE(readability-identifier-naming)
#define OP_CASES(op_name) MW_OP_CASES(op_name, #op_name)
// Of an op of our own, `mw.` and the name.
#define MW_OWN_OP_CASES(op_name) MW_OP_CASES(op_name, "mw." #op_name)

#define MW_OP_CASES(identifier, op_name)               \
  struct OpCasesOf_##identifier : ::mw::ops::OpCases { \
    using OpCases::OpCases;                            \
    void fill();                                       \
  };                                                   \
  TEST(op_cases, identifier) {                         \
    OpCasesOf_##identifier cases(op_name);             \
    cases.fill();                                      \
    cases.run();                                       \
  }                                                    \
  void OpCasesOf_##identifier::fill()

}  // namespace mw::ops
