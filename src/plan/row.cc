// RowBuilder: numbering of values, and the form and lane of each.
#include "plan/row.h"

#include <algorithm>

#include "base/error.h"

namespace mw::plan {
namespace {

// A word each, in the order of RowOp.
constexpr std::string_view kNames =
    "copy neg abs sign square sqrt rsqrt inverse exp exp2 log tanh sigmoid silu softplus "
    "softsign erf gelu gelu_tanh gelu_sigmoid relu elu leaky_relu thresholded_relu clip "
    "affine ceil floor round sin cos tan asin acos atan atanh sinh cosh not to_float "
    "to_int to_bool int_to_bool round_half round_bf16 add sub mul div max min pow floor_div mod "
    "equal not_equal less less_equal add_int sub_int mul_int max_int min_int equal_int "
    "not_equal_int less_int less_equal_int and or xor mul_add select row_sum row_mean "
    "row_sum_squares row_sum_abs row_max row_min row_norm row_rstd row_log_sum";
static_assert(std::ranges::count(kNames, ' ') == static_cast<int>(RowOp::kRowLogSum));

}  // namespace

std::string_view name_of(RowOp op) {
  std::string_view rest = kNames;
  for (auto before = static_cast<int>(op); before > 0; --before) {
    rest.remove_prefix(rest.find(' ') + 1);
  }
  return rest.substr(0, rest.find(' '));
}

bool is_reduction(RowOp op) { return op >= RowOp::kRowSum; }

Lane lane_of(RowOp op, Lane a) {
  switch (op) {
    case RowOp::kToInt:
      return Lane::kI32;
    case RowOp::kToFloat:
      return Lane::kF32;
    case RowOp::kNot:
    case RowOp::kToBool:
    case RowOp::kIntToBool:
    case RowOp::kAnd:
    case RowOp::kOr:
    case RowOp::kXor:
      return Lane::kBool;
    default:
      break;
  }
  const bool compares = (op >= RowOp::kEqual && op <= RowOp::kLessEqual) ||
                        (op >= RowOp::kEqualInt && op <= RowOp::kLessEqualInt);
  return compares ? Lane::kBool : a;
}

int RowBuilder::add_value(Lane lane, RowProgram::Form form) {
  program_.values.push_back({lane, form});
  return static_cast<int>(program_.values.size()) - 1;
}

bool is_conversion(RowOp op) {
  switch (op) {
    case RowOp::kCopy:
    case RowOp::kToFloat:
    case RowOp::kToInt:
    case RowOp::kToBool:
    case RowOp::kIntToBool:
    case RowOp::kRoundHalf:
    case RowOp::kRoundBf16:
      return true;
    default:
      return false;
  }
}

Lane RowBuilder::lane(int value) const {
  return program_.values.at(static_cast<size_t>(value)).lane;
}

int RowBuilder::number(double value) {
  const int id = add_value(Lane::kF32, RowProgram::Form::kUniform);
  program_.constants.push_back({id, static_cast<float>(value), 0});
  return id;
}

int RowBuilder::integer(int32_t value) {
  const int id = add_value(Lane::kI32, RowProgram::Form::kUniform);
  program_.constants.push_back({id, 0, value});
  return id;
}

int RowBuilder::spread(int value) {
  if (program_.values.at(static_cast<size_t>(value)).form == RowProgram::Form::kFull) return value;
  const int to = add_value(lane(value), RowProgram::Form::kFull);
  program_.code.push_back({RowOp::kCopy, to, {value, -1, -1}, 0, 0});
  return to;
}

bool RowBuilder::uniform(int value) const {
  return value < 0 ||
         program_.values.at(static_cast<size_t>(value)).form == RowProgram::Form::kUniform;
}

int RowBuilder::emit(RowOp op, From from) {
  auto [a, b, c] = from;
  if (b >= 0 && uniform(a) && uniform(b) && uniform(c)) a = emit(RowOp::kCopy, a);
  RowProgram::Form form = RowProgram::Form::kPerRow;
  for (const int operand : {a, b, c}) {
    if (operand < 0) continue;
    const auto& value = program_.values.at(static_cast<size_t>(operand));
    if (value.form == RowProgram::Form::kFull) form = RowProgram::Form::kFull;
  }
  if (is_reduction(op)) {
    a = spread(a);
    MW_CHECK(b < 0 || program_.values[static_cast<size_t>(b)].form == RowProgram::Form::kPerRow);
    form = RowProgram::Form::kPerRow;
    program_.whole_rows = true;
  }
  const Lane given = lane(op == RowOp::kSelect ? b : a);
  const int to = add_value(lane_of(op, given), form);
  program_.code.push_back({op, to, {a, b, c}, 0, 0});
  return to;
}

int RowBuilder::emit_with(RowOp op, int a, double alpha, double beta) {
  const int to = emit(op, a);
  program_.code.back().alpha = static_cast<float>(alpha);
  program_.code.back().beta = static_cast<float>(beta);
  return to;
}

int RowBuilder::emit_checked(RowOp op, int a, int fast, double alpha) {
  const int to = emit(op, {a, fast});
  program_.code.back().alpha = static_cast<float>(alpha);
  return to;
}

}  // namespace mw::plan
