// Cases for mw.scaled_attention and mw.scaled_attention_gradient, checked element by element.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using Inputs = std::vector<CaseInput>;

// A mask by which query i sees keys up to i + `later`, others behind `hidden`.
Tensor causal(int64_t queries, int64_t keys, int64_t later, double hidden) {
  Tensor mask(DType::kF64, {queries, keys});
  for (int64_t i = 0; i < queries * keys; ++i) {
    mask.set_number(i, i % keys > i / keys + later ? hidden : 0);
  }
  return mask;
}

// The same of the last `width` of these keys alone.
Tensor window(int64_t queries, int64_t keys, int64_t width) {
  Tensor mask(DType::kBool, {queries, keys});
  for (int64_t i = 0; i < queries * keys; ++i) {
    const int64_t behind = i / keys - i % keys;
    mask.set_number(i, behind >= 0 && behind < width ? 1 : 0);
  }
  return mask;
}

// The operands of a case, of which any may be one for several heads.
struct Heads {
  const OpCase& c;
  Shape scores;  // [batch.., queries, keys]

  explicit Heads(const OpCase& c) : c(c) {
    const Tensor &q = c["query"], &k = c["key"], &v = c["value"];
    for (size_t i = 0; i + 2 < q.shape().size(); ++i) {
      scores.push_back(std::max({q.shape()[i], k.shape()[i], v.shape()[i]}));
    }
    scores.insert(scores.end(), {q.dim(-2), k.dim(-2)});
  }
  [[nodiscard]] int64_t queries() const { return scores[scores.size() - 2]; }
  [[nodiscard]] int64_t keys() const { return scores.back(); }
  [[nodiscard]] Tensor zeros(int64_t rows, int64_t columns) const {
    Shape shape = scores;
    shape[shape.size() - 2] = rows;
    shape.back() = columns;
    return {DType::kF64, shape};
  }
  // The element of `t` at [head.., row, column], where extents of 1 repeat.
  static double at(const Tensor& t, const std::vector<int64_t>& index, int64_t row,
                   int64_t column) {
    const Shape& shape = t.shape();
    const size_t rank = shape.size(), skip = index.size() - rank;
    int64_t flat = 0;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t position = i + 1 == rank ? column : i + 2 == rank ? row : index[skip + i];
      flat = flat * shape[i] + (shape[i] == 1 ? 0 : position);
    }
    return t.number_at(flat);
  }
  // Calls visit(index) for each head; the last two numbers of the index are 0.
  template <class Visit>
  void for_heads(const Visit& visit) const {
    Shape heads = scores;
    heads[heads.size() - 2] = heads.back() = 1;
    for (Walk<0> w(heads, {}); !w.done(); w.next()) visit(w.index());
  }
  static void set(Tensor& t, const std::vector<int64_t>& index, int64_t row, int64_t column,
                  double value) {
    int64_t flat = 0;
    for (size_t i = 0; i + 2 < index.size(); ++i) flat = flat * t.shape()[i] + index[i];
    t.set_number((flat * t.dim(-2) + row) * t.dim(-1) + column, value);
  }

  [[nodiscard]] Tensor weights() const {
    Tensor w = zeros(queries(), keys());
    for_heads([&](const std::vector<int64_t>& head) {
      for (int64_t q = 0; q < queries(); ++q) one_row(head, q, w);
    });
    return w;
  }

 private:
  void one_row(const std::vector<int64_t>& head, int64_t q, Tensor& w) const {
    std::vector<double> row(static_cast<size_t>(keys()));
    double largest = -INFINITY, sum = 0;
    for (int64_t k = 0; k < keys(); ++k) {
      double score = 0;
      for (int64_t d = 0; d < c["key"].dim(-1); ++d) {
        score += at(c["query"], head, q, d) * at(c["key"], head, k, d);
      }
      score *= c["scale"].number_at(0);
      if (c.has("attn_mask")) {
        const double mask = at(c["attn_mask"], head, q, k);
        const bool is_flag = c["attn_mask"].dtype() == DType::kBool;
        score += is_flag ? (mask != 0 ? 0 : -INFINITY) : mask;
      }
      row[static_cast<size_t>(k)] = score;
      largest = std::max(largest, score);
    }
    for (double& x : row) sum += x = std::exp(x - largest);
    for (int64_t k = 0; k < keys(); ++k) set(w, head, q, k, row[static_cast<size_t>(k)] / sum);
  }
};

