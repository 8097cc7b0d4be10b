// Tests of reading logits: every form against the same numbers as [batch, time, classes].
#include "lm/logits.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "base/error.h"

namespace mw::lm {
namespace {

struct Shape3 {
  int64_t batch, time, classes;
};

Tensor noise(const Shape& shape, DType dtype = DType::kF32) {
  std::mt19937_64 random(static_cast<uint64_t>(count_of(shape)));
  Tensor tensor(dtype, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, static_cast<double>(random() % 4096) / 128 - 16);
  }
  return tensor;
}

// `tensor` with its axes in another order.
Tensor permuted(const Tensor& tensor, const std::vector<int64_t>& order) {
  Shape shape;
  for (const int64_t axis : order) shape.push_back(tensor.dim(axis));
  Tensor result(tensor.dtype(), shape);
  std::vector<int64_t> index(order.size());
  for (int64_t flat = 0; flat < tensor.count(); ++flat) {
    int64_t rest = flat;
    std::vector<int64_t> at(order.size());
    for (size_t i = order.size(); i-- > 0;) {
      at[i] = rest % tensor.dim(static_cast<int64_t>(i));
      rest /= tensor.dim(static_cast<int64_t>(i));
    }
    int64_t to = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      to = to * shape[i] + at[static_cast<size_t>(order[i])];
    }
    result.set_number(to, tensor.number_at(flat));
  }
  return result;
}

std::string error_of(const Shape& shape, const Asked& asked) {
  try {
    const Layout layout = layout_of(shape, asked, "y");
    return fmt::format("classes {}, time {}, batch {}", layout.classes, layout.time, layout.batch);
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 1);
    return e.what();
  }
}

void expect_rows(const Logits& logits, const Tensor& want) {
  ASSERT_EQ(to_string(logits.values().shape()), to_string(want.shape()));
  for (int64_t b = 0; b < want.dim(0); ++b) {
    for (int64_t t = 0; t < want.dim(1); ++t) {
      const std::vector<float> row = logits.row(b, t);
      for (int64_t v = 0; v < want.dim(2); ++v) {
        const double expected = want.number_at((b * want.dim(1) + t) * want.dim(2) + v);
        ASSERT_EQ(row[static_cast<size_t>(v)], expected) << b << ' ' << t << ' ' << v;
      }
    }
  }
}

TEST(Logits, of_all_positions_are_read_in_every_order_of_axes) {
  for (const auto& [batch, time, classes] :
       {Shape3{1, 5, 7}, {1, 7, 5}, {1, 1, 9}, {2, 3, 11}, {3, 2, 4}, {4, 1, 6}, {1, 64, 320}}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kF64}) {
      const Tensor plain = noise({batch, time, classes}, dtype);
      const Asked asked{.batch = batch, .time = time};
      for (const auto& order : std::vector<std::vector<int64_t>>{
               {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
        const Tensor given = permuted(plain, order);
        const Shape& s = given.shape();
        for (const Shape& shape : {s, Shape{s[0], s[1], 1, s[2]}, Shape{s[0], 1, s[1], s[2]},
                                   Shape{s[0], s[1], s[2], 1, 1}, Shape{1, s[0], s[1], s[2]}}) {
          SCOPED_TRACE(to_string(shape));
          const Logits logits = read_logits({given.reshaped(shape)}, asked, "y");
          EXPECT_FALSE(logits.last_only());
          expect_rows(logits, plain);
        }
      }
    }
  }
}

TEST(Logits, without_a_batch_or_with_positions_in_one_row_are_read) {
  const Tensor one = noise({1, 6, 10});
  expect_rows(read_logits({one.reshaped({6, 10})}, {.time = 6}, "y"), one);
  expect_rows(read_logits({permuted(one, {2, 1, 0}).reshaped({10, 6})}, {.time = 6}, "y"), one);
  const Tensor two = noise({2, 6, 10});
  expect_rows(read_logits({two.reshaped({12, 10})}, {.batch = 2, .time = 6}, "y"), two);
  const Tensor single = noise({1, 1, 10});
  expect_rows(read_logits({single.reshaped({10})}, {}, "y"), single);
}

