// The list ops: make_list, list_length, list_read, list_write, list_gather, list_scatter.
// A list holds tensors of one dtype. Elements that were never written read as zeros. A write beyond
// the end makes the list longer, whatever its type says: programs state the initial length even of
// lists that grow, so a length in a type is never relied on.
#include <algorithm>
#include <cstring>

#include "ops/support.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 20;

// The type of the elements of input `ls`.
Type element_type(const OpView& op) {
  const Type list = op.type("ls");
  if (!list.is_list() || !list.element().is_tensor()) {
    op.reject("ls", "expected a list of tensors, got {}", list.str());
  }
  return list.element();
}

void expect_index(const OpView& op, std::string_view input, int64_t low, int64_t high) {
  const DType dtype = op.dtype(input);
  if (!is_integer(dtype)) op.reject(input, "expected integers, got dtype {}", mw::name_of(dtype));
  expect_rank(op, input, low, high);
}

// A one-element `index` must have exactly one element.
void expect_one_index(const OpView& op) {
  expect_index(op, "index", 0, 1);
  const Shape shape = op.shape("index");
  if (product(shape, 0, shape.size()) != 1) {
    op.reject("index", "expected one index, got shape {}", to_string(shape));
  }
}

int64_t checked(const OpView& op, std::string_view input, int64_t index, int64_t length) {
  if (index < 0 || index >= length) {
    op.reject(input, "expected values in [0, {}], got {}", length - 1, index);
  }
  return index;
}

// --- make_list -------------------------------------------------------------------------------

// elem_shape is a tuple of constants; a string names an extent that is not known yet.
Shape element_shape(const OpView& op) {
  Shape shape;
  for (size_t i = 0; i < op.operand_count("elem_shape"); ++i) {
    const Tensor* extent = op.known("elem_shape", i);
    if (extent == nullptr) {
      op.reject("elem_shape", "expected constants, got {}", op.type("elem_shape", i).str());
    }
    for (int64_t k = 0; k < extent->count(); ++k) {
      const int64_t value = extent->dtype() == DType::kString ? kAny : extent->integer_at(k);
      if (value < kAny) op.reject("elem_shape", "expected extents of at least 0, got {}", value);
      shape.push_back(value);
      if (shape.size() > kMaxRank) {
        op.reject("elem_shape", "expected {} extents at most", kMaxRank);
      }
    }
  }
  return shape;
}

Type infer_make_list(const OpView& op) {
  const Type element = Type::tensor(op.dtype_named_by("dtype"), element_shape(op));
  const auto length = op.known_ints("init_length");
  if (length && (length->size() != 1 || (*length)[0] < 0 || (*length)[0] > kMaxLength)) {
    op.reject("init_length", "expected a length in [0, {}]", kMaxLength);
  }
  const bool fixed = !op.flag("dynamic_length");
  return Type::list(element, length && fixed ? (*length)[0] : kAny);
}

// --- reading ---------------------------------------------------------------------------------

// What an element that was never written holds.
Tensor zeros(Eval& e, const TensorList& items) {
  Type type = element_type(e);
  const Tensor* item = items.first_written();
  if (!type.is_static() && item != nullptr) {
    type = refine(type, Type::tensor(item->dtype(), item->shape()));
  }
  if (!type.is_static()) {
    e.reject("ls", "expected an element that was written, for its extents are not known");
  }
  return Tensor(type.dtype(), type.shape());
}

Tensor element(Eval& e, const TensorList& items, int64_t index) {
  const Tensor& item = items[static_cast<size_t>(index)];
  return item.empty() ? zeros(e, items) : item;
}

Type infer_list_read(const OpView& op) {
  expect_one_index(op);
  return element_type(op);
}

void evaluate_list_read(Eval& e) {
  const TensorList& items = e.list("ls");
  const auto length = static_cast<int64_t>(items.size());
  const int64_t index = checked(e, "index", e.in("index").integer_at(0), length);
  e.set_out(0, element(e, items, index));
}

Type infer_list_gather(const OpView& op) {
  const Type item = element_type(op);
  expect_index(op, "indices", 1, 1);
  if (item.rank() == static_cast<int64_t>(kMaxRank) || bit_width(item.dtype()) < 8) {
    op.reject("ls", "expected elements that can be stacked, got {}", item.str());
  }
  Shape shape = item.shape();
  shape.insert(shape.begin(), op.shape("indices")[0]);
  return Type::tensor(item.dtype(), shape);
}

