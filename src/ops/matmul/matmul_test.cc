// Cases for linear, matmul and einsum.
#include <gtest/gtest.h>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// x [*, m, k] times y [*, k, n] element by element; rank-1 operands are handled by the caller.
double element(const Tensor& t, std::vector<int64_t> index) {
  int64_t flat = 0;
  const size_t skip = index.size() - static_cast<size_t>(t.rank());
  for (size_t i = 0; i < static_cast<size_t>(t.rank()); ++i) {
    flat = flat * t.shape()[i] + (t.shape()[i] == 1 ? 0 : index[skip + i]);
  }
  return t.number_at(flat);
}

Tensor swapped(const Tensor& t) {
  Shape shape = t.shape();
  std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  Tensor result(t.dtype(), shape);
  for (Walk<0> w(shape, {}); !w.done(); w.next()) {
    std::vector<int64_t> index = w.index();
    std::swap(index[index.size() - 1], index[index.size() - 2]);
    result.set_number(w.flat(), element(t, index));
  }
  return result;
}

std::vector<Tensor> reference_matmul(const OpCase& c) {
  Tensor x = c["x"], y = c["y"];
  const bool x_vector = x.rank() == 1, y_vector = y.rank() == 1;
  if (x_vector) x = x.reshaped({1, x.dim(0)});
  if (y_vector) y = y.reshaped({y.dim(0), 1});
  if (c.has("transpose_x") && !x_vector && c.ints("transpose_x")[0] != 0) x = swapped(x);
  if (c.has("transpose_y") && !y_vector && c.ints("transpose_y")[0] != 0) y = swapped(y);
  Shape full(static_cast<size_t>(std::max(x.rank(), y.rank())), 1);
  for (size_t i = 3; i <= full.size(); ++i) {
    for (const Tensor* t : {&x, &y}) {
      if (static_cast<size_t>(t->rank()) < i) continue;
      const int64_t extent = t->shape()[t->shape().size() - i];
      if (extent != 1) full[full.size() - i] = extent;
    }
  }
  full[full.size() - 2] = x.dim(-2);
  full[full.size() - 1] = y.dim(-1);
  Tensor result(x.dtype(), full);
  for (Walk<0> w(full, {}); !w.done(); w.next()) {
    double sum = 0;
    for (int64_t k = 0; k < x.dim(-1); ++k) {
      std::vector<int64_t> in_x = w.index(), in_y = w.index();
      in_x.back() = k;
      in_y[in_y.size() - 2] = k;
      sum += element(x, in_x) * element(y, in_y);
    }
    result.set_number(w.flat(), sum);
  }
  Shape shape = full;
  if (x_vector) shape.erase(shape.end() - 2);
  if (y_vector) shape.pop_back();
  return {result.reshaped(shape)};
}

}  // namespace

