// Lion against its formula, written out.
#include "train/optimizers/testing.h"

namespace mw::training {
namespace {

TEST(lion, does_what_its_formula_says) {
  const Lion s{.learning_rate = 0.1F, .beta1 = 0.7F, .beta2 = 0.9F, .weight_decay = 0.2F};
  const Formula formula = [&](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    const double beta1 = s.beta1, beta2 = s.beta2;
    Numbers& m = kept["m"];
    m.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = step.gradient[i], mean = beta1 * m[i] + (1 - beta1) * g;
      const double sign = mean > 0 ? 1 : mean < 0 ? -1 : 0;
      p[i] -= step.learning_rate * (sign + double{s.weight_decay} * p[i]);
      m[i] = beta2 * m[i] + (1 - beta2) * g;
    }
  };
  for (const Shape& shape : {Shape{5}, Shape{3, 4}, Shape{2, 3, 2, 2}}) {
    expect_formula(s, shape, formula);
  }
}

}  // namespace
}  // namespace mw::training
