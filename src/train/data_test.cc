// Datasets: windows and labels of texts, examples and arrays, and the order they are seen in.
#include "train/data.h"

#include <gtest/gtest.h>
#include <cmath>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "base/testing.h"
#include "millwright/error.hpp"
#include "train/data_text.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;

TokenStream counting(int32_t count) {
  TokenStream stream;
  for (int32_t i = 0; i < count; ++i) stream.ids.push_back(i);
  stream.learnt.assign(stream.ids.size(), true);
  return stream;
}

std::vector<int32_t> row(const Tensor& tensor, int64_t index) {
  const auto values = tensor.values<int32_t>();
  const auto begin = values.begin() + index * tensor.dim(1);
  return {begin, begin + tensor.dim(1)};
}

using Ids = std::vector<int32_t>;

TEST(Windows, hold_a_text_and_the_tokens_that_follow) {
  const auto windows = windows_of(counting(11), 4, "text");
  ASSERT_EQ(windows->size(), 2);  // tokens 9 and 10 fill no window
  const std::vector<int64_t> both = {1, 0};
  const TensorMap batch = windows->batch(both);
  EXPECT_EQ(row(batch.at("input_ids"), 0), (Ids{4, 5, 6, 7}));
  EXPECT_EQ(row(batch.at("labels"), 0), (Ids{5, 6, 7, 8}));
  EXPECT_EQ(row(batch.at("input_ids"), 1), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(row(batch.at("labels"), 1), (Ids{1, 2, 3, 4}));
}

TEST(Windows, count_no_label_in_a_row_that_only_fills_the_batch) {
  const auto windows = windows_of(counting(5), 4, "text");
  const std::vector<int64_t> rows = {0, -1};
  EXPECT_EQ(row(windows->batch(rows).at("labels"), 1), (Ids{-100, -100, -100, -100}));
}

TEST(Windows, refuse_a_text_that_is_too_short) {
  EXPECT_THROW((void)windows_of(counting(4), 4, "text"), Error);
}

TEST(Windows, keep_examples_whole_and_count_their_answers_only) {
  TokenStream stream = counting(12);
  stream.whole_examples = true;
  stream.starts = {0, 3, 6};  // of 3, 3 and 6 tokens
  stream.learnt.assign(12, false);
  for (const size_t answer : {2, 5, 8, 9, 10, 11}) stream.learnt[answer] = true;
  const auto windows = windows_of(stream, 6, "examples");
  ASSERT_EQ(windows->size(), 2);
  const std::vector<int64_t> both = {0, 1};
  const TensorMap batch = windows->batch(both);
  EXPECT_EQ(row(batch.at("input_ids"), 0), (Ids{0, 1, 2, 3, 4, 0}));
  EXPECT_EQ(row(batch.at("labels"), 0), (Ids{-100, 2, -100, -100, 5, -100}));
  EXPECT_EQ(row(batch.at("input_ids"), 1), (Ids{6, 7, 8, 9, 10, 0}));
  EXPECT_EQ(row(batch.at("labels"), 1), (Ids{-100, 8, 9, 10, 11, -100}));
}

TEST(Windows, cut_an_example_that_is_longer_than_a_window_without_losing_a_label) {
  TokenStream stream = counting(10);
  stream.whole_examples = true;
  stream.starts = {0};
  stream.learnt[0] = false;
  const auto windows = windows_of(stream, 4, "examples");
  std::multiset<int32_t> said;
  for (int64_t i = 0; i < windows->size(); ++i) {
    const std::vector<int64_t> one = {i};
    const Tensor labels = windows->batch(one).at("labels");
    for (const int32_t label : labels.values<int32_t>()) {
      if (label != kIgnoredLabel) said.insert(label);
    }
  }
  EXPECT_EQ(said, (std::multiset<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Windows, give_examples_that_stand_apart_one_each_and_cut_them_off) {
  TokenStream stream = counting(12);
  stream.starts = {0, 3, 5};  // of 3, 2 and 7 tokens
  EXPECT_EQ(stream.longest(), 7);
  for (const bool whole : {false, true}) {
    stream.whole_examples = whole;
    const auto windows = windows_of(stream, 4, "examples", true);
    ASSERT_EQ(windows->size(), 3);
    const std::vector<int64_t> all = {0, 1, 2};
    const TensorMap batch = windows->batch(all);
    EXPECT_EQ(row(batch.at("input_ids"), 0), (Ids{0, 1, 0, 0}));
    EXPECT_EQ(row(batch.at("labels"), 0), (Ids{1, 2, -100, -100}));
    EXPECT_EQ(row(batch.at("labels"), 1), (Ids{4, -100, -100, -100}));
    EXPECT_EQ(row(batch.at("input_ids"), 2), (Ids{5, 6, 7, 8}));
    EXPECT_EQ(row(batch.at("labels"), 2), (Ids{6, 7, 8, 9}));
  }
}

TEST(Arrays, stack_examples_by_their_first_axis) {
  const auto arrays = arrays_of({{"x", Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2})},
                                 {"labels", Tensor::from<int64_t>({7, 8, 9}, {3})}},
                                "arrays");
  const std::vector<int64_t> rows = {2, 0};
  const TensorMap batch = arrays->batch(rows);
  EXPECT_TRUE(bit_equal(batch.at("x"), Tensor::from<float>({5, 6, 1, 2}, {2, 2})));
  EXPECT_TRUE(bit_equal(batch.at("labels"), Tensor::from<int64_t>({9, 7}, {2})));
  EXPECT_THROW((void)arrays_of(
                   {{"x", Tensor(DType::kF32, {3, 2})}, {"y", Tensor(DType::kF32, {2})}}, "arrays"),
               Error);
}

TEST(Arrays, leave_out_examples_of_which_no_label_counts) {
  const TensorMap tensors = {
      {"x", Tensor::from<float>({1, 2, NAN, 4, 5, -INFINITY}, {3, 2})},
      {"labels", Tensor::from<int32_t>({-100, -100, -100, 5, 6, 7}, {3, 2})}};
  EXPECT_EQ(arrays_of(tensors, "arrays")->size(), 3);
  const auto arrays = arrays_of(tensors, "arrays", true);
  ASSERT_EQ(arrays->size(), 2);
  const std::vector<int64_t> second = {1}, both = {1, 0};
  EXPECT_TRUE(bit_equal(arrays->batch(second).at("labels"), Tensor::from<int32_t>({6, 7}, {1, 2})));
  EXPECT_EQ(arrays->not_finite(second),
            "arrays: tensor 'x': expected finite numbers, got -inf at [2, 1]");
  EXPECT_EQ(arrays->not_finite(both),
            "arrays: tensor 'x': expected finite numbers, got -inf at [2, 1]");
  EXPECT_EQ(arrays->not_finite({}), std::nullopt);
  EXPECT_NE(arrays->fingerprint(), arrays_of(tensors, "arrays")->fingerprint());
  EXPECT_THROW((void)arrays_of({{"labels", Tensor::from<int32_t>({-100}, {1})}}, "arrays", true),
               Error);
}

TEST(Shuffle, sees_every_example_once_per_round_in_an_order_of_the_seed) {
  Shuffle shuffle(10, 7), same(10, 7), other(10, 8);
  const auto first = shuffle.take(0, 10), second = shuffle.take(10, 10);
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 10U);
  EXPECT_EQ(std::set<int64_t>(second.begin(), second.end()).size(), 10U);
  EXPECT_NE(first, second);
  EXPECT_NE(first, other.take(0, 10));
  // Any place can be reached at once, also across two rounds.
  const auto across = same.take(7, 6);
  EXPECT_EQ(across[0], first[7]);
  EXPECT_EQ(across[3], second[0]);
}