OP_CASES(linear) {
  const auto reduction = Kind::kReduction;
  const auto bias = normal({5});
  add("a vector", {{"x", normal({4})}, {"weight", normal({5, 4})}}).tolerance(reduction);
  add("a matrix and a bias", {{"x", normal({3, 4})}, {"weight", normal({5, 4})}, {"bias", bias}})
      .tolerance(reduction);
  add("rank 3", {{"x", normal({2, 3, 40})}, {"weight", normal({33, 40})}, {"bias", normal({33})}})
      .tolerance(reduction);
  add("rank 5", {{"x", normal({2, 1, 2, 3, 4})}, {"weight", normal({5, 4})}, {"bias", bias}})
      .tolerance(reduction);
  add("weight and bias computed at run time",
      {{"x", normal({3, 4})}, {"weight", normal({5, 4})}, {"bias", bias}})
      .tolerance(reduction)
      .constant({"none"});
  add("before iOS17", {{"x", normal({3, 4})}, {"weight", normal({5, 4})}})
      .tolerance(reduction)
      .at(Opset::kIos15);
  add("a long sum", {{"x", normal({2, 5000})}, {"weight", normal({3, 5000})}}).tolerance(reduction);
  add("no rows", {{"x", normal({0, 4})}, {"weight", normal({5, 4})}, {"bias", bias}});
  add("nothing to sum", {{"x", normal({2, 0})}, {"weight", normal({5, 0})}, {"bias", bias}});
  add("no columns", {{"x", normal({2, 4})}, {"weight", normal({0, 4})}, {"bias", normal({0})}});
  add("integers", {{"x", random_ints({3, 4}, -9, 9)},
                   {"weight", random_ints({5, 4}, -9, 9)},
                   {"bias", random_ints({5}, -9, 9)}});
  add("integers that wrap around",
      {{"x", ints({65536, 65536}, {1, 2})}, {"weight", ints({65536, 3}, {1, 2})}})
      .expect({ints({196608}, {1, 1})});
  add("a weight of another float dtype",
      {{"x", normal({3, 4})}, {"weight", OpCases::values({1, 2, 3, 4}, {1, 4}).to(DType::kF16)}})
      .tolerance(reduction);
  add("an integer weight",
      {{"x", values({0.5, 2}, {1, 2})}, {"weight", ints({3, 4}, {1, 2})}, {"bias", ints({1})}})
      .expect({values({10.5}, {1, 1})});
  reject("rank 0", {{"x", number(1)}, {"weight", normal({5, 4})}}, "x: expected rank 1 or more");
  reject("rank of weight", {{"x", normal({4})}, {"weight", normal({4})}},
         "weight: expected rank 2, got shape [4]");
  reject("depth", {{"x", normal({3, 4})}, {"weight", normal({5, 3})}},
         "weight: expected shape [?, 4], got [5, 3]");
  reject("bias", {{"x", normal({3, 4})}, {"weight", normal({5, 4})}, {"bias", normal({4})}},
         "bias: expected shape [5], got [4]");
  reject("bool", {{"x", bools({1, 0}, {2})}, {"weight", normal({5, 2})}},
         "x: expected a float dtype or int32, got bool");
  reject("strings", {{"x", text("a")}, {"weight", normal({5, 2})}}, "got string");
  reference([](const OpCase& c) {
    const Tensor &x = c["x"], &weight = c["weight"];
    Shape shape = x.shape();
    shape.back() = weight.dim(0);
    Tensor y(x.dtype(), shape);
    for (int64_t i = 0; i < y.count(); ++i) {
      const int64_t row = i / weight.dim(0), column = i % weight.dim(0), depth = x.dim(-1);
      double sum = c.has("bias") ? c["bias"].number_at(column) : 0;
      for (int64_t k = 0; k < depth; ++k) {
        sum += x.number_at(row * depth + k) * weight.number_at(column * depth + k);
      }
      y.set_number(i, sum);
    }
    return std::vector<Tensor>{y};
  });
}

