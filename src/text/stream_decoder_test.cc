// StreamDecoder: its pieces joined are the text of decode(), and each is final and whole.
#include <random>

#include "base/growth_testing.h"
#include "millwright/tokenizer.hpp"
#include "text/test_support.h"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using nlohmann::json;

using Ids = std::vector<int32_t>;

// No piece ends within a character: none begins with a continuation byte, none ends early.
bool is_whole(const std::string& text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if ((lead >= 0x80 && lead < 0xc2) || i + size > text.size()) return false;
    i += size;
  }
  return true;
}

std::string streamed(StreamDecoder& stream, const Ids& ids) {
  std::string all;
  for (const int32_t id : ids) {
    const std::string piece = stream.push(id);
    EXPECT_TRUE(is_whole(piece));
    all += piece;
  }
  return all + stream.flush();
}

void expect_equal_for_random_ids(const Tokenizer& tok, int rounds) {
  std::mt19937 random(7);
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(tok.id_limit()) - 1);
  for (const bool skip : {true, false}) {
    StreamDecoder stream(tok, skip);
    for (int round = 0; round < rounds; ++round) {
      Ids ids(static_cast<size_t>(round % 40));
      for (int32_t& id : ids) id = any(random);
      EXPECT_EQ(streamed(stream, ids), tok.decode(ids, skip)) << "round " << round;
    }
  }
}

class StreamOfFixture : public ::testing::TestWithParam<const char*> {
 protected:
  const Tokenizer tok_ = Tokenizer::from_file(fixture(GetParam()).string());
};
INSTANTIATE_TEST_SUITE_P(StreamDecoder, StreamOfFixture,
                         ::testing::Values("byte_level.json", "byte_fallback.json",
                                           "word_piece.json", "metaspace.json"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('.'));
                         });

TEST_P(StreamOfFixture, joins_to_the_decoded_text_for_random_ids) {
  expect_equal_for_random_ids(tok_, 400);
}

TEST_P(StreamOfFixture, joins_to_the_decoded_text_for_real_texts) {
  StreamDecoder stream(tok_);
  for (const json& row : expected()["byte_level"]["rows"]) {
    const Ids ids = tok_.encode(row["text"].get<std::string>());
    EXPECT_EQ(streamed(stream, ids), tok_.decode(ids));
  }
}

// Every decoder of the format, alone and in the orders in which files combine them.
TEST(StreamDecoder, joins_to_the_decoded_text_for_every_kind_of_decoder) {
  const TempFolder folder;
  const json whole = json::parse(testing::read_file(fixture("byte_fallback.json")));
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  const json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const json bytes = {{"type", "ByteFallback"}};
  const json fuse = {{"type", "Fuse"}};
  const json metaspace = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}};
  const json byte_level = json::parse(testing::read_file(fixture("byte_level.json")))["decoder"];
  const auto sequence = [](std::vector<json> steps) {
    return json{{"type", "Sequence"}, {"decoders", std::move(steps)}};
  };
  const std::vector<json> decoders = {
      nullptr,
      fuse,
      {{"type", "BPEDecoder"}, {"suffix", "▁"}},
      {{"type", "CTC"}, {"pad_token", "e"}, {"word_delimiter_token", "▁"}, {"cleanup", true}},
      sequence({bytes, metaspace}),
      sequence({replace, bytes, fuse}),
      sequence({replace, bytes, sequence({fuse, strip})}),
      sequence({replace, strip}),
      sequence({fuse, replace, strip}),
      sequence({byte_level, replace}),
      sequence({replace, byte_level, strip}),
      sequence({bytes, fuse, metaspace}),
      sequence({}),
  };
  for (const json& decoder : decoders) {
    SCOPED_TRACE(decoder.dump());
    json bent = whole;
    bent["decoder"] = decoder;
    expect_equal_for_random_ids(Tokenizer::from_file(folder.with("bent.json", bent.dump())), 150);
  }
}

TEST(StreamDecoder, holds_spaces_that_may_prove_to_be_the_last_ones) {
  const TempFolder folder;
  json bent = json::parse(testing::read_file(fixture("byte_fallback.json")));
  bent["decoder"] = {{"type", "Sequence"},
                     {"decoders",
                      {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                       {{"type", "Fuse"}},
                       {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 2}}}}};
  const Tokenizer tok = Tokenizer::from_file(folder.with("bent.json", bent.dump()));
  for (const char* text : {"to a day", "to   a   day", "to a day ", "to a day    "}) {
    const Ids ids = tok.encode(text);
    StreamDecoder stream(tok);
    EXPECT_EQ(streamed(stream, ids), tok.decode(ids)) << text;
  }
}

TEST(StreamDecoder, emits_a_character_with_its_last_byte) {
  const Tokenizer tok = Tokenizer::from_file(fixture("byte_level.json").string());
  const Ids ids = tok.encode("東é");
  ASSERT_EQ(ids.size(), 5U);
  StreamDecoder stream(tok);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.push(ids[1]), "");
  EXPECT_EQ(stream.push(ids[2]), "東");
  EXPECT_EQ(stream.push(ids[3]), "");
  EXPECT_EQ(stream.flush(), "\uFFFD");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push(ids[4]), "\uFFFD") << "a continuation byte begins no character";
}

TEST(StreamDecoder, tells_an_unknown_id_and_goes_on) {
  const Tokenizer tok = Tokenizer::from_file(fixture("byte_level.json").string());
  const Ids ids = tok.encode("é");
  StreamDecoder stream(tok);
  EXPECT_EQ(stream.push(ids[0]), "");
  const auto [code, text] = caught([&] { stream.push(300); });
  EXPECT_EQ(code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(text, "id: expected ids in [0, 300), got 300"));
  EXPECT_EQ(stream.push(ids[1]), "é");
}

TEST(StreamDecoder, outlives_its_tokenizer) {
  std::optional<Tokenizer> tok = Tokenizer::from_file(fixture("word_piece.json").string());
  const Ids ids = tok->encode("the summer day");
  StreamDecoder first(*tok);
  StreamDecoder stream = std::move(first);
  tok.reset();
  EXPECT_EQ(streamed(stream, ids), "the summer day");
}

TEST(StreamDecoder, takes_the_same_work_per_id_however_long_the_text) {
  for (const char* name : {"byte_level.json", "byte_fallback.json"}) {
    const Tokenizer tok = Tokenizer::from_file(fixture(name).string());
    const Ids ids = tok.encode("東 the summer's day\n", false);
    const double grown = mw::testing::growth([&](int size) {
      StreamDecoder stream(tok);
      for (size_t i = 0; i < 500U * static_cast<size_t>(size); ++i) {
        stream.push(ids[i % ids.size()]);
      }
      stream.flush();
    });
    EXPECT_LT(grown, mw::testing::kLinearGrowth) << name;
  }
}

TEST(StreamDecoder, streams_a_roberta_text) {
  const auto path = shared("real/roberta_clap_tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  expect_equal_for_random_ids(Tokenizer::from_file(*path), 200);
}

TEST(StreamDecoder, streams_mini_lm_ids) {
  const auto path = shared("models/minilm/tokenizer.json");
  if (!path) GTEST_SKIP() << "MW_SHARED is not there";
  expect_equal_for_random_ids(Tokenizer::from_file(*path), 200);
}

}  // namespace
}  // namespace mw