std::vector<Tensor> attended(const OpCase& c) {
  const Heads h(c);
  const Tensor w = h.weights();
  const int64_t width = c["value"].dim(-1);
  Tensor y = h.zeros(h.queries(), width);
  h.for_heads([&](const std::vector<int64_t>& head) {
    for (int64_t q = 0; q < h.queries(); ++q) {
      for (int64_t d = 0; d < width; ++d) {
        double sum = 0;
        for (int64_t k = 0; k < h.keys(); ++k) {
          sum += Heads::at(w, head, q, k) * Heads::at(c["value"], head, k, d);
        }
        Heads::set(y, head, q, d, sum);
      }
    }
  });
  return {y};
}

// sum over i of a[i] b[i].
double dot(int64_t count, const std::function<double(int64_t)>& a,
           const std::function<double(int64_t)>& b) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a(i) * b(i);
  return sum;
}

std::vector<Tensor> gradients(const OpCase& c) {
  const Heads h(c);
  const Tensor w = h.weights();
  const Tensor &query = c["query"], &key = c["key"], &value = c["value"], &g = c["y_grad"];
  const int64_t depth = key.dim(-1), width = value.dim(-1);
  const double scale = c["scale"].number_at(0);
  Tensor query_grad = h.zeros(h.queries(), depth), key_grad = h.zeros(h.keys(), depth),
         value_grad = h.zeros(h.keys(), width), mask_grad = h.zeros(h.queries(), h.keys());
  h.for_heads([&](const std::vector<int64_t>& head) {
    const auto from = [&](const Tensor& t, int64_t row) {
      return [&t, &head, row](int64_t column) { return Heads::at(t, head, row, column); };
    };
    const auto down = [&](const Tensor& t, int64_t column) {
      return [&t, &head, column](int64_t row) { return Heads::at(t, head, row, column); };
    };
    for (int64_t q = 0; q < h.queries(); ++q) {
      const auto of_weight = [&](int64_t k) { return dot(width, from(g, q), from(value, k)); };
      const double mean = dot(h.keys(), from(w, q), of_weight);
      for (int64_t k = 0; k < h.keys(); ++k) {
        Heads::set(mask_grad, head, q, k, Heads::at(w, head, q, k) * (of_weight(k) - mean));
      }
      for (int64_t d = 0; d < depth; ++d) {
        Heads::set(query_grad, head, q, d, scale * dot(h.keys(), from(mask_grad, q), down(key, d)));
      }
    }
    for (int64_t k = 0; k < h.keys(); ++k) {
      for (int64_t d = 0; d < depth; ++d) {
        Heads::set(key_grad, head, k, d,
                   scale * dot(h.queries(), down(mask_grad, k), down(query, d)));
      }
      for (int64_t d = 0; d < width; ++d) {
        Heads::set(value_grad, head, k, d, dot(h.queries(), down(w, k), down(g, d)));
      }
    }
  });
  std::vector<Tensor> wanted;
  const std::pair<const char*, const Tensor*> results[] = {{"query_grad", &query_grad},
                                                           {"key_grad", &key_grad},
                                                           {"value_grad", &value_grad},
                                                           {"attn_mask_grad", &mask_grad}};
  for (const auto& [name, tensor] : results) {
    if (c.has(name)) wanted.push_back(*tensor);
  }
  return wanted;
}

Inputs with(Inputs inputs, std::string name, Tensor tensor) {
  inputs.emplace_back(std::move(name), std::move(tensor));
  return inputs;
}

}  // namespace

