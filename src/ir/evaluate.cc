// evaluate(): allocation, widening and narrowing around an op's reference implementation.
#include "ir/evaluate.h"

#include <cstring>

#include "base/error.h"

namespace mw::ir {
namespace {

bool is_narrow_float(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF8E4M3FN ||
         dtype == DType::kF8E5M2;
}
// Narrow floats are computed in fp32; where elements are only moved they stay what they are.
bool widens(const OpDef& def, DType dtype) {
  const bool moves = def.has_trait(kMovesElements | kSlices) && !def.has_trait(kElementwise);
  return is_narrow_float(dtype) && !moves;
}
DType compute_dtype(const OpDef& def, DType dtype) {
  return widens(def, dtype) ? DType::kF32 : dtype;
}

}  // namespace

Eval::Eval(const Operation& op, const OpDef& def, Opset opset, const Facts& facts, Runner* runner,
           std::vector<Type> result_types)
    : OpView(op, def, opset, &facts),
      runner_(runner),
      result_types_(std::move(result_types)),
      results_(result_types_.size()) {}

const Tensor& Eval::in(std::string_view input, size_t index) {
  const Operand& wanted = operand(input, index);
  const Tensor* tensor = facts().tensor_of(wanted);
  if (tensor == nullptr) reject(input, "expected a tensor, got a value of another kind");
  if (!widens(def(), tensor->dtype())) return *tensor;
  const auto found = widened_.find(&wanted);
  if (found != widened_.end()) return found->second;
  return widened_.emplace(&wanted, tensor->to(DType::kF32)).first->second;
}

Runner& Eval::runner() const {
  MW_CHECK(runner_ != nullptr);
  return *runner_;
}

const TensorList& Eval::list(std::string_view input) {
  const Datum found = runner().datum_of(operand(input));
  if (!found.list) reject(input, "expected a list");
  return *found.list;
}

StateCell& Eval::state(std::string_view input) {
  const Datum found = runner().datum_of(operand(input));
  if (!found.state) reject(input, "expected a state");
  return *found.state;
}

Tensor& Eval::out(size_t index) {
  Tensor& tensor = results_.at(index).tensor;
  if (tensor.empty()) {
    const Type& type = result_types_[index];
    MW_CHECK(type.is_tensor() && type.is_static());
    if (index < provided_.size() && !provided_[index].empty()) {
      tensor = std::move(provided_[index]);
      if (tensor.count() > 0) {
        std::memset(tensor.mutable_raw(), 0, static_cast<size_t>(tensor.nbytes()));
      }
      return tensor;
    }
    tensor = Tensor(compute_dtype(def(), type.dtype()), type.shape());
  }
  return tensor;
}

Tensor& Eval::out_from(const Tensor& x, size_t index) {
  Tensor& tensor = results_.at(index).tensor;
  MW_CHECK(tensor.empty());
  if (index >= provided_.size() || provided_[index].empty()) return tensor = x.clone();
  tensor = std::move(provided_[index]);
  MW_CHECK(tensor.dtype() == x.dtype() && tensor.shape() == x.shape());
  if (x.count() > 0) {
    std::memmove(tensor.mutable_raw(), x.raw(), static_cast<size_t>(x.nbytes()));
  }
  return tensor;
}

void Eval::provide(size_t index, Tensor storage) {
  provided_.resize(results_.size());
  provided_.at(index) = std::move(storage);
}

void Eval::set_out(size_t index, Tensor value) { results_.at(index).tensor = std::move(value); }
void Eval::set_list(size_t index, TensorList items) {
  results_.at(index).list = std::make_shared<const TensorList>(std::move(items));
}
Tensor Eval::kept(Tensor tensor) {
  return runner_ == nullptr ? tensor : runner_->keep(std::move(tensor));
}
void Eval::set_datum(size_t index, Datum value) { results_.at(index) = std::move(value); }

std::vector<Datum> Eval::run_block(size_t index, std::vector<Datum> arguments) {
  return runner().run_block(*operation().blocks.at(index), std::move(arguments));
}

Datum Eval::datum(std::string_view input, size_t index) {
  const Operand& wanted = operand(input, index);
  if (runner_ != nullptr) return runner_->datum_of(wanted);
  return {.tensor = in(input, index), .list = nullptr, .state = nullptr};
}

std::vector<Datum> Eval::run() {
  expect_affordable(*this, result_types_);
  try {
    def().eval()(*this);
    return take_results();
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, "{}: out of memory", where());
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kOutOfMemory || !e.where().empty()) throw;
    throw e.within(where());
  }
}

std::vector<Datum> Eval::take_results() {
  for (size_t i = 0; i < results_.size(); ++i) {
    const Type& type = result_types_[i];
    if (!type.is_tensor()) continue;
    Tensor& tensor = results_[i].tensor;
    if (tensor.empty()) (void)out(i);
    if (tensor.dtype() != type.dtype()) {
      MW_CHECK(tensor.dtype() == compute_dtype(def(), type.dtype()));
      tensor = tensor.to(type.dtype());
    }
    MW_CHECK(compatible(Type::tensor(tensor.dtype(), tensor.shape()), type));
  }
  return std::move(results_);
}

std::vector<Datum> evaluate(const Operation& op, const OpDef& def, Opset opset, const Facts& facts,
                            Runner* runner) {
  const OpView view(op, def, opset, &facts);
  if (!def.eval()) fail(ErrorCode::kUnsupported, "{}: the op cannot be run", view.where());
  return Eval(op, def, opset, facts, runner, infer_results(view)).run();
}

}  // namespace mw::ir