TEST(Logits, of_the_last_position_are_known_for_what_they_are) {
  for (const Shape& shape : {Shape{1, 1, 9}, {1, 9}, {9}, {1, 9, 1, 1}, {9, 1}, {1, 1, 1, 9}}) {
    SCOPED_TRACE(to_string(shape));
    const Tensor given = noise(shape);
    const Logits logits = read_logits({given}, {.time = 24}, "y");
    EXPECT_TRUE(logits.last_only());
    expect_rows(logits, given.reshaped({1, 1, 9}));
  }
  const Tensor given = noise({3, 9});
  const Logits logits = read_logits({given}, {.batch = 3, .time = 4}, "y");
  EXPECT_TRUE(logits.last_only());
  expect_rows(logits, given.reshaped({3, 1, 9}));
  EXPECT_THROW((void)logits.row(0, 1), Error);
  EXPECT_THROW((void)logits.row(3, 0), Error);
  EXPECT_THROW((void)logits.row(0, -1), Error);
}

TEST(Logits, of_another_number_of_positions_are_refused) {
  EXPECT_EQ(error_of({1, 8, 96}, {.time = 24}),
            "output 'y': expected logits for 24 positions, or for the last one, got [1, 8, 96]");
  EXPECT_EQ(error_of({1, 1, 9}, {.batch = 2, .time = 4}),
            "output 'y': expected logits for 4 positions, or for the last one, in each of 2 rows, "
            "got [1, 1, 9]");
  EXPECT_EQ(error_of({2, 9}, {}), "output 'y': expected logits for one position, got [2, 9]");
  EXPECT_EQ(error_of({}, {.time = 4}),
            "output 'y': expected logits for 4 positions, or for the last one, got []");
  EXPECT_EQ(error_of({1, 0, 9}, {.time = 4}),
            "output 'y': expected logits for 4 positions, or for the last one, got [1, 0, 9]");
}

TEST(Logits, whose_axes_are_alike_are_told_apart_by_what_is_known) {
  // The usual order: classes last, right behind the positions.
  EXPECT_EQ(error_of({1, 32, 32}, {.time = 32}), "classes 2, time 1, batch -1");
  EXPECT_EQ(error_of({32, 32}, {.time = 32}), "classes 1, time 0, batch -1");
  EXPECT_EQ(error_of({4, 4, 4}, {.batch = 4, .time = 4}), "classes 2, time 1, batch 0");
  EXPECT_EQ(error_of({4, 4, 9}, {.batch = 4, .time = 4}), "classes 2, time 1, batch 0");
  // The program states how many classes there are and not how many positions.
  const ir::Type head = ir::Type::tensor(DType::kF32, {1, 32, 1, -1});
  EXPECT_EQ(error_of({1, 32, 1, 32}, {.time = 32, .type = &head}), "classes 1, time 3, batch -1");
  const ir::Type wide = ir::Type::tensor(DType::kF32, {1, -1, 1, 32});
  EXPECT_EQ(error_of({1, 32, 1, 32}, {.time = 32, .type = &wide}), "classes 3, time 1, batch -1");
  EXPECT_EQ(error_of({1, 32, 1, 32}, {.time = 32}),
            "output 'y': expected logits, got [1, 32, 1, 32]; which axis holds the classes and "
            "which the positions cannot be told");
}

TEST(Logits, as_many_rows_as_positions_are_told_apart_by_who_knows) {
  const auto yes = [] { return true; };
  const auto no = [] { return false; };
  const auto never = []() -> bool { throw std::logic_error("asked"); };
  EXPECT_EQ(error_of({3, 3, 9}, {.batch = 3, .time = 3, .time_first = yes}),
            "classes 2, time 0, batch 1");
  EXPECT_EQ(error_of({3, 3, 9}, {.batch = 3, .time = 3, .time_first = no}),
            "classes 2, time 1, batch 0");
  EXPECT_EQ(error_of({3, 9, 3}, {.batch = 3, .time = 3, .time_first = yes}),
            "classes 1, time 0, batch 2");
  EXPECT_EQ(error_of({3, 9, 3}, {.batch = 3, .time = 3}), "classes 1, time 2, batch 0");
  EXPECT_EQ(error_of({4, 3, 9}, {.batch = 3, .time = 4, .time_first = never}),
            "classes 2, time 0, batch 1");
}

