// Tests of states that are read and written where an input says: in place, with the rows that a
// run touches and no others, and never outside.
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory_checks.h"
#include "cpu/testing.h"

namespace mw::cpu {
namespace {

Tensor positions(const std::vector<int32_t>& values) {
  return Tensor::from<int32_t>(values, {static_cast<int64_t>(values.size())});
}

Tensor halves(const Shape& shape, uint64_t seed) { return noise(shape, seed).to(DType::kF16); }

// Runs it with each of the inputs in order, planned and op by op, and compares results and states.
void run_all(const TestProgram& program, const std::vector<TensorMap>& runs) {
  const auto session = program.session({.poison = true});
  exec::States states = session->make_states(), plain = session->make_states();
  for (const auto& [name, cell] : states.cells()) {
    const Tensor filled = halves(cell->value.shape(), 77);
    states.set(name, filled);
    plain.set(name, filled);
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const exec::RunResult result = session->run(runs[i], &states);
    for (const auto& [name, want] : program.expected(runs[i], plain.cells())) {
      expect_near(result.outputs.at(name).tensor, want.tensor, 2e-3,
                  name + " of run " + std::to_string(i));
    }
    for (const auto& [name, cell] : plain.cells()) {
      EXPECT_TRUE(bit_equal(states.get(name), cell->value)) << name << " after run " << i;
    }
  }
}

// The error of a run, after which the state must be what it was.
std::string error_at(const TestProgram& program, const TensorMap& inputs) {
  const auto session = program.session({.poison = true});
  exec::States states = session->make_states();
  std::map<std::string, Tensor> before;
  for (const auto& [name, cell] : states.cells()) {
    before[name] = halves(cell->value.shape(), 5);
    states.set(name, before[name]);
  }
  const std::string error = error_of([&] { (void)session->run(inputs, &states); });
  for (const auto& [name, tensor] : before)
    EXPECT_TRUE(bit_equal(states.get(name), tensor)) << name;
  exec::States plain = session->make_states();
  EXPECT_NE(error_of([&] { (void)program.expected(inputs, plain.cells()); }), "");
  return error;
}

// Two layers of a decoder of one token: four heads that share two of keys and values.
std::string decoder(int64_t context, const std::string& softmax) {
  std::string text = R"(
  tensor<int32, [1]> after = add(x = position, y = tensor<int32, [1]>([1]));
  tensor<fp16, [4, C, 8]> k_0 = read_state(input = keys);
  tensor<fp16, [4, C, 8]> v_0 = read_state(input = values);)";
  const auto layer = [&](const std::string& n, const std::string& m, int low) {
    const std::string lo = std::to_string(low), hi = std::to_string(low + 2);
    std::string part = R"(
  tensor<int32, [3]> begin_N = concat(values = (tensor<int32, [1]>([LO]), position, tensor<int32, [1]>([0])), axis = int32(0));
  tensor<int32, [3]> end_N = concat(values = (tensor<int32, [1]>([HI]), after, tensor<int32, [1]>([8])), axis = int32(0));
  tensor<fp16, [2, 1, 8]> key_N = mul(x = x_N, y = fp16(0.5));
  tensor<fp16, [4, C, 8]> with_key_N = slice_update(x = k_N, update = key_N, begin = begin_N, end = end_N);
  write_state(input = keys, data = with_key_N);
  tensor<fp16, [4, C, 8]> k_M = read_state(input = keys);
  tensor<fp16, [4, C, 8]> with_value_N = slice_update(x = v_N, update = x_N, begin = begin_N, end = end_N);
  write_state(input = values, data = with_value_N);
  tensor<fp16, [4, C, 8]> v_M = read_state(input = values);
  tensor<fp16, [2, C, 8]> own_k_N = slice_by_index(x = k_M, begin = tensor<int32, [3]>([LO, 0, 0]), end = tensor<int32, [3]>([HI, C, 8]));
  tensor<fp16, [2, C, 8]> own_v_N = slice_by_index(x = v_M, begin = tensor<int32, [3]>([LO, 0, 0]), end = tensor<int32, [3]>([HI, C, 8]));
  tensor<fp16, [2, 1, C, 8]> wide_k_N = expand_dims(x = own_k_N, axes = tensor<int32, [1]>([1]));
  tensor<fp16, [2, 1, C, 8]> wide_v_N = expand_dims(x = own_v_N, axes = tensor<int32, [1]>([1]));
  tensor<fp16, [2, 2, C, 8]> twice_k_N = tile(x = wide_k_N, reps = tensor<int32, [4]>([1, 2, 1, 1]));
  tensor<fp16, [2, 2, C, 8]> twice_v_N = tile(x = wide_v_N, reps = tensor<int32, [4]>([1, 2, 1, 1]));
  tensor<fp16, [4, C, 8]> heads_k_N = reshape(x = twice_k_N, shape = tensor<int32, [3]>([4, C, 8]));
  tensor<fp16, [4, C, 8]> heads_v_N = reshape(x = twice_v_N, shape = tensor<int32, [3]>([4, C, 8]));
  tensor<fp16, [2, 2, 1, 8]> both_N = stack(values = (x_N, key_N), axis = int32(1));
  tensor<fp16, [4, 1, 8]> query_N = reshape(x = both_N, shape = tensor<int32, [3]>([4, 1, 8]));
  tensor<fp16, [4, 1, C]> dots_N = matmul(x = query_N, y = heads_k_N, transpose_y = bool(true));
  tensor<fp16, [4, 1, C]> scaled_N = mul(x = dots_N, y = fp16(0.35));
  tensor<fp16, [4, 1, C]> scores_N = add(x = scaled_N, y = mask);)" +
                       softmax + R"(
  tensor<fp16, [4, 1, 8]> sums_N = matmul(x = p_N, y = heads_v_N);
  tensor<fp16, [2, 2, 8]> pairs_N = reshape(x = sums_N, shape = tensor<int32, [3]>([2, 2, 8]));
  tensor<fp16, [2, 1, 8]> x_M = slice_by_index(x = pairs_N, begin = tensor<int32, [3]>([0, 1, 0]), end = tensor<int32, [3]>([2, 2, 8]));)";
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"_N", "_" + n}, {"_M", "_" + m}, {"LO", lo}, {"HI", hi}}) {
      for (size_t at = 0; (at = part.find(from, at)) != std::string::npos; at += to.size()) {
        part.replace(at, from.size(), to);
      }
    }
    return part;
  };
  text += layer("0", "1", 0) + layer("1", "2", 2);
  for (size_t at = 0; (at = text.find(" C", at)) != std::string::npos; ++at) {
    text.replace(at, 2, " " + std::to_string(context));
  }
  return text;
}

