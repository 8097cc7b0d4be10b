// That a repeated run allocates nothing: this binary counts its allocations.
#include <atomic>
#include <cstdlib>
#include <new>

#include "cpu/testing.h"

namespace {
std::atomic<bool> g_counting{false};
std::atomic<int64_t> g_allocations{0}, g_bytes{0};

void* allocate(std::size_t size, std::size_t align) {
  if (g_counting) {
    ++g_allocations;
    g_bytes += static_cast<int64_t>(size);
  }
  void* memory = std::aligned_alloc(align, (size + align - 1) / align * align);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t size) { return allocate(size, 16); }
void* operator new(std::size_t size, std::align_val_t align) {
  return allocate(size, static_cast<std::size_t>(align));
}
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return allocate(size, static_cast<std::size_t>(align));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace mw::cpu {
namespace {

int64_t allocations_of(const exec::Session& session, const TensorMap& inputs,
                       exec::States* states) {
  exec::RunResult result;
  for (int i = 0; i < 3; ++i) session.run_into(inputs, states, result);
  g_allocations = 0;
  g_counting = true;
  for (int i = 0; i < 10; ++i) session.run_into(inputs, states, result);
  g_counting = false;
  return g_allocations;
}

// One token through an attention layer with a cache: gather, norms, products, softmax, a state.
TEST(Allocation, a_repeated_run_allocates_nothing) {
  const TestProgram program(
      "tensor<int32, [1, 1]> id, tensor<int32, [1]> position, "
      "state<tensor<fp16, [1, 2, 16, 8]>> cache",
      R"(
    tensor<fp32, [4, 16]> table = const()[val = tensor<fp32, [4, 16]>([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]])];
    tensor<fp32, [1, 1, 16]> x = gather(x = table, indices = id, axis = int32(0));
    tensor<fp32, [1, 1, 16]> n = layer_norm(x = x, axes = tensor<int32, [1]>([-1]), epsilon = fp32(0.00001));
    tensor<fp32, [1, 1, 4]> h = linear(x = n, weight = table);
    tensor<fp32, [1, 1, 4]> g = silu(x = h);
    tensor<fp32, [1, 1, 16]> back = matmul(x = g, y = table);
    tensor<fp32, [1, 1, 2, 8]> heads = reshape(x = back, shape = tensor<int32, [4]>([1, 1, 2, 8]));
    tensor<fp32, [1, 2, 1, 8]> q = transpose(x = heads, perm = tensor<int32, [4]>([0, 2, 1, 3]));
    tensor<fp16, [1, 2, 1, 8]> k = cast(x = q, dtype = string("fp16"));
    tensor<int32, [1]> after = add(x = position, y = tensor<int32, [1]>([1]));
    tensor<int32, [1]> zero = const()[val = tensor<int32, [1]>([0])];
    tensor<int32, [4]> begin = concat(values = (zero, zero, position, zero), axis = int32(0));
    tensor<int32, [4]> end = concat(values = (tensor<int32, [1]>([1]), tensor<int32, [1]>([2]), after, tensor<int32, [1]>([8])), axis = int32(0));
    tensor<fp16, [1, 2, 16, 8]> old = read_state(input = cache);
    tensor<fp16, [1, 2, 16, 8]> with = slice_update(x = old, update = k, begin = begin, end = end);
    write_state(input = cache, data = with);
    tensor<fp16, [1, 2, 16, 8]> read = read_state(input = cache);
    tensor<fp32, [1, 2, 16, 8]> keys = cast(x = read, dtype = string("fp32"));
    tensor<fp32, [1, 2, 1, 16]> s = matmul(x = q, y = keys, transpose_y = bool(true));
    tensor<fp32, [1, 2, 1, 16]> p = softmax(x = s, axis = int32(-1));
    tensor<fp32, [1, 2, 1, 8]> y = matmul(x = p, y = keys);)",
      "y");
  for (const int threads : {1, 2}) {
    const auto session = program.session({.threads = threads});
    exec::States states = session->make_states();
    const TensorMap inputs{{"id", Tensor::from<int32_t>({2}, {1, 1})},
                           {"position", Tensor::from<int32_t>({3}, {1})}};
    EXPECT_EQ(allocations_of(*session, inputs, &states), 0) << threads << " threads";
  }
}

// The GEMM library makes a small table per call; nothing in proportion to the data.
TEST(Allocation, a_product_of_many_rows_allocates_only_what_its_library_does) {
  const TestProgram program("tensor<fp32, [64, 4]> x", R"(
    tensor<fp32, [2, 4]> w = const()[val = tensor<fp32, [2, 4]>([[1, 2, 3, 4], [5, 6, 7, 8]])];
    tensor<fp32, [64, 2]> y = linear(x = x, weight = w);)",
                            "y");
  const auto session = program.session({.threads = 1});
  EXPECT_LE(allocations_of(*session, {{"x", noise({64, 4}, 1)}}, nullptr), 10 * 40);
}

// A loop that writes one number after the other into a list, and reads one.
const char* const kListLoop = R"(
    list<fp32, ?> start = make_list(init_length = int32(0), dtype = string("fp32"));
    int32 i_out, list<fp32, ?> all = while_loop(loop_vars = (int32(0), start)) test(int32 i, list<fp32, ?> ls) {
      bool go = less(x = i, y = n);
    } -> (go) body(int32 i, list<fp32, ?> ls) {
      fp32 v = cast(x = i, dtype = string("fp32"));
      list<fp32, ?> longer = list_write(ls = ls, index = i, value = v);
      int32 next = add(x = i, y = int32(1));
    } -> (next, longer);
    int32 last = sub(x = n, y = int32(1));
    fp32 y = list_read(ls = all, index = last);)";

template <class Body>
int64_t bytes_of(const Body& body) {
  g_bytes = 0;
  g_counting = true;
  body();
  g_counting = false;
  return g_bytes;
}

// Copies of a whole list at each write would make this four times as much.
TEST(Allocation, a_loop_that_writes_a_list_takes_memory_in_proportion_to_its_length) {
  const TestProgram program("int32 n", kListLoop, "y");
  const auto session = program.session();
  const auto inputs = [](int32_t n) { return TensorMap{{"n", Tensor::scalar(n)}}; };
  const auto planned = [&](int32_t n) {
    return bytes_of(
        [&] { EXPECT_EQ(session->run(inputs(n)).outputs.at("y").tensor.number_at(0), n - 1); });
  };
  const auto naive = [&](int32_t n) {
    return bytes_of(
        [&] { EXPECT_EQ(program.expected(inputs(n)).at("y").tensor.number_at(0), n - 1); });
  };
  (void)planned(10);
  EXPECT_LT(planned(2000), 2.5 * static_cast<double>(planned(1000)));
  EXPECT_LT(naive(2000), 2.5 * static_cast<double>(naive(1000)));
}

}  // namespace
}  // namespace mw::cpu
