// Where Tokenizer::find() looks, and what the files beside a tokenizer say about the end of a text.
#include "text/tokenizer_files.h"

#include "millwright/tokenizer.hpp"
#include "text/test_support.h"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
namespace fs = std::filesystem;

using Ids = std::vector<int32_t>;

class FindTokenizer : public ::testing::Test {
 protected:
  FindTokenizer() {
    fs::create_directory(model_);
    fs::create_directory(other_);
  }
  void put(const fs::path& into) const { fs::copy(fixture("byte_level.json"), into); }

  const TempFolder folder_;
  const fs::path model_ = folder_.path() / "student.mlmodelc";
  const fs::path other_ = folder_.path() / "other";
};

TEST_F(FindTokenizer, looks_in_the_model_then_beside_it) {
  put(folder_.path() / "tokenizer.json");
  EXPECT_EQ(Tokenizer::find(model_.string()).path(), (folder_.path() / "tokenizer.json").string());
  EXPECT_EQ(Tokenizer::find(model_.string() + "/").path(),
            (folder_.path() / "tokenizer.json").string());
  put(model_ / "tokenizer.json");
  EXPECT_EQ(Tokenizer::find(model_.string()).path(), (model_ / "tokenizer.json").string());
}

TEST_F(FindTokenizer, looks_beside_a_model_that_is_a_file) {
  put(folder_.path() / "tokenizer.json");
  testing::write_file(folder_.path() / "net.mlmodel", "x");
  EXPECT_EQ(Tokenizer::find((folder_.path() / "net.mlmodel").string()).vocab_size(), 300);
}

TEST_F(FindTokenizer, looks_in_the_working_directory_for_a_bare_name) {
  put(folder_.path() / "tokenizer.json");
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_EQ(Tokenizer::find("student.mlmodelc").vocab_size(), 300);
  fs::current_path(model_);
  EXPECT_EQ(Tokenizer::find(".").vocab_size(), 300);
  fs::current_path(before);
}

TEST_F(FindTokenizer, takes_a_named_file_or_folder_first) {
  put(model_ / "tokenizer.json");
  put(other_ / "mine.json");
  EXPECT_EQ(Tokenizer::find(model_.string(), (other_ / "mine.json").string()).path(),
            (other_ / "mine.json").string());
  const auto [code, text] =
      caught([&] { (void)Tokenizer::find(model_.string(), other_.string()); });
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_TRUE(has(text, "tokenizer '" + other_.string() + "'"));
  EXPECT_TRUE(has(text, "found no '" + (other_ / "tokenizer.json").string() + "'"));
  put(other_ / "tokenizer.json");
  EXPECT_EQ(Tokenizer::find(model_.string(), other_.string()).path(),
            (other_ / "tokenizer.json").string());
}

