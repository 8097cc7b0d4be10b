#!/usr/bin/env python3
"""Checks that what the pages name is there: files, folders, links to other pages and to their sections.

A path is what stands between backticks and begins with a folder of this tree, or with a room of src/ where
a file's name follows (`plan/backend.h`). `<name>` in it stands for any name, `{a,b}` for one of several, and
a * for anything: one file at least has to match. Code blocks are read for `src/…`, `tests/…`, `tools/…` alone.
And the other way round: each command of src/cli/main.cc has its file and a row in README.md, each loss of
settings.hpp is named in docs/training.md.
"""

import argparse
import itertools
import pathlib
import re
import sys
import tempfile

PAGES = ("README.md", "docs/*.md")
FOLDERS = ("include", "src", "tests", "python", "rust", "tools", "examples", "docs", "cmake")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
IN_FENCE = re.compile(r"(?<![\w./-])(?:\./)?((?:src|tests|tools|docs)/[\w./<>*{},-]*[\w>*}])")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"[\w.<>*{},-]+(/[\w.<>*{},-]*)+")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
SUFFIX = re.compile(r"\.(cc|h|hpp|py|pyi|sh|md|txt|cmake|json|plan|mil|so|toml|rs|proto)$")
COMMANDS = re.compile(r"^void add_commands\(.*?^}", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"\badd_(\w+)\(app\);")
LOSSES = re.compile(r"struct Choices<Loss> \{.*?\{([^}]*)\}", re.DOTALL)


def alternatives(path):
    """`a/{b,c}.cc` as a/b.cc and a/c.cc."""
    parts = re.split(r"\{([^{}]*)\}", path)
    choices = [[part] if i % 2 == 0 else part.split(",") for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def exists(root, path):
    pattern = re.sub(r"<[\w-]+>", "*", path).rstrip("/")
    return any(True for _ in root.glob(pattern)) if "*" in pattern else (root / pattern).exists()


def is_path(root, text, rooms):
    """Whether the text names a file of this tree, and where it should be."""
    if not PATH.fullmatch(text):
        return None
    first = text.split("/", 1)[0]
    if first in FOLDERS:
        return text
    if first in rooms and (SUFFIX.search(text) or text.endswith("/")):
        return "src/" + text
    return None


def anchor_of(heading):
    heading = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", heading))


def check_page(root, page, rooms):
    text = page.read_text()
    prose = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)
    named = [(match.start(1), is_path(root, match.group(1), rooms)) for match in CODE.finditer(prose)]
    for fence in FENCE.finditer(text):
        named += [(fence.start() + m.start(1), m.group(1)) for m in IN_FENCE.finditer(fence.group(0))]
    for at, path in named:
        for one in alternatives(path) if path else ():
            if not exists(root, one):
                yield at, f"names `{one}`, which is not there"
    for match in LINK.finditer(prose):
        target, _, anchor = match.group(1).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        other = page.parent / target if target else page
        if not other.exists():
            yield match.start(), f"links to {target}, which is not there"
        elif anchor and anchor not in map(anchor_of, HEADING.findall(FENCE.sub("", other.read_text()))):
            yield match.start(), f"links to {match.group(1)}, which has no such section"


def part_of(path, pattern):
    found = pattern.search(path.read_text()) if path.is_file() else None
    return found.group(0) if found else ""


def not_listed(root):
    """A sentence for each command and each loss that no page lists."""
    for name in COMMAND.findall(part_of(root / "src/cli/main.cc", COMMANDS)):
        if f"| `millwright {name}" not in (root / "README.md").read_text():
            yield f"README.md: the table of commands has no row of `millwright {name}`"
        if not (root / f"src/cli/{name}.cc").is_file():
            yield f"src/cli/main.cc: add_{name}() is not in src/cli/{name}.cc"
    for name in re.findall(r'"(\w+)"', part_of(root / "include/millwright/settings.hpp", LOSSES)):
        if f"`{name}`" not in (root / "docs/training.md").read_text():
            yield f"docs/training.md: says nothing of the loss `{name}`"


def check(root):
    """A sentence for each thing that a page names and that is not there."""
    rooms = {path.name for path in (root / "src").iterdir() if path.is_dir()}
    problems, pages = [], 0
    for page in sorted(itertools.chain.from_iterable(root.glob(pattern) for pattern in PAGES)):
        pages += 1
        text = page.read_text()
        for at, problem in check_page(root, page, rooms):
            line = text.count("\n", 0, at) + 1
            problems.append(f"{page.relative_to(root)}:{line}: {problem}")
    return [*problems, *not_listed(root)], pages


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("src/plan/a.cc", "src/plan/a_cpu.cc", "docs/b.md", "README.md"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("# The *first* `one`\n")
        good = "`src/plan/a.cc` `plan/a.cc` `src/<room>/a{,_cpu}.cc` [x](b.md#the-first-one) `a/b` `src/plan/`"
        bad = ("`src/plan/c.cc`", "`plan/c.cc`", "`src/plan/a{,_gpu}.cc`", "`src/<room>/c.cc`", "[x](c.md)",
               "[x](b.md#second)", "```\ncat tests/none.txt\n```")
        (root / "docs/c.md").write_text("\n")
        for text, expected in ((good, 0), *((text, 1) for text in bad)):
            target = root / "docs/page.md"
            (root / "docs/c.md").unlink(missing_ok=True)
            target.write_text(f"# Page\n\n{text}\n")
            problems, _ = check(root)
            if len(problems) != expected:
                print(f"self-test: {text!r}: expected {expected} problems, got {problems}")
                return 1
    return self_test_of_lists()


def self_test_of_lists():
    files = {
        "README.md": "| `millwright run MODEL` | x |\n",
        "docs/training.md": "`mse`\n",
        "src/cli/main.cc": "void add_commands(App& app) {\n  add_run(app);\n  add_walk(app);\n}\nadd_all(app);\n",
        "src/cli/run.cc": "",
        "include/millwright/settings.hpp": 'struct Choices<Loss> {\n  kNames = {"mse", "hinge"};\n};\n',
    }
    expected = ["README.md: the table", "src/cli/main.cc: add_walk()", "docs/training.md: says nothing of"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        problems, _ = check(root)
    starts = [problem[: len(start)] for problem, start in zip(problems, expected)]
    if starts == expected and len(problems) == len(expected):
        return 0
    print(f"self-test: expected {expected}, got {problems}")
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--self-test", action="store_true", help="check this script itself")
    if parser.parse_args().self_test:
        return self_test()
    problems, pages = check(pathlib.Path(__file__).resolve().parents[1])
    print("\n".join(problems) if problems else f"{pages} pages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
