// What the environment and sanitizer builds ask of memory: that it shows who reads it before it was
// written, after its end of life, or outside its bounds. Nothing of it costs anything when off.
//
//   MW_POISON=1   memory that is to be written before it is read, and memory that is given back,
//                 holds NaN; `a5`: bytes 0xA5
//   MW_GUARD=1    tensors and planned values end, but for their alignment of 64 bytes, at a page
//                 that cannot be touched; `exact`: at the byte; `start`: they begin after one
#pragma once

#include <cstdint>
#include <memory>

#include "millwright/tensor.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define MW_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MW_SANITIZED 1
#endif
#endif
#ifdef MW_SANITIZED
#include <sanitizer/asan_interface.h>
#endif

namespace mw {

enum class Poison : uint8_t { kNone, kNan, kBytes };
enum class Guard : uint8_t { kNone, kAligned, kExact, kStart };

// As the environment has it; read once. An unknown value throws invalid_argument.
Poison poison_mode();
Guard guard_mode();

// A pattern of 16 bits that is NaN in every float dtype of 16 bits and more, and large as an index.
void fill_with(Poison mode, void* memory, int64_t bytes);
// The same for memory that is about to be given back: a compiler must not leave it out.
void spoil(Poison mode, void* memory, int64_t bytes);
// Fills a tensor that is to be written before it is read, with signalling NaN of its dtype; does
// nothing without MW_POISON.
void poison(Tensor& fresh);

// Zeros between two pages that cannot be touched, aligned as the mode says; plain zeros while there
// are 16,384 of these, since a process has only so many mappings.
std::shared_ptr<void> guarded_memory(Guard mode, int64_t bytes);
// The tensor, in guarded memory where MW_GUARD is set: for views of memory of others.
Tensor guarded(Tensor view);

#ifdef MW_SANITIZED
constexpr bool kSanitized = true;
// Memory that the sanitizer reports accesses to, until it is allowed again.
inline void forbid(const void* memory, int64_t bytes) {
  ASAN_POISON_MEMORY_REGION(memory, static_cast<size_t>(bytes));
}
inline void allow(const void* memory, int64_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(memory, static_cast<size_t>(bytes));
}
#else
constexpr bool kSanitized = false;
inline void forbid(const void* /*memory*/, int64_t /*bytes*/) {}
inline void allow(const void* /*memory*/, int64_t /*bytes*/) {}
#endif

}  // namespace mw
