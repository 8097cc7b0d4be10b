// Programs whose extents grow from run to run: what is planned again, and that nothing that depends
// on the extent is missed.
#include <gtest/gtest.h>

#include "cpu/testing.h"

namespace mw::cpu {
namespace {

struct Counts {
  size_t plans, specialisations;
  bool operator==(const Counts&) const = default;
};

Counts counts_of(const exec::Session& session) {
  return {session.plans_made(), session.specialisations()};
}

// Runs at each extent, with states where the program has any, and compares with the naive executor.
void run_all(const TestProgram& program, const exec::Session& session,
             const std::vector<int64_t>& extents,
             const std::function<TensorMap(int64_t)>& inputs_at) {
  exec::States states = session.make_states(), plain = session.make_states();
  for (const int64_t extent : extents) {
    const TensorMap inputs = inputs_at(extent);
    const exec::RunResult result = session.run(inputs, &states);
    for (const auto& [name, want] : program.expected(inputs, plain.cells())) {
      const auto found = result.outputs.find(name);
      if (found == result.outputs.end()) continue;
      expect_near(found->second.tensor, want.tensor, 1e-5, name + " at " + std::to_string(extent));
    }
    for (const auto& [name, cell] : plain.cells()) {
      EXPECT_TRUE(bit_equal(states.get(name), cell->value)) << name << " at " << extent;
    }
  }
}

std::vector<int64_t> from_to(int64_t first, int64_t last) {
  std::vector<int64_t> extents;
  for (int64_t i = first; i <= last; ++i) extents.push_back(i);
  return extents;
}

// Two layers of attention over a cache that the mask says how much of is in use.
const char* const kDecoder = R"(
  tensor<fp32, [8, 8]> w = const()[val = tensor<fp32, [8, 8]>([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    [-0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    [0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, -0.4, 0.5, 0.6, 0.7, 0.8],
    [0.1, 0.2, 0.3, 0.4, -0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4, 0.5, -0.6, 0.7, 0.8],
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -0.7, 0.8]])];
  tensor<fp32, [4, 8]> angles = const()[val = tensor<fp32, [4, 8]>([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    [0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.3, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    [0.4, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]])];
  tensor<int32, [4]> extents = shape(x = mask);
  int32 total = gather(x = extents, indices = int32(3), axis = int32(0));
  int32 past = sub(x = total, y = int32(1));
  int32 phase = mod(x = total, y = int32(4));
  tensor<fp32, [8]> angle = gather(x = angles, indices = phase, axis = int32(0));
  tensor<int32, [1]> past_1 = expand_dims(x = past, axes = tensor<int32, [1]>([0]));
  tensor<int32, [1]> total_1 = expand_dims(x = total, axes = tensor<int32, [1]>([0]));
  tensor<int32, [3]> begin = concat(values = (tensor<int32, [1]>([0]), past_1, tensor<int32, [1]>([0])), axis = int32(0));
  tensor<int32, [3]> end = concat(values = (tensor<int32, [1]>([1]), total_1, tensor<int32, [1]>([8])), axis = int32(0));
  tensor<fp32, [1, 1, 8]> n = layer_norm(x = x, axes = tensor<int32, [1]>([-1]), epsilon = fp32(0.00001));
  tensor<fp32, [1, 1, 8]> h = linear(x = n, weight = w);
  tensor<fp32, [1, 1, 8]> turned = mul(x = h, y = angle);
  tensor<fp16, [1, 1, 8]> k = cast(x = turned, dtype = string("fp16"));
  tensor<fp16, [1, 16, 8]> old = read_state(input = cache);
  tensor<fp16, [1, 16, 8]> with = slice_update(x = old, update = k, begin = begin, end = end);
  write_state(input = cache, data = with);
  tensor<fp16, [1, 16, 8]> kept = read_state(input = cache);
  tensor<fp16, [1, ?, 8]> used = slice_by_index(x = kept, begin = tensor<int32, [3]>([0, 0, 0]), end = end);
  tensor<fp32, [1, ?, 8]> keys = cast(x = used, dtype = string("fp32"));
  tensor<fp32, [1, 1, ?]> scores = matmul(x = turned, y = keys, transpose_y = bool(true));
  tensor<fp32, [1, 1, ?]> flat_mask = squeeze(x = mask, axes = tensor<int32, [1]>([0]));
  tensor<fp32, [1, 1, ?]> masked = add(x = scores, y = flat_mask);
  tensor<fp32, [1, 1, ?]> p = softmax(x = masked, axis = int32(-1));
  tensor<fp32, [1, 1, 8]> o = matmul(x = p, y = keys);
  tensor<fp32, [1, 1, 8]> m = linear(x = o, weight = w);
  tensor<fp32, [1, 1, 8]> r = add(x = m, y = x);
  tensor<fp32, [1, 1, 8]> g = gelu(x = r);
  tensor<fp32, [1, 1, 8]> y = linear(x = g, weight = w);)";

TensorMap decoder_inputs(int64_t extent) {
  return {{"x", noise({1, 1, 8}, static_cast<uint64_t>(extent))},
          {"mask", noise({1, 1, 1, extent}, static_cast<uint64_t>(extent) + 100)}};
}

constexpr const char* kDecoderArguments =
    "state<tensor<fp16, [1, 16, 8]>> cache, tensor<fp32, [1, 1, 8]> x, tensor<fp32, [1, 1, 1, ?]> "
    "mask";

TEST(Growing, decoding_plans_the_function_a_few_times_whatever_the_length) {
  const TestProgram program(kDecoderArguments, kDecoder, "y, p");
  const auto session = program.session({.poison = true});
  run_all(program, *session, from_to(1, 16), decoder_inputs);
  const Counts first = counts_of(*session);
  EXPECT_LE(first.specialisations, 3u);  // a family and what came before it
  EXPECT_LE(first.plans, 7u);
  run_all(program, *session, from_to(1, 16), decoder_inputs);
  EXPECT_EQ(counts_of(*session), first);
}

TEST(Growing, shapes_in_any_order_give_the_same_results) {
  const TestProgram program(kDecoderArguments, kDecoder, "y, p");
  const auto session = program.session({.poison = true, .binding_bytes = 1});
  run_all(program, *session, {7, 3, 16, 15, 4, 9, 3, 1, 2, 16, 7, 5, 6, 8}, decoder_inputs);
}

// The mask's length says how much is read, an input where a row is written and which angle it gets.
TEST(Growing, positions_of_the_run_stand_beside_extents_that_grow) {
  std::string statements = kDecoder;
  const auto replace = [&](const std::string& from, const std::string& to) {
    const size_t at = statements.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    statements.replace(at, from.size(), to);
  };
  replace("indices = phase, axis", "indices = where, axis");
  replace("tensor<fp32, [8]> angle", "tensor<fp32, [1, 8]> angle");
  replace("tensor<int32, [1]> past_1",
          "tensor<int32, [1]> after = add(x = where, y = tensor<int32, [1]>([1]));\n"
          "tensor<int32, [3]> until = concat(values = (tensor<int32, [1]>([1]), after, "
          "tensor<int32, [1]>([8])), axis = int32(0));\n tensor<int32, [1]> past_1");
  replace("(tensor<int32, [1]>([0]), past_1,", "(tensor<int32, [1]>([0]), where,");
  replace("begin = begin, end = end);", "begin = begin, end = until);");
  const TestProgram program(std::string(kDecoderArguments) + ", tensor<int32, [1]> where",
                            statements, "y, p");
  const auto inputs = [](int64_t extent) {
    TensorMap map = decoder_inputs(extent);
    map["where"] = Tensor::from<int32_t>({static_cast<int32_t>(extent * 3 % 4)}, {1});
    return map;
  };
  const auto session = program.session({.poison = true});
  run_all(program, *session, from_to(1, 16), inputs);
  EXPECT_LE(session->specialisations(), 3u);
  run_all(program, *session, {7, 3, 16, 2, 9}, inputs);
}

TEST(Growing, taps_are_the_same_at_every_length) {
  const TestProgram program(kDecoderArguments, kDecoder, "y");
  const auto session = program.session({.taps = {"masked", "r"}});
  const auto plain = program.session();
  exec::States states = session->make_states(), other = plain->make_states();
  for (int64_t extent = 1; extent <= 8; ++extent) {
    const TensorMap inputs = decoder_inputs(extent);
    const exec::RunResult result = session->run(inputs, &states);
    EXPECT_EQ(result.taps.at("masked").shape(), (Shape{1, 1, extent}));
    expect_near(result.outputs.at("y").tensor, plain->run(inputs, &other).outputs.at("y").tensor,
                1e-6, "y");
  }
}

// What an extent decides beside other extents: positions, remainders, branches, whole weights.
struct Discrete {
  const char* name;
  const char* statements;
};

constexpr Discrete kDiscrete[] = {
    {"half", R"(
  tensor<int32, [1]> two = floor_div(x = n, y = tensor<int32, [1]>([2]));
  tensor<fp32, [?]> y = slice_by_index(x = x, begin = two, end = n);)"},
    {"remainder", R"(
  tensor<int32, [1]> r = mod(x = n, y = tensor<int32, [1]>([3]));
  tensor<int32, [1]> e = add(x = r, y = tensor<int32, [1]>([1]));
  tensor<fp32, [?]> a = slice_by_index(x = table, begin = r, end = e);
  tensor<fp32, [?]> b = exp(x = x);
  tensor<fp32, [?]> y = mul(x = a, y = b);)"},
    {"plateau", R"(
  tensor<int32, [1]> r = minimum(x = n, y = tensor<int32, [1]>([6]));
  tensor<fp32, [?]> a = slice_by_index(x = x, begin = tensor<int32, [1]>([0]), end = r);
  tensor<fp32, [?]> b = tanh(x = a);
  tensor<fp32, [?]> y = add(x = b, y = a);)"},
    {"step", R"(
  tensor<int32, [1]> r = floor_div(x = n, y = tensor<int32, [1]>([7]));
  tensor<fp32, [?]> shift = gather(x = table, indices = r, axis = int32(0));
  tensor<fp32, [4]> c = mul(x = table, y = shift);
  tensor<fp32, [4]> d = exp(x = c);
  tensor<fp32, []> s = reduce_sum(x = x, axes = tensor<int32, [1]>([0]), keep_dims = bool(false));
  tensor<fp32, [4]> y = mul(x = d, y = s);)"},
    {"branch", R"(
  tensor<int32, [1]> limit = const()[val = tensor<int32, [1]>([5])];
  tensor<bool, [1]> more = greater(x = n, y = limit);
  bool is_more = squeeze(x = more, axes = tensor<int32, [1]>([0]));
  tensor<fp32, [?]> y = cond(pred = is_more) {
    tensor<fp32, [?]> a = exp(x = x);
  } -> (a) {
    tensor<fp32, [?]> b = mul(x = x, y = fp32(3));
  } -> (b);)"},
    {"weight", R"(
  tensor<int32, [1]> r = floor_div(x = n, y = tensor<int32, [1]>([5]));
  tensor<fp32, [1]> scale = gather(x = table, indices = r, axis = int32(0));
  tensor<fp32, [2, 4]> wide = tile(x = rows, reps = tensor<int32, [2]>([2, 1]));
  tensor<fp32, [2, 4]> w = mul(x = wide, y = scale);
  tensor<fp32, [1, 4]> t = expand_dims(x = table, axes = tensor<int32, [1]>([0]));
  tensor<fp32, [1, 1]> total = reduce_sum(x = column, axes = tensor<int32, [1]>([1]), keep_dims = bool(true));
  tensor<fp32, [1, 4]> z = mul(x = t, y = total);
  tensor<fp32, [1, 2]> y = linear(x = z, weight = w);)"},
};

constexpr const char* kPrologue = R"(
  tensor<fp32, [4]> table = const()[val = tensor<fp32, [4]>([1, 2, 3, 4])];
  tensor<fp32, [1, 4]> rows = const()[val = tensor<fp32, [1, 4]>([[0.5, 0.25, 2, 1]])];
  tensor<int32, [1]> n = shape(x = x);
  tensor<fp32, [1, ?]> column = expand_dims(x = x, axes = tensor<int32, [1]>([0]));
)";

TEST(Growing, what_an_extent_decides_is_decided_at_every_extent) {
  for (const Discrete& c : kDiscrete) {
    SCOPED_TRACE(c.name);
    const TestProgram program("tensor<fp32, [?]> x", std::string(kPrologue) + c.statements, "y");
    const auto session = program.session({.poison = true});
    const auto inputs = [](int64_t extent) {
      return TensorMap{{"x", noise({extent}, static_cast<uint64_t>(extent))}};
    };
    run_all(program, *session, {4, 6, 5, 7, 9, 8, 13, 3, 12, 2, 1, 14, 10, 11}, inputs);
    run_all(program, *session, from_to(1, 14), inputs);
  }
}

TEST(Growing, an_error_at_one_extent_leaves_the_others_right) {
  const TestProgram program("tensor<fp32, [?]> x", R"(
  tensor<int32, [1]> n = shape(x = x);
  tensor<int32, [1]> half = floor_div(x = n, y = tensor<int32, [1]>([2]));
  tensor<int32, [2]> shape = concat(values = (half, tensor<int32, [1]>([2])), axis = int32(0));
  tensor<fp32, [?, 2]> pairs = reshape(x = x, shape = shape);
  tensor<fp32, [?, 2]> y = exp(x = pairs);)",
                            "y");
  const auto session = program.session({.poison = true});
  const auto inputs = [](int64_t extent) {
    return TensorMap{{"x", noise({extent}, static_cast<uint64_t>(extent))}};
  };
  for (int64_t extent = 2; extent <= 12; ++extent) {
    if (extent % 2 == 0) {
      run_all(program, *session, {extent}, inputs);
    } else {
      EXPECT_NE(error_of([&] { (void)session->run(inputs(extent)); }).find("reshape"),
                std::string::npos)
          << extent;
    }
  }
}