MW_OWN_OP_CASES(scaled_attention) {
  const auto kind = Kind::kReduction;
  const auto qkv = [&](const Shape& q, const Shape& k, const Shape& v, double scale = 0.5) {
    return Inputs{
        {"query", normal(q)}, {"key", normal(k)}, {"value", normal(v)}, {"scale", number(scale)}};
  };
  add("matrices", qkv({3, 4}, {5, 4}, {5, 6})).tolerance(kind);
  add("heads", qkv({2, 3, 4, 8}, {2, 3, 5, 8}, {2, 3, 5, 8})).tolerance(kind);
  add("more queries than a tile", qkv({1, 1, 130, 4}, {1, 1, 70, 4}, {1, 1, 70, 3}, -0.3))
      .tolerance(kind);
  add("nine queries of a number each", qkv({2, 9, 1}, {2, 21, 1}, {2, 21, 1}, 1)).tolerance(kind);
  add("keys and values shared by the heads", qkv({2, 3, 9, 8}, {2, 1, 5, 8}, {1, 1, 5, 8}))
      .tolerance(kind);
  add("a float mask",
      with(qkv({2, 3, 9, 8}, {2, 3, 5, 8}, {2, 3, 5, 8}), "attn_mask", normal({9, 5})))
      .tolerance(kind);
  add("a flag for each query", with(qkv({2, 9, 4}, {2, 3, 4}, {2, 3, 4}), "attn_mask",
                                    bools(std::vector<int>(18, 1), {2, 9, 1})))
      .tolerance(kind);
  add("a mask of keys alone", with(qkv({2, 9, 4}, {2, 3, 4}, {2, 3, 4}), "attn_mask", normal({3})))
      .tolerance(kind);
  for (const double hidden : {-1e4, -double{INFINITY}, -30.0}) {
    add(fmt::format("later keys behind {}", hidden),
        with(qkv({1, 2, 75, 4}, {1, 2, 75, 4}, {1, 2, 75, 5}), "attn_mask",
             causal(75, 75, 0, hidden)))
        .tolerance(kind);
  }
  add("a window of keys",
      with(qkv({1, 140, 4}, {1, 140, 4}, {1, 140, 4}), "attn_mask", window(140, 140, 20)))
      .tolerance(kind);
  // Scores that differ by more than the mask says: hidden keys count.
  {
    Inputs inputs = qkv({1, 75, 4}, {1, 75, 4}, {1, 75, 5});
    inputs[0] = {"query", normal({1, 75, 4}, 0, 5)};
    inputs[1] = {"key", normal({1, 75, 4}, 0, 5)};
    add("a mask that scores outweigh", with(inputs, "attn_mask", causal(75, 75, 0, -60)))
        .tolerance(kind, 100);
  }
  add("queries that see nothing are NaN",
      with(qkv({1, 9, 2}, {1, 40, 2}, {1, 40, 2}), "attn_mask", causal(9, 40, -3, -INFINITY)));
  {
    // What a mask hides is left out where that changes nothing, and here it does.
    Inputs inputs =
        with(qkv({1, 70, 2}, {1, 70, 2}, {1, 70, 2}), "attn_mask", causal(70, 70, 0, -1e4));
    inputs[2].tensors[0].set_number(2 * 69, INFINITY);
    add("an infinite value behind the mask", inputs);
    inputs[2] = {"value", normal({1, 70, 2})};
    inputs[1].tensors[0].set_number(2 * 69, 1e6);
    add("a score as large as the mask", inputs).tolerance(kind, 10).only({DType::kF64});
    inputs[1].tensors[0].set_number(2 * 69, NAN);
    add("a key that is no number", inputs);
  }
  add("no queries", qkv({2, 0, 4}, {2, 5, 4}, {2, 5, 6}));
  add("vectors without numbers", qkv({2, 9, 0}, {2, 11, 0}, {2, 11, 5})).tolerance(kind);
  add("no keys give zeros", qkv({1, 2, 4}, {1, 0, 4}, {1, 0, 2}))
      .expect({values({0, 0, 0, 0}, {1, 2, 2})});
  reject("rank 1", qkv({4}, {4}, {4}), "query: expected rank 2 or more, got shape [4]");
  reject("keys and values", qkv({1, 3, 4}, {1, 5, 4}, {1, 6, 4}),
         "value: expected shape [?, 5, ?], got [1, 6, 4]");
  reference(attended);
}

