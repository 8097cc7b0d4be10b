// The memory of a tensor: where it comes from by its size, and what the checks of memory ask of it.
#pragma once

#include <cstdint>
#include <memory>

#include "millwright/tensor.hpp"

namespace mw {

struct TensorMemory {
  std::shared_ptr<const void> owner;
  void* data;
};

// kNothing: all of it is to be written before it is read. Large tensors then lie in large pages.
enum class Fill : uint8_t { kZeros, kNothing };

// For elements other than strings, aligned to 64 bytes. Throws out_of_memory, which names `shape`.
TensorMemory tensor_memory(int64_t nbytes, const Shape& shape, Fill fill);
// Zeros that take their memory at the first write, but in pages as large as the system has: for
// what is written whole, and read in more places at once than there are entries for small pages.
Tensor zeros_in_large_pages(DType dtype, const Shape& shape);
// Throws out_of_memory where so much is not left; looks once for many small tensors.
void expect_memory_for(int64_t nbytes, const Shape& shape);

}  // namespace mw
