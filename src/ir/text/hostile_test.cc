// Tests of bad input: a table of messages, limits, mutations of a program, and work linear in the
// length.
#include <random>
#include <sstream>

#include "base/growth_testing.h"
#include "ir/text/testing.h"

namespace mw::ir::text {
namespace {

using mw::testing::growth;
using mw::testing::kGrowthFactor;
using mw::testing::kLinearGrowth;

struct Case {
  std::string title, source, message;
};

std::vector<Case> read_cases(const std::filesystem::path& path) {
  std::vector<Case> cases;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("=== ")) {
      cases.push_back({line.substr(4), "", ""});
    } else if (line.starts_with("--- ")) {
      cases.back().message = line.substr(4);
    } else if (!cases.empty() && cases.back().message.empty()) {
      cases.back().source += line + "\n";
    }
  }
  return cases;
}

TEST(Hostile, each_invalid_program_gets_its_message) {
  const auto cases = read_cases(test_data() / "mil/invalid.txt");
  ASSERT_GT(cases.size(), 50u);
  for (const Case& c : cases) {
    const std::string source = c.source.starts_with("program") ? c.source : around(c.source);
    EXPECT_EQ(error_of(source), c.message) << c.title;
  }
}

TEST(Hostile, bytes_that_are_not_text_are_refused) {
  EXPECT_EQ(error_of(std::string("program(1.3)\n{\0}", 16)),
            "model.mil:2:2: expected UTF-8 text, got the byte 0x00");
  for (const char* bytes : {"\xff", "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                            "\xf4\x90\x80\x80", "\xf0\x9f", "\xc3"}) {
    const std::string source = "program(1.3) { \"" + std::string(bytes) + "\"";
    EXPECT_NE(error_of(source).find("model.mil:1:17: expected UTF-8 text, got the byte 0x"),
              std::string::npos)
        << bytes;
  }
}

std::string repeated(const std::string& text, size_t count) {
  std::string result;
  result.reserve(text.size() * count);
  for (size_t i = 0; i < count; ++i) result += text;
  return result;
}

std::string nested_type(size_t depth) {
  return repeated("list<", depth - 1) + "fp32" + repeated(", ?>", depth - 1);
}

TEST(Hostile, nesting_of_types_is_bounded) {
  const auto program_of = [](size_t depth) {
    return around(nested_type(depth) + " a = exp(x = x);");
  };
  EXPECT_EQ(error_of(program_of(64)), "");
  EXPECT_EQ(error_of(program_of(65)),
            "model.mil:3:321: function 'main': expected types nested at most 64 deep, got more");
  EXPECT_NE(error_of(program_of(1000000)), "");
}

TEST(Hostile, nesting_of_blocks_is_bounded) {
  const auto program_of = [](size_t depth) {
    return around(repeated("a() {", depth) + repeated("} -> ();", depth));
  };
  EXPECT_EQ(error_of(program_of(64)), "");
  EXPECT_EQ(error_of(program_of(65)),
            "model.mil:3:325: function 'main': expected blocks nested at most 64 deep, got more");
  EXPECT_NE(error_of(program_of(300000)), "");
}

TEST(Hostile, nesting_of_values_is_bounded_by_their_type) {
  for (const char* open : {"(", "[", "{", "fp32(", "tensor<fp32, [1]>([", "tuple<", "BLOBFILE("}) {
    EXPECT_NE(error_of(around("fp32 a = exp(x = " + repeated(open, 100000))), "");
    EXPECT_NE(error_of(around("fp32 a = const()[val = list<fp32, ?>(" + repeated(open, 100000))),
              "");
  }
}

TEST(Hostile, elements_of_lists_are_bounded) {
  const std::string source =
      around("fp32 a = const()[val = list<int8, ?>([0" + repeated(",0", 1 << 18) + "])];");
  EXPECT_NE(error_of(source).find(
                "expected at most 262144 elements in the lists, tuples and dicts of a program"),
            std::string::npos);
}

// Three megabytes of each shape of program; anything quadratic would take minutes.
std::string filled(const std::string& text, size_t bytes) {
  return repeated(text, bytes / text.size());
}

std::string numbered(const std::string& before, const std::string& after, size_t bytes) {
  std::string result;
  for (size_t i = 0; result.size() < bytes; ++i) result += before + std::to_string(i) + after;
  return result;
}

// Valid programs of about that length, each with much of one thing.
std::vector<std::string> long_programs(size_t n) {
  return {
      around("fp32 a = const()[val = tensor<fp32, [?]>([0" + filled(", 0x1.8p+2", n) + "])];"),
      around("fp32 a = const()[val = tensor<uint1, [?, 1]>([[0]" + filled(",[1]", n) + "])];"),
      around("fp32 a = const()[val = tensor<string, [?]>([\"\"" + filled(",\"abcdefgh\"", n) +
             "])];"),
      around("fp32 a = const()[val = string(\"" + filled("\\n", n) + "\")];"),
      around(numbered("fp32 a", " = exp(x = x);\n", n)),
      around(numbered("fp32 a", " = cond(pred = x) { fp32 y = exp(x = x); } -> (y);", n)),
      around("fp32 a = add(" + numbered("x", " = x, ", n) + "x = x);"),
      around("fp32 a = add(values = (" + filled("x, ", n) + "x));"),
      around("fp32 a = add(x = x)[" + numbered("k", " = int32(1), ", n) + "k = int32(1)];"),
      around(numbered("fp32 b", ", ", n) + "fp32 b = add(x = x);"),
      "program(1.3) {" + numbered("func f", "<ios17>() {} -> ();", n) + "}",
      "program(1.3) { func f<ios17>(" + numbered("fp32 b", ", ", n) + "fp32 b) {} -> (); }",
      around(filled("// comment\n", n)),
      around("/*" + filled(" * ", n) + "*/"),
      around("fp32 " + filled("n", n) + " = exp(x = x);"),
      around("fp32 a = const()[val = fp64(0." + filled("1", n) + ")];"),
      around("fp32 a = const()[val = fp64(0x1." + filled("1", n) + "p+0)];"),
      around("fp32 a = const()[val = int32(" + filled("0", n) + "1)];"),
  };
}

std::vector<std::string> long_nonsense(size_t n) {
  return {
      around(filled("\"", n)), around(filled("/*", n)),
      around(filled("[", n)),  around(filled("a", n)),
      around(filled(";", n)),  around("fp32 a = const()[val = int32(" + filled("9", n) + ")];"),
      filled("\n", n),         filled("program ", n),
  };
}

void expect_linear_work(const std::string& small, const std::string& large, bool valid) {
  std::string error;
  const double grown = growth([&](int size) { error = error_of(size == 1 ? small : large); });
  EXPECT_EQ(error.empty(), valid) << error;
  EXPECT_LT(error.size(), 500u);
  EXPECT_LT(grown, kLinearGrowth) << large.substr(0, 100);
}

TEST(Hostile, work_is_linear_in_the_length) {
  constexpr size_t kBytes = 32 << 10;
  for (const bool valid : {true, false}) {
    const auto programs = valid ? long_programs : long_nonsense;
    const auto small = programs(kBytes), large = programs(kGrowthFactor * kBytes);
    for (size_t i = 0; i < small.size(); ++i) expect_linear_work(small[i], large[i], valid);
  }
}

void expect_fuzz_property(const std::string& source) {
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(source.data()), source.size());
  } catch (const std::exception& e) {
    FAIL() << e.what() << "\nfor:\n" << source;
  }
}

