// Kernels of linear and matmul: their operands as matrices for the GEMM kernels.
#include "cpu/dots.h"
#include "cpu/gemm.h"
#include "cpu/library.h"
#include "ir/widening.h"
#include "ops/attention/heads_plan.h"
#include "ops/kernels_cpu.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Kernel;
using plan::Place;

// Whether rows or columns are the same one again: libraries take no such matrices.
bool repeats(const Place& matrix) {
  const size_t rank = matrix.shape.size();
  for (size_t axis = rank < 2 ? 0 : rank - 2; axis < rank; ++axis) {
    if (matrix.strides[axis] == 0 && matrix.shape[axis] > 1) return true;
  }
  return false;
}

// x as [m, k] with the elements of a row side by side.
Place as_matrix(Claim& claim, const Operand& operand, int64_t m, int64_t k) {
  Place x;
  const bool fits = plan::reshape(claim.strided(operand), {m, k}, x);
  if (fits && !repeats(x) && (x.strides[1] == 1 || k == 1)) return x;
  (void)plan::reshape(claim.dense(operand), {m, k}, x);
  return x;
}

// A bias that is known in fp32; false when there is one that is not.
bool read_bias(Claim& claim, std::optional<Tensor>& bias) {
  if (!claim.op().has("bias")) return true;
  if (!claim.frozen("bias")) return false;
  bias = claim.constant("bias");
  return bias->dtype() == DType::kF32;
}

bool is_zero(const Tensor& tensor) {
  for (int64_t i = 0; i < tensor.count(); ++i) {
    if (tensor.number_at(i) != 0) return false;
  }
  return true;
}

// y = x w + bias with a weight [n, k] as it lies; the activation and the rounding that follow are
// taken over. `shape`: m, n and k alone.
std::unique_ptr<Kernel> multiply(Claim& claim, const cpu::WeightGemm& shape, const Operand& x,
                                 const Operand& weight) {
  const OpView& op = claim.op();
  cpu::BatchGemm gemm;
  gemm.m = shape.m;
  gemm.n = shape.n;
  gemm.k = shape.k;
  if (op.has("bias") && !(claim.frozen("bias") && is_zero(claim.constant("bias")))) {
    if (op.dtype("bias") != DType::kF32) return nullptr;
    gemm.bias = claim.dense("bias").ref;
  }
  gemm.x = as_matrix(claim, x, gemm.m, gemm.k);
  gemm.w = claim.dense(weight);
  std::swap(gemm.w.shape[0], gemm.w.shape[1]);
  std::swap(gemm.w.strides[0], gemm.w.strides[1]);
  gemm.activation = cpu::take_activation(claim);
  gemm.rounded = gemm.x.dtype == DType::kBF16 && claim.take_rounding(DType::kBF16);
  return cpu::make_gemm(claim, gemm);
}

// A weight that changes between runs is read where it lies.
std::unique_ptr<Kernel> make_trained(Claim& claim, const cpu::WeightGemm& shape) {
  const OpView& op = claim.op();
  if (op.dtype("weight") != DType::kF32) return nullptr;
  return multiply(claim, shape, op.operand("x"), op.operand("weight"));
}

// m, n and k of a linear layer of fp32; nullopt: it is none, or has no elements.
std::optional<cpu::WeightGemm> linear_shape(const OpView& op) {
  if (op.dtype("x") != DType::kF32 || op.operation().outputs[0]->type.dtype() != DType::kF32) {
    return std::nullopt;
  }
  const Shape x = op.shape("x");
  cpu::WeightGemm gemm;
  gemm.k = x.back();
  gemm.m = count_of({x.begin(), x.end() - 1});
  gemm.n = op.operation().outputs[0]->type.shape().back();
  if (gemm.m == 0 || gemm.n == 0 || gemm.k == 0) return std::nullopt;
  return gemm;
}

// Of operands in bf16, where that is how they are multiplied best.
std::unique_ptr<Kernel> make_rounded_linear(Claim& claim) {
  const OpView& op = claim.op();
  const auto shape = linear_shape(op);
  if (!shape || !cpu::multiplies_bf16(claim, shape->m)) return nullptr;
  const Operand* x = ir::before_widening(op.operand("x"), DType::kBF16);
  const Operand* weight = ir::before_widening(op.operand("weight"), DType::kBF16);
  return x != nullptr && weight != nullptr ? multiply(claim, *shape, *x, *weight) : nullptr;
}

