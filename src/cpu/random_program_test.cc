// Random programs, planned against op by op.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cpu/testing.h"
#include "ir/builder.h"
#include "passes/precision.h"

namespace mw::cpu {
namespace {

using ir::Value;
using Ints = std::vector<int64_t>;

class RandomProgram {
 public:
  explicit RandomProgram(uint64_t seed)
      : random_(seed), builder_(function_.body, ops::catalog(), ir::Opset::kIos18) {
    function_.name = "main";
    function_.opset = ir::Opset::kIos18;
    for (int i = 0; i < 3; ++i) add_argument(i);
    flags_ = function_.body.add_argument("flags", ir::Type::tensor(DType::kI32, {1}));
    inputs_["flags"] = Tensor::from<int32_t>({static_cast<int32_t>(below(3)) - 1}, {1});
    const int64_t steps = 5 + below(25);
    for (int64_t i = 0; i < steps; ++i) step();
    for (size_t i = 0; i < values_.size(); ++i) {
      if (i + 2 >= values_.size() || below(8) == 0) function_.body.outputs.push_back(values_[i]);
    }
  }

  [[nodiscard]] const ir::Function& function() const { return function_; }
  [[nodiscard]] const TensorMap& inputs() const { return inputs_; }

 private:
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
  }
  template <class T>
  T pick(const std::vector<T>& options) {
    return options[static_cast<size_t>(below(static_cast<int64_t>(options.size())))];
  }
  Value* any() { return values_[static_cast<size_t>(below(static_cast<int64_t>(values_.size())))]; }
  static int64_t rank(const Value* v) { return v->type.rank(); }
  static int64_t last(const Value* v) { return v->type.shape().back(); }

  void add_argument(int i) {
    Shape shape;
    const int64_t rank = 2 + below(3);
    for (int64_t k = 0; k < rank; ++k) shape.push_back(pick<int64_t>({1, 2, 3, 5, 8, 17}));
    const std::string name = "x" + std::to_string(i);
    values_.push_back(function_.body.add_argument(name, ir::Type::tensor(DType::kF32, shape)));
    inputs_[name] = noise(shape, random_());
  }
  Value* constant(const Shape& shape) {
    return builder_.constant(ir::Constant::tensor(noise(shape, random_())), "c");
  }
  void keep(Value* value) {
    if (count_of(value->type.shape()) <= 1 << 14 && value->type.rank() <= 5) {
      values_.push_back(value);
    }
  }

  void step() {
    Value* x = any();
    switch (below(15)) {
      case 0:
      case 1:
        return unary(x);
      case 2:
      case 3:
      case 4:
        return binary(x);
      case 5:
        return normalise(x);
      case 6:
        return reduce(x);
      case 7:
        return transpose(x);
      case 8:
        return reshape(x);
      case 9:
        return slice(x);
      case 10:
        return parts(x);
      case 11:
        return product(x);
      case 12:
        return gather(x);
      case 13:
        return choose(x);
      default:
        return extend(x);
    }
  }

  void unary(Value* x) {
    keep(builder_.op(pick<std::string>({"tanh", "sigmoid", "gelu", "relu", "silu", "abs", "erf",
                                        "softplus", "sin", "softsign"}),
                     {{"x", x}}));
  }

  void binary(Value* x) {
    const std::string op = pick<std::string>({"add", "sub", "mul", "maximum", "minimum"});
    std::vector<Value*> partners{builder_.constant(ir::Constant::number(DType::kF32, 0.5), "half"),
                                 constant({last(x)}), x};
    for (Value* y : values_) {
      if (y->type == x->type) partners.push_back(y);
    }
    Shape per_row = x->type.shape();
    per_row.back() = 1;
    partners.push_back(constant(per_row));
    partners.push_back(
        builder_.op("reduce_mean", {{"x", x}, {"axes", Ints{-1}}, {"keep_dims", true}}));
    Value* y = pick(partners);
    keep(below(2) == 0 ? builder_.op(op, {{"x", x}, {"y", y}})
                       : builder_.op(op, {{"x", y}, {"y", x}}));
  }

