// mw.scaled_attention: y = softmax(scale query key^T + mask) value, of any scale and rank; and
// mw.scaled_attention_gradient: the gradients of its operands, of which each has all of the batch.
// Neither holds the weights of all queries: the gradients compute them again.
//
// With w the weights and G = y_grad value^T, row by row:
//   value_grad = w^T y_grad          attn_mask_grad = w (G - sum w G)
//   query_grad = scale attn_mask_grad key          key_grad = scale attn_mask_grad^T query
#include "ops/attention/attention.h"

#include <algorithm>

#include "ops/attention/heads.h"
#include "ops/matmul/contract.h"
#include "ops/support.h"

namespace mw::ops {

namespace {

std::string flag_of(std::string_view input) { return std::string(input) + "_grad"; }

}  // namespace

std::optional<size_t> attention_gradient_result(const OpView& op, std::string_view input) {
  size_t result = 0;
  for (const std::string_view each : kHeadOperands) {
    const bool asked = op.has(each) && op.flag(flag_of(each));
    if (each == input) return asked ? std::optional(result) : std::nullopt;
    if (asked) ++result;
  }
  return std::nullopt;
}

namespace {

Type infer(const OpView& op) { return infer_attention(op, 2); }

void evaluate(Eval& e) { evaluate_attention(e, e.number("scale")); }

std::optional<Expr> mask_of(Builder& b, const OpView& op) {
  return op.has("attn_mask") ? std::optional(operand(b, op, "attn_mask")) : std::nullopt;
}

Expr weights_of(Builder& b, const OpView& op) {
  const HeadExtents x = head_extents(op);
  return attention_weights(operand(b, op, "query"), operand(b, op, "key"), mask_of(b, op),
                           op.number("scale"), x.whole(x.queries, x.keys));
}

std::vector<Value*> expand(Builder& b, const OpView& op) {
  const Type type = infer(op);
  if (head_extents(op).keys == 0 || count_of(type.shape()) == 0) return {filled(b, type, 0)};
  return {matmul(weights_of(b, op), operand(b, op, "value"))};
}

Argument argument_of(std::string_view input, const Operand& operand) {
  return operand.value != nullptr ? Argument(input, operand.value)
                                  : Argument(input, operand.literal);
}

void rule(Vjp& v) {
  std::vector<Argument> inputs;
  for (const Input& input : v.operation().inputs) {
    inputs.push_back(argument_of(input.name, input.operands[0]));
  }
  inputs.emplace_back("y_grad", v.grad());
  bool any = false;
  for (const std::string_view input : kHeadOperands) {
    if (!v.wants(input)) continue;
    any = true;
    inputs.emplace_back(flag_of(input), true);
  }
  if (!any) return;
  const ir::Operation* made =
      v.builder().op_results("mw.scaled_attention_gradient", inputs)[0]->producer;
  size_t result = 0;
  for (const std::string_view input : kHeadOperands) {
    if (v.wants(input)) contribute(v, input, Expr(v.builder(), made->outputs[result++].get()));
  }
}

// --- the gradients ---

std::vector<Type> infer_gradients(const OpView& op) {
  const Type y = infer_attention(op, 2);
  expect_dtype(op, "y_grad", y.dtype());
  expect_shape(op, "y_grad", y.shape());
  const HeadExtents x = head_extents(op);
  const Shape shapes[] = {x.whole(x.queries, x.depth), x.whole(x.keys, x.depth),
                          x.whole(x.keys, x.value_depth), x.whole(x.queries, x.keys)};
  std::vector<Type> types;
  for (size_t i = 0; i < kHeadOperands.size(); ++i) {
    if (!attention_gradient_result(op, kHeadOperands[i])) continue;
    if (op.dtype(kHeadOperands[i]) == DType::kBool) {
      op.reject(flag_of(kHeadOperands[i]), "expected false: a mask of bools has no gradient");
    }
    types.push_back(Type::tensor(y.dtype(), shapes[i]));
  }
  if (types.empty()) op.reject("query_grad", "expected a gradient that is asked for, got none");
  return types;
}

// The gradients of one head after the other.
template <class T>
class Gradients {
 public:
  explicit Gradients(Eval& e)
      : e_(e),
        x_(head_extents(e)),
        scale_(e.number("scale")),
        mask_(added_mask(e, x_.whole(x_.queries, x_.keys))),
        weights_(static_cast<size_t>(x_.queries * x_.keys)),
        slopes_(weights_.size()) {}

  void run() {
    Walk<4> w(x_.batch, {broadcast_strides(x_.query_batch, x_.batch),
                         broadcast_strides(x_.key_batch, x_.batch),
                         broadcast_strides(x_.value_batch, x_.batch),
                         {mask_.strides.begin(), mask_.strides.end() - 2}});
    for (; !w.done(); w.next()) {
      query_ = e_.in("query").data<T>() + w.at(0) * x_.queries * x_.depth;
      key_ = e_.in("key").data<T>() + w.at(1) * x_.keys * x_.depth;
      value_ = e_.in("value").data<T>() + w.at(2) * x_.keys * x_.value_depth;
      y_grad_ = e_.in("y_grad").data<T>() + w.flat() * x_.queries * x_.value_depth;
      one_head(w.flat(), mask_.numbers.data() + w.at(3));
    }
  }

