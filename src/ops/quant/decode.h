// Reading compressed weights part by part, without ever holding the dense tensor.
//
//   const auto weight = make_decoder(operand, opset);   // [rows, row_length]
//   weight->decode(row, 1, buffer);                     // one row of fp32 values
#pragma once

#include <memory>
#include <optional>

#include "base/packed.h"
#include "ir/op_view.h"

namespace mw::ops {

// The values of a constant, or of a result of a constexpr op (nested ones included). Immutable:
// several threads may read at once. Keeps the compressed tensors alive; holds besides them lookup
// tables, and one count per 512 mask bits.
class WeightDecoder {
 public:
  WeightDecoder(DType dtype, Shape shape);
  virtual ~WeightDecoder() = default;
  WeightDecoder(const WeightDecoder&) = delete;
  WeightDecoder& operator=(const WeightDecoder&) = delete;

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int64_t count() const { return count_; }
  // Leading extent (1 of a scalar) and the product of the others.
  [[nodiscard]] int64_t rows() const { return rows_; }
  [[nodiscard]] int64_t row_length() const { return row_length_; }

  // Rows [first_row, first_row + count) as fp32, rounded to dtype(). They must exist.
  void decode(int64_t first_row, int64_t count, float* out) const {
    read(first_row * row_length_, count * row_length_, out);
  }
  // Elements [first, first + count) in row-major order, likewise.
  virtual void read(int64_t first, int64_t count, float* out) const = 0;
  // The same as rows() rows of codes in memory, as long as this lives; nullopt where it is more
  // than that: vectors, sparse, nested, or cut into blocks along several axes of a row.
  [[nodiscard]] virtual std::optional<PackedMatrix> packed() const { return std::nullopt; }
  // The values themselves where they lie in memory, else null.
  [[nodiscard]] virtual const Tensor* tensor() const { return nullptr; }

 private:
  DType dtype_;
  Shape shape_;
  int64_t count_, rows_, row_length_;
};

// For result `result` of a constexpr op. Checks all its inputs as infer() does, and the values that
// infer() does not see; throws invalid_model.
std::unique_ptr<WeightDecoder> make_decoder(const ir::OpView& op, size_t result = 0);
// For a constant with a value or for the result of a constexpr op; null for any other operand.
std::unique_ptr<WeightDecoder> make_decoder(const ir::Operand& operand, ir::Opset opset);

}  // namespace mw::ops