  void normalise(Value* x) {
    if (below(2) == 0) {
      keep(builder_.op("softmax",
                       {{"x", x}, {"axis", below(2) == 0 ? int64_t{-1} : below(rank(x))}}));
      return;
    }
    keep(builder_.op("layer_norm", {{"x", x},
                                    {"axes", Ints{-1}},
                                    {"gamma", constant({last(x)})},
                                    {"beta", constant({last(x)})},
                                    {"epsilon", 0.1}}));
  }

  void reduce(Value* x) {
    const bool keep_dims = below(2) == 0;
    if (!keep_dims && rank(x) < 2) return;
    keep(builder_.op(pick<std::string>({"reduce_sum", "reduce_mean", "reduce_max", "reduce_min",
                                        "reduce_sum_square", "reduce_l2_norm"}),
                     {{"x", x}, {"axes", Ints{below(rank(x))}}, {"keep_dims", keep_dims}}));
  }

  void transpose(Value* x) {
    Ints perm(static_cast<size_t>(rank(x)));
    for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin(), perm.end(), random_);
    keep(builder_.op("transpose", {{"x", x}, {"perm", perm}}));
  }

  void reshape(Value* x) {
    const Shape& shape = x->type.shape();
    if (below(3) == 0)
      return keep(builder_.op("expand_dims", {{"x", x}, {"axes", Ints{below(rank(x))}}}));
    if (shape.size() > 1 && below(2) == 0) {
      Shape merged(shape.begin() + 1, shape.end());
      merged[0] *= shape[0];
      return keep(builder_.op("reshape", {{"x", x}, {"shape", merged}}));
    }
    keep(builder_.op("reshape", {{"x", x}, {"shape", Ints{last(x), -1}}}));
  }

  void slice(Value* x) {
    const Shape& shape = x->type.shape();
    Ints begin, end, stride;
    for (const int64_t extent : shape) {
      begin.push_back(below(extent));
      end.push_back(begin.back() + 1 + below(extent - begin.back()));
      stride.push_back(1 + below(2));
    }
    keep(builder_.op("slice_by_index",
                     {{"x", x}, {"begin", begin}, {"end", end}, {"stride", stride}}));
  }

  void parts(Value* x) {
    const int64_t axis = below(rank(x)), extent = x->type.shape()[static_cast<size_t>(axis)];
    if (below(2) == 0 && extent > 1) {
      const Ints sizes{1, extent - 1};
      for (Value* part :
           builder_.op_results("split", {{"x", x}, {"split_sizes", sizes}, {"axis", axis}})) {
        keep(part);
      }
      return;
    }
    Value* reversed = builder_.op("reverse", {{"x", x}, {"axes", Ints{axis}}});
    keep(builder_.op("concat", {{"values", std::vector<Value*>{x, reversed, x}},
                                {"axis", axis},
                                {"interleave", below(2) == 0}}));
  }

  void product(Value* x) {
    if (below(2) == 0) {
      Value* weight = constant({1 + below(40), last(x)});
      Value* y = below(2) == 0
                     ? builder_.op("linear", {{"x", x}, {"weight", weight}})
                     : builder_.op("linear", {{"x", x},
                                              {"weight", weight},
                                              {"bias", constant({weight->type.shape()[0]})}});
      return keep(below(2) == 0 ? builder_.op("gelu", {{"x", y}}) : y);
    }
    if (rank(x) < 2) return;
    Value* y = builder_.op("matmul", {{"x", x}, {"y", x}, {"transpose_y", true}});
    keep(below(2) == 0 ? builder_.op("mul", {{"x", y}, {"y", 0.25f}}) : y);
  }

  void gather(Value* x) {
    const int64_t axis = below(rank(x)), extent = x->type.shape()[static_cast<size_t>(axis)];
    Ints indices;
    for (int64_t i = 0; i < 1 + below(6); ++i) indices.push_back(below(extent));
    keep(builder_.op("gather", {{"x", x}, {"indices", indices}, {"axis", axis}}));
  }

