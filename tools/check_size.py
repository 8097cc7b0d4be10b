#!/usr/bin/env python3
"""Checks that no file is longer than 400 lines, no function longer than 80 or of more than 6 parameters.

An exception is a row `path | reason` or `path:function | reason` in tools/size_allow.txt; a row
that is no longer needed is an error too. C++ functions are found by their braces, Python's by its
parser. An OP_CASES block is a table of test cases and counts as no function. Of a Python function those
parameters count that can be given by position.
"""

import argparse
import ast
import pathlib
import re
import sys
import tempfile

FILE_LINES = 400
FUNCTION_LINES = 80
PARAMETERS = 6
ALLOW = "tools/size_allow.txt"
FOLDERS = ("include", "src", "tests", "python", "rust", "tools", "examples", "bench", "cmake")
CPP = {".cc", ".h", ".hpp", ".cu"}
OTHERS = {".py", ".sh", ".rs", ".cmake", ".proto"}
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"'
    r"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)*'"  # 1'000 holds no character
    r"|^[ \t]*#(?:[^\n\\]|\\.)*",
    re.DOTALL | re.MULTILINE,
)
CONTAINER = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")
IN_HEAD = re.compile(
    r"\)[^{}]*[:,]\s*[\w:<>]+\s*$"
)  # the brace of `: member{value}` belongs to the head
NAME = re.compile(
    r"([A-Z_]+\([^()]*\)|[\w:~]+|operator\s*\S+?)\s*(?:\(|$)"
)  # TEST(a, b): the whole


def blank(match):
    """A comment, literal or directive without its characters but with its lines."""
    return re.sub(r"[^\n]", " ", match.group(0))


def parentheses(match):
    return "()" + "\n" * match.group(0).count("\n")


def parameters_of(head, name):
    """How many parameters the function has that `head`, the text before its brace, names."""
    head = re.sub(r"template\s*<[^;{}]*?>(?=\s*[\w\[:~])", "", head)
    start = head.find(name + "(") if name + "(" in head else head.find("(")
    start = head.find("(", start)
    if re.search(r"operator\s*$", head[:start]):
        start = head.find("(", start + 1)
    depth = commas = 0
    end = start
    for end in range(start, len(head)):
        depth += {"(": 1, "[": 1, "{": 1, "<": 1, ")": -1, "]": -1, "}": -1}.get(head[end], 0)
        depth -= head[end] == ">" and head[end - 1] != "-"
        commas += head[end] == "," and depth == 1
        if depth == 0:
            break
    return commas + 1 if head[start + 1 : end].strip() else 0


def cpp_functions(text):
    """(name, first line, lines, parameters) of each function; what is inside one belongs to it."""
    text = TOKEN.sub(blank, text)
    line, start, depth, inside, head_end = 1, 0, 0, None, None
    for position, character in enumerate(text):
        if character == "\n":
            line += 1
        elif character == "{":
            head = re.sub(r"\{[^{}]*\}", parentheses, text[start:position])
            if inside is None and head_end is None:
                if IN_HEAD.search(head) or head.count("(") != head.count(")"):
                    head_end = depth
                elif is_function(head):
                    inside = depth
                    first, name = line - head.lstrip().count("\n"), NAME.search(head)
                    count = parameters_of(head, name.group(1) if name else "")
            depth += 1
        elif character == "}":
            depth = max(depth - 1, 0)
            if head_end == depth:
                head_end = None
                continue
            if inside == depth:
                yield (name.group(1) if name else "?"), first, line - first + 1, count
                inside = None
        if character in ";{}" and inside is None and head_end is None:
            start = position + 1


def is_function(head):
    """Whether the text before a brace heads a function, not a namespace, class or initialiser."""
    before, parenthesis, _ = re.sub(r"template\s*<[^;{}]*?>", "", head).partition("(")
    if not parenthesis or re.search(r"(?<!operator)(?<!=)=(?!=)", before):
        return False
    return not CONTAINER.search(before) or bool(
        re.search(r"\)\s*(const|noexcept|override|final|\s)*$", head)
    )


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [one.arg for one in node.args.posonlyargs + node.args.args]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1, count


def functions_of(path, text):
    if path.suffix in CPP:
        return cpp_functions(text)
    return python_functions(text) if path.suffix == ".py" else ()


def files(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if (
                path.suffix in CPP | OTHERS
                and not {"target", "corpus"} & set(path.parts)
                and path.is_file()
            ):
                yield path


def read_allowed(root):
    allowed, problems = {}, []
    path = root / ALLOW
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else (), 1):
        if line.strip() and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) != 2 or not all(cells):
                problems.append(
                    f"{ALLOW}:{number}: expected 'path | reason' or 'path:function | reason'"
                )
            else:
                allowed[cells[0]] = False
    return allowed, problems