 private:
  // a [m, k] times b [k, n], each given by its strides.
  struct Matrix {
    int64_t row, column;
  };
  template <class A, class Y>
  static void multiply(Shape m_n_k, const A* a, Matrix a_lies, const T* b, Matrix b_lies, Y* y) {
    Contraction c;
    c.x_m = offsets(m_n_k[0], a_lies.row), c.x_k = offsets(m_n_k[2], a_lies.column);
    c.w_k = offsets(m_n_k[2], b_lies.row), c.w_n = offsets(m_n_k[1], b_lies.column);
    c.y_m = offsets(m_n_k[0], m_n_k[1]), c.y_n = offsets(m_n_k[1], 1);
    contract(c, a, b, y);
  }

  T* result(std::string_view input, int64_t head, int64_t count) {
    const auto index = attention_gradient_result(e_, input);
    return index ? e_.out(*index).template mutable_data<T>() + head * count : nullptr;
  }

  void one_head(int64_t head, const double* mask) {
    const int64_t l = x_.queries, s = x_.keys, depth = x_.depth, width = x_.value_depth;
    multiply({l, s, depth}, query_, {depth, 1}, key_, {1, depth}, weights_.data());
    const size_t axis = mask_.strides.size() - 2;
    for (int64_t q = 0; q < l; ++q) {
      softmax_of_scores(weights_.data() + q * s, s, scale_, mask + q * mask_.strides[axis],
                        mask_.strides[axis + 1]);
    }
    T* value_grad = result("value", head, s * width);
    if (value_grad != nullptr) {
      multiply({s, width, l}, weights_.data(), {1, s}, y_grad_, {width, 1}, value_grad);
    }
    multiply({l, s, width}, y_grad_, {width, 1}, value_, {1, width}, slopes_.data());
    T* mask_grad = result("attn_mask", head, l * s);
    for (int64_t q = 0; q < l; ++q) {
      double mean = 0;
      for (int64_t i = q * s; i < (q + 1) * s; ++i) mean += weights_[at(i)] * slopes_[at(i)];
      for (int64_t i = q * s; i < (q + 1) * s; ++i) {
        slopes_[at(i)] = weights_[at(i)] * (slopes_[at(i)] - mean);
        if (mask_grad != nullptr) mask_grad[i] = static_cast<T>(slopes_[at(i)]);
        slopes_[at(i)] *= scale_;
      }
    }
    T* query_grad = result("query", head, l * depth);
    if (query_grad != nullptr) {
      multiply({l, depth, s}, slopes_.data(), {s, 1}, key_, {depth, 1}, query_grad);
    }
    T* key_grad = result("key", head, s * depth);
    if (key_grad != nullptr) {
      multiply({s, depth, l}, slopes_.data(), {1, s}, query_, {depth, 1}, key_grad);
    }
  }

  static size_t at(int64_t index) { return static_cast<size_t>(index); }

  Eval& e_;
  HeadExtents x_;
  double scale_;
  AddedMask mask_;
  std::vector<double> weights_, slopes_;
  const T *query_ = nullptr, *key_ = nullptr, *value_ = nullptr, *y_grad_ = nullptr;
};

void evaluate_gradients(Eval& e) {
  const HeadExtents x = head_extents(e);
  if (x.queries == 0 || x.keys == 0) return;
  dispatch_float(e.in("query").dtype(), [&]<class T>(T) { Gradients<T>(e).run(); });
}

std::vector<Value*> expand_gradients(Builder& b, const OpView& op) {
  const std::vector<Type> types = infer_gradients(op);
  const HeadExtents x = head_extents(op);
  std::vector<Value*> results;
  if (count_of(x.whole(x.queries, x.keys)) == 0 || x.value_depth == 0) {
    for (const Type& type : types) results.push_back(filled(b, type, 0));
    return results;
  }
  const Expr weights = weights_of(b, op), g = operand(b, op, "y_grad");
  const Expr of_mask = scores_gradient(weights, matmul(g, operand(b, op, "value"), false, true));
  const Expr of_scores = of_mask * op.number("scale");
  const auto add = [&](std::string_view input, const Expr& left, bool turned, const Expr& right) {
    if (!attention_gradient_result(op, input)) return;
    const Type& type = types[results.size()];
    const bool any = count_of(type.shape()) > 0;
    results.push_back(any ? matmul(left, right, turned, false).value()
                          : filled(b, type, 0).value());
  };
  add("query", of_scores, false, operand(b, op, "key"));
  add("key", of_scores, true, operand(b, op, "query"));
  add("value", weights, true, g);
  if (attention_gradient_result(op, "attn_mask")) results.push_back(of_mask);
  return results;
}

OpDef declared(const char* name) {
  return with_heads(OpDef(name)).input("scale", DType::kF32, kConst);
}

}  // namespace

OpDef scaled_attention() {
  return declared("mw.scaled_attention").infer(infer).eval(evaluate).expand(expand).vjp(rule);
}

OpDef scaled_attention_gradient() {
  return declared("mw.scaled_attention_gradient")
      .input("y_grad", "T", kNoWeight | kFactor)
      .input("query_grad", DType::kBool, kConst | kOptional, false)
      .input("key_grad", DType::kBool, kConst | kOptional, false)
      .input("value_grad", DType::kBool, kConst | kOptional, false)
      .input("attn_mask_grad", DType::kBool, kConst | kOptional, false)
      .infer(infer_gradients)
      .eval(evaluate_gradients)
      .expand(expand_gradients);
}

}  // namespace mw::ops
