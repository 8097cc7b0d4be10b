// Lengths of weights by output.
#include "adapters/magnitude.h"

#include <cmath>

#include "base/parallel.h"
#include "ir/evaluate.h"

namespace mw::adapters {
namespace {

// How the numbers of one output lie in a weight.
struct Layout {
  int64_t outputs, inputs, output_stride, input_stride;
};

Layout layout_of(const AdaptableWeight& weight) {
  const Shape& shape = weight.type().shape();
  const bool first = weight.outputs_first();
  const int64_t outputs = shape[first ? 0 : 1], inputs = count_of(shape) / outputs;
  return {outputs, inputs, first ? inputs : 1, first ? 1 : outputs};
}

// Elements as fp64, without a copy of that size.
class Numbers {
 public:
  explicit Numbers(const Tensor& value)
      : wide_(value.to(value.dtype() == DType::kF64 ? DType::kF64 : DType::kF32)) {
    if (wide_.dtype() == DType::kF64) {
      doubles_ = wide_.data<double>();
    } else {
      floats_ = wide_.data<float>();
    }
  }
  double operator[](int64_t at) const {
    return doubles_ != nullptr ? doubles_[at] : static_cast<double>(floats_[at]);
  }

 private:
  Tensor wide_;
  const double* doubles_ = nullptr;
  const float* floats_ = nullptr;
};

constexpr int64_t kOutputs = 16;  // a thread's share at a time

}  // namespace

Tensor value_of(const AdaptableWeight& weight, const ir::Function& function,
                const ir::Catalog& catalog) {
  const ir::Value& value = *weight.values.front();
  if (const ir::ConstantPtr constant = ir::constant_of(&value)) return constant->value();
  const ir::Operation& op = *value.producer;
  const auto results =
      ir::evaluate(op, catalog.at(op, function.opset), function.opset, ir::Facts(), nullptr);
  return results.at(value.index).tensor;
}

std::vector<double> squared_lengths(const AdaptableWeight& weight, const Tensor& value) {
  const Layout layout = layout_of(weight);
  const Numbers numbers(value);
  std::vector<double> sums(static_cast<size_t>(layout.outputs), 0);
  parallel_for(layout.outputs, kOutputs, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < layout.inputs; ++i) {
        const double number = numbers[o * layout.output_stride + i * layout.input_stride];
        sum += number * number;
      }
      sums[static_cast<size_t>(o)] = sum;
    }
  });
  return sums;
}

Tensor lengths_of(const AdaptableWeight& weight, const Tensor& value) {
  const std::vector<double> sums = squared_lengths(weight, value);
  Tensor lengths(DType::kF32, {static_cast<int64_t>(sums.size())});
  auto* to = lengths.mutable_data<float>();
  for (size_t o = 0; o < sums.size(); ++o) to[o] = static_cast<float>(std::sqrt(sums[o]));
  return lengths;
}

std::vector<double> factors_of(const AdaptableWeight& weight, const Tensor& value,
                               const Adapter& adapter) {
  const Layout layout = layout_of(weight);
  const Tensor lengths = lengths_of(weight, value);
  const Numbers w(value);
  const Tensor a = adapter.a.to(DType::kF64), b = adapter.b.to(DType::kF64);
  const int64_t rank = a.dim(0);
  const auto *from_a = a.data<double>(), *from_b = b.data<double>();
  std::vector<double> factors(static_cast<size_t>(layout.outputs), 1);
  parallel_for(layout.outputs, kOutputs, [&](int64_t begin, int64_t end) {
    std::vector<double> row(static_cast<size_t>(layout.inputs));
    for (int64_t o = begin; o < end; ++o) {
      bool added = false;
      for (int64_t i = 0; i < layout.inputs; ++i) {
        row[static_cast<size_t>(i)] = w[o * layout.output_stride + i * layout.input_stride];
      }
      for (int64_t r = 0; r < rank; ++r) {
        const double share = adapter.scale * from_b[o * rank + r];
        added = added || share != 0;
        for (int64_t i = 0; share != 0 && i < layout.inputs; ++i) {
          row[static_cast<size_t>(i)] += share * from_a[r * layout.inputs + i];
        }
      }
      double square = 0;
      for (const double number : row) square += number * number;
      const double m = adapter.magnitude.number_at(o);
      if (square == 0 || (!added && m == lengths.number_at(o))) continue;
      factors[static_cast<size_t>(o)] = m / std::sqrt(square);
    }
  });
  return factors;
}

void scale_outputs(const AdaptableWeight& weight, const std::vector<double>& factors,
                   Tensor& numbers) {
  const Layout layout = layout_of(weight);
  auto* to = numbers.mutable_data<double>();
  for (int64_t o = 0; o < layout.outputs; ++o) {
    for (int64_t i = 0; i < layout.inputs; ++i) {
      to[o * layout.output_stride + i * layout.input_stride] *= factors[static_cast<size_t>(o)];
    }
  }
}

}  // namespace mw::adapters
