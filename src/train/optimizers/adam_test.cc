// Adam and AdamW against their formulas, written out.
#include <cmath>

#include "train/optimizers/testing.h"

namespace mw::training {
namespace {

// What decay does is the difference of the two.
Formula formula_of(const AdamW& s, bool decoupled) {
  return [=](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    const double beta1 = s.beta1, beta2 = s.beta2, decay = s.weight_decay;
    Numbers &m = kept["m"], &v = kept["v"];
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = step.gradient[i] + (decoupled ? 0 : decay * p[i]);
      if (decoupled) p[i] -= step.learning_rate * decay * p[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const double mean = s.bias_correction ? m[i] / (1 - std::pow(beta1, step.t)) : m[i];
      const double square = s.bias_correction ? v[i] / (1 - std::pow(beta2, step.t)) : v[i];
      p[i] -= step.learning_rate * mean / (std::sqrt(square) + double{s.epsilon});
    }
  };
}

TEST(adam, does_what_its_formula_says) {
  AdamW s{.learning_rate = 0.1F, .beta1 = 0.7F, .beta2 = 0.9F, .weight_decay = 0.2F};
  for (const bool corrected : {true, false}) {
    s.bias_correction = corrected;
    const Adam adam{s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay, corrected};
    for (const Shape& shape : {Shape{5}, Shape{3, 4}, Shape{2, 3, 2, 2}}) {
      expect_formula(s, shape, formula_of(s, true));
      expect_formula(adam, shape, formula_of(s, false));
    }
  }
}

}  // namespace
}  // namespace mw::training
