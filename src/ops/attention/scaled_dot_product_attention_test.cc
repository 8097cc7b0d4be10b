// Cases for scaled_dot_product_attention.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {

OP_CASES(scaled_dot_product_attention) {
  const auto kind = Kind::kReduction;
  const auto qkv = [&](const Shape& q, const Shape& k, const Shape& v) {
    return std::vector<CaseInput>{{"query", normal(q)}, {"key", normal(k)}, {"value", normal(v)}};
  };
  const auto masked = [&](std::vector<CaseInput> inputs, Tensor mask) {
    inputs.push_back({"attn_mask", std::move(mask)});
    return inputs;
  };
  add("one head", qkv({2, 3, 4}, {2, 5, 4}, {2, 5, 6})).tolerance(kind);
  add("heads", qkv({2, 3, 4, 8}, {2, 3, 5, 8}, {2, 3, 5, 8})).tolerance(kind);
  add("more queries than a block", qkv({1, 1, 130, 4}, {1, 1, 7, 4}, {1, 1, 7, 3})).tolerance(kind);
  add("keys and values shared by the heads", qkv({2, 3, 4, 8}, {2, 1, 5, 8}, {1, 1, 5, 8}))
      .tolerance(kind);
  add("a float mask", masked(qkv({2, 3, 4, 8}, {2, 3, 5, 8}, {2, 3, 5, 8}), normal({4, 5})))
      .tolerance(kind);
  add("a mask per batch entry",
      masked(qkv({2, 3, 4, 8}, {2, 3, 5, 8}, {2, 3, 5, 8}), normal({2, 1, 4, 5})))
      .tolerance(kind);
  add("a mask of keys alone", masked(qkv({2, 2, 4}, {2, 3, 4}, {2, 3, 4}), normal({3})))
      .tolerance(kind);
  add("a bool mask",
      masked(qkv({1, 2, 4}, {1, 3, 4}, {1, 3, 4}), bools({1, 0, 1, 1, 1, 0}, {2, 3})))
      .tolerance(kind);
  add("one query sees one key", {{"query", values({1, 5}, {1, 1, 2})},
                                 {"key", values({9, 9, 9, 9}, {1, 2, 2})},
                                 {"value", values({3, 4}, {1, 2, 1})},
                                 {"attn_mask", bools({0, 1}, {1, 2})}})
      .expect({values({4}, {1, 1, 1})});
  add("a row masked throughout is NaN", {{"query", values({1}, {1, 1, 1})},
                                         {"key", values({1}, {1, 1, 1})},
                                         {"value", values({1}, {1, 1, 1})},
                                         {"attn_mask", bools({0}, {1, 1})}})
      .expect({values({NAN}, {1, 1, 1})});
  add("large scores do not overflow", {{"query", values({200, 0}, {1, 1, 2})},
                                       {"key", values({200, 0, -200, 0}, {1, 2, 2})},
                                       {"value", values({3, 4}, {1, 2, 1})}})
      .expect({values({3}, {1, 1, 1})});
  add("one number", qkv({1, 1, 2}, {1, 3, 2}, {1, 3, 1})).tolerance(kind);
  add("one number behind a mask",
      masked(qkv({1, 1, 2}, {1, 3, 2}, {1, 3, 1}), bools({1, 0, 1}, {1, 3})))
      .tolerance(kind);
  // A cache that is longer than the text in it: 100 places of 132 are taken.
  const auto partly_zero = [&](const Shape& shape) {
    Tensor tensor = normal(shape);
    const int64_t width = shape.back(), places = shape[shape.size() - 2];
    for (int64_t i = 0; i < tensor.count(); ++i) {
      if (i / width % places >= 100) tensor.set_number(i, 0);
    }
    return tensor;
  };
  for (const int64_t queries : {1, 6}) {
    std::vector<CaseInput> inputs = {{"query", normal({1, queries, 5})},
                                     {"key", partly_zero({1, 132, 5})},
                                     {"value", partly_zero({1, 132, 3})}};
    const std::string what = fmt::format(", {} queries", queries);
    add("keys and values that end in zeros" + what, inputs).tolerance(kind);
    add("the same, masked" + what, masked(inputs, normal({queries, 132}))).tolerance(kind);
    inputs[1].tensors[0].set_number(120 * 5, INFINITY);
    add("one that is infinite among the zeros" + what, inputs);
    inputs[1] = {"key", partly_zero({1, 132, 5})};
    inputs[2] = {"value", normal({1, 132, 3})};
    add("zero keys that have values" + what, inputs).tolerance(kind);
    inputs[1] = {"key", normal({1, 132, 5})};
    inputs[2] = {"value", partly_zero({1, 132, 3})};
    add("keys that have zero values" + what, inputs).tolerance(kind);
    inputs[1] = {"key", partly_zero({1, 132, 5})};
    inputs[0].tensors[0].set_number(0, NAN);
    add("a query that is no number" + what, inputs);
    inputs[0].tensors[0].set_number(0, INFINITY);
    add("a query that is infinite" + what, inputs);
  }
  add("no queries", qkv({2, 0, 4}, {2, 5, 4}, {2, 5, 6}));
  add("no keys give zeros", qkv({1, 2, 4}, {1, 0, 4}, {1, 0, 2}))
      .expect({values({0, 0, 0, 0}, {1, 2, 2})});
  reject("rank 2", qkv({3, 4}, {5, 4}, {5, 4}), "query: expected rank 3 or more, got shape [3, 4]");
  reject("ranks", qkv({1, 3, 4}, {5, 4}, {1, 5, 4}), "key: expected rank 3, got shape [5, 4]");
  reject("depth", qkv({1, 3, 4}, {1, 5, 3}, {1, 5, 4}),
         "key: expected shape [?, ?, 4], got [1, 5, 3]");
  reject("keys and values", qkv({1, 3, 4}, {1, 5, 4}, {1, 6, 4}),
         "value: expected shape [?, 5, ?], got [1, 6, 4]");
  reject("heads", qkv({1, 4, 3, 4}, {1, 3, 5, 4}, {1, 3, 5, 4}),
         "key: shapes [1, 4] and [1, 3] cannot be broadcast together");
  reject("mask", masked(qkv({1, 3, 4}, {1, 5, 4}, {1, 5, 4}), normal({3, 4})),
         "attn_mask: expected a shape that broadcasts to [1, 3, 5], got [3, 4]");
  reject("mask rank", masked(qkv({1, 3, 4}, {1, 5, 4}, {1, 5, 4}), normal({1, 1, 3, 5})),
         "attn_mask: expected a shape that broadcasts to [1, 3, 5], got [1, 1, 3, 5]");
  reject("integer mask", masked(qkv({1, 3, 4}, {1, 5, 4}, {1, 5, 4}), ints({1}, {1, 1})),
         "attn_mask: expected bool or a float dtype, got int32");
  reject("integers",
         {{"query", ints({1}, {1, 1, 1})},
          {"key", ints({1}, {1, 1, 1})},
          {"value", ints({1}, {1, 1, 1})}},
         "query: expected a float dtype");
  reject("dtypes",
         {{"query", normal({1, 3, 4})},
          {"key", normal({1, 5, 4}).to(DType::kF16)},
          {"value", normal({1, 5, 4})}},
         "key: expected dtype fp32, got fp16");
  reference([](const OpCase& c) {
    const Tensor &q = c["query"], &k = c["key"], &v = c["value"];
    const int64_t keys = k.dim(-2), depth = q.dim(-1), width = v.dim(-1);
    Shape shape = q.shape();
    shape.back() = width;
    Tensor y(DType::kF64, shape);
    // Flat offset of an element of t, axes of extent 1 repeated.
    const auto at = [](const Tensor& t, const std::vector<int64_t>& index) {
      int64_t flat = 0;
      const size_t skip = index.size() - t.shape().size();
      for (size_t i = 0; i < t.shape().size(); ++i) {
        flat = flat * t.shape()[i] + (t.shape()[i] == 1 ? 0 : index[skip + i]);
      }
      return t.number_at(flat);
    };
    for (Walk<0> w(shape, {}); !w.done(); w.next()) {
      std::vector<int64_t> index = w.index();
      const size_t last = index.size() - 1;
      const int64_t column = index[last];
      double total = 0, mixed = 0;
      for (int64_t s = 0; s < keys; ++s) {
        double score = 0;
        for (int64_t d = 0; d < depth; ++d) {
          std::vector<int64_t> in_q = index, in_k = index;
          in_q[last] = in_k[last] = d;
          in_k[last - 1] = s;
          score += at(q, in_q) * at(k, in_k);
        }
        score /= std::sqrt(static_cast<double>(depth));
        std::vector<int64_t> in_v = index, in_mask = index;
        in_v[last - 1] = s;
        in_v[last] = column;
        in_mask[last] = s;
        double weight = std::exp(score);
        if (c.has("attn_mask")) {
          const double m = at(c["attn_mask"], in_mask);
          weight = c["attn_mask"].dtype() == DType::kBool ? weight * m : weight * std::exp(m);
        }
        total += weight;
        mixed += weight * at(v, in_v);
      }
      y.set_number(w.flat(), mixed / total);
    }
    return std::vector<Tensor>{y};
  });
}

}  // namespace mw::ops
