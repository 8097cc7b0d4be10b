// Chat templates that want too much: of depth, of bytes, of time. Each is refused in a sentence.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <random>

#include "text/chat_testing.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // shadow memory is address space, too
#else
constexpr bool kSanitized = false;
#endif

namespace mw::text {
namespace {

using namespace mw::testing;  // NOLINT(google-build-using-namespace)

const OrderedJson kLine =
    OrderedJson::parse(R"({"messages": [{"role": "user", "content": "Hello"}]})");

std::string times(int count, const std::string& text) {
  std::string all;
  all.reserve(text.size() * static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

std::string doubled(const std::string& start, const std::string& next, const std::string& end) {
  return "{% set ns = namespace(s=" + start + ") %}{% for i in range(100) %}{% set ns.s = " + next +
         " %}{% endfor %}{{ " + end + " }}";
}

// Runs `body` in a process that may take 1 GiB of address space; true when it came to its end.
template <class Body>
bool survives_in_little_memory(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{rlim_t{1} << 30, rlim_t{1} << 30};
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (!kSanitized && setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// The reason for which `source` is refused; empty where it is not.
std::string refusal(const TempFolder& folder, const std::string& source) {
  write_file(folder.path() / "chat_template.jinja", source);
  try {
    (void)ChatTemplate::find(folder.path())->render(kLine, false);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 1) << error.what();
    EXPECT_LT(std::string(error.what()).size(), 4000U);
    return error.what();
  }
  return "";
}

const std::vector<std::string>& refused_templates() {
  static const std::vector<std::string> kAll = {
      // Depth.
      "{{ " + times(100000, "[") + " }}",
      "{{ " + times(100000, "(") + "1" + times(100000, ")") + " }}",
      "{{ " + times(50000, "{1:") + " }}",
      "{{ a" + times(100000, "[a") + " }}",
      "{{ a" + times(100000, "(a") + " }}",
      "{{ " + times(50000, "1 if 1 else ") + "1 }}",
      times(50000, "{% if 1 %}"),
      times(50000, "{% for x in y %}"),
      times(50000, "{% set a %}"),
      times(50000, "{% filter upper %}"),
      times(50000, "{% call m() %}"),
      times(50000, "{% macro m() %}"),
      times(50000, "{% generation %}"),
      "{% set " + times(100000, "(") + " = 1 %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      "{% macro m() %}{{ " + times(120, "[") + "m()" + times(120, "]") +
          " }}{% endmacro %}{{ m() }}",
      "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      doubled("[]", "[ns.s]", "ns.s") + doubled("[]", "[[[ns.s]]]", "ns.s"),
      doubled("[]", "[ns.s].copy", "ns.s"),
      "{% set ns = namespace(a=1) %}{% set ns.a = [ns] %}{{ ns }}",
      // Bytes.
      "{{ \"{:>10000000000}\".format(1) }}",
      "{{ \"{:{}}\".format(1, 9999999999) }}",
      "{{ \"{:.9999999999f}\".format(1.5) }}",
      "{{ \"{:0999999999,}\".format(1) }}",
      "{{ \"{:99999999999999999999999}\".format(1) }}",
      "{{ '%9999999999d' % 1 }}",
      "{{ '%*d' % (9999999999, 1) }}",
      "{{ '%-9999999999s' % 'a' }}",
      "{{ messages|tojson(indent=100000000000) }}",
      "{{ messages|tojson(indent='x' * 100000000) }}",
      "{{ 'a\\nb' | indent(9999999999) }}",
      "{{ 'a' | center(9999999999) }}",
      "{{ 'a'.center(9999999999) }}",
      "{{ 'a'.ljust(9999999999) }}",
      "{{ 'a'.zfill(9999999999) }}",
      "{{ 'a' * 10000000000 }}",
      "{{ [1] * 10000000000 }}",
      "{{ 'a' * 100000 * 100000 }}",
      "{{ 'a'.replace('', 'b' * 100000000) }}",
      "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
      "{{ ('a' * 100000).join(['a'] * 100000) }}",
      "{{ ['a' * 100000] * 100000 | join }}",
      "{{ (['a' * 100000] * 100000) | string }}",
      "{{ [1] | batch(9999999999, 1) | list }}",
      "{{ [1] | slice(9999999999) | list }}",
      "{{ ('a ' * 50000000).split() }}",
      "{{ ('a' * 100000000) | list }}",
      "{{ range(1000000000) }}",
      doubled("[1]", "ns.s + ns.s", "ns.s|length"),
      doubled("(1,)", "ns.s + ns.s", "ns.s|length"),
      doubled("'a'", "ns.s + ns.s", "ns.s|length"),
      doubled("'a'", "ns.s ~ ns.s", "ns.s|length"),
      doubled("'a'", "'%s%s' % (ns.s, ns.s)", "ns.s|length"),
      doubled("[1]", "[ns.s, ns.s]", "ns.s"),
      doubled("[1]", "[ns.s, ns.s]", "ns.s | tojson"),
      doubled("{}", "{'a': ns.s, 'b': ns.s}", "ns.s"),
      "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) * 2 }}{% else %}{{ 'x' * 99 }}{% endif %}"
      "{% endmacro %}{{ m(25) }}",
      times(1 << 20, "xx"),
      // Work.
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(99999) %}{{ range(99999) | list | sort }}{% endfor %}",
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
      doubled("[1]", "[ns.s, ns.s]", "ns.s == [ns.s[0], [ns.s[0][0], ns.s[0][0] + []]]"),
      doubled("(1,)", "(ns.s, ns.s)", "{ns.s: 1}"),
      "{% for x in range(99999) %}{{ loop.changed(range(99999) | list) }}{% endfor %}",
  };
  return kAll;
}

TEST(HostileTemplates, do_not_count_beyond64_bits) {
  const TempFolder folder;
  for (const char* source :
       {"{{ 2 ** 10000000 }}", "{{ 9223372036854775807 + 1 }}", "{{ 99999999999999999999999 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}"}) {
    EXPECT_NE(refusal(folder, source), "") << source;
  }
}

TEST(HostileTemplates, are_refused_in_a_sentence_and_little_memory) {
  const TempFolder folder;
  EXPECT_TRUE(survives_in_little_memory([&] {
    for (const std::string& source : refused_templates()) {
      EXPECT_NE(refusal(folder, source), "") << source.substr(0, 100);
    }
  }));
}

// Chains are no nesting: however long, they are no reason to refuse a template, or to crash.
TEST(HostileTemplates, that_are_only_long_are_rendered) {
  const TempFolder folder;
  EXPECT_TRUE(survives_in_little_memory([&] {
    for (const std::string& source : {
             "{{ " + times(50000, "not ") + "1 }}",
             "{{ " + times(50000, "-") + "1 }}",
             "{{ " + times(100000, "1+") + "1 }}",
             "{{ " + times(100000, "1~") + "1 }}",
             "{{ " + times(100000, "1 and ") + "1 }}",
             "{{ " + times(100000, "1<") + "1 }}",
             "{{ 1" + times(80000, " is defined") + " }}",
             "{{ messages" + times(100000, "|list") + " | length }}",
             "{% if 0 %}" + times(50000, "{% elif 0 %}") + "{% endif %}",
             "{% filter " + times(50000, "upper|") + "upper %}a{% endfilter %}",
             "{{ 1" + times(500000, " ") + " }}",
             times(500000, "\n"),
             times(100000, "{# #}"),
         }) {
      EXPECT_EQ(refusal(folder, source), "") << source.substr(0, 100);
    }
    EXPECT_NE(refusal(folder, "{{ messages" + times(100000, ".a") + " }}"), "");
    EXPECT_NE(refusal(folder, "{{ messages" + times(100000, "()") + " }}"), "");
  }));
}

// Grammar-based: templates that mostly parse, and parts of templates in any order.
class Fuzz {
 public:
  explicit Fuzz(uint32_t seed) : random_(seed) {}

  std::string expression(int depth) {
    static const std::array kAtoms = {"messages", "messages[0]", "nope", "1",          "-2.5",
                                      "'a b'",    "''",          "none", "x",          "ns",
                                      "true",     "[]",          "{}",   "range(3)",   "loop",
                                      "m",        "'%s'",        "'{}'", "99999999999"};
    static const std::array kBinary = {"+",  "-", "*",  "/",  "//", "%",   "**", "~",
                                       "==", "<", "in", "is", "or", "and", "if", "not in"};
    static const std::array kAfter = {".role",
                                      ".content",
                                      ".items()",
                                      "[0]",
                                      "[-1:]",
                                      "['role']",
                                      "[::-1]",
                                      "()",
                                      "(1, a=2)",
                                      ".split('a', 1)",
                                      "|list",
                                      "|length",
                                      "|join(',')",
                                      "|tojson",
                                      "|tojson(indent=2)",
                                      "|map('upper')",
                                      "|select('eq')",
                                      "|sort",
                                      "|first",
                                      "|batch(2)",
                                      "|int",
                                      "|string",
                                      " is defined",
                                      " is not none",
                                      " is mapping",
                                      ".format(1)",
                                      ".strip()",
                                      "|replace('a',1)",
                                      "|default('z')",
                                      "|unique|list"};
    if (depth <= 0) return pick(kAtoms);
    switch (random_() % 6) {
      case 0:
        return expression(depth - 1) + " " + pick(kBinary) + " " + expression(depth - 1);
      case 1:
        return "(" + expression(depth - 1) + ")" + pick(kAfter);
      case 2:
        return "[" + expression(depth - 1) + ", " + expression(depth - 1) + "]" + pick(kAfter);
      case 3:
        return "{'k': " + expression(depth - 1) + "}" + pick(kAfter);
      case 4:
        return expression(depth - 1) + pick(kAfter);
      default:
        return expression(depth - 1) + " if " + expression(0) + " else " + expression(depth - 1);
    }
  }

  std::string body(int depth) {
    std::string text;
    for (uint32_t i = 0; i < 1 + random_() % 3; ++i) text += statement(depth);
    return text;
  }

  std::string soup() {
    static const std::array kParts = {"{{",
                                      "}}",
                                      "{%",
                                      "%}",
                                      "{#",
                                      "#}",
                                      "-",
                                      "+",
                                      "if",
                                      "for",
                                      "set",
                                      "macro",
                                      "endif",
                                      "endfor",
                                      "endset",
                                      "raw",
                                      "endraw",
                                      "generation",
                                      "x",
                                      "in",
                                      "=",
                                      "(",
                                      ")",
                                      "[",
                                      "]",
                                      "{",
                                      "}",
                                      ":",
                                      ",",
                                      ".",
                                      "|",
                                      "'",
                                      "\"",
                                      "\\",
                                      "\n",
                                      " ",
                                      "1",
                                      "1e9",
                                      "0x",
                                      "is",
                                      "not",
                                      "\xC3\xA9",
                                      "\xF0\x9F\x90\x84",
                                      "''",
                                      "~",
                                      "**",
                                      "else",
                                      "elif",
                                      "call",
                                      "break",
                                      "recursive",
                                      "%"};
    std::string text;
    for (uint32_t i = 0; i < 1 + random_() % 30; ++i) {
      text += pick(kParts);
      if (random_() % 2 == 0) text += ' ';
    }
    return text;
  }

 private:
  template <size_t N>
  std::string pick(const std::array<const char*, N>& choices) {
    return choices[random_() % N];
  }

  std::string statement(int depth) {
    if (depth <= 0) return "{{ " + expression(2) + " }}";
    switch (random_() % 9) {
      case 0:
        return "{% if " + expression(1) + " -%} " + body(depth - 1) + "{% else %}" +
               body(depth - 1) + "{% endif %}\n";
      case 1:
        return "{% for x in " + expression(1) + " %}" + body(depth - 1) + "{% endfor %}";
      case 2:
        return "{% set x = " + expression(2) + " %}";
      case 3:
        return "{% set ns = namespace(s=" + expression(1) + ") %}{% set ns.s = ns.s ~ 'a' %}";
      case 4:
        return "{% macro m(x, y=1) %}" + body(depth - 1) + "{% endmacro %}{{ m(" + expression(1) +
               ") }}";
      case 5:
        return "{% set x %}" + body(depth - 1) + "{% endset %}";
      case 6:
        return "{% generation %}" + body(depth - 1) + "{% endgeneration %}";
      case 7:
        return "{% for a, b in " + expression(1) + ".items() %}{{ loop.index ~ a }}{% endfor %}";
      default:
        return "text {{- " + expression(3) + " }}\n";
    }
  }

  std::mt19937 random_;
};

TEST(HostileTemplates, of_any_shape_are_rendered_or_refused) {
  const TempFolder folder;
  constexpr int kCases = 1500;
  EXPECT_TRUE(survives_in_little_memory([&] {
    Fuzz fuzz(7);
    int rendered = 0;
    for (int i = 0; i < kCases; ++i) {
      const std::string source = i % 3 == 0 ? fuzz.soup() : fuzz.body(3);
      const std::string reason = refusal(folder, source);
      EXPECT_EQ(reason.find("gave up"), std::string::npos) << source << "\n" << reason;
      rendered += reason.empty() ? 1 : 0;
    }
    EXPECT_GT(rendered, kCases / 20) << "the generator makes templates that can be rendered";
  }));
}

}  // namespace
}  // namespace mw::text
