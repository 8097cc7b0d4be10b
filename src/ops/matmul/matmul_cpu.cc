// Kernels of linear and matmul: their operands as matrices for the GEMM kernels.
#include "cpu/dots.h"
#include "cpu/gemm.h"
#include "cpu/library.h"
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
Place as_matrix(Claim& claim, const char* input, int64_t m, int64_t k) {
  Place x;
  const bool fits = plan::reshape(claim.strided(input), {m, k}, x);
  if (fits && !repeats(x) && (x.strides[1] == 1 || k == 1)) return x;
  (void)plan::reshape(claim.dense(input), {m, k}, x);
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

// A weight that changes between runs is read where it lies.
std::unique_ptr<Kernel> make_trained(Claim& claim, const cpu::WeightGemm& shape) {
  const OpView& op = claim.op();
  if (op.dtype("weight") != DType::kF32) return nullptr;
  cpu::BatchGemm gemm;
  gemm.m = shape.m;
  gemm.n = shape.n;
  gemm.k = shape.k;
  if (op.has("bias") && !(claim.frozen("bias") && is_zero(claim.constant("bias")))) {
    if (op.dtype("bias") != DType::kF32) return nullptr;
    gemm.bias = claim.dense("bias").ref;
  }
  gemm.x = as_matrix(claim, "x", gemm.m, gemm.k);
  gemm.w = claim.dense("weight");
  std::swap(gemm.w.shape[0], gemm.w.shape[1]);
  std::swap(gemm.w.strides[0], gemm.w.strides[1]);
  gemm.activation = cpu::take_activation(claim);
  return cpu::make_gemm(claim, gemm);
}

std::unique_ptr<Kernel> make_linear(Claim& claim) {
  const OpView& op = claim.op();
  const Shape x = op.shape("x");
  if (op.dtype("x") != DType::kF32 || op.operation().outputs[0]->type.dtype() != DType::kF32) {
    return nullptr;
  }
  cpu::WeightGemm gemm;
  gemm.k = x.back();
  gemm.m = count_of({x.begin(), x.end() - 1});
  gemm.n = op.operation().outputs[0]->type.shape().back();
  if (gemm.m == 0 || gemm.n == 0 || gemm.k == 0) return nullptr;
  if (!claim.frozen("weight")) return make_trained(claim, gemm);
  if (!read_bias(claim, gemm.bias)) return nullptr;
  std::optional<plan::Weight> weight = claim.weight("weight");
  if (!weight) return nullptr;
  gemm.weight = std::move(*weight);
  gemm.x = as_matrix(claim, "x", gemm.m, gemm.k);
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
  gemm.x = as_matrix(claim, "x", gemm.m, gemm.k);
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
  gemm.x = recut(as_batch(claim.strided("x"), false, false, false, batch), gemm.batch);
  if (gemm.x.strides.back() != 1) return nullptr;
  gemm.w =
      as_batch(claim.strided(shared ? *shared->operand : y), transpose_y, false, false, gemm.batch);
  mend_strides(gemm.w);
  const size_t rank = gemm.batch.size();
  gemm.m = gemm.x.shape[rank];
  gemm.k = gemm.x.shape[rank + 1];
  gemm.n = gemm.w.shape[rank + 1];
  return gemm.k == 0 ? nullptr : cpu::make_gemm(claim, gemm);
}

std::unique_ptr<Kernel> make_matmul(Claim& claim) {
  const OpView& op = claim.op();
  const Shape x = op.shape("x"), y = op.shape("y");
  if (op.dtype("x") != DType::kF32 || op.dtype("y") != DType::kF32) return nullptr;
  const bool x_vector = x.size() == 1, y_vector = y.size() == 1;
  const bool transpose_x = !x_vector && op.flag("transpose_x");
  const bool transpose_y = !y_vector && op.flag("transpose_y");
  if (y.size() == 2 && !transpose_x && !x_vector && claim.frozen("y")) {
    return make_weighted(claim, transpose_y);
  }
  Shape batch = op.operation().outputs[0]->type.shape();
  if (count_of(batch) == 0) return nullptr;
  batch.resize(batch.size() - (x_vector ? 0 : 1) - (y_vector ? 0 : 1));
  const std::optional<plan::Activation> activation = cpu::take_activation(claim);
  if (auto kernel = make_narrow(claim, batch, transpose_y, activation)) return kernel;
  for (const bool dense : {false, true}) {
    const auto place = [&](const char* input) {
      const Place lies = dense ? claim.dense(input) : claim.strided(input);
      return repeats(lies) ? claim.dense(input) : lies;
    };
    cpu::BatchGemm gemm;
    gemm.batch = batch;
    gemm.activation = activation;
    gemm.x = as_batch(place("x"), transpose_x, x_vector, false, batch);
    gemm.w = as_batch(place("y"), transpose_y, false, y_vector, batch);
    mend_strides(gemm.x);
    mend_strides(gemm.w);
    gemm.m = gemm.x.shape[batch.size()];
    gemm.k = gemm.x.shape[batch.size() + 1];
    gemm.n = gemm.w.shape[batch.size() + 1];
    if (gemm.k == 0) return nullptr;
    if (auto kernel = cpu::make_gemm(claim, gemm)) return kernel;
  }
  return nullptr;
}

}  // namespace

void add_matmul_kernels(cpu::KernelTable& table) {
  table["linear"].makes = {make_linear};
  table["matmul"].makes.emplace_back(make_matmul);  // after attention that ends there
  table["matmul"].waits = true;
}

}  // namespace mw::ops