class Reading : public ::testing::Test {
 protected:
  Reading() : tokenizer_(Tokenizer::from_file(examples() / "shakespeare/tokenizer.json")) {}

  static fs::path examples() {
    const char* root = std::getenv("MW_EXAMPLES");
    return root == nullptr ? "examples" : root;
  }
  fs::path file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  TokenStream read(const fs::path& path) const {
    return read_tokens(path, {.tokenizer = &tokenizer_, .chat = chat_ ? &*chat_ : nullptr});
  }
  std::string error_of(const std::string& lines) const {
    try {
      (void)read(file("broken.jsonl", lines));
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  // The text of the tokens that are learnt.
  std::string learnt(const TokenStream& stream) const {
    Ids ids;
    for (size_t i = 0; i < stream.ids.size(); ++i) {
      if (stream.learnt[i]) ids.push_back(stream.ids[i]);
    }
    return tokenizer_.decode(ids, false);
  }

  Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> chat_;
  const testing::TempFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST_F(Reading, gives_a_large_text_the_tokens_it_has_as_one_string) {
  std::ifstream in(examples() / "shakespeare/train.txt", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string large = text + text + text;
  int64_t calls = 0;
  TextReader reader{.tokenizer = &tokenizer_};
  reader.progress = [&](int64_t, int64_t) { ++calls; };
  const TokenStream stream = read_text(file("large.txt", large), reader);
  EXPECT_GE(calls, 3);
  EXPECT_EQ(stream.ids, tokenizer_.encode(large, false));
}

TEST_F(Reading, learns_the_completion_only) {
  const TokenStream stream =
      read(file("a.jsonl", R"({"prompt": "To be, or", "completion": " not to be"})"
                           "\n\n"
                           R"({"prompt": "Good", "completion": " night"})"
                           "\n"));
  EXPECT_EQ(stream.starts.size(), 2U);
  EXPECT_TRUE(stream.whole_examples);
  EXPECT_EQ(learnt(stream), " not to be<|endoftext|> night<|endoftext|>");
}

TEST_F(Reading, learns_prompts_too_where_they_are_not_masked_and_knows_keys_by_other_names) {
  TextReader reader{.tokenizer = &tokenizer_, .mask_prompt = false};
  reader.keys = {{"prompt", "question"}, {"completion", "answer"}};
  const TokenStream stream =
      read_tokens(file("a.jsonl", R"({"question": "To be, or", "answer": " not to be"})"), reader);
  EXPECT_TRUE(stream.whole_examples);
  EXPECT_EQ("To" + learnt(stream), "To be, or not to be<|endoftext|>");
}

TEST_F(Reading, learns_the_whole_of_a_text) {
  const TokenStream stream = read(file("a.jsonl", "{\"text\": \"To be\"}\n{\"text\": \"or not\"}"));
  EXPECT_FALSE(stream.whole_examples);
  EXPECT_EQ(learnt(stream), "To be<|endoftext|>or not<|endoftext|>");
}

TEST_F(Reading, learns_what_the_chat_template_puts_for_the_assistant) {
  file(
      "tokenizer_config.json",
      R"({"chat_template": "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"})");
  chat_ = text::ChatTemplate::find(folder_);
  const TokenStream stream = read(file(
      "a.jsonl",
      R"({"messages": [{"role": "user", "content": "Who art thou"}, {"role": "assistant", "content": "A king"}, {"role": "user", "content": "Whence"}, {"role": "assistant", "content": "From York"}]})"));
  // The space in front of an answer is in its first token.
  EXPECT_EQ(learnt(stream), " A king\n From York\n");
  EXPECT_EQ(tokenizer_.decode(stream.ids, false),
            "[user] Who art thou\n[assistant] A king\n[user] Whence\n[assistant] From York\n");
}

TEST_F(Reading, names_the_line_that_is_broken) {
  const std::string good = "{\"text\": \"To be\"}\n";
  const std::pair<const char*, const char*> rows[] = {
      {"{\"text\": \"or", "broken.jsonl:3: expected a JSON object, got broken JSON"},
      {"[1]", "broken.jsonl:3: expected a JSON object, got array"},
      {"{\"txt\": \"x\"}", "broken.jsonl:3: expected text, prompt and completion, or messages"},
      {"{\"text\": 5}", "broken.jsonl:3: text: expected a text, got number"},
      {"{\"prompt\": \"x\"}", "broken.jsonl:3: completion: expected a text, got none"},
      {"{\"messages\": []}", "broken.jsonl:3: messages: expected a list of messages, got none"},
      {R"({"messages": [{"role": "user", "content": "x"}]})", "role assistant, got none"},
      {R"({"messages": [{"role": "assistant", "content": "x"}]})", "expected a chat template"}};
  for (const auto& [line, expected] : rows) {
    const std::string error = error_of(good + good + line + "\n" + good);
    EXPECT_NE(error.find(expected), std::string::npos) << error;
  }
  EXPECT_NE(error_of("\n\n").find("expected at least one line"), std::string::npos);
  EXPECT_NE(error_of(std::string(100000, '[')).find("broken.jsonl:1:"), std::string::npos);
}

}  // namespace
}  // namespace mw::training
