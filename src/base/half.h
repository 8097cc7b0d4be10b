// Conversions between float and the storage formats fp16, bf16, fp8e4m3fn and fp8e5m2.
// Encoding rounds to nearest even; fp16 subnormals and infinities are kept.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mw {

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
// double -> fp16 with a single rounding.
uint16_t f64_to_f16(double value);

float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);  // a NaN becomes the quiet one of its sign

float f8e4m3fn_to_f32(uint8_t bits);
uint8_t f32_to_f8e4m3fn(float value);  // saturates to +-448; NaN stays NaN
float f8e5m2_to_f32(uint8_t bits);
uint8_t f32_to_f8e5m2(float value);

// Whole arrays; uses F16C where the machine has it.
void f16_to_f32(const uint16_t* from, float* to, size_t count);
void f32_to_f16(const float* from, uint16_t* to, size_t count);
void bf16_to_f32(const uint16_t* from, float* to, size_t count);
void f32_to_bf16(const float* from, uint16_t* to, size_t count);
// Each value to the nearest that fp16 can hold.
void round_to_f16(float* values, size_t count);

}  // namespace mw
