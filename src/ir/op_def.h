// OpDef: an operation declared as data (inputs, type domains, defaults, opset changes) with its
// functions.
//
//   OpDef softplus() {
//     return OpDef("softplus").types("T", {DType::kF16, DType::kF32}).input("x", "T")
//         .infer(same_as_x).eval(evaluate_softplus);
//   }
//   OpDef gather() {
//     return OpDef("gather").types("T", {...}).input("x", "T").input("indices", DType::kI32)
//         .input("axis", DType::kI32, kConst | kOptional, 0)
//         .since(Opset::kIos16, [](OpDef& def) {
//           def.input("batch_dims", DType::kI32, kConst | kOptional, 0);
//         })
//         .infer(infer).eval(evaluate);
//   }
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/program.h"

namespace mw::ir {

class Builder;
class Eval;
class OpView;
class Vjp;

// Why an op has no gradient rule; the closed list of reasons that errors and docs/ops.md state.
enum class NoGradient : uint8_t {
  kMissing,        // no rule is written
  kIntegerOutput,  // its results are integers or flags
  kRandom,         // its result is drawn, not computed from its inputs
  kOpaque,         // lists, strings, compressed constants
  kDataDependent,  // how often a loop runs, or how large a result is, depends on data
};
std::string_view text_of(NoGradient reason);

enum InputFlag : uint32_t {
  kConst = 1,  // MIL wants a compile-time constant; the package writer checks it, infer() may rely
               // on it only through OpView's accessors, which say so when the value is not known
  kOptional = 2,
  kVariadic = 4,  // takes a tuple of operands
  // Whether a constant of floats here is learned. An input with a gradient says one of the two,
  // unless the first that need not be a constant: what flows through an op is no weight by itself.
  kWeight = 8,  // of an elementwise op: a constant with one extent; of one that slices: a table
  kNoWeight = 16,
  kBias = 32,    // beside kWeight: it is added, and converters write zeros where a layer has none
  kFactor = 64,  // the op sums products of its elements with those of another such input
  kExact = 128,  // what comes here is not rounded on the way to save memory: a loss is of it
};

enum OpTrait : uint32_t {
  kElementwise = 1,  // output element i depends on input elements at i (after broadcasting) alone
  kRandom = 2,       // never folded, merged or reordered with other random ops
  kReadsState = 4,
  kWritesState = 8,   // never removed
  kControlFlow = 16,  // has nested blocks
  kConstexpr = 32,    // decompresses a constant; never folded
  kTypeOnly = 64,     // eval() looks at the types of its inputs, never at their elements
  kListOp = 128,      // makes or takes lists
  kNoFold = 256,      // never folded for another reason
  // The result holds every element of what flows in, each at least once; reshapes and casts.
  kMovesElements = 512,
  kSlices = 1024,     // the result holds some elements of the first input
  kUnrounded = 2048,  // no product rounds the result: parts of it may be all that a kernel sees
};

// A default that does not depend on other inputs; std::monostate when absent stays absent.
struct Default {
  std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>> value;
  Default() = default;
  Default(const char* v) : value(std::string(v)) {}         // NOLINT(google-explicit-constructor)
  Default(std::vector<int64_t> v) : value(std::move(v)) {}  // NOLINT(google-explicit-constructor)
  template <class T>
  requires std::is_arithmetic_v<T> Default(T v) {  // NOLINT(google-explicit-constructor)
    if constexpr (std::same_as<T, bool>) {
      value = v;
    } else if constexpr (std::integral<T>) {
      value = static_cast<int64_t>(v);
    } else {
      value = static_cast<double>(v);
    }
  }
};

struct InputSpec {
  std::string name;
  std::string domain;         // of OpDef::types; empty: `dtypes` says
  std::vector<DType> dtypes;  // empty and no domain: anything, lists and states included
  uint32_t flags = 0;
  Default default_value;
};

// How an op takes an input as a matrix of outputs by inputs, with a kernel behind these or without,
// and the product of two thin factors in its place. For adapters of low rank.
struct AdapterRule {
  std::string weight, data;  // inputs: the matrix, and what it is multiplied with
  bool has_kernel = false;
  // Whether the first axis of the matrix is that of the outputs. Null: it is.
  bool (*outputs_first)(const Operation&) = nullptr;
  // Why no product can stand beside this op; "" or null: one can.
  std::string (*obstacle)(const Operation&) = nullptr;
  // The op with b a for its weight, a: [rank, inputs, kernel..], b: [outputs, rank, 1..], and no
  // bias. `swapped`: with the transposed product.
  Value* (*product)(Builder&, const Operation&, Value* a, Value* b, bool swapped) = nullptr;
  // The products of the rows of a with those of the matrix, each of the inputs to one output:
  // [rank, outputs, 1..]. `outputs_first`: how the matrix lies.
  Value* (*rows)(Builder&, Value* matrix, Value* a, bool outputs_first) = nullptr;
  // The axis of the result that counts the outputs of the matrix or, `swapped`, of the data.
  int64_t (*outputs_axis)(const Operation&, bool swapped) = nullptr;
  std::string bias = "";  // the input that is added to each output; empty: none
};

class OpDef {
 public:
  using Infer = std::function<std::vector<Type>(const OpView&)>;
  using EvalFn = std::function<void(Eval&)>;
  using VjpRule = std::function<void(Vjp&)>;
  using Expand = std::function<std::vector<Value*>(Builder&, const OpView&)>;

