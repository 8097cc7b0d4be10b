// Cases for the losses and for mw.log_softmax.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using Inputs = std::vector<CaseInput>;

// log(softmax(x / temperature)) of one row, by its definition.
std::vector<double> log_probabilities(const Tensor& x, int64_t row, double temperature) {
  const int64_t classes = x.dim(-1);
  const auto at = [&](int64_t i) { return x.number_at(row * classes + i) / temperature; };
  double largest = at(0), sum = 0;
  for (int64_t i = 0; i < classes; ++i) largest = std::max(largest, at(i));
  for (int64_t i = 0; i < classes; ++i) sum += std::exp(at(i) - largest);
  std::vector<double> logs;
  for (int64_t i = 0; i < classes; ++i) logs.push_back(at(i) - largest - std::log(sum));
  return logs;
}

int64_t ignored_by(const OpCase& c) {
  return c.has("ignore_index") ? c.ints("ignore_index")[0] : -100;
}

// Sums loss(row, label) over the labels that count.
template <class Loss>
std::vector<Tensor> over_labels(const OpCase& c, const Loss& loss) {
  double sum = 0, count = 0;
  for (int64_t row = 0; row < c["labels"].count(); ++row) {
    const int64_t label = c["labels"].integer_at(row);
    if (label == ignored_by(c)) continue;
    sum += loss(row, label);
    count += 1;
  }
  return {OpCases::number(sum), OpCases::number(count)};
}

std::vector<Tensor> reference_cross_entropy(const OpCase& c) {
  const double smoothing = c.number("label_smoothing", 0);
  return over_labels(c, [&](int64_t row, int64_t label) {
    const auto logs = log_probabilities(c["logits"], row, 1);
    double all = 0;
    for (const double log : logs) all += log;
    return -(1 - smoothing) * logs[static_cast<size_t>(label)] -
           smoothing * all / static_cast<double>(logs.size());
  });
}

// Of the classes that the teacher knows, and of all others as one.
double divergence_of_top(const OpCase& c, const std::vector<double>& student, int64_t row) {
  double divergence = 0, others = 0;
  for (size_t i = 0; i < student.size(); ++i) {
    const double known = c["teacher"].number_at(row * static_cast<int64_t>(student.size()) +
                                                static_cast<int64_t>(i));
    if (known == 1) {
      others += std::exp(student[i]);
    } else {
      divergence += std::exp(known) * (known - student[i]);
    }
  }
  const double rest = c["rest"].number_at(row);
  return others == 0 ? divergence : divergence + std::exp(rest) * (rest - std::log(others));
}

std::vector<Tensor> reference_distillation(const OpCase& c) {
  const double temperature = c.number("temperature", 1);
  return over_labels(c, [&](int64_t row, int64_t /*label*/) {
    const auto student = log_probabilities(c["student"], row, temperature);
    if (c.has("rest")) return divergence_of_top(c, student, row);
    const auto teacher = log_probabilities(c["teacher"], row, temperature);
    double divergence = 0;
    for (size_t i = 0; i < student.size(); ++i) {
      divergence += std::exp(teacher[i]) * (teacher[i] - student[i]);
    }
    return divergence;
  });
}

const std::vector<DType> kWide{DType::kF64, DType::kF32};

}  // namespace

