// The SIMD loops that row programs and GEMM epilogues are made of, chosen once for this machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "plan/row.h"

namespace mw::cpu {

// y[i] = f(a[i]). `y` may be `a`; no pointer needs alignment.
using UnaryLoop = void (*)(const float* a, float* y, size_t count, float alpha, float beta);
// y[i] = f(a[i], b[i]); a scalar operand is read at index 0 alone.
using BinaryLoop = void (*)(const float* a, const float* b, float* y, size_t count);
using TernaryLoop = void (*)(const float* a, const float* b, const float* c, float* y,
                             size_t count);
// A number of all a[i]; `b` and `alpha` are those of the instruction, where it has them.
using ReduceLoop = float (*)(const float* a, size_t count, float b, float alpha);

enum class Scalar : uint8_t { kNone, kFirst, kSecond };

// int32 and bool lanes travel in float arrays, bit for bit. Null: there is no such loop.
UnaryLoop unary_loop(plan::RowOp op);
BinaryLoop binary_loop(plan::RowOp op, Scalar scalar);
// Bit k of `scalars`: operand k is a scalar.
TernaryLoop ternary_loop(plan::RowOp op, unsigned scalars);
ReduceLoop reduce_loop(plan::RowOp op);

// Elements of any loadable dtype to lanes, and lanes to elements.
using LoadLoop = void (*)(const void* from, float* to, size_t count);
using StoreLoop = void (*)(const float* from, void* to, size_t count);
LoadLoop load_loop(DType dtype);
StoreLoop store_loop(DType dtype);

// The instruction sets that they are compiled for and this processor has, the chosen one first:
// "AVX2 SSE4 SSE2".
std::string instruction_sets();

}  // namespace mw::cpu