OP_CASES(matmul) {
  const auto yes = flag(true);
  const auto pair = [&](const Shape& x, const Shape& y) -> OpCase& {
    return add(to_string(x) + " by " + to_string(y), {{"x", normal(x)}, {"y", normal(y)}})
        .tolerance(Kind::kReduction);
  };
  pair({3, 4}, {4, 5});
  pair({17, 33}, {33, 35});
  pair({2, 3, 4}, {2, 4, 5});
  pair({10, 4, 3}, {5, 10, 3, 2});
  pair({2, 3, 2, 4}, {4, 5});
  pair({2, 3, 4}, {1, 4, 5});
  pair({3, 4}, {2, 4, 5});
  pair({5, 1, 4, 3}, {1, 2, 3, 2});
  pair({1, 1}, {1, 1});
  pair({4}, {4});
  pair({4}, {4, 3});
  pair({4}, {10, 4, 3});
  pair({10, 3, 4}, {4});
  pair({0, 4}, {4, 5});
  pair({3, 0}, {0, 5});
  pair({3, 4}, {4, 0});
  pair({0, 3, 4}, {1, 4, 2});
  add("transposed x", {{"x", normal({2, 4, 3})}, {"y", normal({4, 5})}, {"transpose_x", yes}})
      .tolerance(Kind::kReduction);
  add("transposed y", {{"x", normal({3, 4})}, {"y", normal({2, 5, 4})}, {"transpose_y", yes}})
      .tolerance(Kind::kReduction);
  add("one matrix for all batches, transposed",
      {{"x", normal({2, 3, 4})}, {"y", normal({5, 4})}, {"transpose_y", yes}})
      .tolerance(Kind::kReduction);
  add("a vector by transposed matrices",
      {{"x", normal({4})}, {"y", normal({2, 5, 4})}, {"transpose_y", yes}})
      .tolerance(Kind::kReduction);
  add("transposed matrices by a vector",
      {{"x", normal({2, 4, 3})}, {"y", normal({4})}, {"transpose_x", yes}})
      .tolerance(Kind::kReduction);
  add("both transposed", {{"x", normal({2, 1, 4, 3})},
                          {"y", normal({3, 5, 4})},
                          {"transpose_x", yes},
                          {"transpose_y", yes}})
      .tolerance(Kind::kReduction);
  add("a transposed vector is the vector",
      {{"x", normal({4})}, {"y", normal({5, 4})}, {"transpose_x", yes}, {"transpose_y", yes}})
      .tolerance(Kind::kReduction);
  add("at iOS15", {{"x", normal({3, 4})}, {"y", normal({4, 5})}})
      .tolerance(Kind::kReduction)
      .at(Opset::kIos15);
  add("integers", {{"x", random_ints({2, 3, 4}, -99, 99)}, {"y", random_ints({4, 5}, -99, 99)}});
  add("infinity and NaN stay in their rows",
      {{"x", values({1, 2, INFINITY, 1, NAN, 1}, {3, 2})}, {"y", values({1, 1}, {2, 1})}})
      .expect({values({3, INFINITY, NAN}, {3, 1})});
  add("a constant of another float dtype",
      {{"x", values({1, 2}, {1, 2}).to(DType::kF16)}, {"y", values({3, 4}, {2, 1})}})
      .constant({"x"})
      .expect({values({11}, {1, 1})});
  add("a float constant by integers", {{"x", values({1, 2}, {1, 2})}, {"y", ints({3, 4}, {2, 1})}})
      .constant({"x"})
      .only({DType::kF32})
      .expect({ints({11}, {1, 1})});
  reject("rank 0", {{"x", number(1)}, {"y", normal({4})}}, "x: expected rank 1 or more");
  reject("rank 0 of y", {{"x", normal({4})}, {"y", number(1)}}, "y: expected rank 1 or more");
  reject("depth", {{"x", normal({3, 4})}, {"y", normal({3, 5})}},
         "y: expected 4 elements along the summed axis as x has, got 3 (x [3, 4], y [3, 5])");
  reject("depth after transposing",
         {{"x", normal({3, 4})}, {"y", normal({4, 5})}, {"transpose_x", yes}},
         "expected 3 elements along the summed axis");
  reject("batch", {{"x", normal({2, 3, 4})}, {"y", normal({3, 4, 5})}},
         "y: shapes [2] and [3] cannot be broadcast together");
  reject("float and integer at run time", {{"x", normal({3, 4})}, {"y", random_ints({4, 5}, 0, 3)}},
         "y: expected dtype fp32 as x has, got int32");
  reject("two float dtypes at run time",
         {{"x", normal({3, 4})}, {"y", normal({4, 5}).to(DType::kF16)}},
         "y: expected dtype fp32 as x has, got fp16");
  reject("int8", {{"x", random_ints({3, 4}, 0, 3, DType::kI8)}, {"y", normal({4, 5})}},
         "x: expected a float dtype or int32, got int8");
  reference(reference_matmul);
}