TEST(Hostile, seeds_of_the_fuzzer_keep_its_property) {
  const auto seeds = mil_files_below(test_data().parent_path() / "fuzz/corpus/fuzz_mil");
  ASSERT_GE(seeds.size(), 20u);
  for (const auto& seed : seeds) expect_fuzz_property(read_text(seed));
}

std::string mutated(std::string text, const std::string& other, std::mt19937& random) {
  static const char* const kTokens[] = {"(",         ")",
                                        "[",         "]",
                                        "{",         "}",
                                        "<",         ">",
                                        ",",         ";",
                                        "=",         "->",
                                        "?",         "\"",
                                        "\\",        "/*",
                                        "//",        "-",
                                        "0x1p+0",    "inf",
                                        "nan",       "tensor<fp16, [",
                                        "list<",     "tuple<",
                                        "dict<",     "state<",
                                        "BLOBFILE(", "18446744073709551616",
                                        "int4",      "bool",
                                        "string(\"", "x",
                                        "a",         "cond(pred = p) {",
                                        "} -> ()",   " name {",
                                        "[]",        "()",
                                        "func",      "\n",
                                        "\xc3\xa9"};
  const auto below = [&](size_t bound) {
    return static_cast<size_t>(random()) % std::max<size_t>(bound, 1);
  };
  for (size_t edits = 1 + below(3); edits > 0; --edits) {
    const size_t at = below(text.size()), length = below(std::min<size_t>(text.size() - at, 40));
    switch (below(5)) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(below(text.size()), text.substr(at, length));
        break;
      case 3:
        text.insert(at, kTokens[below(std::size(kTokens))]);
        break;
      default:
        text.insert(at, other.substr(below(other.size()), length));
        break;
    }
    if (text.empty()) text = "p";
  }
  return text;
}

TEST(Hostile, mutated_programs_parse_to_a_fixpoint_or_are_refused) {
  const auto files = mil_files_below(test_data() / "mil");
  std::vector<std::string> sources;
  for (const auto& file : files) sources.push_back(read_text(file));
  std::mt19937 random(7);
  size_t accepted = 0;
  for (int i = 0; i < 6000; ++i) {
    const std::string source =
        mutated(sources[random() % sources.size()], sources[random() % sources.size()], random);
    ASSERT_NO_FATAL_FAILURE(expect_fuzz_property(source)) << "mutation " << i;
    if (i % 10 == 0 && error_of(source).empty()) ++accepted;
  }
  EXPECT_GT(accepted, 10u);  // else the mutations only test the first error
}

}  // namespace
}  // namespace mw::ir::text
