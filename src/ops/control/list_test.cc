// Tests of the list ops on small programs.
#include "ops/control/testing.h"

namespace mw::ops {
namespace {

// A list of `length` elements [2], as the value `ls`.
std::string list_of(int length, bool dynamic = true, const std::string& dtype = "fp32") {
  return "list<tensor<" + dtype + ", [2]>, ?> ls = make_list(init_length = int32(" +
         std::to_string(length) + "), dynamic_length = bool(" + (dynamic ? "true" : "false") +
         "), elem_shape = (int32(2)), dtype = string(\"" + dtype + "\"));\n";
}

TEST(List, grows_where_it_is_written) {
  // The declared length is the initial one, as coremltools writes it.
  SmallRunner program("tensor<fp32, [2]> x, int32 count", R"(
    list<tensor<fp32, [2]>, 1> empty = make_list(init_length = int32(1), elem_shape = (int32(2)));
    int32 n, list<tensor<fp32, [2]>, 1> full = while_loop(loop_vars = (int32(0), empty))
        (int32 i, list<tensor<fp32, [2]>, 1> items) {
      bool go = less(x = i, y = count);
    } -> (go) (int32 i, list<tensor<fp32, [2]>, 1> items) {
      int32 next = add(x = i, y = int32(1));
      fp32 scale = cast(x = i, dtype = string("fp32"));
      tensor<fp32, [2]> scaled = mul(x = x, y = scale);
      list<tensor<fp32, [2]>, 1> longer = list_write(ls = items, index = i, value = scaled);
    } -> (next, longer);
    int32 length = list_length(ls = full);
    tensor<int32, [?]> all = range_1d(start = int32(0), end = length, step = int32(1));
    tensor<fp32, [?, 2]> y = list_gather(ls = full, indices = all);
    tensor<fp32, [2]> second = list_read(ls = full, index = int32(1));)",
                      "y, length, second");
  const std::vector<Tensor> results =
      program.run({floats({1, 10}, {2}), Tensor::scalar<int32_t>(3)});
  EXPECT_TRUE(bit_equal(results[0], floats({0, 0, 1, 10, 2, 20}, {3, 2})));
  EXPECT_EQ(results[1].integer_at(0), 3);
  EXPECT_TRUE(bit_equal(results[2], floats({1, 10}, {2})));
}

TEST(List, reads_zeros_where_nothing_was_written) {
  SmallRunner program("tensor<fp16, [2]> x", list_of(2, true, "fp16") + R"(
    list<tensor<fp16, [2]>, ?> longer = list_write(ls = ls, index = int32(3), value = x);
    tensor<fp16, [2]> first = list_read(ls = longer, index = int32(0));
    tensor<fp16, [3, 2]> some = list_gather(ls = longer, indices = tensor<int32, [3]>([3, 2, 3]));
    int32 length = list_length(ls = longer);)",
                      "first, some, length");
  const Tensor x = floats({1.5, -2}, {2}).to(DType::kF16);
  const std::vector<Tensor> results = program.run({x});
  EXPECT_TRUE(bit_equal(results[0], Tensor(DType::kF16, {2})));
  EXPECT_TRUE(bit_equal(results[1], floats({1.5, -2, 0, 0, 1.5, -2}, {3, 2}).to(DType::kF16)));
  EXPECT_EQ(results[2].integer_at(0), 4);
}

TEST(List, takes_the_extents_of_written_elements_where_its_type_has_none) {
  SmallRunner program("tensor<fp32, [3]> x", R"(
    list<tensor<fp32, [?]>, ?> ls = make_list(init_length = int32(2), elem_shape = (string("n")));
    list<tensor<fp32, [?]>, ?> one = list_write(ls = ls, index = int32(1), value = x);
    tensor<fp32, [?]> unwritten = list_read(ls = one, index = int32(0));)",
                      "unwritten");
  EXPECT_TRUE(bit_equal(program.run({floats({1, 2, 3}, {3})})[0], floats({0, 0, 0}, {3})));
  SmallRunner unknown("tensor<fp32, [3]> x", R"(
    list<tensor<fp32, [?]>, ?> ls = make_list(init_length = int32(2), elem_shape = (string("n")));
    tensor<fp32, [?]> unwritten = list_read(ls = ls, index = int32(0));)",
                      "unwritten");
  EXPECT_EQ(error_of([&] {
              unknown.run({floats({1, 2, 3}, {3})});
            }),
            "list_read 'unwritten': ls: expected an element that was written, for its extents are "
            "not known");
}

