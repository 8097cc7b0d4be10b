// A register is free again after the last instruction that reads its value. Numbers per row are
// kept where a row has several tiles: they are made for the first and read in all.
#include "cpu/row_registers.h"

namespace mw::cpu {
namespace {

using plan::RowProgram;

class Assignment {
 public:
  Assignment(const RowProgram& program, int64_t full, int64_t per_row)
      : program_(program), full_(full), per_row_(per_row), last_(program.values.size(), -1) {
    found_.offset.assign(program.values.size(), -1);
    found_.output.assign(program.values.size(), -1);
  }

  RowRegisters run() {
    find_last_uses();
    for (const auto& input : program_.inputs) {
      found_.output[at(input.value)] = -1;
      if (input.inner == 0 || !is_word(input.dtype)) take(at(input.value));
    }
    for (size_t step = 0; step < program_.code.size(); ++step) {
      const size_t to = at(program_.code[step].to);
      if (found_.output[to] < 0) take(to);
      for (size_t value = 0; value < last_.size(); ++value) {
        if (last_[value] == static_cast<int>(step) && found_.offset[value] >= 0) free(value);
      }
    }
    return std::move(found_);
  }

 private:
  static size_t at(int value) { return static_cast<size_t>(value); }
  [[nodiscard]] bool is_full(size_t value) const {
    return program_.values[value].form == RowProgram::Form::kFull;
  }

  void find_last_uses() {
    for (size_t step = 0; step < program_.code.size(); ++step) {
      for (const int from : program_.code[step].from) {
        if (from >= 0) last_[at(from)] = static_cast<int>(step);
      }
    }
    for (size_t o = 0; o < program_.outputs.size(); ++o) {
      const auto& output = program_.outputs[o];
      last_[at(output.value)] = static_cast<int>(program_.code.size());
      if (is_word(output.dtype) && output.inner == 1) {
        found_.output[at(output.value)] = static_cast<int>(o);
      }
    }
  }

  void take(size_t value) {
    auto& available = is_full(value) ? free_full_ : free_per_row_;
    if (!available.empty()) {
      found_.offset[value] = available.back();
      available.pop_back();
      return;
    }
    found_.offset[value] = found_.floats;
    found_.floats += is_full(value) ? full_ : per_row_;
  }

  void free(size_t value) {
    if (is_full(value)) {
      free_full_.push_back(found_.offset[value]);
    } else if (program_.whole_rows) {
      free_per_row_.push_back(found_.offset[value]);
    }
  }

  const RowProgram& program_;
  const int64_t full_, per_row_;
  std::vector<int> last_;  // by value: the instruction that reads it last
  std::vector<int64_t> free_full_, free_per_row_;
  RowRegisters found_;
};

}  // namespace

RowRegisters assign_registers(const RowProgram& program, int64_t full, int64_t per_row) {
  return Assignment(program, full, per_row).run();
}

}  // namespace mw::cpu