constexpr const char* kSoftmax =
    "\n  tensor<fp16, [4, 1, C]> p_N = softmax(x = scores_N, axis = int32(-1));";
constexpr const char* kSpelledSoftmax = R"(
  tensor<fp16, [4, 1, 1]> largest_N = reduce_max(x = scores_N, axes = tensor<int32, [1]>([-1]), keep_dims = bool(true));
  tensor<fp16, [4, 1, C]> less_N = sub(x = scores_N, y = largest_N);
  tensor<fp16, [4, 1, C]> powers_N = exp(x = less_N);
  tensor<fp16, [4, 1, 1]> total_N = reduce_sum(x = powers_N, axes = tensor<int32, [1]>([-1]), keep_dims = bool(true));
  tensor<fp16, [4, 1, C]> p_N = real_div(x = powers_N, y = total_N);)";

// What no attention kernel takes: products read the cache.
constexpr const char* kUnlikeSoftmax = R"(
  tensor<fp16, [4, 1, C]> q_N = softmax(x = scores_N, axis = int32(-1));
  tensor<fp16, [4, 1, C]> p_N = relu(x = q_N);)";

TestProgram decoder_of(int64_t context, const char* softmax = kSoftmax) {
  const std::string c = std::to_string(context);
  return {"state<tensor<fp16, [4, " + c + ", 8]>> keys, state<tensor<fp16, [4, " + c +
              ", 8]>> values, tensor<fp16, [2, 1, 8]> x_0, tensor<int32, [1]> position, "
              "tensor<fp16, [1, 1, " +
              c + "]> mask",
          decoder(context, softmax), "x_2"};
}