  explicit OpDef(std::string name) : name_(std::move(name)) {}

  OpDef& types(std::string domain, std::vector<DType> dtypes);
  // Declares an input, or replaces the declaration of that name.
  OpDef& input(std::string name, std::string domain, uint32_t flags = 0, Default value = {});
  OpDef& input(std::string name, const char* domain, uint32_t flags = 0, Default value = {});
  OpDef& input(std::string name, DType dtype, uint32_t flags = 0, Default value = {});
  OpDef& input(std::string name, std::vector<DType> dtypes, uint32_t flags = 0, Default value = {});
  OpDef& any_input(std::string name,
                   uint32_t flags = 0);  // list, state, tuple or tensor of any dtype
  OpDef& remove_input(std::string_view name);
  OpDef& retype(const std::vector<std::string>& inputs, const std::string& domain);
  // The string input that names the dtype of the result; a change of precision rewrites it.
  OpDef& dtype_input(std::string name);
  OpDef& traits(uint32_t traits);
  // First opset that has the op (default ios15).
  OpDef& first(Opset opset);
  // Changes from that opset on, applied in order to what came before.
  OpDef& since(Opset opset, const std::function<void(OpDef&)>& change);

  // Result types from input types and known constants. Unknown extents in, unknown extents out.
  // Everything that eval() or a kernel relies on is checked here. The one-result form is a
  // convenience.
  OpDef& infer(Infer function);
  OpDef& infer(Type (*function)(const OpView&));
  // Result types that converters are known to declare in place of the inferred ones, where the two
  // differ: what the file says is then taken as inferred. See correct() in ir/verify.h.
  OpDef& declared_as(Type (*function)(const OpView&));
  // The reference implementation: the definition that every faster kernel is tested against, used
  // for constant folding and by the naive executor. Sees fp32, fp64, integers, bool and strings;
  // fp16, bf16 and fp8 operands arrive widened to fp32.
  OpDef& eval(EvalFn function);
  // The gradient rule. One that adds nothing says that the derivative is zero almost everywhere.
  OpDef& vjp(VjpRule rule);
  OpDef& no_vjp(NoGradient reason);
  // For `mw.` ops: the same computation in MIL ops.
  OpDef& expand(Expand function);
  OpDef& adapter(AdapterRule rule);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<InputSpec>& inputs() const { return inputs_; }
  [[nodiscard]] const InputSpec* find_input(std::string_view name) const;
  [[nodiscard]] std::vector<DType> dtypes_of(const InputSpec& spec) const;  // empty: anything
  [[nodiscard]] const std::string& dtype_input() const { return dtype_input_; }
  [[nodiscard]] bool has_trait(uint32_t trait) const { return (traits_ & trait) != 0; }
  [[nodiscard]] Opset first() const { return first_; }
  [[nodiscard]] const Infer& infer() const { return infer_; }
  [[nodiscard]] const Infer& declared_as() const { return declared_as_; }
  [[nodiscard]] const EvalFn& eval() const { return eval_; }
  [[nodiscard]] const VjpRule& vjp() const { return vjp_; }
  [[nodiscard]] NoGradient no_vjp() const { return no_vjp_; }
  [[nodiscard]] const Expand& expand() const { return expand_; }
  [[nodiscard]] const AdapterRule* find_adapter(std::string_view weight) const;  // null: none

 private:
  friend class Catalog;
  std::string name_, dtype_input_;
  Opset first_ = Opset::kIos15;
  uint32_t traits_ = 0;
  std::map<std::string, std::vector<DType>> domains_;
  std::vector<InputSpec> inputs_;
  Infer infer_, declared_as_;
  EvalFn eval_;
  VjpRule vjp_;
  NoGradient no_vjp_ = NoGradient::kMissing;
  Expand expand_;
  std::vector<AdapterRule> adapters_;
  std::vector<std::pair<Opset, std::function<void(OpDef&)>>> changes_;
};

// All ops, each resolved for every opset. Immutable once filled; safe to share between threads.
class Catalog {
 public:
  void add(OpDef def);  // throws internal on a second definition of a name
  // The declaration in force at `opset`; null when the op is unknown or came later.
  [[nodiscard]] const OpDef* find(std::string_view name, Opset opset) const;
  // The opset an op came with; nullopt when unknown.
  [[nodiscard]] std::optional<Opset> first_opset(std::string_view name) const;
  // find(), or an error that says whether the op is unknown or too recent. `where` names the op.
  [[nodiscard]] const OpDef& at(const Operation& op, Opset opset) const;
  [[nodiscard]] std::vector<std::string> names() const;  // sorted

 private:
  struct Versions {
    Opset first;
    std::map<Opset, OpDef> by_opset;
  };
  std::map<std::string, Versions, std::less<>> ops_;
};

}  // namespace mw::ir
