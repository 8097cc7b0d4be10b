// Palette: lookup tables per block, and the arithmetic of tables whose entries are vectors.
#pragma once

#include "ops/quant/quant.h"

namespace mw::ops {

// Elements [first, first + length) of a result decoded with a vector table take component
// `component` of the entries that indices [index, index + length) name.
struct VectorPiece {
  int64_t index, length, component;
};

// Lookup tables in a grid over the indices, each of `entries` x `width` numbers; an entry of more
// than one lies along `axis`.
struct Tables {
  std::vector<float> values;
  Shape grid;
  int64_t entries, width, axis;
};

class Palette {
 public:
  // `indices` are numbers below tables.entries, in the order lookup() counts them; `extents` is the
  // shape they have when dense.
  Palette(Tensor indices, const Shape& extents, Tables tables);

  [[nodiscard]] const Blocks& blocks() const { return blocks_; }
  [[nodiscard]] int64_t width() const { return tables_.width; }
  // out[i] = table[group][index[first + i]][component]
  void lookup(int64_t group, int64_t first, int64_t count, int64_t component, float* out) const;
  // As WeightDecoder has it.
  [[nodiscard]] std::optional<PackedMatrix> packed() const;
  // Elements [first, first + count) of the result when vectors lie along the last axis.
  void read_entries(int64_t first, int64_t count, float* out) const;
  // Whether they do.
  [[nodiscard]] bool has_whole_entries() const { return inner_ == 1; }
  // The piece at position `first` of the result, no longer than `count`.
  [[nodiscard]] VectorPiece piece_at(int64_t first, int64_t count) const;

 private:
  void fill_key_tables(int bits);
  void lookup_keys(const float* rows, int64_t first, int64_t count, float* out) const;

  Tensor indices_;
  Shape extents_;
  Blocks blocks_;
  Tables tables_;
  int64_t inner_;
  // For 1, 2, 4 bits: the values of all indices in a byte, 256 rows per table; for 3 bits those of
  // two indices, 64 rows. Empty where that does not pay.
  std::vector<float> key_tables_;
  int64_t per_key_ = 0, keys_ = 256;
};

// Checks of the ios18 form; returns the shape with the extent at vector_axis times the width.
Shape infer_vectors(const OpView& op, const char* indices, const Shape& extents);
// The palette of an ios18 form op.
Palette palette_of(const OpView& op, const char* indices, const Shape& extents, int depth);

}  // namespace mw::ops