TEST(Logits, the_vocabulary_decides_only_where_the_shape_does_not) {
  const auto never = []() -> int64_t { throw std::logic_error("asked"); };
  EXPECT_EQ(error_of({1, 9, 5}, {.time = 5, .vocabulary = never}), "classes 1, time 2, batch -1");
  const auto twelve = []() -> int64_t { return 12; };
  EXPECT_EQ(error_of({12, 2}, {.batch = 2, .time = 6}), "classes 1, time -1, batch 0");
  EXPECT_EQ(error_of({12, 2}, {.batch = 2, .time = 6, .vocabulary = twelve}),
            "classes 0, time -1, batch 1");
}

TEST(Logits, a_score_for_every_position_is_no_row_of_classes) {
  const ir::Type scores = ir::Type::tensor(DType::kF32, {1, -1, 1});
  EXPECT_EQ(error_of({1, 24, 1}, {.time = 24, .type = &scores}), "classes 2, time 1, batch -1");
  const ir::Type flat = ir::Type::tensor(DType::kF32, {-1});
  EXPECT_EQ(error_of({24}, {.time = 24, .type = &flat}),
            "output 'y': expected logits for 24 positions, or for the last one, got [24]");
}

TEST(Logits, after_a_softmax_are_given_as_logarithms) {
  Tensor values(DType::kF16, {1, 2, 4});
  const double rows[] = {0.5, 0.25, 0.25, 0, 0.125, 0.125, 0.25, 0.5};
  for (int64_t i = 0; i < 8; ++i) values.set_number(i, rows[i]);
  const Logits logits = read_logits({values}, {.time = 2}, "y");
  EXPECT_EQ(logits.numbers(), Numbers::kProbabilities);
  EXPECT_EQ(logits.row(0, 0)[0], std::log(0.5F));
  EXPECT_EQ(logits.row(0, 0)[3], -INFINITY);
  EXPECT_EQ(logits.row(0, 1)[2], std::log(0.25F));
  EXPECT_EQ(logits.values().number_at(0), 0.5) << "the values stay as they came";
  values.set_number(7, 0.75);
  EXPECT_EQ(read_logits({values}, {.time = 2}, "y").numbers(), Numbers::kLogits);
  EXPECT_EQ(read_logits({noise({1, 2, 4})}, {.time = 2}, "y").numbers(), Numbers::kLogits);
}

TEST(Logits, are_what_the_program_says_whatever_their_numbers) {
  const Tensor sums_to_one =
      Tensor::from<float>({0.5F, 0.25F, 0.25F, 0, 0.125F, 0.875F}, {1, 2, 3});
  const auto read = [&](const Tensor& values, Ending ending) {
    return read_logits({values}, {.time = 2, .ending = ending}, "y");
  };
  EXPECT_EQ(read(sums_to_one, {Numbers::kLogits, 2}).row(0, 0)[0], 0.5F);
  EXPECT_EQ(read(sums_to_one, {Numbers::kLogits, -1}).row(0, 1)[2], 0.875F);
  EXPECT_EQ(read(sums_to_one, {}).row(0, 0)[0], std::log(0.5F));
  // As fp16 gives many small ones: far from a sum of 1.
  const Tensor rounded = Tensor::from<float>({0.5F, 0.25F, 0.125F, 0, 0, 0.5F}, {1, 2, 3});
  EXPECT_EQ(read(rounded, {Numbers::kProbabilities, 2}).row(0, 0)[2], std::log(0.125F));
  EXPECT_EQ(read(rounded, {}).row(0, 0)[2], 0.125F);
  // A softmax over the positions says nothing about the classes.
  EXPECT_EQ(read(rounded, {Numbers::kProbabilities, 1}).row(0, 0)[2], 0.125F);
  EXPECT_EQ(read(sums_to_one, {Numbers::kProbabilities, -1}).numbers(), Numbers::kProbabilities);
}

