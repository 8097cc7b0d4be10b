// Muon against its formula, written out: matrices of either form, convolutions, vectors as AdamW's.
#include <algorithm>
#include <cmath>

#include "train/optimizers/testing.h"

namespace mw::training {
namespace {

Matrix orthogonal(Matrix x) {
  double norm = 0;
  for (const double number : x.data) norm += number * number;
  for (double& number : x.data) number /= std::sqrt(norm) + 1e-7;
  const bool tall = x.rows > x.columns;
  if (tall) x = transposed(x);
  for (int i = 0; i < 5; ++i) {
    const Matrix a = product(x, transposed(x));
    Matrix b = product(a, a);
    for (size_t k = 0; k < b.data.size(); ++k) {
      b.data[k] = 2.0315 * b.data[k] - 4.775 * a.data[k];
    }
    const Matrix bx = product(b, x);
    for (size_t k = 0; k < x.data.size(); ++k) x.data[k] = 3.4445 * x.data[k] + bx.data[k];
  }
  return tall ? transposed(x) : x;
}

Formula formula_of(const Muon& s, size_t rows) {
  return [=](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    const double momentum = s.momentum;
    Numbers& m = kept["m"];
    m.resize(p.size());
    Matrix u(rows, p.size() / rows);
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = step.gradient[i];
      m[i] = momentum * m[i] + (1 - momentum) * g;
      u.data[i] = s.nesterov ? (1 - momentum) * g + momentum * m[i] : m[i];
    }
    const double size = 0.2 * std::sqrt(static_cast<double>(std::max(u.rows, u.columns)));
    const Matrix x = orthogonal(u);
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] -= step.learning_rate * (size * x.data[i] + double{s.weight_decay} * p[i]);
    }
  };
}

TEST(muon, does_what_its_formula_says) {
  for (const bool nesterov : {true, false}) {
    const Muon s{.learning_rate = 0.1F, .momentum = 0.8F, .nesterov = nesterov};
    for (const Shape& shape : {Shape{3, 4}, Shape{6, 2}, Shape{3, 2, 2, 2}}) {
      expect_formula(s, shape, formula_of(s, static_cast<size_t>(shape[0])));
    }
  }
}

TEST(muon, leaves_vectors_to_adam_w) {
  const Muon s{.learning_rate = 0.1F, .beta1 = 0.7F, .beta2 = 0.9F};
  const Formula adam_w = [&](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    const double beta1 = s.beta1, beta2 = s.beta2;
    Numbers &m = kept["m"], &v = kept["v"];
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = step.gradient[i];
      p[i] -= step.learning_rate * double{s.weight_decay} * p[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const double square = v[i] / (1 - std::pow(beta2, step.t));
      p[i] -= step.learning_rate * m[i] / (1 - std::pow(beta1, step.t)) /
              (std::sqrt(square) + double{s.epsilon});
    }
  };
  expect_formula(s, {5}, adam_w);
}

}  // namespace
}  // namespace mw::training