  // Branches on integers alone: floats may differ in their last bits.
  void choose(Value* x) {
    Value* positive =
        builder_.op(pick<std::string>({"greater", "less_equal", "equal"}),
                    {{"x", flags_}, {"y", builder_.constant(ir::Constant::int32(0), "zero")}});
    Value* other = builder_.op(
        "cast", {{"x", builder_.op("cast", {{"x", x}, {"dtype", "fp16"}})}, {"dtype", "fp32"}});
    keep(builder_.op("select", {{"cond", positive}, {"a", x}, {"b", other}}));
  }

  void extend(Value* x) {
    const auto axes = static_cast<size_t>(rank(x));
    if (below(2) == 0) {
      Ints reps(axes, 1);
      reps[static_cast<size_t>(below(rank(x)))] = 2;
      return keep(builder_.op("tile", {{"x", x}, {"reps", reps}}));
    }
    Ints pad(axes * 2, 0);
    for (int64_t& count : pad) count = below(2);
    keep(
        builder_.op("pad", {{"x", x}, {"pad", pad}, {"mode", "constant"}, {"constant_val", 0.5f}}));
  }

  std::mt19937_64 random_;
  ir::Function function_;
  ir::Builder builder_;
  TensorMap inputs_;
  std::vector<Value*> values_;
  Value* flags_ = nullptr;
};

constexpr uint64_t kPrograms = 300;

// The same programs on every day but where `make check-long` asks for those of today.
uint64_t first_seed() {
  const char* given = std::getenv("MW_RANDOM_SEED");
  if (given == nullptr) return 0;
  if (std::string(given) != "today") return std::strtoull(given, nullptr, 10);
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(
      std::chrono::system_clock::now().time_since_epoch());
  return static_cast<uint64_t>(hours.count() / 24) * 1000;
}

std::map<std::string, ir::Datum> run_in_fp64(const ir::Function& function,
                                             const TensorMap& inputs) {
  const auto wide = passes::set_precision(function, ops::catalog(), passes::kFp64);
  return exec::run_naive(*wide, ops::catalog(), inputs);
}

// The largest difference, relative to the largest element (at least 1).
double difference(const Tensor& a, const Tensor& b) {
  double largest = 1, apart = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    const double x = a.number_at(i), y = b.number_at(i);
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    largest = std::max(largest, std::fabs(x));
    apart = std::max(apart, std::fabs(x - y));
  }
  return apart / largest;
}

TEST(RandomProgram, planned_runs_agree_with_naive_ones) {
  const uint64_t first = first_seed();
  std::printf("random programs: seeds %llu to %llu; MW_RANDOM_SEED=N begins at N\n",
              static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + kPrograms - 1));
  for (uint64_t seed = first; seed < first + kPrograms; ++seed) {
    const std::string label = "seed " + std::to_string(seed);
    const RandomProgram program(seed);
    ir::verify(program.function(), ops::catalog());
    exec::SessionOptions options;
    options.poison = true;
    const exec::Session session(
        program.function(), [&](const auto&) { return ir::clone(program.function()).function; },
        devices::platform("cpu"), options);
    const auto want = exec::run_naive(program.function(), ops::catalog(), program.inputs());
    const auto exact = run_in_fp64(program.function(), program.inputs());
    exec::RunResult got;
    for (int round = 0; round < 2; ++round) {
      try {
        session.run_into(program.inputs(), nullptr, got);
      } catch (const Error& e) {
        FAIL() << label << ": " << e.what() << "\n" << ir::text::print(program.function());
      }
      for (const auto& [name, datum] : want) {
        // A chain of ops may magnify rounding: the fp32 reference shows by how much.
        const double rounding = difference(datum.tensor, exact.at(name).tensor);
        expect_near(got.outputs.at(name).tensor, datum.tensor, 1e-4 + 10 * rounding,
                    label + " " + name);
      }
    }
    if (::testing::Test::HasFailure()) {
      FAIL() << label << "\n" << ir::text::print(program.function());
    }
  }
}

}  // namespace
}  // namespace mw::cpu