def oversized(root):
    """(key in the allow list, message) of all that is too long, and the number of files."""
    found, count = [], 0
    for path in files(root):
        count += 1
        name, text = str(path.relative_to(root)), path.read_text()
        lines = text.count("\n") + (not text.endswith("\n") and text != "")
        if lines > FILE_LINES:
            found.append((name, f"{name}: {lines} lines; expected at most {FILE_LINES}"))
        for function, first, length, parameters in functions_of(path, text):
            if parameters > PARAMETERS:
                found.append(
                    (
                        f"{name}:{function}",
                        f"{name}:{first}: {function} has {parameters} parameters; "
                        f"expected at most {PARAMETERS}",
                    )
                )
            if length > FUNCTION_LINES and not function.startswith("OP_CASES("):
                found.append(
                    (
                        f"{name}:{function}",
                        f"{name}:{first}: {function} has {length} lines; "
                        f"expected at most {FUNCTION_LINES}",
                    )
                )
    return found, count


def check(root):
    allowed, problems = read_allowed(root)
    found, count = oversized(root)
    for key, message in found:
        if key in allowed:
            allowed[key] = True
        else:
            problems.append(f"{message}; split it, or give the reason in {ALLOW}")
    problems.extend(
        f"{ALLOW}: '{key}' allows nothing; remove the row"
        for key, used in allowed.items()
        if not used
    )
    return problems, f"{count} files, {len(found)} with a reason to be large"


def longest(root, count):
    """Prints the largest functions, those of tests apart, and the largest files."""
    in_files, functions = [], []
    for path in files(root):
        name, text = str(path.relative_to(root)), path.read_text()
        in_files.append((text.count("\n"), name))
        if name.startswith(("include/", "src/")) and not re.search(r"_test\.|testing|_case", name):
            functions += [
                (length, parameters, f"{name}: {function}")
                for function, _, length, parameters in functions_of(path, text)
            ]
    lengths = sorted(length for length, _, _ in functions)
    print(
        f"{len(functions)} functions of include/ and src/ without tests: "
        f"median {lengths[len(lengths) // 2]} lines, 90 % have at most {lengths[len(lengths) * 9 // 10]}"
    )
    for title, rows in (
        ("lines of a function", [(length, where) for length, _, where in functions]),
        ("parameters of a function", [(parameters, where) for _, parameters, where in functions]),
        ("lines of a file", in_files),
    ):
        print(f"\n| {title} | |\n|---|---|")
        for number, where in sorted(rows, reverse=True)[:count]:
            print(f"| {number} | {where} |")


def self_test():
    body = "  x();\n" * FUNCTION_LINES
    cpp = (
        "namespace a {\nstruct S {\n  int small() const { return 1; }\n"
        f"  void big(int x) {{\n{body}  }}\n}};\n"
        f"class alignas(16) Z {{\n{'  int a;' + chr(10) * 85}}};\n"
        f"S::S(int a, std::vector<int> b = {{1}}) : a{{a}},\n    b{{b}} {{\n{body}}}\n"
        f"const int table[] = {{\n{'  1,' + chr(10) * 81}}};\n"
        "auto ok(char c = '{') { return \"}{\"; }\n"
        "int seven(int a, std::map<int, int> b, int (*c)(int, int), int d, int e, int f, int g) {}\n"
        "struct Q {\n  Q(int a, std::map<int, int> b, F<void(int, int)> c) : a(a), b{1, 2} {}\n"
        "  int operator()(int a, int b, int c, int d, int e, std::vector<int> f) const {}\n};\n"
        f"template <class T>\nstruct R fits() {{\n{body[:-21]}}}\n"
        f"std::vector<int> long_one(const std::vector<int>& v,\n    int y)\n{{\n{body}}}\n}}\n"
    )
    cpp += f"OP_CASES(add) {{\n{body}}}\nTEST(adding, is_long) {{\n{body}}}\n"
    wanted = {
        "src/a.cc:TEST(adding, is_long)",
        "src/a.cc:big",
        "src/a.cc:seven",
        "src/b.py:h",
        "src/a.cc:long_one",
        "src/a.cc:S::S",
        "src/a.cc",
        "src/b.py:f",
        "src/c.h",
        "src/ok.cc:g",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "src").mkdir()
        (root / "tools").mkdir()
        (root / "src" / "a.cc").write_text(cpp)
        (root / "src" / "ok.cc").write_text(f"int main() {{}}\nint g(int a) {{\n{body}}}\n")
        (root / "src" / "b.py").write_text(
            "def f():\n" + "    pass\n" * FUNCTION_LINES + "def h(a, b, c, d, e, f, g, *, i): pass\n"
            "def k(self, b, c, d, e, f, g, *, i): pass\n"
        )
        (root / "src" / "c.h").write_text("//\n" * (FILE_LINES + 1))
        (root / ALLOW).write_text("src/ok.cc:g | a table\nsrc/gone.cc | no longer there\n")
        found = {key for key, _ in oversized(root)[0]}
        problems, _ = check(root)
    if (
        found != wanted
        or len(problems) != len(wanted)
        or not any("src/gone.cc" in text for text in problems)
    ):
        print(
            "check_size --self-test: expected",
            sorted(wanted),
            "got",
            sorted(found),
            *problems,
            sep="\n  ",
        )
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--self-test", action="store_true", help="check the checker on made-up files"
    )
    parser.add_argument("--longest", type=int, metavar="N", help="print the N largest of each kind")
    arguments = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    if arguments.self_test:
        return self_test()
    if arguments.longest:
        return longest(root, arguments.longest)
    problems, facts = check(root)
    print("\n".join(problems) if problems else facts)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