TensorMap token(int64_t context, int32_t position) {
  Tensor mask(DType::kF16, {1, 1, context});
  for (int64_t i = position + 1; i < context; ++i) mask.set_number(i, -1e4);
  return {{"x_0", halves({2, 1, 8}, static_cast<uint64_t>(position))},
          {"position", positions({position})},
          {"mask", mask}};
}

TEST(MovingState, decoding_writes_rows_where_the_position_says) {
  for (const char* softmax : {kSoftmax, kSpelledSoftmax, kUnlikeSoftmax}) {
    const TestProgram program = decoder_of(16, softmax);
    std::vector<TensorMap> runs;
    for (const int32_t position : {0, 1, 2, 15, 7, 7}) runs.push_back(token(16, position));
    run_all(program, runs);
  }
}

TEST(MovingState, bytes_copied_per_token_do_not_depend_on_the_context) {
  for (const char* softmax : {kSoftmax, kSpelledSoftmax, kUnlikeSoftmax}) {
    std::vector<int64_t> copied;
    for (const int64_t context : {128, 2048}) {
      const TestProgram program = decoder_of(context, softmax);
      const auto session = program.session();
      exec::States states = session->make_states();
      for (int32_t i = 0; i < 4; ++i) (void)session->run(token(context, i), &states);
      copied.push_back(session->bytes_copied());
      // Scores of all keys, and what kernels work in.
      EXPECT_LT(session->arena_bytes(), uint64_t{128} << 10);
    }
    // Row programs read the mask in fp32.
    const int64_t masks = softmax == kUnlikeSoftmax ? int64_t{4} * 4 * (2048 - 128) : 0;
    EXPECT_EQ(copied[0] + masks, copied[1]);
    EXPECT_GT(copied[0], 0);
    EXPECT_LT(copied[0], 4 * 2048);
  }
}

TEST(MovingState, a_state_that_somebody_holds_is_copied_and_counted) {
  const TestProgram program = decoder_of(128);
  const auto session = program.session();
  exec::States states = session->make_states();
  (void)session->run(token(128, 0), &states);
  const int64_t before = session->bytes_copied();
  (void)session->run(token(128, 1), &states);
  const int64_t usual = session->bytes_copied() - before;
  const Tensor held = states.get("keys");
  const Tensor copy = held.clone();
  (void)session->run(token(128, 2), &states);
  EXPECT_EQ(session->bytes_copied() - before - usual, usual + held.nbytes());
  EXPECT_TRUE(bit_equal(held, copy));
}

int64_t resident_pages(const Tensor& tensor) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const auto first = reinterpret_cast<uintptr_t>(tensor.raw()) / static_cast<uintptr_t>(page) *
                     static_cast<uintptr_t>(page);
  const auto bytes =
      reinterpret_cast<uintptr_t>(tensor.raw()) + static_cast<uintptr_t>(tensor.nbytes()) - first;
  std::vector<unsigned char> pages(bytes / static_cast<uintptr_t>(page) + 1);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(first), bytes, pages.data()), 0);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; });
}

// Only writes, since what is read of untouched memory shows the page of zeros.
TEST(MovingState, memory_of_a_state_grows_with_the_rows_written) {
  if (kSanitized || guard_mode() != Guard::kNone || poison_mode() != Poison::kNone) GTEST_SKIP();
  const TestProgram program(
      "state<tensor<fp16, [1, 16384, 1024]>> cache, tensor<fp16, [1, 1, 1024]> x, "
      "tensor<int32, [1]> position",
      R"(
    tensor<int32, [1]> after = add(x = position, y = tensor<int32, [1]>([1]));
    tensor<int32, [3]> begin = concat(values = (tensor<int32, [1]>([0]), position, tensor<int32, [1]>([0])), axis = int32(0));
    tensor<int32, [3]> end = concat(values = (tensor<int32, [1]>([1]), after, tensor<int32, [1]>([1024])), axis = int32(0));
    tensor<fp16, [1, 16384, 1024]> old = read_state(input = cache);
    tensor<fp16, [1, 16384, 1024]> with = slice_update(x = old, update = x, begin = begin, end = end);
    write_state(input = cache, data = with);)",
      "x");
  const auto session = program.session();
  exec::States states = session->make_states();
  EXPECT_LE(resident_pages(states.get("cache")), 1);
  const int64_t page = sysconf(_SC_PAGESIZE);
  for (const int32_t tokens : {32, 128}) {
    for (int32_t i = 0; i < tokens; ++i) {
      (void)session->run({{"x", halves({1, 1, 1024}, 3)}, {"position", positions({i})}}, &states);
    }
    const int64_t written = tokens * 2048 / page;
    EXPECT_LE(resident_pages(states.get("cache")), written + 2);
    EXPECT_GE(resident_pages(states.get("cache")), written);
  }
}

