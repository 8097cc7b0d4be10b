// Constant: an immutable literal of any MIL type; tensors may lie in a memory-mapped blob file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/type.h"
#include "millwright/tensor.hpp"

namespace mw::ir {

class Constant;
using ConstantPtr = std::shared_ptr<const Constant>;

// Where a tensor constant came from: identifies ties and lets a writer copy bytes unchanged.
struct BlobRef {
  std::string path;     // as written, e.g. "@model_path/weights/weight.bin"
  uint64_t offset = 0;  // of the 64-byte metadata record
  friend auto operator<=>(const BlobRef&, const BlobRef&) = default;
};

// Turns `BLOBFILE(path = .., offset = ..)` into the tensor stored there.
class BlobResolver {
 public:
  virtual ~BlobResolver() = default;
  // A tensor of exactly this type, which is static and not of strings. Throws mw::Error.
  virtual Tensor resolve(const Type& type, const BlobRef& ref) = 0;
};

class Constant {
 public:
  // A numeric, bool or string tensor; its type follows from the tensor.
  static ConstantPtr tensor(Tensor value);
  static ConstantPtr blob(Tensor value, BlobRef ref);
  // A tensor whose blob file was not given: it has a type and a reference, and no value.
  static ConstantPtr absent_blob(Type type, BlobRef ref);
  // list and tuple: one child per element; dict: key, value, key, value, ...
  static ConstantPtr aggregate(Type type, std::vector<ConstantPtr> children);

  static ConstantPtr string(std::string value);
  static ConstantPtr boolean(bool value);
  static ConstantPtr int32(int32_t value);
  static ConstantPtr int32s(
      const std::vector<int64_t>& values);               // rank 1; throws when one does not fit
  static ConstantPtr number(DType dtype, double value);  // rank 0

  [[nodiscard]] const Type& type() const { return type_; }
  [[nodiscard]] bool is_tensor() const { return type_.is_tensor(); }
  // False only for an absent blob.
  [[nodiscard]] bool has_value() const { return !absent_; }
  // Throws internal unless is_tensor(), invalid_model unless has_value().
  [[nodiscard]] const Tensor& value() const;
  [[nodiscard]] const std::vector<ConstantPtr>& children() const { return children_; }
  [[nodiscard]] const std::optional<BlobRef>& blob_ref() const { return blob_; }

  // Structural equality; NaNs with equal bits are equal. Blob references take part only where the
  // value is absent.
  friend bool equal(const Constant& a, const Constant& b);

 private:
  Type type_;
  Tensor value_;
  std::vector<ConstantPtr> children_;
  std::optional<BlobRef> blob_;
  bool absent_ = false;
};

}  // namespace mw::ir