MW_OWN_OP_CASES(scaled_attention_gradient) {
  const auto kind = Kind::kReduction;
  const auto all = [&](const Shape& q, const Shape& k, const Shape& v, const Shape& y,
                       std::vector<std::string> wanted = {"query", "key", "value"}) {
    Inputs inputs{{"query", normal(q)},
                  {"key", normal(k)},
                  {"value", normal(v)},
                  {"y_grad", normal(y)},
                  {"scale", number(0.5)}};
    for (const std::string& input : wanted) inputs.emplace_back(input + "_grad", flag(true));
    return inputs;
  };
  const auto alike = [&](const Shape& shape,
                         std::vector<std::string> wanted = {"query", "key", "value"}) {
    return all(shape, shape, shape, shape, std::move(wanted));
  };
  add("matrices", all({3, 4}, {5, 4}, {5, 6}, {3, 6})).tolerance(kind);
  add("heads", alike({2, 3, 9, 8})).tolerance(kind);
  add("more queries than a tile", all({1, 130, 4}, {1, 70, 4}, {1, 70, 3}, {1, 130, 3}))
      .tolerance(kind);
  add("keys and values shared by the heads",
      all({2, 3, 9, 8}, {2, 1, 5, 8}, {1, 1, 5, 8}, {2, 3, 9, 8}))
      .tolerance(kind);
  for (const char* input : {"query", "key", "value"}) {
    add(fmt::format("of {} alone", input), alike({2, 5, 4}, {input})).tolerance(kind);
  }
  const std::vector<std::string> every = {"query", "key", "value", "attn_mask"};
  add("a mask, too", with(alike({2, 3, 9, 8}, every), "attn_mask", normal({9, 9}))).tolerance(kind);
  add("a mask alone", with(alike({3, 9, 8}, {"attn_mask"}), "attn_mask", normal({3, 9, 9})))
      .tolerance(kind);
  for (const double hidden : {-1e4, -double{INFINITY}, -30.0}) {
    add(fmt::format("later keys behind {}", hidden),
        with(alike({1, 2, 75, 4}, every), "attn_mask", causal(75, 75, 0, hidden)))
        .tolerance(kind);
  }
  add("a window of keys", with(alike({1, 140, 4}), "attn_mask", window(140, 140, 20)))
      .tolerance(kind);
  add("a number for each query", with(alike({2, 9, 4}), "attn_mask", normal({2, 9, 1})))
      .tolerance(kind);
  {
    Inputs inputs = alike({1, 75, 4});
    inputs[0] = {"query", normal({1, 75, 4}, 0, 5)};
    inputs[1] = {"key", normal({1, 75, 4}, 0, 5)};
    add("a mask that scores outweigh", with(inputs, "attn_mask", causal(75, 75, 0, -60)))
        .tolerance(kind, 100);
  }
  {
    Inputs inputs = with(alike({1, 70, 2}), "attn_mask", causal(70, 70, 0, -1e4));
    inputs[3].tensors[0].set_number(3, INFINITY);
    add("an infinite gradient", inputs);
    inputs[3] = {"y_grad", normal({1, 70, 2})};
    inputs[2].tensors[0].set_number(2 * 69, NAN);
    add("a value behind the mask that is no number", inputs);
    inputs[2] = {"value", normal({1, 70, 2})};
    inputs.back().tensors[0].set_number(70 * 40 + 3, NAN);
    add("a number of the mask that is none", inputs);
  }
  add("no keys", all({1, 2, 4}, {1, 0, 4}, {1, 0, 2}, {1, 2, 2}));
  add("vectors without numbers", all({2, 9, 0}, {2, 11, 0}, {2, 11, 5}, {2, 9, 5})).tolerance(kind);
  add("no queries", all({1, 0, 4}, {1, 3, 4}, {1, 3, 2}, {1, 0, 2}));
  reject("none asked for", alike({2, 5, 4}, {}),
         "query_grad: expected a gradient that is asked for, got none");
  reject("of bools", with(alike({2, 5, 4}, {"attn_mask"}), "attn_mask", window(5, 5, 2)),
         "attn_mask_grad: expected false: a mask of bools has no gradient");
  reject("a gradient of another shape", all({2, 5, 4}, {2, 5, 4}, {2, 5, 4}, {2, 5, 3}),
         "y_grad: expected shape [2, 5, 4], got [2, 5, 3]");
  reference(gradients);
}

}  // namespace mw::ops
