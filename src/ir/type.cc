// Type: construction, spelling and comparison of MIL types; the table of opsets.
#include "ir/type.h"

#include <array>

#include "base/error.h"

namespace mw::ir {
namespace {

struct OpsetRow {
  Opset opset;
  std::string_view name, core_ml;
};
constexpr std::array<OpsetRow, 5> kOpsets = {{{Opset::kIos15, "ios15", "CoreML5"},
                                              {Opset::kIos16, "ios16", "CoreML6"},
                                              {Opset::kIos17, "ios17", "CoreML7"},
                                              {Opset::kIos18, "ios18", "CoreML8"},
                                              {Opset::kIos26, "ios26", "CoreML9"}}};

std::shared_ptr<const std::vector<Type>> share(std::vector<Type> types) {
  return std::make_shared<const std::vector<Type>>(std::move(types));
}

}  // namespace

std::string_view name_of(Opset opset) { return kOpsets[static_cast<size_t>(opset) - 6].name; }
std::string_view core_ml_name_of(Opset opset) {
  return kOpsets[static_cast<size_t>(opset) - 6].core_ml;
}
std::optional<Opset> opset_named(std::string_view name) {
  for (const OpsetRow& row : kOpsets) {
    if (row.name == name) return row.opset;
  }
  return std::nullopt;
}
std::optional<Opset> opset_core_ml_named(std::string_view name) {
  for (const OpsetRow& row : kOpsets) {
    if (row.core_ml == name) return row.opset;
  }
  return std::nullopt;
}

Type Type::tensor(DType dtype, Shape shape) {
  if (shape.size() > kMaxRank) {
    fail(ErrorCode::kInvalidModel, "a tensor of rank {}: expected at most {}", shape.size(),
         kMaxRank);
  }
  Type type;
  type.dtype_ = dtype;
  type.shape_ = std::move(shape);
  return type;
}
Type Type::unranked(DType dtype) {
  Type type;
  type.dtype_ = dtype;
  type.has_rank_ = false;
  return type;
}
Type Type::list(Type element, int64_t length) {
  Type type;
  type.kind_ = Kind::kList;
  type.length_ = length;
  type.elements_ = share({std::move(element)});
  return type;
}
Type Type::tuple(std::vector<Type> elements) {
  Type type;
  type.kind_ = Kind::kTuple;
  type.elements_ = share(std::move(elements));
  return type;
}
Type Type::dict(Type key, Type value) {
  Type type;
  type.kind_ = Kind::kDict;
  type.elements_ = share({std::move(key), std::move(value)});
  return type;
}
Type Type::state(Type wrapped) {
  Type type;
  type.kind_ = Kind::kState;
  type.elements_ = share({std::move(wrapped)});
  return type;
}

DType Type::dtype() const {
  if (kind_ == Kind::kState) return element().dtype();
  MW_CHECK(kind_ == Kind::kTensor);
  return dtype_;
}
bool Type::has_rank() const { return kind_ == Kind::kState ? element().has_rank() : has_rank_; }
const Shape& Type::shape() const {
  if (kind_ == Kind::kState) return element().shape();
  MW_CHECK(kind_ == Kind::kTensor);
  if (!has_rank_) fail(ErrorCode::kUnsupported, "expected a tensor of known rank, got {}", str());
  return shape_;
}
Type Type::with_dtype(DType dtype) const {
  MW_CHECK(kind_ == Kind::kTensor);
  Type type = *this;
  type.dtype_ = dtype;
  return type;
}
const std::vector<Type>& Type::elements() const {
  MW_CHECK(elements_ != nullptr);
  return *elements_;
}

bool Type::is_static() const {
  if (kind_ == Kind::kTensor) {
    if (!has_rank_) return false;
    for (const int64_t extent : shape_) {
      if (extent < 0) return false;
    }
    return true;
  }
  if (kind_ == Kind::kList && length_ < 0) return false;
  for (const Type& type : elements()) {
    if (!type.is_static()) return false;
  }
  return true;
}

std::string Type::str() const {
  switch (kind_) {
    case Kind::kTensor:
      return fmt::format("tensor<{}, {}>", mw::name_of(dtype_),
                         has_rank_ ? to_string(shape_) : "?");
    case Kind::kList:
      return fmt::format("list<{}, {}>", element().str(),
                         length_ < 0 ? "?" : std::to_string(length_));
    case Kind::kDict:
      return fmt::format("dict<{}, {}>", elements()[0].str(), elements()[1].str());
    case Kind::kState:
      return fmt::format("state<{}>", element().str());
    case Kind::kTuple:
      break;
  }
  std::string text = "tuple<";
  for (size_t i = 0; i < elements().size(); ++i) text += (i > 0 ? ", " : "") + elements()[i].str();
  return text + ">";
}

bool operator==(const Type& a, const Type& b) {
  if (a.kind_ != b.kind_) return false;
  if (a.kind_ == Type::Kind::kTensor) {
    return a.dtype_ == b.dtype_ && a.has_rank_ == b.has_rank_ && a.shape_ == b.shape_;
  }
  return a.length_ == b.length_ && *a.elements_ == *b.elements_;
}

bool compatible(const Type& a, const Type& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_tensor()) {
    if (a.dtype() != b.dtype()) return false;
    if (!a.has_rank() || !b.has_rank()) return true;
    if (a.rank() != b.rank()) return false;
    for (size_t i = 0; i < a.shape().size(); ++i) {
      const int64_t x = a.shape()[i], y = b.shape()[i];
      if (x >= 0 && y >= 0 && x != y) return false;
    }
    return true;
  }
  if (a.is_list() && a.length() >= 0 && b.length() >= 0 && a.length() != b.length()) return false;
  if (a.elements().size() != b.elements().size()) return false;
  for (size_t i = 0; i < a.elements().size(); ++i) {
    if (!compatible(a.elements()[i], b.elements()[i])) return false;
  }
  return true;
}

Type refine(const Type& a, const Type& b) {
  if (a.is_tensor()) {
    if (!a.has_rank()) return b;
    if (!b.has_rank()) return a;
    Shape shape = a.shape();
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] < 0) shape[i] = b.shape()[i];
    }
    return Type::tensor(a.dtype(), std::move(shape));
  }
  if (a.is_list()) {
    return Type::list(refine(a.element(), b.element()), a.length() < 0 ? b.length() : a.length());
  }
  if (a.is_state()) return Type::state(refine(a.element(), b.element()));
  return a;
}

}  // namespace mw::ir
