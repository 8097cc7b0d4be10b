// classify: the class of the largest probability, and every class with its probability as a dict
// (at run time the list [keys, values]).
#include "ops/reduce/classify.h"

#include "ops/support.h"

namespace mw::ops {
namespace {

constexpr std::string_view kClassify = "classify";

// The classes as one tensor of strings or int64. A package holds them as a list of scalars.
Tensor classes_of(const OpView& op) {
  const ConstantPtr classes = constant_of(op.operand("classes"));
  if (!classes) op.reject("classes", "expected a constant list, got a value computed at run time");
  if (classes->is_tensor()) return classes->value();
  const std::vector<ConstantPtr>& items = classes->children();
  if (!classes->type().is_list() || items.empty()) {
    op.reject("classes", "expected a list with elements, got {}", classes->type().str());
  }
  const Type& element = items[0]->type();
  const bool scalars = element.is_tensor() && element.rank() == 0;
  Tensor all(scalars ? element.dtype() : DType::kI64, {static_cast<int64_t>(items.size())});
  for (size_t i = 0; i < items.size(); ++i) {
    if (!scalars || !(items[i]->type() == element)) {
      op.reject("classes", "expected scalars of one dtype, got {}", items[i]->type().str());
    }
    const Tensor& item = items[i]->value();
    if (all.dtype() == DType::kString) {
      all.mutable_data<std::string>()[i] = item.data<std::string>()[0];
    } else {
      all.set_integer(static_cast<int64_t>(i), item.integer_at(0));
    }
  }
  return all;
}

std::vector<Type> infer(const OpView& op) {
  expect_float(op, "probabilities");
  const Tensor classes = classes_of(op);
  const DType dtype = classes.dtype();
  if (dtype != DType::kString && dtype != DType::kI64) {
    op.reject("classes", "expected strings or int64, got {}", mw::name_of(dtype));
  }
  const Shape shape = op.shape("probabilities");
  const int64_t count = product(shape, 0, shape.size());
  if (classes.count() == 0 || (count != kAny && count != classes.count())) {
    op.reject("classes", "expected one class per probability, {}, got {}", count, classes.count());
  }
  const Type label = Type::scalar(dtype);
  return {label, Type::dict(label, Type::scalar(DType::kF64))};
}

void evaluate(Eval& e) {
  const Tensor classes = classes_of(e);
  const Tensor probabilities = e.in("probabilities").to(DType::kF64).reshaped(classes.shape());
  int64_t best = 0;
  for (int64_t i = 0; i < classes.count(); ++i) {
    if (probabilities.number_at(i) > probabilities.number_at(best)) best = i;
  }
  Tensor& label = e.out(0);
  if (classes.dtype() == DType::kString) {
    label.mutable_data<std::string>()[0] = classes.data<std::string>()[best];
  } else {
    label.set_integer(0, classes.integer_at(best));
  }
  e.set_list(1, {e.kept(classes), e.kept(probabilities)});
}

}  // namespace

OpDef classify() {
  return OpDef(std::string(kClassify))
      .input("probabilities", DType::kF32)
      .any_input("classes", kConst)
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kOpaque);
}

std::optional<Classifier> classifier_of(const Value* output, const Catalog& catalog) {
  const Operation* op = output->producer;
  if (op == nullptr || op->type != kClassify) return std::nullopt;
  const Opset opset = op->parent->function->opset;
  const OpView view(*op, catalog.at(*op, opset), opset);
  Value* probabilities = op->input("probabilities");
  if (probabilities == nullptr) view.reject("probabilities", "expected a value, got a literal");
  return Classifier{probabilities, classes_of(view)};
}

}  // namespace mw::ops
