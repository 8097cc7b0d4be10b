// ClassLabels: what the labels of a batch say, as indices of classes.
//
//   const ClassLabels classes(model.impl().target("").value);
//   Tensor indices = classes.indices_of(labels);     // {"cat", "fox"} -> {0, 2}
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/program.h"

namespace mw::training {

class ClassLabels {
 public:
  // Of an output of a function; where it is no classifier's, labels are indices.
  explicit ClassLabels(const ir::Value* output);
  ClassLabels() = default;  // no classifier

  // int32. Names are looked up; so are integers where the classes are integers. -100 stays. Throws
  // invalid_argument with the first label that is none.
  [[nodiscard]] Tensor indices_of(const Tensor& labels) const;
  // The labels that stand for indices of classes.
  [[nodiscard]] Tensor labels_of(const Tensor& indices) const;
  [[nodiscard]] std::vector<std::string> names() const;  // empty: no classifier
  // Whether labels are the classes themselves, no indices.
  [[nodiscard]] bool are_numbers() const;
  // Throws where a student could not learn from that teacher.
  void expect_same(const ClassLabels& teacher) const;

 private:
  [[nodiscard]] int64_t index_of(const std::string& name) const;
  [[nodiscard]] std::string listed() const;

  std::optional<Tensor> classes_;
  std::unordered_map<std::string, int64_t> indices_;
};

}  // namespace mw::training