TEST(MovingState, slices_and_gathers_read_where_the_run_says) {
  const TestProgram program(
      "state<tensor<fp16, [3, 6, 4]>> cache, tensor<int32, [3]> at, tensor<int32, [1]> one, "
      "tensor<int32, []> index, tensor<int32, [2]> two",
      R"(
    tensor<fp16, [3, 6, 4]> c = read_state(input = cache);
    tensor<fp16, [1, 2, 4]> by_size = slice_by_size(x = c, begin = at, size = tensor<int32, [3]>([1, 2, 4]));
    tensor<fp16, [4]> squeezed = slice_by_index(x = c, begin = at, end = tensor<int32, [3]>([3, 6, 4]), squeeze_mask = tensor<bool, [3]>([true, true, false]), begin_mask = tensor<bool, [3]>([false, false, true]), end_mask = tensor<bool, [3]>([false, false, true]));
    tensor<fp16, [3, 1, 4]> row = gather(x = c, indices = one, axis = int32(1));
    tensor<fp16, [3, 4]> plain_row = gather(x = c, indices = index, axis = int32(1));
    tensor<fp16, [3, 2, 4]> rows = gather(x = c, indices = two, axis = int32(1));
    tensor<fp16, [3, 6]> column = gather(x = c, indices = index, axis = int32(2));
    tensor<fp16, [6, 4]> part = gather(x = c, indices = int32(2), axis = int32(0));
    tensor<fp16, [2, 4]> part_rows = gather(x = part, indices = two, axis = int32(0));
    tensor<fp16, [1, 2, 4]> a = mul(x = by_size, y = fp16(2));
    tensor<fp16, [3, 4]> b = add(x = plain_row, y = squeezed);
    tensor<fp16, [3, 4, 1]> d = transpose(x = row, perm = tensor<int32, [3]>([0, 2, 1]));
    tensor<fp16, [3, 4, 1]> e = exp(x = d);)",
      "a, b, e, rows, column, part_rows, by_size, plain_row");
  std::vector<TensorMap> runs;
  for (const int32_t i : {0, 1, 2, -1, -3}) {
    runs.push_back({{"at", positions({i, i, 0})},
                    {"one", positions({i})},
                    {"index", Tensor::scalar(i)},
                    {"two", positions({i, 1})}});
  }
  runs[3]["at"] = positions({-1, -2, 0});
  run_all(program, runs);
}

TEST(MovingState, parts_of_other_values_move_too) {
  const TestProgram program("tensor<fp32, [2, 8]> x, tensor<fp32, [2, 2]> u, tensor<int32, [2]> at",
                            R"(
    tensor<fp32, [2, 8]> y = relu(x = x);
    tensor<fp32, [2, 8]> z = slice_update(x = y, update = u, begin = at, end = tensor<int32, [2]>([0, 0]), begin_mask = tensor<bool, [2]>([true, false]), end_mask = tensor<bool, [2]>([true, true]));
    tensor<fp32, [2, 8]> w = tanh(x = z);
    tensor<fp32, [2, 2]> part = slice_by_size(x = w, begin = at, size = tensor<int32, [2]>([2, 2]));
    tensor<fp32, [2, 2]> q = add(x = part, y = u);)",
                            "w, q");
  run_all(program, {{{"x", noise({2, 8}, 1)}, {"u", noise({2, 2}, 2)}, {"at", positions({0, 6})}}});
}

// The result of a row program must not be written over an operand that it reads a window of.
TEST(MovingState, a_window_keeps_what_it_shows) {
  const TestProgram program("tensor<fp32, [8]> x, tensor<int32, [1]> at", R"(
    tensor<fp32, [8]> y = softmax(x = x, axis = int32(-1));
    tensor<fp32, [1]> one = slice_by_size(x = y, begin = at, size = tensor<int32, [1]>([1]));
    tensor<fp32, [8]> z = mul(x = y, y = one);
    tensor<fp32, [8]> w = add(x = z, y = one);)",
                            "w");
  for (const int32_t at : {0, 3, 7}) {
    run_all(program, {{{"x", noise({8}, 4)}, {"at", positions({at})}}});
  }
}

