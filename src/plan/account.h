// Account: what a step of a described plan works on, beyond what running it needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/program.h"
#include "plan/op_plan.h"
#include "plan/place.h"
#include "plan/row.h"

namespace mw::plan {

struct Account {
  struct Item {
    std::string name;  // of the input or of the result
    Place place;
  };
  std::vector<const ir::Operation*> ops;  // all that it computes, in order
  std::vector<Item> operands, results;
  std::vector<Place> constants;  // made for the step: packed weights, biases
  std::vector<int> workspaces;   // buffers
  std::vector<std::string> notes;
  std::optional<RowProgram> rows;

  // An operand asked for again lies where it was found last.
  void note_operand(std::string_view name, const Place& place) {
    for (Item& known : operands) {
      if (known.name == name) return void(known.place = place);
    }
    operands.push_back({std::string(name), place});
  }
};

// "clip(0, 6)"
std::string text_of(const Activation& activation);

}  // namespace mw::plan
