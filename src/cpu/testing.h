// Running MIL text through sessions in tests, planned and op by op.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "base/error.h"
#include "devices/devices.h"
#include "exec/naive.h"
#include "exec/session.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "ops/catalog.h"
#include "passes/precision.h"
#include "passes/round_products.h"
#include "passes/specialise.h"

namespace mw::cpu {

// One function whose floats are computed in fp32 or bf16, and sessions over it.
class TestProgram {
 public:
  TestProgram(const std::string& arguments, const std::string& statements,
              const std::string& outputs, const passes::Numerics& numerics = passes::kFp32)
      : program_(ir::text::parse("program(1.3)\n{ func main<ios18>(" + arguments + ") {\n" +
                                 statements + "\n} -> (" + outputs + "); }\n")) {
    ir::verify(*program_->functions.at(0), ops::catalog());
    lowered_ = passes::set_precision(*program_->functions.at(0), ops::catalog(), numerics);
    if (numerics.bf16_products) passes::round_products(*lowered_, ops::catalog());
  }

  [[nodiscard]] const ir::Function& function() const { return *lowered_; }
  [[nodiscard]] exec::Specialiser specialiser() const {
    return [this](const Shapes& shapes) {
      return passes::specialise(*lowered_, ops::catalog(), {.shapes = shapes});
    };
  }
  [[nodiscard]] std::unique_ptr<exec::Session> session(exec::SessionOptions options = {}) const {
    options.adjustable = [this](const Shapes& shapes) {
      return passes::specialise_adjustable(*lowered_, ops::catalog(), {.shapes = shapes});
    };
    return std::make_unique<exec::Session>(*lowered_, specialiser(), devices::platform("cpu"),
                                           std::move(options));
  }
  // What the naive executor says.
  [[nodiscard]] std::map<std::string, ir::Datum> expected(
      const TensorMap& inputs, const exec::StateCells& cells = {}) const {
    Shapes shapes;
    for (const auto& [name, tensor] : inputs) shapes[name] = tensor.shape();
    return exec::run_naive(*specialiser()(shapes), ops::catalog(), inputs, cells);
  }

 private:
  std::unique_ptr<ir::Program> program_;
  std::unique_ptr<ir::Function> lowered_;
};

inline Tensor floats(const std::vector<float>& values, Shape shape) {
  return Tensor::from<float>(values, std::move(shape));
}

// Numbers in [-1, 1) that depend on the seed.
inline Tensor noise(const Shape& shape, uint64_t seed) {
  Tensor tensor(DType::kF32, shape);
  uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    tensor.set_number(i, static_cast<double>(state >> 40) / (1 << 23) - 1);
  }
  return tensor;
}

inline void expect_near(const Tensor& got, const Tensor& want, double tolerance,
                        const std::string& label) {
  ASSERT_EQ(got.dtype(), want.dtype()) << label;
  ASSERT_EQ(got.shape(), want.shape()) << label;
  double largest = 1;
  for (int64_t i = 0; i < want.count(); ++i) {
    if (std::isfinite(want.number_at(i))) largest = std::max(largest, std::fabs(want.number_at(i)));
  }
  for (int64_t i = 0; i < want.count(); ++i) {
    const double g = got.number_at(i), w = want.number_at(i);
    if (std::isnan(w) ? std::isnan(g) : g == w) continue;
    ASSERT_LE(std::fabs(g - w), tolerance * largest)
        << label << " at " << i << ": " << g << ", expected " << w;
  }
}

inline std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace mw::cpu