TEST(MovingState, old_content_is_there_for_those_who_read_it_through_a_window) {
  const TestProgram program(
      "state<tensor<fp16, [4, 3]>> cache, tensor<fp16, [1, 3]> x, tensor<int32, [1]> at", R"(
    tensor<int32, [1]> after = add(x = at, y = tensor<int32, [1]>([1]));
    tensor<int32, [2]> begin = concat(values = (at, tensor<int32, [1]>([0])), axis = int32(0));
    tensor<int32, [2]> end = concat(values = (after, tensor<int32, [1]>([3])), axis = int32(0));
    tensor<fp16, [4, 3]> old = read_state(input = cache);
    tensor<fp16, [1, 3]> before = gather(x = old, indices = at, axis = int32(0));
    tensor<fp16, [4, 3]> with = slice_update(x = old, update = x, begin = begin, end = end);
    write_state(input = cache, data = with);
    tensor<fp16, [1, 3]> now = gather(x = with, indices = at, axis = int32(0));
    tensor<fp16, [1, 3]> change = sub(x = now, y = before);
    tensor<fp16, [4, 3]> again = slice_update(x = with, update = before, begin = tensor<int32, [2]>([0, 0]), end = tensor<int32, [2]>([1, 3]));
    write_state(input = cache, data = again);
    tensor<fp16, [4, 3]> doubled = add(x = with, y = with);)",
      "change, doubled, with");
  std::vector<TensorMap> runs;
  for (const int32_t at : {1, 0, 3}) {
    runs.push_back({{"x", halves({1, 3}, static_cast<uint64_t>(at))}, {"at", positions({at})}});
  }
  run_all(program, runs);
}

TEST(MovingState, a_state_may_be_written_with_its_own_elements_in_another_order) {
  const TestProgram program("state<tensor<fp16, [4, 4]>> cache, tensor<fp16, [4, 4]> x", R"(
    tensor<fp16, [4, 4]> old = read_state(input = cache);
    tensor<fp16, [4, 4]> turned = reverse(x = old, axes = tensor<int32, [1]>([0]));
    write_state(input = cache, data = turned);
    tensor<fp16, [4, 4]> now = read_state(input = cache);
    tensor<fp16, [4, 4]> swapped = transpose(x = now, perm = tensor<int32, [2]>([1, 0]));
    write_state(input = cache, data = swapped);
    tensor<fp16, [4, 4]> y = add(x = turned, y = x);)",
                            "y");
  run_all(program, {{{"x", halves({4, 4}, 1)}}, {{"x", halves({4, 4}, 2)}}});
}

// A slice from a position to a number of rows behind it has that number of rows.
TEST(MovingState, slices_between_positions_that_go_together_are_views) {
  const TestProgram program("state<tensor<fp16, [8, 4]>> cache, tensor<int32, [1]> at", R"(
    tensor<int32, [1]> after = add(x = at, y = tensor<int32, [1]>([2]));
    tensor<int32, [1]> last = sub(x = after, y = tensor<int32, [1]>([1]));
    tensor<int32, []> number = squeeze(x = last, axes = tensor<int32, [1]>([0]));
    tensor<int32, [1]> again = expand_dims(x = number, axes = tensor<int32, [1]>([0]));
    tensor<int32, [2]> begin = concat(values = (at, tensor<int32, [1]>([1])), axis = int32(0));
    tensor<int32, [2]> end = concat(values = (after, tensor<int32, [1]>([3])), axis = int32(0));
    tensor<int32, [2]> one = concat(values = (again, tensor<int32, [1]>([4])), axis = int32(0));
    tensor<fp16, [8, 4]> c = read_state(input = cache);
    tensor<fp16, [?, ?]> rows = slice_by_index(x = c, begin = begin, end = end);
    tensor<fp16, [?, ?]> row = slice_by_index(x = c, begin = begin, end = one);
    tensor<fp16, [?, ?]> twice = add(x = rows, y = rows);
    tensor<fp16, [?, ?]> more = exp(x = row);)",
                            "twice, more");
  std::vector<TensorMap> runs;
  for (const int32_t at : {0, 3, 6, -3}) runs.push_back({{"at", positions({at})}});
  run_all(program, runs);
  const auto session = program.session({.profile = true});
  exec::States states = session->make_states();
  (void)session->run(runs[1], &states);
  for (const exec::ProfileRow& row : session->profile().rows) EXPECT_NE(row.kind, "reference");
  EXPECT_EQ(error_of([&] {
              (void)session->run({{"at", positions({7})}}, &states);
            }),
            "function 'main': slice_by_index 'rows_narrow': expected a result of shape [2, 2], got "
            "[1, 2] for [7:9, 1:3] of [8, 4]");
}

