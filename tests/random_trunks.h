// Trunks of random models: an input or two, and what is computed from them up to an array of
// floats.
#pragma once

#include <string>
#include <vector>

#include "program_text.h"

namespace mw::testing {

constexpr int kTokens = 6;  // of the tokenizer beside each model

class Trunks : protected ProgramText {
 protected:
  using ProgramText::ProgramText;

  // Logits of a language model in one of the forms that docs/language-models.md lists.
  Value speaker();
  // The same with lengths, vocabularies and names that commands have to refuse among them.
  Value tokens();
  Value rows();
  Value image();
  Value elementwise();
  Value stateful();
  Value sequence();  // a list that a loop writes
  Value any();

  Value cast(const Value& x, const std::string& dtype);
  Value unary(const std::string& op, const Value& x);
  Value linear(const Value& x, int64_t features);
  Value transposed(const Value& x, const std::vector<int>& order);
  // `axes` count in the result.
  Value expanded(const Value& x, const std::vector<int64_t>& axes);

  std::string opset_ = "ios17";
  bool last_only_ = false;  // logits of the last position
  bool has_list_ = false;

 private:
  // A move of elements: what is known of them goes along.
  Value moved(const Value& x, const std::string& op, const std::string& operands,
              const Extents& shape, int64_t classes);
  Value logits_of(const Value& ids, int64_t vocabulary);
  Value arranged(const Value& logits, uint64_t form);
  Value last_position(const Value& logits, bool squeeze);
};

}  // namespace mw::testing
