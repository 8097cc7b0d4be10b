// Operands of attention, head by head, as rows of floats: where they lie, or copied into the memory
// of the worker that reads them.
#pragma once

#include <algorithm>

#include "cpu/tile.h"
#include "plan/kernel.h"
#include "plan/place.h"

namespace mw::cpu {

inline int64_t round_up_to_line(int64_t floats) { return (floats + 15) / 16 * 16; }
// Rows a power of two apart would meet in the same few lines of cache.
inline int64_t row_stride(int64_t columns) { return round_up_to_line(columns) + 16; }

// The memory of one worker, in floats.
class Layout {
 public:
  int64_t take(int64_t floats) {
    const int64_t at = size_;
    size_ += round_up_to_line(floats);
    return at;
  }
  [[nodiscard]] int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

// A matrix for each head: [batch.., rows, columns]. In what follows `own` is the worker's memory.
class HeadMatrices {
 public:
  HeadMatrices() = default;
  // A result: no rows are read.
  explicit HeadMatrices(const plan::Place& place);
  // `at_once` rows are read at a time.
  HeadMatrices(const plan::Place& place, int64_t at_once, Layout& layout);

  [[nodiscard]] const plan::Place& place() const { return place_; }
  [[nodiscard]] int64_t row_count() const { return place_.shape[axes_]; }
  [[nodiscard]] int64_t columns() const { return place_.shape[axes_ + 1]; }
  [[nodiscard]] int64_t row_step() const { return place_.strides[axes_]; }  // in elements
  [[nodiscard]] std::byte* at(const plan::Frame& frame, int64_t head, int64_t row) const;
  [[nodiscard]] TileRows rows(const plan::Frame& frame, int64_t head, int64_t first, int64_t count,
                              float* own) const;

 private:
  plan::Place place_;
  size_t axes_ = 0;  // of the batch
  int64_t stride_ = 0, copy_ = -1;
};

// Keys or values, also with their columns as rows.
class TurnedMatrices {
 public:
  TurnedMatrices() = default;
  TurnedMatrices(const plan::Place& place, Layout& layout);

  [[nodiscard]] bool lies_turned() const { return copy_ < 0; }
  [[nodiscard]] TileRows rows(const plan::Frame& frame, int64_t head, float* own) const {
    return matrices_.rows(frame, head, 0, matrices_.row_count(), own);
  }
  // `rows`: what rows() gave; not read where it lies turned.
  [[nodiscard]] TileRows turned(const plan::Frame& frame, int64_t head, TileRows rows,
                                float* own) const;
  // Bytes that turned() copies.
  [[nodiscard]] int64_t copied() const;

 private:
  HeadMatrices matrices_;
  int64_t stride_ = 0, copy_ = -1;
};

// What is added to the scores of a head: numbers, or bools of which false is minus infinity.
class HeadMask {
 public:
  HeadMask() = default;
  // The rows that are read at a time have at most so many `floats`, with what is between them.
  HeadMask(const plan::Place& place, int64_t floats, Layout& layout);
  [[nodiscard]] TileRows rows(const plan::Frame& frame, int64_t head, int64_t first, int64_t count,
                              float* own) const;

 private:
  void widen(const std::byte* from, float* to) const;

  HeadMatrices matrices_;
  int64_t stride_ = 0, copy_ = -1;
};

// Whether HeadMatrices can read rows of such a matrix.
bool can_read_rows(const plan::Place& matrix);
bool can_read_mask(const plan::Place& mask);

}  // namespace mw::cpu
