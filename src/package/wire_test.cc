// Tests of the survey of a model file: kinds refused by name, and bombs refused before they are
// decoded.
#include "package/wire.h"

#include "package/read_spec.h"
#include "package/testing.h"

namespace mw::package {
namespace {

using testing::error_of;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string field(uint32_t number, const std::string& content) {
  return varint(uint64_t{number} << 3 | 2) + varint(content.size()) + content;
}
// `operations` as the body of the function "main" of an ML Program.
std::string model_with(const std::string& operations) {
  const std::string function =
      field(2, "CoreML7") + field(3, field(1, "CoreML7") + field(2, operations));
  return field(502, std::string("\x08\x01", 2) + field(2, field(1, "main") + field(2, function)));
}
std::string repeated(const std::string& part, size_t times) {
  std::string out = part;
  const size_t size = part.size() * times;
  out.reserve(size);
  while (out.size() < size) out.append(out, 0, size - out.size());
  return out;
}

std::string read_error(const std::string& bytes, ErrorCode* code = nullptr) {
  Model model;
  return error_of([&] { read_spec(std::as_bytes(std::span(bytes)), nullptr, model); }, code);
}

TEST(Wire, every_kind_of_model_is_refused_by_its_name) {
  const std::pair<uint32_t, const char*> rows[] = {{200, "pipelineClassifier"},
                                                   {202, "pipeline"},
                                                   {402, "treeEnsembleClassifier"},
                                                   {403, "neuralNetworkClassifier"},
                                                   {500, "neuralNetwork"},
                                                   {602, "featureVectorizer"},
                                                   {900, "identity"},
                                                   {2002, "visionFeaturePrint"},
                                                   {3000, "serializedModel"},
                                                   {999, "number 999"}};
  for (const auto& [number, name] : rows) {
    ErrorCode code{};
    const std::string got =
        read_error(std::string("\x08\x04", 2) + field(number, "anything at all"), &code);
    const bool of_several = std::string_view(name).starts_with("pipeline");
    EXPECT_EQ(got, std::string("expected an ML Program, got a model of kind '") + name +
                       (of_several ? "'; open the models that it is made of one by one"
                                   : "'; convert it to an ML Program with coremltools"));
    EXPECT_EQ(code, ErrorCode::kUnsupported);
  }
}

TEST(Wire, a_file_without_a_model_or_that_breaks_off_is_invalid) {
  const std::string whole = model_with("");
  EXPECT_EQ(read_error(whole), "");
  EXPECT_EQ(read_error(""), "expected a model, got a file of 0 bytes without one");
  EXPECT_EQ(read_error(std::string("\x08\x07", 2)),
            "expected a model, got a file of 2 bytes without one");
  for (size_t length = 1; length < whole.size(); ++length) {
    ErrorCode code{};
    EXPECT_NE(read_error(whole.substr(0, length), &code), "") << length;
    EXPECT_EQ(code, ErrorCode::kInvalidModel) << length;
  }
}

TEST(Wire, lengths_that_exceed_the_file_are_invalid_however_large) {
  for (const uint64_t length :
       {uint64_t{100}, uint64_t{1} << 31, uint64_t{1} << 40, ~uint64_t{0}}) {
    const std::string bytes = varint(502 << 3 | 2) + varint(length) + "x";
    EXPECT_NE(read_error(bytes).find("break off"), std::string::npos) << length;
  }
}

// By the walk over their bytes, so that none of the objects comes to be.
TEST(Wire, files_made_of_empty_objects_are_refused_before_they_are_decoded) {
  constexpr size_t kMany = 12'000'000;
  const std::string empty_type = field(1, "");
  const std::pair<const char*, std::string> rows[] = {
      {"operations", model_with(repeated(field(3, ""), kMany))},
      {"outputs", model_with(repeated(field(2, ""), kMany))},
      {"attributes", model_with(field(3, repeated(field(5, ""), kMany)))},
      {"inputs", model_with(field(3, repeated(field(2, ""), kMany)))},
      {"functions", field(502, repeated(field(2, ""), kMany))},
      {"descriptions", field(2, repeated(field(1, ""), kMany)) + model_with("")},
      {"strings",
       model_with(field(
           3, field(5, field(2, field(3, field(1, field(4, repeated(empty_type, kMany))))))))},
      {"numbers",
       model_with(field(
           3,
           field(5,
                 field(2, field(3, field(1, field(5, field(1, std::string(60'000'000, 1)))))))))},
  };
  for (const auto& [name, bytes] : rows) {
    ErrorCode code{};
    const std::string error = read_error(bytes, &code);
    EXPECT_NE(error.find("declares objects that need more than"), std::string::npos)
        << name << ": " << error;
    EXPECT_EQ(code, ErrorCode::kOutOfMemory) << name;
  }
}

TEST(Wire, nesting_without_end_is_refused) {
  std::string block;
  for (int i = 0; i < 100'000; ++i) {
    block = field(3, field(4, block));
    if (block.size() > 100'000) break;
  }
  ErrorCode code{};
  EXPECT_NE(read_error(model_with(block), &code).find("nests more than 200"), std::string::npos);
  EXPECT_EQ(code, ErrorCode::kInvalidModel);
}

TEST(Wire, a_schema_older_than_the_released_one_is_refused) {
  // As in early files: other fields and wire types under the numbers of today's program.
  const std::string program = field(1, "main") + std::string("\x10\x01", 2) + field(3, "x");
  ErrorCode code{};
  EXPECT_NE(read_error(std::string("\x08\x05", 2) + field(502, program), &code), "");
  EXPECT_NE(code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace mw::package
