// Gradient descent against its formula, written out: without momentum, with it, looking ahead.
#include "train/optimizers/testing.h"

namespace mw::training {
namespace {

Formula formula_of(const Sgd& s) {
  return [=](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    Numbers& velocity = kept["velocity"];
    velocity.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = step.gradient[i] + double{s.weight_decay} * p[i];
      velocity[i] = double{s.momentum} * velocity[i] + g;
      p[i] -=
          step.learning_rate * (s.nesterov ? g + double{s.momentum} * velocity[i] : velocity[i]);
    }
  };
}

TEST(sgd, does_what_its_formula_says) {
  for (const Sgd& s :
       {Sgd{0.1F}, Sgd{0.1F, 0, 0.3F}, Sgd{0.1F, 0.9F, 0.3F}, Sgd{0.1F, 0.9F, 0.3F, true}}) {
    for (const Shape& shape : {Shape{5}, Shape{3, 4}}) expect_formula(s, shape, formula_of(s));
  }
}

}  // namespace
}  // namespace mw::training
