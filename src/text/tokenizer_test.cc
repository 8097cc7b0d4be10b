// Tokenizer against the Python package's ids, pieces, offsets and texts, and with broken input.
#include "millwright/tokenizer.hpp"

#include <algorithm>
#include <thread>

#include "text/test_support.h"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

using Ids = std::vector<int32_t>;

Tokenizer open(const std::string& name) { return Tokenizer::from_file(fixture(name).string()); }

class EachFixture : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string name_ = GetParam();
  const Tokenizer tok_ = open(name_ + ".json");
  const json& expected_ = testing::expected()[GetParam()];
};
INSTANTIATE_TEST_SUITE_P(Tokenizer, EachFixture,
                         ::testing::Values("byte_level", "byte_fallback", "word_piece",
                                           "metaspace"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(EachFixture, encodes_as_the_python_package) {
  for (const json& row : expected_["rows"]) {
    const auto text = row["text"].get<std::string>();
    EXPECT_EQ(tok_.encode(text), row["ids"].get<Ids>()) << text;
    EXPECT_EQ(tok_.encode(text, false), row["bare_ids"].get<Ids>()) << text;
  }
}

TEST_P(EachFixture, names_pieces_and_their_bytes_as_the_python_package) {
  for (const json& row : expected_["rows"]) {
    const auto text = row["text"].get<std::string>();
    const auto pieces = tok_.encode_pieces(text);
    ASSERT_EQ(pieces.size(), row["ids"].size()) << text;
    for (size_t i = 0; i < pieces.size(); ++i) {
      EXPECT_EQ(pieces[i].id, row["ids"][i].get<int32_t>()) << text;
      EXPECT_EQ(pieces[i].text, row["pieces"][i].get<std::string>()) << text;
      EXPECT_EQ(pieces[i].begin, row["spans"][i][0].get<size_t>()) << text << " " << i;
      EXPECT_EQ(pieces[i].end, row["spans"][i][1].get<size_t>()) << text << " " << i;
    }
  }
}

TEST_P(EachFixture, decodes_as_the_python_package) {
  for (const json& row : expected_["rows"]) {
    const auto ids = row["ids"].get<Ids>();
    EXPECT_EQ(tok_.decode(ids), row["decoded"].get<std::string>());
    EXPECT_EQ(tok_.decode(ids, false), row["decoded_with_special"].get<std::string>());
  }
}

TEST_P(EachFixture, maps_every_id_to_its_token_and_back) {
  EXPECT_EQ(tok_.vocab_size(), expected_["vocab_size"].get<int64_t>());
  EXPECT_EQ(tok_.id_limit(), tok_.vocab_size());
  for (int32_t id = 0; id < tok_.id_limit(); ++id) {
    const auto token = tok_.id_to_token(id);
    ASSERT_TRUE(token.has_value()) << id;
    EXPECT_EQ(tok_.token_to_id(*token), id);
  }
  EXPECT_EQ(tok_.id_to_token(-1), std::nullopt);
  EXPECT_EQ(tok_.id_to_token(static_cast<int32_t>(tok_.id_limit())), std::nullopt);
  EXPECT_EQ(tok_.token_to_id("no such token"), std::nullopt);
  EXPECT_EQ(tok_.token_to_id("\xff"), std::nullopt);
}

TEST(Tokenizer, lists_the_special_tokens_ascending) {
  EXPECT_EQ(open("byte_level.json").special_ids(), (Ids{0}));
  EXPECT_EQ(open("byte_fallback.json").special_ids(), (Ids{0, 1, 2}));
  EXPECT_EQ(open("word_piece.json").special_ids(), (Ids{0, 1, 2, 3}));
}

TEST(Tokenizer, gives_the_same_ids_to_many_threads) {
  const Tokenizer tok = open("byte_level.json");
  const std::string text = testing::read_file(fixture("make.py"));
  const Ids ids = tok.encode(text);
  std::vector<std::thread> threads;
  std::atomic<int> equal{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&equal, &ids, &text, copy = tok] {
      for (int i = 0; i < 10; ++i)
        equal += copy.encode(text) == ids && copy.decode(ids, false) == text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 40);
}

TEST(Tokenizer, takes_a_megabyte) {
  const Tokenizer tok = open("byte_level.json");
  std::string text;
  while (text.size() < (1 << 20)) text += "Rough winds do shake the darling buds of May,\n";
  const Ids ids = tok.encode(text);
  EXPECT_GT(ids.size(), 100'000U);
  EXPECT_EQ(tok.decode(ids), text);
}

TEST(Tokenizer, says_at_which_byte_a_text_is_not_utf8) {
  const auto [code, text] = caught([] { (void)open("byte_level.json").encode("naïve\xff!"); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(text, "text: expected UTF-8, got byte 0xff at offset 6")) << text;
  EXPECT_EQ(caught([] { (void)open("word_piece.json").encode_pieces("\xe6\x9d"); }).code,
            ErrorCode::kInvalidArgument);
}

TEST(Tokenizer, refuses_to_decode_ids_without_a_token) {
  const Tokenizer tok = open("byte_level.json");
  for (const int32_t id : {-1, 300, std::numeric_limits<int32_t>::max()}) {
    const auto [code, text] = caught([&] { (void)tok.decode(Ids{5, id}); });
    EXPECT_EQ(code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(has(text, "ids: expected ids in [0, 300), got " + std::to_string(id)));
  }
}

TEST(Tokenizer, fits_a_model_with_at_least_as_many_tokens) {
  const Tokenizer tok = open("byte_level.json");
  EXPECT_NO_THROW(tok.check_fits(300));
  EXPECT_NO_THROW(tok.check_fits(512));
  const auto [code, text] = caught([&] { tok.check_fits(299); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(text, "expected ids below the model's 299 tokens, got ids up to 299"));
}

TEST(Tokenizer, tells_why_a_file_is_no_tokenizer) {
  const TempFolder folder;
  const std::string whole = testing::read_file(fixture("byte_level.json"));
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"", "EOF while parsing"},
      {"{", "EOF while parsing"},
      {"[1, 2]", "invalid type"},
      {"null", "invalid type"},
      {"{}", "Model missing"},
      {R"({"model": 5})", "did not match any variant"},
      {R"({"model": {"type": "BPE", "vocab": [1], "merges": []}})", "sequence, expected a map"},
      {R"({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}})", "invalid value"},
      {R"({"model": {"type": "BPE", "vocab": {}, "merges": []}})", "at least 1 token"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}})", "expected ids"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})", "out of vocabulary"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}})", "paren"},
      {R"({"version": "9.9", "model": {}})", "Unknown tokenizer version"},
      {"\xff\xfe", "expected value"},
      {std::string(100'000, '['), "invalid type"},
      {R"({"normalizer": )" + std::string(100'000, '['), "recursion limit"},
      {whole.substr(0, whole.size() / 2), "EOF while parsing"},
  };
  for (const auto& [json, reason] : rows) {
    const std::string path = folder.with("broken.json", json);
    const auto [code, text] = caught([&] { (void)Tokenizer::from_file(path); });
    EXPECT_EQ(code, ErrorCode::kInvalidModel) << json.substr(0, 80);
    EXPECT_TRUE(has(text, path + "': expected a Hugging Face tokenizer.json, got: "));
    EXPECT_TRUE(has(text, reason)) << json.substr(0, 80);
  }
}

TEST(Tokenizer, survives_every_truncation_and_many_flipped_bytes) {
  const TempFolder folder;
  const std::string whole = testing::read_file(fixture("word_piece.json"));
  for (size_t size = 0; size + 1 < whole.size(); size += 7) {
    const std::string path = folder.with("cut.json", whole.substr(0, size));
    EXPECT_EQ(caught([&] { (void)Tokenizer::from_file(path); }).code, ErrorCode::kInvalidModel);
  }
  uint32_t seed = 1;
  for (int i = 0; i < 500; ++i) {
    std::string bent = whole;
    seed = seed * 1664525 + 1013904223;
    bent[(seed >> 8) % bent.size()] = static_cast<char>(seed >> 3);
    try {
      const Tokenizer tok = Tokenizer::from_file(folder.with("bent.json", bent));
      (void)tok.decode(tok.encode("Shall I compare thee to a winter's day?"));
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    }
  }
}

TEST(Tokenizer, refuses_added_tokens_whose_ids_the_library_would_change) {
  const TempFolder folder;
  json bent = json::parse(testing::read_file(fixture("byte_level.json")));
  bent["added_tokens"].push_back({{"id", 310},
                                  {"content", "<x>"},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}});
  const std::string path = folder.with("bent.json", bent.dump());
  EXPECT_TRUE(has(caught([&] { (void)Tokenizer::from_file(path); }).text,
                  "added token '<x>': expected id 300, its place in the vocabulary, got 310"));
  bent["added_tokens"][1]["id"] = 300;
  EXPECT_EQ(Tokenizer::from_file(folder.with("mended.json", bent.dump())).vocab_size(), 301);
}

// The text of the error from using the byte-level fixture with another step in its pipeline.
std::string error_with(const char* key, const json& step) {
  const TempFolder folder;
  json bent = json::parse(testing::read_file(fixture("byte_level.json")));
  bent[key] = step;
  const std::string path = folder.with("bent.json", bent.dump());
  const auto [code, text] = caught([&] {
    const Tokenizer tok = Tokenizer::from_file(path);
    (void)tok.decode(tok.encode(std::string(1000, 'a')));
  });
  EXPECT_EQ(code, ErrorCode::kInvalidModel) << text;
  return text;
}

json sequence(const char* key, std::vector<json> steps) {
  return {{"type", "Sequence"}, {key, std::move(steps)}};
}

TEST(Tokenizer, refuses_steps_that_would_blow_up_a_text) {
  const auto replace = [](int times) {
    return json{{"type", "Replace"},
                {"pattern", {{"String", "a"}}},
                {"content", std::string(static_cast<size_t>(times), 'a')}};
  };
  const std::vector<json> twice(2, replace(1000));  // once would be little enough
  const std::vector<json> byte_levels(
      3, json::parse(testing::read_file(fixture("byte_level.json")))["pre_tokenizer"]);
  EXPECT_TRUE(has(error_with("normalizer", replace(100'000)), "grows the text"));
  EXPECT_TRUE(has(error_with("normalizer", sequence("normalizers", twice)), "grows the text"));
  EXPECT_TRUE(has(error_with("decoder", replace(100'000)), "grows the text"));
  EXPECT_TRUE(has(error_with("decoder", sequence("decoders", twice)), "grows the text"));
  EXPECT_TRUE(has(error_with("pre_tokenizer", sequence("pretokenizers", byte_levels)),
                  "expected at most 2 ByteLevel steps, got 3"));
}

TEST(Tokenizer, refuses_templates_that_repeat_the_text_or_add_foreign_ids) {
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const json token = {{"SpecialToken", {{"id", "Q"}, {"type_id", 0}}}};
  const auto process = [](std::vector<json> single, const json& ids) {
    return json{{"type", "TemplateProcessing"},
                {"single", std::move(single)},
                {"pair", json::array()},
                {"special_tokens", {{"Q", {{"id", "Q"}, {"ids", ids}, {"tokens", ids}}}}}};
  };
  json many = process({token, text}, json::array({4000000000}));
  many["special_tokens"]["Q"]["tokens"] = json::array({"Q"});
  EXPECT_TRUE(has(error_with("post_processor", many), "expected ids below 300, got 4000000000"));
  EXPECT_TRUE(has(error_with("post_processor", process(std::vector<json>(5, text), json::array())),
                  "expected at most 4 copies of the text, got 5"));
  EXPECT_TRUE(has(error_with("post_processor", {{"type", "TemplateProcessing"},
                                                {"single", json::array({token})},
                                                {"pair", json::array()},
                                                {"special_tokens", json::object()}}),
                  "the tokenizer library gave up"));
}

TEST(Tokenizer, refuses_sizes_that_the_library_would_trust) {
  const auto regex = [](const std::string& pattern) {
    return json{{"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", ""}};
  };
  const std::string deep = std::string(4000, '(') + "a" + std::string(4000, ')');
  EXPECT_TRUE(has(error_with("normalizer", regex(deep)), "at most 200 brackets, got 4000"));
  EXPECT_TRUE(has(error_with("decoder", sequence("decoders", {regex(deep)})), "200 brackets"));
  const auto charsmap = [](const char* map) {
    return json{{"type", "Precompiled"}, {"precompiled_charsmap", map}};
  };
  EXPECT_TRUE(has(error_with("normalizer", charsmap("/////wAAAAA=")), "at most 4 bytes, got 429"));
  EXPECT_TRUE(has(error_with("normalizer", charsmap("AAAA")), "expected at least 4 bytes"));
  EXPECT_TRUE(has(error_with("normalizer", json::array({"/////wAAAAA="})), "strings in it"));
}

TEST(Tokenizer, ends_a_hopeless_regular_expression_with_an_error) {
  const TempFolder folder;
  json bent = json::parse(testing::read_file(fixture("byte_level.json")));
  bent["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"content", "x"}};
  const Tokenizer tok = Tokenizer::from_file(folder.with("bent.json", bent.dump()));
  const auto [code, text] = caught([&] { (void)tok.encode(std::string(40, 'a') + "b"); });
  EXPECT_EQ(code, ErrorCode::kInvalidModel);
  EXPECT_TRUE(has(text, "limit"));
}

TEST(Tokenizer, ignores_dropout) {
  const TempFolder folder;
  json bent = json::parse(testing::read_file(fixture("byte_level.json")));
  bent["model"]["dropout"] = 0.9;
  const Tokenizer tok = Tokenizer::from_file(folder.with("bent.json", bent.dump()));
  for (const json& row : expected()["byte_level"]["rows"]) {
    EXPECT_EQ(tok.encode(row["text"].get<std::string>()), row["ids"].get<Ids>());
  }
}

TEST(SharedTokenizers, encode_the_prompt_of_the_shakespeare_trajectory) {
  const auto path = shared("models/shakespeare-tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  const Tokenizer tok = Tokenizer::from_file(*path);
  const json greedy =
      json::parse(testing::read_file(*shared("models/shakespeare-trajectories.json")))["greedy"];
  EXPECT_EQ(tok.encode(greedy["prompt"].get<std::string>()), greedy["prompt_ids"].get<Ids>());
  EXPECT_EQ(tok.decode(greedy["ids"].get<Ids>()), greedy["text"].get<std::string>());
  EXPECT_EQ(tok.vocab_size(), 1024);
  EXPECT_EQ(tok.end_of_text_ids(), (Ids{0}));
}

TEST(SharedTokenizers, encode_all_of_shakespeare_and_back) {
  const auto path = shared("models/shakespeare-tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  const Tokenizer tok = Tokenizer::from_file(*path);
  const std::string text = testing::read_file(*shared("models/tinyshakespeare.txt"));
  const Ids ids = tok.encode(text);
  EXPECT_EQ(tok.decode(ids), text);
}

TEST(SharedTokenizers, encode_the_sentences_of_mini_lm_without_padding) {
  const auto path = shared("models/minilm/tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  const Tokenizer tok = Tokenizer::from_file(*path);
  const json reference =
      json::parse(testing::read_file(*shared("models/minilm/minilm-reference.json")));
  for (size_t i = 0; i < reference["sentences"].size(); ++i) {
    EXPECT_EQ(tok.encode(reference["sentences"][i].get<std::string>()),
              reference["ids"][i].get<Ids>());
  }
  std::string text;
  for (int i = 0; i < 300; ++i) text += "word ";
  EXPECT_EQ(tok.encode(text).size(), 302U);
}

TEST(SharedTokenizers, read_a_roberta_tokenizer_and_return_every_text) {
  const auto path = shared("real/roberta_clap_tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  const Tokenizer tok = Tokenizer::from_file(*path);
  EXPECT_EQ(tok.vocab_size(), 50265);
  EXPECT_EQ(tok.encode("a dog barks"), (Ids{0, 102, 2335, 2003, 2258, 2}));
  EXPECT_EQ(tok.end_of_text_ids(), (Ids{2}));
  const auto mask = tok.encode_pieces("a\u2003 <mask>")[2];
  EXPECT_EQ(mask.text, "\u2003 <mask>");
  EXPECT_EQ(mask.begin, 5U) << "the trimmed spaces are four bytes, not two";
  EXPECT_EQ(mask.end, 11U);
  for (const json& row : expected()["byte_level"]["rows"]) {
    const auto text = row["text"].get<std::string>();
    if (text.find("<s>") != std::string::npos) continue;
    EXPECT_EQ(tok.decode(tok.encode(text)), text);
  }
}

}  // namespace
}  // namespace mw