TEST(List, scatters_rows_of_a_tensor) {
  SmallRunner program("tensor<fp32, [2, 2]> x, tensor<int32, [2]> at", list_of(1) + R"(
    list<tensor<fp32, [2]>, ?> filled = list_scatter(ls = ls, indices = at, value = x);
    tensor<fp32, [2, 2]> back = list_gather(ls = filled, indices = at);
    tensor<fp32, [2]> old = list_read(ls = ls, index = int32(0));
    int32 length = list_length(ls = filled);)",
                      "back, old, length");
  const Tensor x = floats({1, 2, 3, 4}, {2, 2});
  const std::vector<Tensor> results = program.run({x, integers({2, 0})});
  EXPECT_TRUE(bit_equal(results[0], x));
  EXPECT_TRUE(bit_equal(results[1], floats({0, 0}, {2})))
      << "a write must not change the list it came from";
  EXPECT_EQ(results[2].integer_at(0), 3);
}

TEST(List, holds_scalars_and_may_be_empty) {
  SmallRunner program("int32 x", R"(
    list<int32, ?> ls = make_list(init_length = int32(0), dynamic_length = bool(true),
                                    dtype = string("int32"));
    list<int32, ?> one = list_write(ls = ls, index = int32(0), value = x);
    int32 y = list_read(ls = one, index = int32(0));
    tensor<int32, [0]> none = list_gather(ls = ls, indices = tensor<int32, [0]>([]));)",
                      "y, none");
  const std::vector<Tensor> results = program.run({Tensor::scalar<int32_t>(7)});
  EXPECT_EQ(results[0].integer_at(0), 7);
  EXPECT_EQ(results[1].count(), 0);
}

TEST(List, a_fixed_length_is_part_of_the_type) {
  expect_rejected("int32 x", R"(list<int32, 3> ls = make_list(init_length = int32(2),
                  dynamic_length = bool(false), dtype = string("int32"));)",
                  "ls", "got list<");
}

TEST(List, rejects_indices_outside_the_list) {
  SmallRunner program("tensor<int32, [2]> at, int32 i, tensor<fp32, [2]> x", list_of(2) + R"(
    list<tensor<fp32, [2]>, ?> written = list_write(ls = ls, index = i, value = x);
    tensor<fp32, [2, 2]> y = list_gather(ls = ls, indices = at);)",
                      "y");
  const Tensor x = floats({1, 2}, {2});
  const auto message = [&](int32_t i, const Tensor& at) {
    return error_of([&] { program.run({at, Tensor::scalar(i), x}); });
  };
  EXPECT_EQ(message(0, integers({0, 2})),
            "list_gather 'y': indices: expected values in [0, 1], got 2");
  EXPECT_EQ(message(0, integers({-1, 0})),
            "list_gather 'y': indices: expected values in [0, 1], got -1");
  EXPECT_EQ(message(-1, integers({0, 0})),
            "list_write 'written': index: expected values in [0, 1048575], got -1");
  EXPECT_EQ(message(2147483647, integers({0, 0})),
            "list_write 'written': index: expected values in [0, 1048575], got 2147483647");
  SmallRunner read("int32 i", list_of(2) + "tensor<fp32, [2]> y = list_read(ls = ls, index = i);",
                   "y");
  EXPECT_EQ(error_of([&] { read.run({Tensor::scalar<int32_t>(2)}); }),
            "list_read 'y': index: expected values in [0, 1], got 2");
}