OP_CASES(einsum) {
  const auto rows = [&](const std::string& equation, const Shape& x, const Shape& y) -> OpCase& {
    return add(equation + " " + to_string(x) + " " + to_string(y),
               {{"values", {normal(x), normal(y)}}, {"equation", text(equation)}})
        .tolerance(Kind::kReduction);
  };
  rows("nchw,nwhu->nchu", {2, 3, 4, 5}, {2, 5, 4, 6});
  rows("abcd,adce->abce", {2, 3, 1, 5}, {1, 5, 4, 6});
  rows("chw,whr->chr", {3, 4, 5}, {5, 4, 6});
  rows("chw,whr->chr", {3, 1, 5}, {5, 4, 6});
  rows("ij,jk->ik", {3, 4}, {4, 5});
  rows("ij, jk -> ki", {3, 4}, {4, 5});
  rows("i,j->ij", {3}, {4});
  rows("i,i->", {5}, {5});
  rows("ij,kl->jl", {3, 4}, {5, 6});
  rows("iij,jk->ik", {3, 3, 4}, {4, 5});
  rows("iij,jk->ik", {3, 1, 4}, {4, 5});
  rows("ij,jk->ik", {3, 1}, {4, 5});
  rows("ij,jk->ik", {3, 4}, {1, 5});
  rows("ij,jk->k", {3, 4}, {4, 5});
  rows("iia,aj->aj", {3, 3, 2}, {2, 4});
  rows("bi,bi->b", {0, 4}, {0, 4});
  rows("ij,jk->ik", {3, 0}, {0, 5});
  add("one operand: a trace",
      {{"values", {values({1, 2, 3, 4}, {2, 2})}}, {"equation", text("ii->")}})
      .expect({number(5)});
  add("one operand: transposed",
      {{"values", {values({1, 2, 3, 4, 5, 6}, {2, 3})}}, {"equation", text("ij->ji")}})
      .expect({values({1, 4, 2, 5, 3, 6}, {3, 2})});
  add("many private labels do not multiply",
      {{"values", {uniform({300, 300}, 1, 1), uniform({300, 300}, 1, 1)}},
       {"equation", text("ab,cd->")}})
      .only({DType::kF64})
      .expect({number(8.1e9)});
  const auto bad = [&](const std::string& title, const std::string& equation, const Shape& x,
                       const Shape& y, const std::string& error) {
    reject(title, {{"values", {normal(x), normal(y)}}, {"equation", text(equation)}}, error);
  };
  bad("no arrow", "ij,jk", {2, 3}, {3, 4}, "equation: expected a form like 'nchw,nwhu->nchu'");
  bad("an ellipsis", "...j,jk->...k", {2, 3}, {3, 4}, "equation: expected letters");
  bad("rank", "ij,jk->ik", {2, 3, 1}, {3, 4},
      "values: expected rank 2 for 'ij', got shape [2, 3, 1]");
  bad("extents", "ij,jk->ik", {2, 3}, {4, 4}, "values: expected one extent for 'j', got 3 and 4");
  bad("unknown label", "ij,jk->iz", {2, 3}, {3, 4}, "equation: expected each label of the result");
  bad("label twice", "ij,jk->ii", {2, 3}, {3, 4}, "equation: expected each label of the result");
  bad("terms", "ij->ij", {2, 3}, {3, 4}, "equation: expected 2 terms as there are values, got 1");
  reject("three operands",
         {{"values", {normal({2}), normal({2}), normal({2})}}, {"equation", text("i,i,i->i")}},
         "values: expected one or two tensors, got 3");
  reject("dtypes", {{"values", {normal({2}), ints({1, 2})}}, {"equation", text("i,i->i")}},
         "values: expected one dtype, got fp32 and int32");
  reject("strings", {{"values", {text("a"), text("b")}}, {"equation", text(",->")}},
         "values: expected a float dtype or int32, got string");
  // Walks all labels of both terms at once.
  reference([](const OpCase& c) {
    std::string equation;
    for (const char l : c["equation"].data<std::string>()[0]) {
      if (l != ' ') equation += l;
    }
    const size_t comma = equation.find(','), arrow = equation.find('>');
    const std::string terms[] = {equation.substr(0, comma),
                                 equation.substr(comma + 1, arrow - comma - 2),
                                 equation.substr(arrow + 1)};
    const std::vector<Tensor>& in = c.list("values");
    std::map<char, int64_t> extents;
    for (size_t t = 0; t < 2; ++t) {
      for (size_t i = 0; i < terms[t].size(); ++i) {
        int64_t& extent = extents.emplace(terms[t][i], 1).first->second;
        if (in[t].shape()[i] != 1) extent = in[t].shape()[i];
      }
    }
    Shape all, shape;
    for (const auto& [label, extent] : extents) all.push_back(extent);
    for (const char label : terms[2]) shape.push_back(extents[label]);
    Tensor y(DType::kF64, shape);
    for (Walk<0> w(all, {}); !w.done(); w.next()) {
      const auto flat = [&](const std::string& term, const Shape& of) {
        int64_t at = 0;
        for (size_t i = 0; i < term.size(); ++i) {
          const auto label = std::distance(extents.begin(), extents.find(term[i]));
          at = at * of[i] + (of[i] == 1 ? 0 : w.index()[static_cast<size_t>(label)]);
        }
        return at;
      };
      const int64_t to = flat(terms[2], shape);
      y.set_number(to, y.number_at(to) + in[0].number_at(flat(terms[0], in[0].shape())) *
                                             in[1].number_at(flat(terms[1], in[1].shape())));
    }
    return std::vector<Tensor>{y};
  });
}

}  // namespace mw::ops