std::unique_ptr<Kernel> make_linear(Claim& claim) {
  const OpView& op = claim.op();
  const auto shape = linear_shape(op);
  if (!shape) return nullptr;
  cpu::WeightGemm gemm = *shape;
  if (!claim.frozen("weight")) return make_trained(claim, gemm);
  if (!read_bias(claim, gemm.bias)) return nullptr;
  std::optional<plan::Weight> weight = claim.weight("weight");
  if (!weight) return nullptr;
  gemm.weight = std::move(*weight);
  gemm.x = as_matrix(claim, op.operand("x"), gemm.m, gemm.k);
  return cpu::make_gemm(claim, std::move(gemm));
}

// One operand as [batch.., rows, columns], the batch spread to that of the result.
Place as_batch(const Place& place, bool transposed, bool row_vector, bool column_vector,
               const Shape& batch) {
  Place matrix = place;
  if (row_vector) {
    matrix.shape.insert(matrix.shape.begin(), 1);
    matrix.strides.insert(matrix.strides.begin(), matrix.strides.front());
  }
  if (column_vector) {
    matrix.shape.push_back(1);
    matrix.strides.push_back(1);
  }
  const size_t rank = matrix.shape.size();
  if (transposed) {
    std::swap(matrix.shape[rank - 2], matrix.shape[rank - 1]);
    std::swap(matrix.strides[rank - 2], matrix.strides[rank - 1]);
  }
  Shape full = batch;
  full.insert(full.end(), matrix.shape.end() - 2, matrix.shape.end());
  matrix.strides = plan::broadcast(matrix, full);
  matrix.shape = std::move(full);
  return matrix;
}

std::unique_ptr<Kernel> make_weighted(Claim& claim, bool transpose_y) {
  const OpView& op = claim.op();
  const Shape x = op.shape("x");
  cpu::WeightGemm gemm;
  gemm.k = x.back();
  gemm.m = count_of({x.begin(), x.end() - 1});
  gemm.n = op.operation().outputs[0]->type.shape().back();
  gemm.weight_by_output = transpose_y;
  if (gemm.m == 0 || gemm.n == 0 || gemm.k == 0) return nullptr;
  std::optional<plan::Weight> weight = claim.weight("y");
  if (!weight || weight->shape.size() != 2) return nullptr;
  gemm.weight = std::move(*weight);
  gemm.x = as_matrix(claim, op.operand("x"), gemm.m, gemm.k);
  return cpu::make_gemm(claim, std::move(gemm));
}

// A stride that no index is multiplied with may as well be 1.
void mend_strides(Place& matrix) {
  const size_t rank = matrix.shape.size();
  const bool one_column = matrix.shape[rank - 1] == 1, one_row = matrix.shape[rank - 2] == 1;
  if (one_column) matrix.strides[rank - 1] = 1;
  if (one_row) matrix.strides[rank - 2] = one_column ? 1 : matrix.shape[rank - 1];
  if (one_column && !one_row && matrix.strides[rank - 2] == 0) matrix.strides[rank - 2] = 1;
}

// A product of a few rows with what is kept in fp16, a cache say, as it lies there; null: it is
// not, or lies in another way.
std::unique_ptr<Kernel> make_narrow(Claim& claim, const Shape& batch, bool transpose_y,
                                    const std::optional<plan::Activation>& activation) {
  const OpView& op = claim.op();
  const Operand& given = op.operand("y");
  const Operand& y = stored(claim, given);
  const Shape rows = op.shape("x");
  if (&y == &given || op.flag("transpose_x") || rows.size() < 2 || op.rank("y") < 2) return nullptr;
  if (rows[rows.size() - 2] > cpu::kMaxDotRows) return nullptr;
  const std::optional<SharedHeads> shared = shared_heads(claim, y, batch);
  cpu::BatchGemm gemm;
  gemm.batch = shared ? shared->batch : batch;
  gemm.activation = activation;
  const auto x = recut(as_batch(claim.strided("x"), false, false, false, batch), gemm.batch);
  if (!x || x->strides.back() != 1) return nullptr;
  gemm.x = *x;
  gemm.w =
      as_batch(claim.strided(shared ? *shared->operand : y), transpose_y, false, false, gemm.batch);
  mend_strides(gemm.w);
  const size_t rank = gemm.batch.size();
  gemm.m = gemm.x.shape[rank];
  gemm.k = gemm.x.shape[rank + 1];
  gemm.n = gemm.w.shape[rank + 1];
  return gemm.k == 0 ? nullptr : cpu::make_gemm(claim, gemm);
}