// A mask over what is cached and what comes: one number of places for the cache alone would leave
// it too narrow.
TEST(Growing, extents_that_depend_on_each_other_are_rounded_up_together) {
  const TestProgram program(
      "tensor<fp32, [1, 2]> x, tensor<fp32, [?, 2]> past, tensor<fp32, [?]> mask",
      R"(
  tensor<fp32, [?, 2]> all = concat(values = (past, x), axis = int32(0));
  tensor<fp32, [?, 1]> column = expand_dims(x = mask, axes = tensor<int32, [1]>([1]));
  tensor<fp32, [?, 2]> y = mul(x = all, y = column);)",
      "y");
  const auto session = program.session({.poison = true});
  const auto inputs = [](int64_t extent) {
    const auto seed = static_cast<uint64_t>(extent);
    return TensorMap{{"x", noise({1, 2}, seed)},
                     {"past", noise({extent, 2}, seed + 1)},
                     {"mask", noise({extent + 1}, seed + 2)}};
  };
  run_all(program, *session, from_to(2, 40), inputs);
  EXPECT_LT(counts_of(*session).specialisations, 12U) << "each length by itself";
}

// The adjusted function is what specialising for those shapes gives.
TEST(Growing, adjusted_functions_print_as_specialised_ones) {
  const TestProgram program(kDecoderArguments, kDecoder, "y, p");
  const auto shapes_at = [](int64_t extent) {
    return Shapes{{"x", {1, 1, 8}}, {"mask", {1, 1, 1, extent}}};
  };
  const auto adjustable =
      passes::specialise_adjustable(program.function(), ops::catalog(), {.shapes = shapes_at(3)});
  ASSERT_NE(adjustable, nullptr);
  for (const int64_t extent : {4, 9, 2, 16, 15}) {
    std::vector<const ir::Value*> changed;
    ASSERT_TRUE(adjustable->adjust(shapes_at(extent), changed));
    EXPECT_FALSE(changed.empty());
    const auto fresh = program.specialiser()(shapes_at(extent));
    EXPECT_EQ(ir::text::print(*adjustable->function()), ir::text::print(*fresh));
  }
}

}  // namespace
}  // namespace mw::cpu
