// Layers, and moves that put the classes of their results on other axes.
#include "random_trunks.h"

#include <algorithm>

namespace mw::testing {
namespace {

constexpr int kForms = 8;

std::string axes_text(const auto& axes) {
  return fmt::format("tensor<int32, [{}]>([{}])", axes.size(), fmt::join(axes, ", "));
}

}  // namespace

Value Trunks::moved(const Value& x, const std::string& op, const std::string& operands,
                    const Extents& shape, int64_t classes) {
  Value result = statement(op, fmt::format("x = {}, {}", x.name, operands), x.dtype, shape);
  result.activation = x.activation;
  result.classes = classes;
  result.narrow = x.narrow;
  return result;
}

Value Trunks::cast(const Value& x, const std::string& dtype) {
  Value result = statement("cast", fmt::format("x = {}, dtype = string(\"{}\")", x.name, dtype),
                           dtype, x.shape);
  result.activation = x.activation;
  result.classes = x.classes;
  result.narrow = x.narrow || dtype == "fp16";
  return result;
}

Value Trunks::unary(const std::string& op, const Value& x) {
  Value result = statement(op, "x = " + x.name, x.dtype, x.shape);
  result.classes = x.classes;
  result.narrow = x.narrow;
  return result;
}

Value Trunks::linear(const Value& x, int64_t features) {
  const Value weight = constant({features, x.shape.back()}), bias = constant({features});
  Extents shape = x.shape;
  shape.back() = features;
  Value result = statement(
      "linear", fmt::format("x = {}, weight = {}, bias = {}", x.name, weight.name, bias.name),
      "fp32", shape);
  result.classes = result.rank() - 1;
  return result;
}

Value Trunks::transposed(const Value& x, const std::vector<int>& order) {
  Extents shape;
  for (const int axis : order) shape.push_back(x.shape[static_cast<size_t>(axis)]);
  const auto classes = std::find(order.begin(), order.end(), x.classes) - order.begin();
  return moved(x, "transpose", "perm = " + axes_text(order), shape, classes);
}

Value Trunks::expanded(const Value& x, const std::vector<int64_t>& axes) {
  Extents shape = x.shape;
  int64_t classes = x.classes;
  for (const int64_t axis : axes) {
    shape.insert(shape.begin() + axis, 1);
    if (classes >= axis) ++classes;
  }
  return moved(x, "expand_dims", "axes = " + axes_text(axes), shape, classes);
}

Value Trunks::last_position(const Value& logits, bool squeeze) {
  last_only_ = true;
  Extents shape = {logits.shape[0], 1, logits.shape[2]};
  if (squeeze) shape.erase(shape.begin() + 1);
  Value result = moved(logits, "slice_by_index",
                       fmt::format("begin = tensor<int32, [3]>([0, -1, 0]), "
                                   "end = tensor<int32, [3]>([0, 0, 0]), "
                                   "begin_mask = tensor<bool, [3]>([true, false, true]), "
                                   "end_mask = tensor<bool, [3]>([true, true, true]), "
                                   "squeeze_mask = tensor<bool, [3]>([false, {}, false])",
                                   squeeze),
                       shape, -1);  // no move: the layer's axis is not looked for behind it
  return result;
}

Value Trunks::arranged(const Value& logits, uint64_t form) {
  switch (form) {
    case 0:
      return last_position(logits, false);
    case 1:
      return last_position(logits, true);
    case 2:
      return transposed(logits, {0, 2, 1});
    case 3:
      return expanded(transposed(logits, {0, 2, 1}), {2});
    case 4:
      return expanded(logits, {3, 4});
    default:
      return logits;
  }
}

Value Trunks::logits_of(const Value& ids, int64_t vocabulary) {
  const int64_t width = one_of<int64_t>({2, 4});
  const Value table = constant({vocabulary, width});
  Extents wide = ids.shape;
  wide.push_back(width);
  const Value found = statement(
      "gather", fmt::format("x = {}, indices = {}, axis = int32(0)", table.name, ids.name), "fp32",
      wide);
  return linear(found, vocabulary);
}

// No length is that of the vocabulary, so that shapes tell the axes apart.
Value Trunks::speaker() {
  const int64_t vocabulary = once_in(6) ? kTokens + 2 : kTokens;
  const int64_t time = one_of<int64_t>({1, 4, 4, 5, 7});
  const bool flat = once_in(6);
  const Extents shape = flat ? Extents{time} : Extents{once_in(8) ? 2 : 1, time};
  const std::string name = one_of<std::string>({"input_ids", "input_ids", "ids"});
  const Value logits =
      logits_of(input(name, "int32", shape, once_in(2), shape.size() - 1), vocabulary);
  return flat ? logits : arranged(logits, pick(kForms));
}

Value Trunks::tokens() {
  const int64_t vocabulary = one_of<int64_t>({kTokens, kTokens, kTokens, kTokens + 2, 4, 1});
  const int64_t time = one_of<int64_t>({1, 4, 6});
  const std::string name =
      one_of<std::string>({"input_ids", "input_ids", "ids", "tokens", "inputIds"});
  const bool flat = once_in(8);
  const Extents shape = flat ? Extents{time} : Extents{one_of<int64_t>({1, 1, 1, 2}), time};
  const Value logits = logits_of(input(name, "int32", shape, once_in(2)), vocabulary);
  return flat ? logits : arranged(logits, pick(kForms));
}

Value Trunks::rows() {
  const int64_t width = one_of<int64_t>({1, 3, 4}), classes = one_of<int64_t>({1, 2, 3, 5});
  const Extents shape = {one_of<int64_t>({1, 2, 3}), width};
  const Value x = input("x", one_of<std::string>({"fp32", "fp32", "fp16"}), shape, false);
  return linear(x.dtype == "fp32" ? x : cast(x, "fp32"), classes);
}

Value Trunks::image() {
  const int64_t channels = one_of<int64_t>({1, 2, 3}), classes = one_of<int64_t>({1, 2, 4});
  const Extents shape = {one_of<int64_t>({1, 2}), channels, one_of<int64_t>({1, 3}), 2};
  const Value x = input("pixels", "fp32", shape, false);
  const Value weight = constant({classes, channels, 1, 1});
  Value result = statement("conv", fmt::format("x = {}, weight = {}", x.name, weight.name), "fp32",
                           {shape[0], classes, shape[2], shape[3]});
  result.classes = 1;
  return result;
}

Value Trunks::elementwise() {
  Extents shape;
  for (uint64_t left = pick(6); left > 0; --left) shape.push_back(one_of<int64_t>({1, 2, 3}));
  const Value x = input("x", "fp32", shape, once_in(3));
  const Value factor = constant({}), shift = constant(once_in(2) ? shape : Extents{});
  const Value y =
      statement("mul", fmt::format("x = {}, y = {}", x.name, factor.name), "fp32", x.shape);
  if (x.shape != shape && !shift.shape.empty()) return y;
  return statement("add", fmt::format("x = {}, y = {}", y.name, shift.name), "fp32", x.shape);
}

Value Trunks::stateful() {
  opset_ = "ios18";
  const Extents shape = {1, one_of<int64_t>({2, 3})};
  const std::string type = type_of("fp16", shape);
  const Value x = input("x", "fp16", shape, false);
  argument(fmt::format("state<{}> memory", type));
  const Value old = statement("read_state", "input = memory", "fp16", shape);
  const Value sum =
      statement("add", fmt::format("x = {}, y = {}", old.name, x.name), "fp16", shape);
  line(fmt::format("write_state(data = {}, input = memory)[name = string(\"kept\")];", sum.name));
  Value result = cast(sum, "fp32");
  return once_in(2) ? linear(result, one_of<int64_t>({2, 3})) : result;
}

Value Trunks::sequence() {
  has_list_ = true;
  const int64_t width = one_of<int64_t>({1, 2, 3});
  const std::string item = type_of("fp32", {1, width});
  const std::string list = fmt::format("list<{}, ?>", item);
  const Value x = input("x", "fp32", {1, width}, false), factor = constant({});
  line(fmt::format(
      "{} none = make_list(init_length = int32(1), dynamic_length = bool(true), elem_shape = "
      "(int32(1), int32({})), dtype = string(\"fp32\"))[name = string(\"none\")];",
      list, width));
  line(fmt::format(
      "int32 count, {0} last, {1} items = while_loop(loop_vars = (int32(0), {2}, "
      "none))[name = string(\"loop\")] (int32 i, {0} now, {1} some) {{ bool go = less(x = i, "
      "y = int32(3))[name = string(\"go\")]; }} -> (go) (int32 j, {0} old, {1} few) {{ "
      "int32 next = add(x = j, y = int32(1))[name = string(\"next\")]; "
      "{0} grown = mul(x = old, y = {3})[name = string(\"grown\")]; "
      "{1} more = list_write(ls = few, index = j, value = grown)[name = string(\"more\")]; "
      "}} -> (next, grown, more);",
      item, list, x.name, factor.name));
  const Value all =
      statement("list_gather", "ls = items, indices = tensor<int32, [4]>([2, 0, 1, 2])", "fp32",
                {4, 1, width});
  return linear(all, one_of<int64_t>({2, 3}));
}

Value Trunks::any() {
  switch (pick(10)) {
    case 0:
    case 1:
      return image();
    case 2:
    case 3:
      return rows();
    case 4:
    case 5:
    case 6:
      return elementwise();
    case 7:
      return stateful();
    case 8:
      return sequence();
    default:
      return tokens();
  }
}

}  // namespace mw::testing
