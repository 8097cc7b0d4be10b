// The C API of generation, as a program sees it that links the shared library alone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "millwright/millwright.h"

namespace {

namespace fs = std::filesystem;

class CGenerate : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("MW_EXAMPLES");
    const fs::path path = fs::path(root == nullptr ? "examples" : root) / "shakespeare";
    ASSERT_EQ(mw_model_load((path / "model.mlpackage").c_str(), nullptr, &model_), MW_OK)
        << mw_last_error();
    ASSERT_EQ(mw_settings_create(&settings_), MW_OK);
    set("max_tokens", "12");
  }
  void TearDown() override {
    mw_generation_free(said_);
    mw_settings_free(settings_);
    mw_model_free(model_);
  }
  void set(const char* name, const std::string& value) const {
    ASSERT_EQ(mw_settings_set(settings_, name, value.c_str()), MW_OK) << mw_last_error();
  }
  mw_status generate(mw_tell_text tell = nullptr, void* user = nullptr) {
    mw_generation_free(said_);
    said_ = nullptr;
    return mw_generate(model_, "ROMEO:", settings_, tell, user, &said_);
  }

  mw_model* model_ = nullptr;
  mw_settings* settings_ = nullptr;
  const mw_generation* said_ = nullptr;
};

TEST_F(CGenerate, continues_a_prompt_and_tells_the_text_as_it_comes) {
  std::string told;
  const auto tell = [](const char* piece, size_t size, void* user) {
    EXPECT_EQ(std::strlen(piece), size);
    static_cast<std::string*>(user)->append(piece, size);
    return 0;
  };
  ASSERT_EQ(generate(tell, &told), MW_OK) << mw_last_error();
  EXPECT_EQ(told, said_->text);
  EXPECT_EQ(told.size(), said_->text_size);
  EXPECT_EQ(said_->id_count, 12U);
  EXPECT_STREQ(said_->end, "max_tokens");
  EXPECT_STREQ(said_->reason, "reached max_tokens");
  EXPECT_GT(said_->prompt_tokens, 0);
  EXPECT_EQ(said_->reused_tokens, 0);
  EXPECT_GT(said_->tokens_per_second, 0);
  EXPECT_EQ(said_->note_count, 0U);

  const std::vector<int32_t> ids(said_->ids, said_->ids + said_->id_count);
  const char* stops[] = {"never in it", told.c_str() + 5};
  ASSERT_EQ(mw_settings_set_list(settings_, "stop", stops, 2), MW_OK) << mw_last_error();
  ASSERT_EQ(generate(), MW_OK) << mw_last_error();
  EXPECT_STREQ(said_->end, "stop");
  EXPECT_EQ(said_->text, told.substr(0, 5));

  // The same from ids; without settings the usual ones.
  const mw_generation* more = nullptr;
  const int64_t shape[] = {1, 12};
  const mw_tensor given = {nullptr, MW_INT32, 2, shape, ids.data()};
  ASSERT_EQ(mw_generate_from_ids(model_, &given, nullptr, nullptr, nullptr, &more), MW_OK)
      << mw_last_error();
  EXPECT_EQ(more->prompt_tokens, 12);
  mw_generation_free(more);
  EXPECT_EQ(mw_generate(model_, "ROMEO:", settings_, nullptr, nullptr, nullptr), MW_OK);
}

TEST_F(CGenerate, ends_where_the_callback_says_so) {
  const auto tell = [](const char*, size_t, void* user) -> int {
    return ++*static_cast<int*>(user) == 2 ? 1 : 0;
  };
  int told = 0;
  ASSERT_EQ(generate(tell, &told), MW_OK) << mw_last_error();
  EXPECT_EQ(told, 2);
  EXPECT_STREQ(said_->end, "on_text");
  const auto throws = [](const char*, size_t, void*) -> int { throw std::runtime_error("ouch"); };
  EXPECT_EQ(generate(throws, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "text: the callback threw: ouch");
}

TEST_F(CGenerate, a_setting_that_training_has_too_is_taken_by_each_as_it_can) {
  set("temperature", "0");
  set("seed", "3");
  ASSERT_EQ(generate(), MW_OK) << mw_last_error();
  EXPECT_EQ(mw_distill(model_, model_, settings_, nullptr, nullptr, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "temperature: expected a number more than 0, got 0");
  set("temperature", "500");
  EXPECT_EQ(generate(), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "temperature: expected a number from 0 to 100, got 500");
  EXPECT_EQ(mw_settings_set(settings_, "temperature", "-1"), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "temperature: expected a number more than 0, got -1");
  set("temperature", "1");
  ASSERT_EQ(generate(), MW_OK) << mw_last_error();
}

TEST_F(CGenerate, refuses_what_cannot_be) {
  EXPECT_EQ(mw_generate(nullptr, "a", nullptr, nullptr, nullptr, &said_), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_generate(model_, nullptr, nullptr, nullptr, nullptr, &said_), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_generate_from_ids(model_, nullptr, nullptr, nullptr, nullptr, &said_),
            MW_INVALID_ARGUMENT);
  const int64_t shape[] = {2, 0};
  mw_tensor ids = {nullptr, MW_INT64, 2, shape, nullptr};
  EXPECT_EQ(mw_generate_from_ids(model_, &ids, nullptr, nullptr, nullptr, &said_),
            MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "the prompt has no tokens");
  EXPECT_EQ(mw_settings_set_number(settings_, "min_p", 2), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "min_p: expected a number from 0 to 1, got 2");
  EXPECT_EQ(mw_settings_set(settings_, "logit_bias", "the"), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "logit_bias: expected TOKEN=NUMBER, got 'the'");
  set("logit_bias", "100000=1");
  EXPECT_EQ(generate(), MW_INVALID_ARGUMENT);
  EXPECT_EQ(said_, nullptr);
}

}  // namespace