MW_OWN_OP_CASES(cross_entropy) {
  const auto with = [&](Tensor logits, Tensor labels, Inputs more = {}) {
    Inputs inputs{{"logits", std::move(logits)}, {"labels", std::move(labels)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const CaseInput smoothing("label_smoothing", number(0.2));
  const auto kind = Kind::kReduction;
  add("two equal classes", with(values({3, 3}, {1, 2}), ints({1})))
      .only(kWide)
      .expect({number(std::log(2.0)), number(1)});
  add("rows", with(normal({3, 5}), ints({0, 4, 2}))).only(kWide).tolerance(kind);
  add("smoothed", with(normal({3, 5}), ints({0, 4, 2}), {smoothing})).only(kWide).tolerance(kind);
  add("some labels ignored", with(normal({4, 3}), ints({0, -100, 2, -100})))
      .only(kWide)
      .tolerance(kind);
  add("another label ignored, smoothed",
      with(normal({4, 3}), ints({0, 1, 2, 1}), {smoothing, {"ignore_index", integer(1)}}))
      .only(kWide)
      .tolerance(kind);
  add("all labels ignored", with(normal({2, 3}), ints({-100, -100})))
      .expect({number(0), number(0)});
  add("batches of rows", with(normal({2, 3, 4}), ints({0, 3, 1, 1, 2, 0}, {2, 3})))
      .only(kWide)
      .tolerance(kind);
  add("batches of rows, smoothed",
      with(normal({2, 3, 4}), ints({0, 3, -100, 1, 2, 0}, {2, 3}), {smoothing}))
      .only(kWide)
      .tolerance(kind);
  add("one row", with(normal({6}), integer(4))).only(kWide).tolerance(kind);
  add("saturated logits", with(values({1e4, -1e4, 0, -1e4, 1e4, 5}, {2, 3}), ints({0, 2})))
      .only(kWide)
      .tolerance(kind)
      .expect({number(9995), number(2)});
  reference(reference_cross_entropy);
  reject("a label beyond the classes", with(normal({1, 3}), ints({3})),
         "labels: expected values in [0, 3) or -100, got 3");
  reject("a negative label", with(normal({1, 3}), ints({-1})),
         "labels: expected values in [0, 3) or -100, got -1");
  reject("no classes", with(number(1), integer(0)), "logits: expected [.., classes], got a scalar");
  reject("number of labels", with(normal({2, 3}), ints({0})),
         "labels: expected shape [2], got [1]");
  reject("too smooth", with(normal({1, 3}), ints({0}), {{"label_smoothing", number(1)}}),
         "label_smoothing: expected a number in [0, 1), got 1");
}

MW_OWN_OP_CASES(distillation) {
  const auto with = [&](const Shape& shape, Tensor labels, Inputs more = {}) {
    Inputs inputs{
        {"student", normal(shape)}, {"teacher", normal(shape)}, {"labels", std::move(labels)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const CaseInput warm("temperature", number(2.5));
  const auto kind = Kind::kReduction;
  add("rows", with({3, 5}, ints({0, 4, 2}))).only(kWide).tolerance(kind);
  add("warm", with({3, 5}, ints({0, 4, 2}), {warm})).only(kWide).tolerance(kind);
  add("some labels ignored", with({4, 3}, ints({0, -100, 2, -100}), {warm}))
      .only(kWide)
      .tolerance(kind);
  add("another label ignored", with({4, 3}, ints({0, 1, 7, 1}), {{"ignore_index", integer(7)}}))
      .only(kWide)
      .tolerance(kind);
  add("batches of rows", with({2, 3, 4}, ints({0, 3, -100, 1, 2, 0}, {2, 3}), {warm}))
      .only(kWide)
      .tolerance(kind);
  add("one row", with({6}, integer(4), {warm})).only(kWide).tolerance(kind);
  const Tensor same = normal({2, 3});
  add("the student is the teacher",
      {{"student", same}, {"teacher", same}, {"labels", ints({0, 1})}})
      .only(kWide)
      .expect({number(0), number(2)});
  // Of three rows the two likeliest of five classes, all of them, and the likeliest with nothing
  // left for the others.
  const double half = std::log(0.5), fifth = std::log(0.2);
  const Inputs top = {
      {"student", normal({3, 5})},
      {"teacher",
       values({1, half, 1, fifth, 1, fifth, fifth, fifth, fifth, fifth, 0, 1, 1, 1, 1}, {3, 5})},
      {"labels", ints({0, 4, 2})},
      {"rest", values({std::log(0.3), -1e30, -1e30}, {3})}};
  const auto also = [](Inputs inputs, const CaseInput& more) {
    inputs.push_back(more);
    return inputs;
  };
  add("of the likeliest classes", top).only(kWide).tolerance(kind);
  add("of the likeliest classes, warm", also(top, warm)).only(kWide).tolerance(kind);
  reference(reference_distillation);
  // Whose exponentials are no floats.
  add("of the likeliest classes, large", {{"student", values({1000, 1001, 999, 1003, 998}, {1, 5})},
                                          {"teacher", values({1, half, 1, fifth, 1}, {1, 5})},
                                          {"labels", ints({1})},
                                          {"rest", values({std::log(0.3)}, {1})}})
      .only(kWide)
      .tolerance(kind);
  reject("another rest", also(with({2, 3}, ints({0, 0})), {"rest", normal({2, 3})}),
         "rest: expected shape [2], got [2, 3]");
  reject("no classes", {{"student", number(1)}, {"teacher", number(1)}, {"labels", integer(0)}},
         "student: expected [.., classes], got a scalar");
  reject("another teacher",
         {{"student", normal({2, 3})}, {"teacher", normal({2, 4})}, {"labels", ints({0, 0})}},
         "teacher: expected shape [2, 3], got [2, 4]");
  reject("number of labels", with({2, 3}, ints({0})), "labels: expected shape [2], got [1]");
  reject("temperature", with({1, 3}, ints({0}), {{"temperature", number(0)}}),
         "temperature: expected more than 0, got 0");
}

MW_OWN_OP_CASES(squared_error) {
  const auto kind = Kind::kReduction;
  add("exact", {{"x", values({1, 2, 3}, {3})}, {"target", values({1, 4, 0}, {3})}})
      .expect({number(13), number(3)});
  add("matrices", {{"x", normal({3, 4})}, {"target", normal({3, 4})}}).only(kWide).tolerance(kind);
  add("scalars", {{"x", number(3)}, {"target", number(5)}}).expect({number(4), number(1)});
  reference([](const OpCase& c) {
    double sum = 0;
    for (int64_t i = 0; i < c["x"].count(); ++i) {
      sum += std::pow(c["x"].number_at(i) - c["target"].number_at(i), 2);
    }
    return std::vector<Tensor>{number(sum), number(static_cast<double>(c["x"].count()))};
  });
  reject("another shape", {{"x", normal({2})}, {"target", normal({3})}},
         "target: expected shape [2], got [3]");
}

MW_OWN_OP_CASES(binary_cross_entropy) {
  const auto kind = Kind::kReduction;
  const auto with = [&](const Shape& shape, Tensor labels, Inputs more = {}) {
    Inputs inputs{{"x", normal(shape)}, {"labels", std::move(labels)}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const CaseInput one("pos_weight", number(2.5)), each("pos_weight", values({1, 0.5, 3}, {3}));
  add("undecided", {{"x", values({0, 0}, {2})}, {"labels", values({0, 1}, {2})}})
      .only(kWide)
      .expect({number(2 * std::log(2.0)), number(2)});
  add("soft labels", with({3, 4}, uniform({3, 4}, 0, 1))).only(kWide).tolerance(kind);
  add("weighted", with({3, 4}, uniform({3, 4}, 0, 1), {one})).only(kWide).tolerance(kind);
  add("weighted by class", with({2, 2, 3}, uniform({2, 2, 3}, 0, 1), {each}))
      .only(kWide)
      .tolerance(kind);
  add("some labels ignored", with({2, 3}, values({1, -100, 0, -100, 0.25, 1}, {2, 3}), {each}))
      .only(kWide)
      .tolerance(kind);
  add("another label ignored",
      with({2, 3}, values({1, 7, 0, 1, 7, 0}, {2, 3}), {{"ignore_index", integer(7)}}))
      .only(kWide)
      .tolerance(kind);
  add("one number", {{"x", number(0.5)}, {"labels", number(1)}}).only(kWide).tolerance(kind);
  add("saturated",
      {{"x", values({1e4, -1e4, 1e4, -1e4}, {4})}, {"labels", values({1, 0, 0, 1}, {4})}})
      .only(kWide)
      .tolerance(kind)
      .expect({number(2e4), number(4)});
  reference([](const OpCase& c) {
    const double ignored =
        c.has("ignore_index") ? static_cast<double>(c.ints("ignore_index")[0]) : -100;
    const auto softplus = [](double x) {
      return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    };
    double sum = 0, count = 0;
    for (int64_t i = 0; i < c["x"].count(); ++i) {
      const double x = c["x"].number_at(i), y = c["labels"].number_at(i);
      if (y == ignored) continue;
      double weight = 1;
      if (c.has("pos_weight")) {
        const Tensor& weights = c["pos_weight"];
        weight = weights.number_at(i % weights.count());
      }
      sum += weight * y * softplus(-x) + (1 - y) * softplus(x);
      count += 1;
    }
    return std::vector<Tensor>{number(sum), number(count)};
  });
  reject("another shape", with({2}, values({0, 1, 0}, {3})), "labels: expected shape [2], got [3]");
  reject("too few weights", with({2, 4}, uniform({2, 4}, 0, 1), {each}),
         "pos_weight: expected a number, or one for each of the last axis of [2, 4], got [3]");
}

MW_OWN_OP_CASES(log_softmax) {
  const auto kind = Kind::kReduction;
  add("rows", {{"x", normal({3, 5})}}).tolerance(kind);
  add("columns", {{"x", normal({3, 5})}, {"axis", integer(0)}}).tolerance(kind);
  add("between", {{"x", normal({2, 4, 3})}, {"axis", integer(-2)}}).tolerance(kind);
  add("one row", {{"x", normal({6})}}).tolerance(kind);
  add("far apart", {{"x", values({1e4, -1e4, 0}, {3})}})
      .only(kWide)
      .expect({values({0, -2e4, -1e4}, {3})});
  reference([](const OpCase& c) {
    const Tensor& x = c["x"];
    const auto rank = static_cast<int64_t>(x.shape().size());
    int64_t axis = c.has("axis") ? c.ints("axis")[0] : -1;
    if (axis < 0) axis += rank;
    int64_t inner = 1;
    for (int64_t i = axis + 1; i < rank; ++i) inner *= x.dim(i);
    const int64_t count = x.dim(axis);
    Tensor y(DType::kF64, x.shape());
    for (int64_t i = 0; i < x.count(); ++i) {
      const int64_t first = i / (inner * count) * inner * count + i % inner;
      double sum = 0;
      for (int64_t k = 0; k < count; ++k) {
        sum += std::exp(x.number_at(first + k * inner) - x.number_at(i));
      }
      y.set_number(i, -std::log(sum));
    }
    return std::vector<Tensor>{y};
  });
  reject("a scalar", {{"x", number(1)}}, "x: expected rank 1 or more, got a scalar");
  reject("axis", {{"x", normal({2})}, {"axis", integer(1)}}, "axis: expected");
}

}  // namespace mw::ops