constexpr const char* kUpdate = R"(
    tensor<int32, [1]> after = add(x = at, y = tensor<int32, [1]>([1]));
    tensor<int32, [2]> begin = concat(values = (at, tensor<int32, [1]>([0])), axis = int32(0));
    tensor<int32, [2]> end = concat(values = (after, tensor<int32, [1]>([3])), axis = int32(0));
    tensor<fp16, [4, 3]> old = read_state(input = cache);
    tensor<fp16, [4, 3]> with = slice_update(x = old, update = x, begin = begin, end = end);
    write_state(input = cache, data = with);)";

TEST(MovingState, a_position_outside_is_one_sentence_and_nothing_is_written) {
  const TestProgram update(
      "state<tensor<fp16, [4, 3]>> cache, tensor<fp16, [1, 3]> x, tensor<int32, [1]> at", kUpdate,
      "x");
  const auto at = [](int32_t i) {
    return TensorMap{{"x", halves({1, 3}, 1)}, {"at", positions({i})}};
  };
  EXPECT_EQ(error_at(update, at(4)),
            "function 'main': slice_update 'with': update: expected shape [0, 3], got [1, 3] for "
            "[4:5, 0:3] of [4, 3]");
  for (const int32_t i : {5, 1 << 30, INT32_MAX, INT32_MIN, -5, -1}) {
    EXPECT_NE(error_at(update, at(i)).find("slice_update 'with': update: expected shape [0, 3]"),
              std::string::npos)
        << i;
  }
  run_all(update, {at(-2), at(3)});

  const TestProgram read("tensor<fp32, [4, 3]> c, tensor<int32, [2]> at, tensor<int32, [1]> one",
                         R"(
    tensor<fp32, [1, 3]> row = gather(x = c, indices = one, axis = int32(0));
    tensor<fp32, [1, 3]> r = exp(x = row);
    tensor<fp32, [2, 3]> rows = slice_by_size(x = c, begin = at, size = tensor<int32, [2]>([2, 3]));
    tensor<fp32, [2, 3]> s = exp(x = rows);
    tensor<fp32, [3]> item = slice_by_index(x = c, begin = at, end = tensor<int32, [2]>([4, 3]), squeeze_mask = tensor<bool, [2]>([true, false]), begin_mask = tensor<bool, [2]>([false, true]), end_mask = tensor<bool, [2]>([false, true]));
    tensor<fp32, [3]> t = exp(x = item);)",
                         "r, s, t");
  const auto reading = [](int32_t one, int32_t first) {
    return TensorMap{
        {"c", noise({4, 3}, 1)}, {"one", positions({one})}, {"at", positions({first, 0})}};
  };
  EXPECT_EQ(error_at(read, reading(4, 0)),
            "function 'main': gather 'row': indices: expected values in [-4, 3], got 4");
  EXPECT_EQ(error_at(read, reading(-5, 0)),
            "function 'main': gather 'row': indices: expected values in [-4, 3], got -5");
  EXPECT_EQ(error_at(read, reading(0, 3)),
            "function 'main': slice_by_size 'rows': size: expected at most 1 elements on axis 0, "
            "got 2");
  EXPECT_EQ(error_at(read, reading(0, INT32_MIN)),
            "function 'main': slice_by_size 'rows': begin: expected a value in [-4, 4] on axis 0, "
            "got -2147483648");
}

}  // namespace
}  // namespace mw::cpu
