// Small functions with weights that adapters can stand beside, for the tests of LoRA.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "adapters/set.h"
#include "autodiff/testing.h"
#include "passes/precision.h"

namespace mw::adapters {

inline Tensor random(const Shape& shape, uint64_t seed, DType dtype = DType::kF32) {
  std::mt19937_64 generator(seed);
  return autodiff::noise(shape, generator).to(dtype);
}

// A function of x, as a test builds it.
struct Built {
  ir::Program program;
  ir::Function& function;
  ir::Builder b;

  explicit Built(ir::Opset opset = ir::Opset::kIos17)
      : function(*program.add_function("main", opset)), b(function.body, ops::catalog(), opset) {}

  ir::Value* input(const std::string& name, const Shape& shape, DType dtype = DType::kF32) {
    ir::Value* made = function.body.add_argument(name, ir::Type::tensor(dtype, shape));
    b = ir::Builder(function.body, ops::catalog(), function.opset);
    return made;
  }
  ir::Value* weight(const std::string& name, const Shape& shape, DType dtype = DType::kF32) {
    return b.constant(ir::Constant::tensor(random(shape, shape.size() + name.size(), dtype)), name);
  }
  void returns(std::vector<ir::Value*> outputs) { function.body.outputs = std::move(outputs); }
};

// The function's results op by op in fp64, by the order of its outputs.
inline std::vector<Tensor> run(const ir::Function& function, const TensorMap& inputs) {
  const auto exact = passes::set_precision(function, ops::catalog(), passes::kFp64);
  const auto results = exec::run_naive(*exact, ops::catalog(), inputs);
  std::vector<Tensor> outputs;
  for (const ir::Value* output : function.body.outputs) {
    outputs.push_back(results.at(output->name).tensor);
  }
  return outputs;
}

// For each argument: noise, or 0, 1 and 2 where it holds integers.
inline TensorMap inputs_of(const ir::Function& function) {
  TensorMap inputs;
  for (const auto& argument : function.body.arguments) {
    Tensor tensor = random(argument->type.shape(), 7);
    if (!is_float(argument->type.dtype())) {
      for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_number(i, static_cast<double>(i % 3));
    }
    inputs[argument->name] = tensor.to(argument->type.dtype());
  }
  return inputs;
}

// How far numbers at the same place are apart at most; infinite for other shapes.
inline double difference(const Tensor& a, const Tensor& b) {
  double largest = a.shape() == b.shape() ? 0 : INFINITY;
  for (int64_t i = 0; i < a.count(); ++i) {
    largest = std::max(largest, std::fabs(a.number_at(i) - b.number_at(i)));
  }
  return largest;
}

// Functions of one matmul with a constant factor on either side, each side as it is and transposed.
template <class Check>
void for_each_matmul(const Check& check) {
  for (const bool left : {false, true}) {
    for (const bool transpose_x : {false, true}) {
      for (const bool transpose_y : {false, true}) {
        Built built;
        const Shape w = (left ? transpose_x : transpose_y) ? Shape{5, 4} : Shape{4, 5};
        const bool turned = left ? transpose_y : transpose_x;
        const Shape given = left ? (turned ? Shape{2, 3, 5} : Shape{2, 5, 3})
                                 : (turned ? Shape{2, 4, 3} : Shape{2, 3, 4});
        ir::Value* x = built.input("x", given);
        ir::Value* factor = built.weight("w", w);
        built.returns({built.b.op("matmul", {{"x", left ? factor : x},
                                             {"y", left ? x : factor},
                                             {"transpose_x", transpose_x},
                                             {"transpose_y", transpose_y}})});
        SCOPED_TRACE(fmt::format("left {}, transposed {} {}", left, transpose_x, transpose_y));
        check(built);
      }
    }
  }
}

// Adapters of all weights that can be, no factor of them zero.
inline AdapterSet adapters_of(const ir::Function& function, int64_t rank,
                              DType dtype = DType::kF32) {
  AdapterSet set = begin_adapters(function, ops::catalog(), {.rank = rank, .alpha = 3}, {});
  uint64_t seed = 40;
  for (Adapter& adapter : set.adapters) {
    adapter.a = adapter.a.to(dtype);
    adapter.b = random(adapter.b.shape(), ++seed, dtype);
  }
  return set;
}

}  // namespace mw::adapters