void evaluate_list_gather(Eval& e) {
  const TensorList& items = e.list("ls");
  const auto length = static_cast<int64_t>(items.size());
  std::vector<Tensor> chosen;
  for (const int64_t index : integers_of(e.in("indices"))) {
    chosen.push_back(element(e, items, checked(e, "indices", index, length)));
    if (chosen.back().shape() != chosen.front().shape()) {
      e.reject("ls", "expected elements of one shape, got {} and {}",
               to_string(chosen.front().shape()), to_string(chosen.back().shape()));
    }
  }
  Shape shape = chosen.empty() ? zeros(e, items).shape() : chosen.front().shape();
  shape.insert(shape.begin(), static_cast<int64_t>(chosen.size()));
  Tensor y(element_type(e).dtype(), shape);
  auto* to = static_cast<char*>(y.mutable_raw());
  for (const Tensor& item : chosen) {
    if (item.nbytes() > 0) std::memcpy(to, item.raw(), static_cast<size_t>(item.nbytes()));
    to += item.nbytes();
  }
  e.set_out(0, std::move(y));
}

// --- writing ---------------------------------------------------------------------------------

void expect_element(const OpView& op, const Type& value) {
  const Type expected = element_type(op);
  if (!compatible(value, expected)) {
    op.reject("value", "expected elements of {}, got {}", expected.str(), value.str());
  }
}

void put(Eval& e, std::string_view input, TensorList& items, int64_t index, Tensor value) {
  checked(e, input, index, kMaxLength);
  items = items.with(static_cast<size_t>(index), e.kept(std::move(value)));
}

Type infer_list_write(const OpView& op) {
  expect_one_index(op);
  expect_element(op, op.tensor_type("value"));
  return op.type("ls");
}

void evaluate_list_write(Eval& e) {
  TensorList items = e.list("ls");
  put(e, "index", items, e.in("index").integer_at(0), e.datum("value").tensor);
  e.set_list(0, std::move(items));
}

Type infer_list_scatter(const OpView& op) {
  expect_index(op, "indices", 1, 1);
  const Type value = op.tensor_type("value");
  expect_rank(op, "value", 1, static_cast<int64_t>(kMaxRank));
  if (bit_width(value.dtype()) < 8) {
    op.reject("value", "expected elements that can be taken apart, got {}", value.str());
  }
  const int64_t count = op.shape("indices")[0];
  if (count != value.shape()[0] && count != kAny && value.shape()[0] != kAny) {
    op.reject("value", "expected {} elements, one per index, got {}", count, value.shape()[0]);
  }
  expect_element(
      op, Type::tensor(value.dtype(), Shape(value.shape().begin() + 1, value.shape().end())));
  return op.type("ls");
}

void evaluate_list_scatter(Eval& e) {
  TensorList items = e.list("ls");
  const Tensor value = e.datum("value").tensor;
  const Shape shape(value.shape().begin() + 1, value.shape().end());
  const auto* from = static_cast<const char*>(value.raw());
  for (const int64_t index : integers_of(e.in("indices"))) {
    Tensor item(value.dtype(), shape);
    if (item.nbytes() > 0) {
      std::memcpy(item.mutable_raw(), from, static_cast<size_t>(item.nbytes()));
    }
    from += item.nbytes();
    put(e, "indices", items, index, std::move(item));
  }
  e.set_list(0, std::move(items));
}

OpDef list_def(const char* name) {
  OpDef def(name);
  return def.any_input("ls").traits(kListOp).types(
      "T", {DType::kF16, DType::kF32, DType::kBool, DType::kI32});
}

}  // namespace

OpDef make_list() {
  return OpDef("make_list")
      .input("init_length", DType::kI32, kOptional, 1)
      .input("dynamic_length", DType::kBool, kConst | kOptional, true)
      .any_input("elem_shape", kVariadic | kOptional)
      .input("dtype", DType::kString, kConst | kOptional, "fp32")
      .dtype_input("dtype")
      .traits(kListOp)
      .infer(infer_make_list)
      .eval(
          [](Eval& e) { e.set_list(0, TensorList(static_cast<size_t>(e.integer("init_length")))); })
      .no_vjp(NoGradient::kOpaque);
}

OpDef list_length() {
  return list_def("list_length")
      .infer([](const OpView& op) {
        (void)element_type(op);
        return Type::scalar(DType::kI32);
      })
      .eval([](Eval& e) { e.out().set_integer(0, static_cast<int64_t>(e.list("ls").size())); })
      .no_vjp(NoGradient::kIntegerOutput);
}

OpDef list_read() {
  return list_def("list_read")
      .input("index", DType::kI32)
      .infer(infer_list_read)
      .eval(evaluate_list_read)
      .no_vjp(NoGradient::kOpaque);
}

OpDef list_write() {
  return list_def("list_write")
      .input("index", DType::kI32)
      .input("value", "T")
      .infer(infer_list_write)
      .eval(evaluate_list_write)
      .no_vjp(NoGradient::kOpaque);
}

OpDef list_gather() {
  return list_def("list_gather")
      .input("indices", DType::kI32)
      .infer(infer_list_gather)
      .eval(evaluate_list_gather)
      .no_vjp(NoGradient::kOpaque);
}

OpDef list_scatter() {
  return list_def("list_scatter")
      .input("indices", DType::kI32)
      .input("value", "T")
      .infer(infer_list_scatter)
      .eval(evaluate_list_scatter)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace mw::ops
