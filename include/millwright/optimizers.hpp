// Optimisers and their settings, written once each as in settings.hpp.
#pragma once

#include <variant>

#include "millwright/setting.hpp"

namespace mw {

// Optimisers: kName is what they are called, on a command line in lower case.

// v = momentum v + g + weight_decay p; p -= lr v, or, with nesterov,
// p -= lr (g + weight_decay p + momentum v).
struct Sgd {
  float learning_rate = 1e-2f;
  float momentum = 0;
  float weight_decay = 0;
  bool nesterov = false;

  static constexpr const char* kName = "SGD";
  static constexpr const char* kHelp = "stochastic gradient descent, with momentum";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("momentum", self.momentum, allowed::kBelowOne, "share of the step before in a step");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
    v("nesterov", self.nesterov, allowed::kAnything, "look ahead by the momentum");
  }
};

struct Adam {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
  bool bias_correction = true;

  static constexpr const char* kName = "Adam";
  static constexpr const char* kHelp =
      "Kingma and Ba 2014, with weight decay added to the gradient";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("beta1", self.beta1, allowed::kBelowOne, "decay of the mean of gradients");
    v("beta2", self.beta2, allowed::kBelowOne, "decay of the mean of their squares");
    v("epsilon", self.epsilon, allowed::kAboveZero,
      "added to what a step is divided by, lest that be 0");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
    v("bias_correction", self.bias_correction, allowed::kAnything,
      "divide the means by what the first steps lack");
  }
};

struct AdamW {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.01f;
  bool bias_correction = true;

  static constexpr const char* kName = "AdamW";
  static constexpr const char* kHelp =
      "Loshchilov and Hutter 2017: weight decay apart from the gradient";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("beta1", self.beta1, allowed::kBelowOne, "decay of the mean of gradients");
    v("beta2", self.beta2, allowed::kBelowOne, "decay of the mean of their squares");
    v("epsilon", self.epsilon, allowed::kAboveZero,
      "added to what a step is divided by, lest that be 0");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
    v("bias_correction", self.bias_correction, allowed::kAnything,
      "divide the means by what the first steps lack");
  }
};

struct Lion {
  float learning_rate = 1e-4f;
  float beta1 = 0.9f, beta2 = 0.99f;
  float weight_decay = 0;

  static constexpr const char* kName = "Lion";
  static constexpr const char* kHelp = "Chen et al. 2023: steps of one size, by a sign";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("beta1", self.beta1, allowed::kBelowOne, "share of the mean of gradients in a step");
    v("beta2", self.beta2, allowed::kBelowOne, "decay of the mean of gradients");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
  }
};

// What is said of momentum is of matrices and weights of more axes; the rest is AdamW's.
struct Muon {
  float learning_rate = 1e-3f;
  float momentum = 0.95f;
  bool nesterov = true;
  float beta1 = 0.9f, beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.1f;

  static constexpr const char* kName = "Muon";
  static constexpr const char* kHelp =
      "Jordan et al. 2024, Liu et al. 2025: steps of matrices made orthogonal, AdamW for the rest";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("momentum", self.momentum, allowed::kBelowOne, "share of the step before in a step");
    v("nesterov", self.nesterov, allowed::kAnything, "look ahead by the momentum");
    v("beta1", self.beta1, allowed::kBelowOne, "decay of the mean of gradients");
    v("beta2", self.beta2, allowed::kBelowOne, "decay of the mean of their squares");
    v("epsilon", self.epsilon, allowed::kAboveZero,
      "added to what a step is divided by, lest that be 0");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
  }
};

struct Adafactor {
  float learning_rate = 1e-2f;
  float decay_rate = 0.8f;
  float epsilon = 1e-3f;
  float clip_threshold = 1;
  float weight_decay = 0;

  static constexpr const char* kName = "Adafactor";
  static constexpr const char* kHelp =
      "Shazeer and Stern 2018: squares kept by row and by column, steps relative to the weights";
  template <class Self, class Visitor>
  static void each(Self& self, const Visitor& v) {
    v("learning_rate", self.learning_rate, allowed::kAtLeastZero, "size of a step");
    v("decay_rate", self.decay_rate, allowed::kAtLeastZero,
      "the mean of squares takes in t to the power of minus this at step t");
    v("epsilon", self.epsilon, allowed::kAboveZero, "weights count as at least so large");
    v("clip_threshold", self.clip_threshold, allowed::kAboveZero,
      "largest root mean square of a step before it is scaled");
    v("weight_decay", self.weight_decay, allowed::kAtLeastZero,
      "share of a weight that it loses in a step of size 1");
  }
};

using Optimizer = std::variant<AdamW, Adam, Sgd, Lion, Muon, Adafactor>;

}  // namespace mw