// A product of two matrices or stacks of them as the op describes it.
struct Product {
  bool x_vector = false, y_vector = false, transpose_x = false, transpose_y = false;
  Shape batch;
};

Product product_of(const OpView& op) {
  Product p;
  p.x_vector = op.rank("x") == 1;
  p.y_vector = op.rank("y") == 1;
  p.transpose_x = !p.x_vector && op.flag("transpose_x");
  p.transpose_y = !p.y_vector && op.flag("transpose_y");
  p.batch = op.operation().outputs[0]->type.shape();
  p.batch.resize(p.batch.size() - (p.x_vector ? 0 : 1) - (p.y_vector ? 0 : 1));
  return p;
}

// With the operands as they lie, and if that does not do, as dense copies.
std::unique_ptr<Kernel> multiply(Claim& claim, const Product& p, const Operand& x, const Operand& y,
                                 const std::optional<plan::Activation>& activation,
                                 bool rounded = false) {
  for (const bool dense : {false, true}) {
    const auto place = [&](const Operand& operand) {
      const Place lies = dense ? claim.dense(operand) : claim.strided(operand);
      return repeats(lies) ? claim.dense(operand) : lies;
    };
    cpu::BatchGemm gemm;
    gemm.batch = p.batch;
    gemm.activation = activation;
    gemm.rounded = rounded;
    gemm.x = as_batch(place(x), p.transpose_x, p.x_vector, false, p.batch);
    gemm.w = as_batch(place(y), p.transpose_y, false, p.y_vector, p.batch);
    mend_strides(gemm.x);
    mend_strides(gemm.w);
    gemm.m = gemm.x.shape[p.batch.size()];
    gemm.k = gemm.x.shape[p.batch.size() + 1];
    gemm.n = gemm.w.shape[p.batch.size() + 1];
    if (gemm.k == 0) return nullptr;
    if (auto kernel = cpu::make_gemm(claim, gemm)) return kernel;
  }
  return nullptr;
}

bool is_of_floats(const OpView& op) {
  return op.dtype("x") == DType::kF32 && op.dtype("y") == DType::kF32;
}

std::unique_ptr<Kernel> make_matmul(Claim& claim) {
  const OpView& op = claim.op();
  if (!is_of_floats(op)) return nullptr;
  const Product p = product_of(op);
  if (op.rank("y") == 2 && !p.transpose_x && !p.x_vector && claim.frozen("y")) {
    return make_weighted(claim, p.transpose_y);
  }
  if (count_of(p.batch) == 0) return nullptr;
  const std::optional<plan::Activation> activation = cpu::take_activation(claim);
  if (auto kernel = make_narrow(claim, p.batch, p.transpose_y, activation)) return kernel;
  return multiply(claim, p, op.operand("x"), op.operand("y"), activation);
}

// Of operands in bf16, where that is how they are multiplied best.
std::unique_ptr<Kernel> make_rounded_matmul(Claim& claim) {
  const OpView& op = claim.op();
  if (!is_of_floats(op)) return nullptr;
  const Operand* x = ir::before_widening(op.operand("x"), DType::kBF16);
  const Operand* y = ir::before_widening(op.operand("y"), DType::kBF16);
  if (x == nullptr || y == nullptr) return nullptr;
  const Product p = product_of(op);
  const Shape shape = op.shape("x");
  const int64_t m = p.x_vector ? 1 : shape[shape.size() - (p.transpose_x ? 1 : 2)];
  if (count_of(p.batch) == 0 || !cpu::multiplies_bf16(claim, m)) return nullptr;
  const std::optional<plan::Activation> activation = cpu::take_activation(claim);
  return multiply(claim, p, *x, *y, activation, claim.take_rounding(DType::kBF16));
}

}  // namespace

void add_matmul_kernels(cpu::KernelTable& table) {
  table["linear"].makes = {make_rounded_linear, make_linear};
  // After attention that ends there.
  table["matmul"].makes.insert(table["matmul"].makes.end(), {make_rounded_matmul, make_matmul});
  table["matmul"].waits = true;
}

}  // namespace mw::ops
