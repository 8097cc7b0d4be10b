// Type: every MIL type (tensor, list, tuple, dict, state) as a small value with structural
// equality.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millwright/tensor.hpp"

namespace mw::ir {

// An extent that is not known before a run; written `?`.
inline constexpr int64_t kUnknownDim = -1;
inline constexpr size_t kMaxRank = 16;

// The opset a function is written for; the number is Core ML's specification version.
enum class Opset : uint8_t { kIos15 = 6, kIos16 = 7, kIos17 = 8, kIos18 = 9, kIos26 = 10 };
std::string_view name_of(Opset opset);                    // "ios17"
std::optional<Opset> opset_named(std::string_view name);  // "ios17"
std::string_view core_ml_name_of(Opset opset);            // "CoreML7"
std::optional<Opset> opset_core_ml_named(std::string_view name);

class Type {
 public:
  enum class Kind : uint8_t { kTensor, kList, kTuple, kDict, kState };

  Type() = default;  // tensor<fp32, []>
  static Type tensor(DType dtype, Shape shape);
  // `tensor<fp32, ?>`: even the rank is known only at run time, or once a function is specialised.
  static Type unranked(DType dtype);
  static Type scalar(DType dtype) { return tensor(dtype, {}); }
  static Type list(Type element, int64_t length = kUnknownDim);
  static Type tuple(std::vector<Type> elements);
  static Type dict(Type key, Type value);
  static Type state(Type wrapped);

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is_tensor() const { return kind_ == Kind::kTensor; }
  [[nodiscard]] bool is_list() const { return kind_ == Kind::kList; }
  [[nodiscard]] bool is_state() const { return kind_ == Kind::kState; }

  // Of a tensor; a state answers for the tensor it wraps. Throws internal for other kinds.
  [[nodiscard]] DType dtype() const;
  // shape() and rank() throw unsupported where the rank is unknown.
  [[nodiscard]] bool has_rank() const;
  [[nodiscard]] const Shape& shape() const;
  [[nodiscard]] int64_t rank() const { return static_cast<int64_t>(shape().size()); }
  [[nodiscard]] Type with_dtype(DType dtype) const;  // of a tensor
  [[nodiscard]] bool is_static() const;              // every extent, through all elements, is known

  // list: [element]; tuple: all; dict: [key, value]; state: [wrapped].
  [[nodiscard]] const std::vector<Type>& elements() const;
  [[nodiscard]] const Type& element() const { return elements()[0]; }
  [[nodiscard]] int64_t length() const { return length_; }  // of a list

  // `tensor<fp16, [1, ?]>`: the long spelling, valid in both dialects.
  [[nodiscard]] std::string str() const;

  friend bool operator==(const Type& a, const Type& b);

 private:
  Kind kind_ = Kind::kTensor;
  DType dtype_ = DType::kF32;
  bool has_rank_ = true;
  int64_t length_ = kUnknownDim;
  Shape shape_;
  std::shared_ptr<const std::vector<Type>> elements_;
};

// Equal up to unknown ranks, extents and list lengths on either side.
bool compatible(const Type& a, const Type& b);
// What is unknown of `a` as `b` has it. Requires compatible(a, b).
Type refine(const Type& a, const Type& b);

}  // namespace mw::ir