TEST(Logits, whose_axes_are_alike_lie_where_the_end_has_them) {
  EXPECT_EQ(error_of({1, 32, 1, 32}, {.time = 32, .ending = {Numbers::kLogits, 1}}),
            "classes 1, time 3, batch -1");
  EXPECT_EQ(error_of({1, 32, 32}, {.time = 32, .ending = {Numbers::kProbabilities, 1}}),
            "classes 1, time 2, batch -1");
  // An axis that can be no classes is not taken.
  EXPECT_EQ(error_of({1, 5, 9}, {.time = 5, .ending = {Numbers::kLogits, 1}}),
            "classes 2, time 1, batch -1");
}

TEST(Logits, of_a_sigmoid_are_given_as_they_are_and_not_sampled) {
  const Tensor values = Tensor::from<float>({0.5F, 0.5F, 0.25F, 0.75F}, {1, 2, 2});
  const Logits logits = read_logits({values}, {.time = 2, .ending = {Numbers::kSeparate, 2}}, "y");
  EXPECT_TRUE(bit_equal(logits.values(), values));
  for (const Logits& of : {logits, logits.cut(1, 1)}) {
    try {
      (void)of.row(0, 0);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 1);
      EXPECT_STREQ(e.what(),
                   "output 'y': expected logits or a softmax of them, got a sigmoid, which says of "
                   "each token by itself how likely it is, not of one out of all; choose another "
                   "output");
    }
  }
}

TEST(Logits, are_cut_with_what_is_known_of_them) {
  // The second position is a pad whose numbers mean nothing.
  const Tensor values = Tensor::from<float>({0.5F, 0.5F, 7, 7, 0.25F, 0.75F, 7, 7}, {2, 2, 2});
  const Logits logits = read_logits({values}, {.batch = 2, .time = 2}, "y");
  EXPECT_EQ(logits.numbers(), Numbers::kLogits);
  const Logits cut = logits.cut(2, 1);
  EXPECT_EQ(to_string(cut.values().shape()), "[2, 1, 2]");
  EXPECT_EQ(cut.numbers(), Numbers::kProbabilities);
  EXPECT_EQ(cut.row(1, 0)[1], std::log(0.75F));
}

ir::Datum dictionary(const Tensor& keys, const Tensor& values) {
  ir::Datum datum;
  datum.list = std::make_shared<ir::TensorList>(ir::TensorList{keys, values});
  return datum;
}

TEST(Logits, of_a_dictionary_are_in_the_order_of_its_ids) {
  const Tensor values = Tensor::from<double>({0.5, 0.125, 0.375}, {3});
  const Logits logits =
      read_logits(dictionary(Tensor::from<int64_t>({2, 0, 1}, {3}), values), {.time = 5}, "probs");
  EXPECT_TRUE(logits.last_only());
  EXPECT_EQ(logits.row(0, 0)[0], std::log(0.125F));
  EXPECT_EQ(logits.row(0, 0)[2], std::log(0.5F));
  const auto refused = [&](const Tensor& keys) -> std::string {
    try {
      (void)read_logits(dictionary(keys, values), {.time = 5}, "probs");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(refused(Tensor::from<int64_t>({0, 1, 7}, {3})),
            "output 'probs': expected the classes to be the token ids 0 to 2, got 7");
  EXPECT_EQ(refused(Tensor::from<int64_t>({0, 1, 1}, {3})),
            "output 'probs': expected the classes to be the token ids 0 to 2, got 1");
  EXPECT_EQ(refused(Tensor::from<std::string>({"cat", "dog", "owl"}, {3})),
            "output 'probs': expected logits of a language model, got classes named by texts");
}

TEST(Logits, are_of_floats) {
  try {
    (void)read_logits({Tensor(DType::kI32, {1, 2, 3})}, {.time = 2}, "ids");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "output 'ids': expected logits, got int32 [1, 2, 3]");
  }
}

}  // namespace
}  // namespace mw::lm
