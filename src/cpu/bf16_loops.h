// Loops over bf16: the 16 high bits of an fp32, rounded to nearest even; a NaN is the quiet one.
#pragma once

#include <cstddef>

namespace mw::cpu {

// As UnaryLoop, LoadLoop and StoreLoop of primitives.h. store_bf16() may write where it reads: `to`
// at `from` or before it.
void round_bf16(const float* a, float* y, size_t count, float alpha, float beta);
void load_bf16(const void* from, float* to, size_t count);
void store_bf16(const float* from, void* to, size_t count);

}  // namespace mw::cpu
