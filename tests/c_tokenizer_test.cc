// The C API of tokenizers: texts to ids and back, at once and one id at a time.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "millwright/millwright.h"

namespace {

std::string taken(const mw_text* text) {
  std::string copy(text->bytes, text->length);
  EXPECT_EQ(text->bytes[text->length], 0);
  mw_text_free(text);
  return copy;
}

class CTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("MW_EXAMPLES");
    folder_ = std::string(root == nullptr ? "examples" : root) + "/shakespeare/";
    ASSERT_EQ(mw_tokenizer_load((folder_ + "tokenizer.json").c_str(), &tokenizer_), MW_OK)
        << mw_last_error();
  }
  void TearDown() override { mw_tokenizer_free(tokenizer_); }

  std::vector<int32_t> encode(const std::string& text) {
    mw_outputs* ids = nullptr;
    EXPECT_EQ(mw_tokenizer_encode(tokenizer_, text.data(), text.size(), 1, &ids), MW_OK)
        << mw_last_error();
    const mw_tensor* tensor = mw_outputs_find(ids, "input_ids");
    if (tensor == nullptr || tensor->dtype != MW_INT32 || tensor->rank != 1) return {};
    const auto* data = static_cast<const int32_t*>(tensor->data);
    std::vector<int32_t> copy(data, data + tensor->shape[0]);
    mw_outputs_free(ids);
    return copy;
  }

  std::string folder_;
  mw_tokenizer* tokenizer_ = nullptr;
};

TEST_F(CTokenizer, a_text_comes_back_from_its_ids) {
  const std::string text("To be,\0 or n\xc3\xb6t", 15);
  const std::vector<int32_t> ids = encode(text);
  ASSERT_GT(ids.size(), 3U);
  const mw_text* back = nullptr;
  ASSERT_EQ(mw_tokenizer_decode(tokenizer_, ids.data(), ids.size(), 1, &back), MW_OK)
      << mw_last_error();
  EXPECT_EQ(taken(back), text);
  EXPECT_TRUE(encode("").empty());
  EXPECT_EQ(mw_tokenizer_vocab_size(tokenizer_), 1024);
  EXPECT_EQ(mw_tokenizer_id_limit(tokenizer_), 1024);
  EXPECT_EQ(mw_tokenizer_path(tokenizer_), folder_ + "tokenizer.json");
}

TEST_F(CTokenizer, a_stream_gives_whole_characters) {
  const std::string text = "n\xc3\xb6t";
  mw_stream_decoder* decoder = nullptr;
  ASSERT_EQ(mw_stream_decoder_create(tokenizer_, 1, &decoder), MW_OK) << mw_last_error();
  const std::vector<int32_t> ids = encode(text);
  mw_tokenizer_free(tokenizer_);
  tokenizer_ = nullptr;
  std::string joined;
  const mw_text* part = nullptr;
  for (const int32_t id : ids) {
    ASSERT_EQ(mw_stream_decoder_push(decoder, id, &part), MW_OK) << mw_last_error();
    joined += taken(part);
    EXPECT_TRUE(joined.empty() || joined.back() != '\xc3');
  }
  EXPECT_EQ(mw_stream_decoder_push(decoder, 4096, &part), MW_INVALID_ARGUMENT);
  ASSERT_EQ(mw_stream_decoder_flush(decoder, &part), MW_OK) << mw_last_error();
  joined += taken(part);
  EXPECT_EQ(joined, text);
  mw_stream_decoder_free(decoder);
}

TEST_F(CTokenizer, tokens_have_names) {
  const int32_t id = encode("the").front();
  const mw_text* token = nullptr;
  ASSERT_EQ(mw_tokenizer_id_to_token(tokenizer_, id, &token), MW_OK) << mw_last_error();
  const std::string name = taken(token);
  EXPECT_EQ(mw_tokenizer_token_to_id(tokenizer_, name.c_str()), id);
  EXPECT_EQ(mw_tokenizer_token_to_id(tokenizer_, "no such token"), -1);
  ASSERT_EQ(mw_tokenizer_id_to_token(tokenizer_, 4096, &token), MW_OK) << mw_last_error();
  EXPECT_EQ(token, nullptr);
  size_t special = 99, ends = 99;
  const int32_t* ids = mw_tokenizer_special_ids(tokenizer_, &special);
  for (size_t i = 0; i < special; ++i) EXPECT_LT(ids[i], 1024);
  (void)mw_tokenizer_end_of_text_ids(tokenizer_, &ends);
  EXPECT_LE(ends, special);
}

TEST_F(CTokenizer, is_found_beside_a_model_that_may_be_freed_first) {
  mw_model* model = nullptr;
  ASSERT_EQ(mw_model_load((folder_ + "student.mlpackage").c_str(), nullptr, &model), MW_OK)
      << mw_last_error();
  mw_tokenizer* found = nullptr;
  ASSERT_EQ(mw_model_tokenizer(model, &found), MW_OK) << mw_last_error();
  mw_model_free(model);
  EXPECT_EQ(mw_tokenizer_vocab_size(found), 1024);
  EXPECT_STREQ(mw_tokenizer_path(found), mw_tokenizer_path(tokenizer_));
  mw_tokenizer_free(found);
}

TEST_F(CTokenizer, refuses_what_does_not_fit) {
  mw_tokenizer* none = nullptr;
  mw_outputs* ids = nullptr;
  const mw_text* text = nullptr;
  mw_stream_decoder* decoder = nullptr;
  EXPECT_EQ(mw_tokenizer_load("no/such.json", &none), MW_IO);
  EXPECT_EQ(mw_tokenizer_load((folder_ + "train.txt").c_str(), &none), MW_INVALID_MODEL);
  EXPECT_EQ(mw_tokenizer_load(nullptr, &none), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_tokenizer(nullptr, &none), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_tokenizer_encode(tokenizer_, "a\xff", 2, 1, &ids), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "UTF-8"), nullptr) << mw_last_error();
  EXPECT_EQ(mw_tokenizer_encode(tokenizer_, nullptr, 2, 1, &ids), MW_INVALID_ARGUMENT);
  const int32_t unknown = 4096;
  EXPECT_EQ(mw_tokenizer_decode(tokenizer_, &unknown, 1, 1, &text), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "4096"), nullptr) << mw_last_error();
  EXPECT_EQ(mw_tokenizer_decode(tokenizer_, nullptr, 1, 1, &text), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_tokenizer_id_to_token(nullptr, 1, &text), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_stream_decoder_create(nullptr, 1, &decoder), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_stream_decoder_push(nullptr, 1, &text), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_stream_decoder_flush(nullptr, &text), MW_INVALID_ARGUMENT);
  size_t count = 99;
  EXPECT_EQ(mw_tokenizer_special_ids(nullptr, &count), nullptr);
  EXPECT_EQ(count, 0U);
  EXPECT_EQ(mw_tokenizer_vocab_size(nullptr), 0);
  EXPECT_EQ(mw_tokenizer_id_limit(nullptr), 0);
  EXPECT_EQ(mw_tokenizer_token_to_id(nullptr, "a"), -1);
  EXPECT_EQ(mw_tokenizer_path(nullptr), nullptr);
  mw_tokenizer_free(nullptr);
  mw_stream_decoder_free(nullptr);
  mw_text_free(nullptr);
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(ids, nullptr);
  EXPECT_EQ(text, nullptr);
}

}  // namespace