TEST_F(FindTokenizer, says_why_a_tokenizer_that_is_there_cannot_be_opened) {
  fs::create_symlink("loop.json", other_ / "loop.json");
  fs::create_symlink("tokenizer.json", model_ / "tokenizer.json");
  for (const std::string& named : {(other_ / "loop.json").string(), std::string()}) {
    const auto [code, text] = caught([&] { (void)Tokenizer::find(model_.string(), named); });
    EXPECT_EQ(code, ErrorCode::kIo);
    EXPECT_TRUE(has(text, "cannot open: Too many levels of symbolic links")) << text;
  }
  put(other_ / "mine.json");
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(other_, fs::perms::none);
  const bool is_root = geteuid() == 0;  // who may open everything, and for this is somebody else
  if (is_root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const auto [code, text] =
      caught([&] { (void)Tokenizer::find(model_.string(), (other_ / "mine.json").string()); });
  if (is_root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  fs::permissions(other_, fs::perms::all);
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_TRUE(has(text, "mine.json: cannot open: Permission denied")) << text;
}

TEST_F(FindTokenizer, lists_every_place_and_the_remedy) {
  const auto [code, text] = caught([&] { (void)Tokenizer::find(model_.string()); });
  EXPECT_EQ(code, ErrorCode::kIo);
  EXPECT_TRUE(has(text, (model_ / "tokenizer.json").string()));
  EXPECT_TRUE(has(text, "'" + (folder_.path() / "tokenizer.json").string() + "'"));
  EXPECT_TRUE(has(text, "give the file as tokenizer"));
}

TEST_F(FindTokenizer, reports_files_that_cannot_be_read) {
  EXPECT_EQ(caught([&] { (void)Tokenizer::from_file((other_ / "none.json").string()); }).code,
            ErrorCode::kIo);
  EXPECT_EQ(caught([&] { (void)Tokenizer::from_file(other_.string()); }).code, ErrorCode::kIo);
}

class EndOfText : public FindTokenizer {
 protected:
  EndOfText() { fs::copy(fixture("byte_fallback.json"), path_); }
  [[nodiscard]] Ids ids() const { return Tokenizer::from_file(path_.string()).end_of_text_ids(); }
  void side(const char* name, std::string_view text) const {
    testing::write_file(model_ / name, text);
  }

  const fs::path path_ = model_ / "tokenizer.json";
};

TEST_F(EndOfText, is_a_known_special_token_when_no_file_names_one) {
  EXPECT_EQ(ids(), (Ids{2}));
  EXPECT_TRUE(Tokenizer::from_file(path_.string()).is_end_of_text(2));
  EXPECT_FALSE(Tokenizer::from_file(path_.string()).is_end_of_text(1));
  EXPECT_EQ(Tokenizer::from_file(fixture("byte_level.json").string()).end_of_text_ids(), (Ids{0}));
  EXPECT_EQ(Tokenizer::from_file(fixture("word_piece.json").string()).end_of_text_ids(), (Ids{}));
}

TEST_F(EndOfText, is_what_the_files_beside_it_name_together) {
  side("tokenizer_config.json", R"({"eos_token": "<s>"})");
  EXPECT_EQ(ids(), (Ids{1}));
  side("tokenizer_config.json", R"({"eos_token": {"content": "<s>", "lstrip": false}})");
  EXPECT_EQ(ids(), (Ids{1}));
  side("generation_config.json", R"({"eos_token_id": [7, 1, 99999, -1, 99999999999]})");
  EXPECT_EQ(ids(), (Ids{1, 7}));
  side("generation_config.json", R"({"eos_token_id": 2})");
  side("special_tokens_map.json", R"({"eos_token": "no such token", "pad_token": "<unk>"})");
  EXPECT_EQ(ids(), (Ids{1, 2}));
}

TEST_F(EndOfText, ignores_absent_and_null_entries) {
  side("tokenizer_config.json", R"({"eos_token": null, "other": 1})");
  side("generation_config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(ids(), (Ids{2}));
}

TEST_F(EndOfText, says_which_file_is_broken) {
  const std::vector<std::array<std::string, 3>> rows = {
      {"tokenizer_config.json", "{", "expected a JSON object, got broken JSON"},
      {"tokenizer_config.json", "", "expected a JSON object, got broken JSON"},
      {"tokenizer_config.json", "[]", "expected a JSON object, got array"},
      {"tokenizer_config.json", R"({"eos_token": 5})", "eos_token: expected a string"},
      {"tokenizer_config.json", R"({"eos_token": {"content": []}})", "got array"},
      {"generation_config.json", R"({"eos_token_id": "x"})", "eos_token_id: expected an integer"},
      {"generation_config.json", R"({"eos_token_id": [1, 1.5]})", "got number"},
      {"special_tokens_map.json", R"({"a": )" + std::string(100'000, '['), "nesting"},
  };
  for (const auto& [name, json, reason] : rows) {
    side(name.c_str(), json);
    const auto [code, text] = caught([&] { (void)ids(); });
    EXPECT_EQ(code, ErrorCode::kInvalidModel);
    EXPECT_TRUE(has(text, name)) << json.substr(0, 40);
    EXPECT_TRUE(has(text, reason)) << json.substr(0, 40);
    fs::remove(model_ / name);
  }
}

}  // namespace
}  // namespace mw