TEST(List, rejects_what_does_not_fit_its_elements) {
  const std::string ls = list_of(2);
  const auto write = [](const std::string& rest) {
    return "list<tensor<fp32, [2]>, ?> y = list_write(" + rest + ");";
  };
  expect_rejected("tensor<fp32, [3]> x", ls + write("ls = ls, index = int32(0), value = x"), "y",
                  "value: expected elements of tensor<fp32, [2]>, got tensor<fp32, [3]>");
  expect_rejected("tensor<int32, [2]> x", ls + write("ls = ls, index = int32(0), value = x"), "y",
                  "value: expected elements of tensor<fp32, [2]>, got tensor<int32, [2]>");
  expect_rejected("tensor<fp32, [2]> x", write("ls = x, index = int32(0), value = x"), "y",
                  "ls: expected a list of tensors, got tensor<fp32, [2]>");
  expect_rejected("tensor<fp32, [2]> x", ls + write("ls = ls, index = fp32(0), value = x"), "y",
                  "index: expected integers, got dtype fp32");
  expect_rejected("tensor<fp32, [2]> x",
                  ls + write("ls = ls, index = tensor<int32, [2]>([0, 1]), value = x"), "y",
                  "index: expected one index, got shape [2]");
  expect_rejected("tensor<fp32, [3, 2]> x",
                  ls + "list<tensor<fp32, [2]>, ?> y = list_scatter(ls = ls, indices = "
                       "tensor<int32, [2]>([0, 1]), value = x);",
                  "y", "value: expected 2 elements, one per index, got 3");
}

TEST(List, rejects_impossible_lists) {
  expect_rejected("fp32 x", "list<fp32, ?> y = make_list(init_length = int32(-1));", "y",
                  "init_length: expected a length in [0, 1048576]");
  expect_rejected("fp32 x", "list<fp32, ?> y = make_list(init_length = int32(2147483647));", "y",
                  "init_length: expected a length in [0, 1048576]");
  expect_rejected("fp32 x", "list<fp32, ?> y = make_list(dtype = string(\"float\"));", "y",
                  "dtype: expected the name of a dtype, got 'float'");
  expect_rejected("int32 x", "list<tensor<fp32, [?]>, ?> y = make_list(elem_shape = (x));", "y",
                  "elem_shape: expected constants, got tensor<int32, []>");
  expect_rejected("int32 x", "list<tensor<fp32, [?]>, ?> y = make_list(elem_shape = (int32(-2)));",
                  "y", "elem_shape: expected extents of at least 0, got -2");
}

TEST(TensorList, keeps_each_of_its_versions_and_reads_nothing_where_nothing_was_written) {
  using ir::TensorList;
  const auto number = [](int64_t i) { return Tensor::scalar(static_cast<int32_t>(i)); };
  std::vector<TensorList> versions{TensorList()};
  for (int64_t i = 0; i < 600; ++i) {
    versions.push_back(versions.back().with(static_cast<size_t>(i), number(i)));
  }
  for (size_t n : {size_t{1}, size_t{16}, size_t{17}, size_t{256}, size_t{257}, size_t{600}}) {
    ASSERT_EQ(versions[n].size(), n);
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(versions[n][i].integer_at(0), static_cast<int64_t>(i)) << n;
    }
  }
  const TensorList changed = versions[600].with(3, number(-1)).with(1 << 19, number(7));
  EXPECT_EQ(changed.size(), (size_t{1} << 19) + 1);
  EXPECT_EQ(changed[3].integer_at(0), -1);
  EXPECT_EQ(changed[599].integer_at(0), 599);
  EXPECT_EQ(changed[1 << 19].integer_at(0), 7);
  EXPECT_TRUE(changed[600].empty());
  EXPECT_TRUE(changed[(1 << 19) - 1].empty());
  EXPECT_EQ(versions[600][3].integer_at(0), 3);

  const TensorList none(1000);
  EXPECT_TRUE(none[999].empty());
  EXPECT_EQ(none.first_written(), nullptr);
  EXPECT_EQ(none.with(900, number(5)).first_written()->integer_at(0), 5);
}

}  // namespace
}  // namespace mw::ops
