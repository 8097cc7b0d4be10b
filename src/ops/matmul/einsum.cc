// einsum: products of one or two tensors in index notation, "nchw,nwhu->nchu".
//
// MIL itself names two equations (the one above and "chw,whr->chr"); all others without an ellipsis
// are taken too. An axis of extent 1 is repeated where the same label has another extent elsewhere.
#include <cctype>
#include <map>
#include <string>

#include "ops/expr.h"
#include "ops/matmul/contract.h"

namespace mw::ops {
namespace {

struct Equation {
  std::vector<std::string> terms;  // labels per operand
  std::string result;
};

Equation parse(const OpView& op) {
  std::string text = op.text("equation");
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  if (arrow == std::string::npos) {
    op.reject("equation", "expected a form like 'nchw,nwhu->nchu', got '{}'", text);
  }
  Equation equation{{""}, text.substr(arrow + 2)};
  for (const char c : text.substr(0, arrow)) {
    if (c == ',') {
      equation.terms.emplace_back();
    } else {
      equation.terms.back() += c;
    }
  }
  for (const std::string& term : equation.terms) {
    for (const char c : term + equation.result) {
      if (std::isalpha(static_cast<unsigned char>(c)) == 0) {
        op.reject("equation", "expected letters between ',' and '->', got '{}'", text);
      }
    }
  }
  return equation;
}

// Extent per label; kAny where unknown.
using Extents = std::map<char, int64_t>;

void note_extent(const OpView& op, Extents& extents, char label, int64_t extent) {
  const auto [found, added] = extents.emplace(label, extent);
  int64_t& known = found->second;
  if (added || known == extent || extent == 1) return;
  if (known == 1 || known == kAny) {
    known = extent;
  } else if (extent != kAny) {
    op.reject("values", "expected one extent for '{}', got {} and {}", label, known, extent);
  }
}

Extents extents_of(const OpView& op, const Equation& equation) {
  Extents extents;
  for (size_t i = 0; i < equation.terms.size(); ++i) {
    const Shape shape = op.shape("values", i);
    const std::string& term = equation.terms[i];
    if (shape.size() != term.size()) {
      op.reject("values", "expected rank {} for '{}', got shape {}", term.size(), term,
                to_string(shape));
    }
    for (size_t k = 0; k < term.size(); ++k) note_extent(op, extents, term[k], shape[k]);
  }
  return extents;
}

Type infer(const OpView& op) {
  const Equation equation = parse(op);
  const size_t count = op.operand_count("values");
  if (count < 1 || count > 2) op.reject("values", "expected one or two tensors, got {}", count);
  if (equation.terms.size() != count) {
    op.reject("equation", "expected {} terms as there are values, got {}", count,
              equation.terms.size());
  }
  const DType dtype = op.tensor_type("values").dtype();
  for (size_t i = 0; i < count; ++i) {
    expect_product_dtype(op, "values", i);
    const DType got = op.tensor_type("values", i).dtype();
    if (got != dtype) {
      op.reject("values", "expected one dtype, got {} and {}", mw::name_of(dtype),
                mw::name_of(got));
    }
  }
  const Extents extents = extents_of(op, equation);
  Shape shape;
  for (size_t i = 0; i < equation.result.size(); ++i) {
    const char label = equation.result[i];
    if (!extents.contains(label) || equation.result.find(label) != i) {
      op.reject("equation", "expected each label of the result once and in an input, got '{}'",
                label);
    }
    shape.push_back(extents.at(label));
  }
  return Type::tensor(dtype, shape);
}

// Stride per label of one term: a label that stands twice walks the diagonal.
std::map<char, int64_t> strides_by_label(const std::string& term, const Shape& shape) {
  const std::vector<int64_t> strides = strides_of(shape);
  std::map<char, int64_t> by_label;
  for (size_t i = 0; i < term.size(); ++i) by_label[term[i]] += shape[i] == 1 ? 0 : strides[i];
  return by_label;
}

// The labels of one role (batch, m, n or k): their extents, and offsets under a term's strides.
struct Group {
  std::string labels;
  Shape shape;
  [[nodiscard]] std::vector<int64_t> offsets_in(const std::string& term, const Shape& of) const {
    const std::map<char, int64_t> strides = strides_by_label(term, of);
    std::vector<int64_t> own;
    for (const char label : labels) own.push_back(strides.contains(label) ? strides.at(label) : 0);
    return offsets(shape, own);
  }
};

// An operand with its labels.
struct Term {
  std::string labels;
  Tensor tensor;
  [[nodiscard]] bool has(char label) const { return labels.find(label) != std::string::npos; }
  [[nodiscard]] std::vector<int64_t> offsets_of(const Group& group) const {
    return group.offsets_in(labels, tensor.shape());
  }
};

void multiply(const Extents& extents, const Term& x, const Term& w, Term& y) {
  Group batch, rows, columns, summed;
  for (const auto& [label, extent] : extents) {
    if (!x.has(label) && !w.has(label)) continue;
    Group& group = !y.has(label)                  ? summed
                   : x.has(label) && w.has(label) ? batch
                   : x.has(label)                 ? rows
                                                  : columns;
    group.labels += label;
    group.shape.push_back(extent);
  }
  Contraction c;
  c.x_m = x.offsets_of(rows);
  c.x_k = x.offsets_of(summed);
  c.w_k = w.offsets_of(summed);
  c.w_n = w.offsets_of(columns);
  c.y_m = y.offsets_of(rows);
  c.y_n = y.offsets_of(columns);
  const std::vector<int64_t> in_x = x.offsets_of(batch), in_w = w.offsets_of(batch);
  const std::vector<int64_t> in_y = y.offsets_of(batch);
  c.batches.clear();
  for (size_t i = 0; i < in_x.size(); ++i) c.batches.push_back({in_x[i], in_w[i], in_y[i]});
  contract(c, x.tensor, w.tensor, y.tensor);
}

Term scalar_one(DType dtype) {
  Term one{"", Tensor(dtype, {})};
  one.tensor.set_number(0, 1);
  return one;
}

// `term` summed over the labels that `others` does not have. Done ahead, or the product would run
// over all pairs of labels that only one operand has.
Term sum_own_labels(const Term& term, const std::string& others) {
  Extents extents;
  for (size_t i = 0; i < term.labels.size(); ++i) {
    const int64_t extent = term.tensor.shape()[i];
    int64_t& known = extents.emplace(term.labels[i], extent).first->second;
    if (known == 1) known = extent;
  }
  Term kept;
  Shape shape;
  for (const auto& [label, extent] : extents) {
    if (others.find(label) == std::string::npos) continue;
    kept.labels += label;
    shape.push_back(extent);
  }
  if (kept.labels.size() == extents.size()) return term;
  kept.tensor = Tensor(term.tensor.dtype(), shape);
  multiply(extents, term, scalar_one(term.tensor.dtype()), kept);
  return kept;
}

void evaluate(Eval& e) {
  const Equation equation = parse(e);
  const bool two = equation.terms.size() == 2;
  Term y{equation.result, e.out()};
  if (y.tensor.count() == 0) return;
  Term x{equation.terms[0], e.in("values")};
  Term w = scalar_one(x.tensor.dtype());
  if (two) {
    w = {equation.terms[1], e.in("values", 1)};
    x = sum_own_labels(x, w.labels + y.labels);
    w = sum_own_labels(w, x.labels + y.labels);
  }
  multiply(extents_of(e, equation), x, w, y);
}

// 1 where the indices along two axes are equal.
Expr diagonal(const Expr& like, size_t first, size_t second) {
  const Shape& shape = like.shape();
  Shape mask(shape.size(), 1);
  mask[first] = mask[second] = shape[first];
  const Type square = Type::tensor(like.dtype(), {shape[first], shape[first]});
  const Expr ones = filled(like.builder(), square, 1);
  return reshape(ones.op("band_part", {{"lower", 0}, {"upper", 0}}), mask);
}

// The gradient of one operand: the result's times the other operand, summed over the labels that
// the operand lacks or has one element of, repeated along those that only it has. A label that
// stands twice gets it along its diagonal.
void operand_rule(Vjp& v, const Equation& equation, const Extents& extents, size_t index) {
  const std::string& term = equation.terms[index];
  const Shape shape = v.shape("values", index);
  std::vector<Value*> factors{v.grad()};
  std::string from = equation.result, labels;
  if (equation.terms.size() == 2) {
    factors.push_back(v.in("values", 1 - index));
    from += "," + equation.terms[1 - index];
  }
  Shape meeting(shape.size(), 1);
  for (size_t i = 0; i < term.size(); ++i) {
    const bool reached = from.find(term[i]) != std::string::npos;
    const bool whole = shape[i] == extents.at(term[i]);
    if (!reached || !whole || labels.find(term[i]) != std::string::npos) continue;
    labels += term[i];
    meeting[i] = -1;
  }
  Builder& b = v.builder();
  const Expr product(b, b.op("einsum", {{"values", factors}, {"equation", from + "->" + labels}}));
  for (size_t i = 0, k = 0; i < meeting.size(); ++i) {
    if (meeting[i] == -1) meeting[i] = product.shape()[k++];
  }
  Expr gradient = repeat_to(reshape(product, meeting), shape);
  for (size_t i = 0; i < term.size(); ++i) {
    for (size_t j = i + 1; j < term.size(); ++j) {
      const bool twice = term[i] == term[j] && shape[i] == shape[j] && shape[i] != 1;
      if (twice) gradient = gradient * diagonal(gradient, i, j);
    }
  }
  v.add("values", gradient, index);
}

void rule(Vjp& v) {
  const Equation equation = parse(v);
  const Extents extents = extents_of(v, equation);
  for (size_t i = 0; i < equation.terms.size(); ++i) {
    if (v.wants("values", i)) operand_rule(v, equation, extents, i);
  }
}

}  // namespace

OpDef einsum() {
  return OpDef("einsum")
      .types("T", {DType::kF16, DType::kF32})
      .input("values", "T", kVariadic | kWeight | kFactor)
      .input("equation", DType::kString, kConst)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
