#!/usr/bin/env python3
"""Checks that src/ keeps to the room table of docs/architecture.md, and who names ops and flags.

Four rules. A file may include its own room, the rooms in its row's last column and what those may
include; the public headers are open to all, but for those with the model classes, which are for
the rooms that stand on them; tests may include anything. A file of ops/ that is named `_cpu`
includes something of cpu/. Outside ops/, package/ and tests no string literal is the name of an op,
because the stages see ops only through the catalog; tools/op_name_allow.txt lists words that mean
something else where they stand, each with the reason. And outside cli/ no message holds a flag of
the command line: it names the setting, by setting() of base/error.h, which each face spells its own
way.
"""

import argparse
import fnmatch
import pathlib
import re
import sys
import tempfile

TABLE = "docs/architecture.md"
ALLOW = "tools/op_name_allow.txt"
PUBLIC = "millwright"
NAMES_OPS = {"ops", "package"}
# The model classes: what they stand on does not know them.
FACADE = {
    "millwright/millwright.hpp",
    "millwright/training.hpp",
    "millwright/millwright.h",
    "millwright/features.h",
    "millwright/tokenizer.h",
    "millwright/types.h",
}
SEES_FACADE = {PUBLIC, "api", "cli"}
LISTS_OF_FAMILIES = {"catalog_plan.cc", "kernels_cpu.cc"}
SOURCES = {".cc", ".h", ".hpp", ".cu"}
ROW = re.compile(r"^\s*\|(.+)\|\s*$")
ROOM = re.compile(r"`(?:src/(\w+)|(include/millwright|python))\b")
ALSO = re.compile(r"\(\s*`?([^`\s]+)`?\s+also\s+([^)]*)\)")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL
)
OP_NAME = re.compile(r'OpDef\(\s*"([\w.]+)"|\bX\((\w+)\)')


class Rooms:
    """The table: which rooms a room may include, and more of them for files of some names."""

    def __init__(self, text):
        direct, self.also = {}, {}
        for line in text.splitlines():
            row = ROW.match(line)
            cells = [cell.strip() for cell in row.group(1).split("|")] if row else []
            names = (
                [a or b.rsplit("/", 1)[-1] for a, b in ROOM.findall(cells[0])]
                if len(cells) >= 3
                else []
            )
            for name in names:
                self.also[name] = [
                    (glob, set(re.findall(r"\w+", rooms))) for glob, rooms in ALSO.findall(cells[2])
                ]
                direct[name] = set(re.findall(r"\w+", ALSO.sub("", cells[2])))
        everything = set(direct)
        self.direct = {
            name: everything if "all" in words else words & everything
            for name, words in direct.items()
        }

    def reach(self, room, file_name):
        """Every room that a file may include."""
        seen, queue = set(), [room, PUBLIC, *self.extra(room, file_name)]
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(self.direct.get(name, ()))
        return seen

    def extra(self, room, file_name):
        return [
            name
            for glob, rooms in self.also.get(room, ())
            if fnmatch.fnmatch(file_name, glob)
            for name in rooms
        ]


def is_test(path):
    endings = ("_test", "_case", "_cases", "testing")
    return path.stem.endswith(endings) or path.stem.startswith("test_")


def sources(root):
    for folder in (root / "src", root / "include"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in SOURCES and "target" not in path.parts and path.is_file():
                yield path


def room_of(path, root):
    parts = path.relative_to(root).parts
    return PUBLIC if parts[0] == "include" else parts[1]


def included_room(name, path, root):
    """The room an include leads to; None for what is not ours or is generated."""
    for base in (root / "src", root / "include", path.parent):
        if (base / name).is_file():
            return room_of((base / name).resolve(), root)
    return None


def tokens(text):
    """Comments and literals of a source, each with its line."""
    for match in TOKEN.finditer(text):
        yield match.group(0), text.count("\n", 0, match.start()) + 1


def without_comments(text):
    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token) if token.startswith(("//", "/*")) else token

    return TOKEN.sub(blank, text)


def op_names(root):
    found = set()
    for path in (root / "src" / "ops").rglob("*.cc"):
        if not is_test(path) and path.name not in LISTS_OF_FAMILIES:
            for literal, listed in OP_NAME.findall(path.read_text()):
                found.add(literal or listed)
    return found - {"name", "op"}


def read_allowed(root):
    """[glob, word, used] of each row `glob | word | reason`, and what is wrong with the file."""
    rows, problems = [], []
    path = root / ALLOW
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else (), 1):
        if line.strip() and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) != 3 or not all(cells):
                problems.append(f"{ALLOW}:{number}: expected 'glob | word | reason'")
            else:
                rows.append([cells[0], cells[1], False])
    return rows, problems


def check_includes(path, text, rooms, root):
    room = room_of(path, root)
    allowed = rooms.reach(room, path.name)
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match.group(1) in FACADE and room not in SEES_FACADE:
            yield f"{path.relative_to(root)}:{line}: includes the model classes of {match.group(1)}"
        target = included_room(match.group(1), path, root)
        if target is not None and target not in allowed:
            may = ", ".join(sorted(allowed - {room})) or "nothing of ours"
            place = f"{path.relative_to(root)}:{line}"
            yield f'{place}: includes "{match.group(1)}"; {room} may include {may}'


def check_device(path, text, root):
    """A name of a device that the file does not see."""
    if path.stem.endswith("_cpu"):
        rooms = {included_room(name, path, root) for name in INCLUDE.findall(text)}
        if "cpu" not in rooms:
            yield f"{path.relative_to(root)}: named _cpu, but includes nothing of cpu/"


def check_names(path, text, names, allowed, root):
    relative = str(path.relative_to(root))
    for token, line in tokens(text):
        word = token[1:-1]
        if not token.startswith('"') or word not in names:
            continue
        rows = [row for row in allowed if row[1] == word and fnmatch.fnmatch(relative, row[0])]
        for row in rows:
            row[2] = True
        if not rows:
            yield f"{relative}:{line}: {token} is an op's name; only ops/ and package/ may hold one"


def check_flags(path, text, root):
    """Raw strings are pages and programs, no messages."""
    for token, line in tokens(text):
        if token.startswith('"') and "--" in token:
            yield f"{path.relative_to(root)}:{line}: {token} names a flag; name the setting"


def check(root):
    rooms = Rooms((root / TABLE).read_text())
    names = op_names(root)
    allowed, problems = read_allowed(root)
    count = 0
    unknown = set()
    for path in sources(root):
        count += 1
        room = room_of(path, root)
        text = without_comments(path.read_text())
        if room not in rooms.direct:
            unknown.add(room)
        elif not is_test(path):
            problems.extend(check_includes(path, text, rooms, root))
            if room != "cli":
                problems.extend(check_flags(path, text, root))
            if room == "ops":
                problems.extend(check_device(path, text, root))
            if room not in NAMES_OPS:
                problems.extend(check_names(path, text, names, allowed, root))
    problems.extend(f"src/{room}: has no row in the table of {TABLE}" for room in sorted(unknown))
    problems.extend(
        f"{ALLOW}: '{glob} | {word}' allows nothing that exists; remove it"
        for glob, word, used in allowed
        if not used
    )
    return problems, f"{count} files, {len(rooms.direct)} rooms, {len(names)} op names"


SELF_TEST = {
    TABLE: "| room | owns | may include |\n|---|---|---|\n| `include/millwright/` | a | – |\n"
    "| `src/base/` | b | nothing of ours |\n| `src/ir/` | c | base |\n"
    "| `src/ops/<family>/` | d | ir (`*_plan.*` also plan) (`*_cpu.*` also exec, cpu) |\n"
    "| `src/plan/` | p | ir |\n| `src/exec/` | e | plan |\n| `src/cpu/` | g | exec |\n"
    "| `src/cli/`, `python/` | f | all |\n",
    ALLOW: "# rows\nsrc/cli/*.cc | log | the name of a flag\nsrc/cli/*.cc | relu | never used\n",
    "include/millwright/a.hpp": "",
    "include/millwright/training.hpp": "",
    "src/base/a.h": '#include "millwright/a.hpp"\n#include "ir/a.h"\n'
    'auto a = "lower --lr"; auto b = R"(--paper)"; auto c = "a-b"; // "--lr"\n',
    "src/base/a_test.cc": 'auto a = "--lr";',
    "src/ir/a.h": '#include "base/a.h"\n// #include "exec/a.h"\n'
    '/* "relu" */ const char* s = "relu";\n',
    "src/exec/a.h": '#include "ir/a.h"\n#include "base/a.h"\n#include "millwright/training.hpp"\n',
    "src/plan/a.h": "",
    "src/cpu/a.h": '#include "exec/a.h"\n',
    "src/ops/x/x_plan.cc": '#include "plan/a.h"\n#include "cpu/a.h"\n#include "exec/a.h"\n',
    "src/ops/x/relu.cc": 'OpDef relu() { return OpDef("relu"); }\n#include "exec/a.h"\n',
    "src/ops/x/relu_cpu.cc": '#include "exec/a.h"\n#include "cpu/a.h"\nOpDef("log");',
    "src/ops/x/tanh_cpu.h": '#include "plan/a.h"\n// #include "cpu/a.h"\n',
    "src/ops/x/relu_test.cc": '#include "exec/a.h"\n',
    "src/cli/b.cc": '#include "millwright/training.hpp"\n',
    "src/cli/a.cc": '#include "exec/a.h"\n#include "ops/x/relu.cc"\n'
    'auto a = "log --lr"; auto a = "log"; auto b = \'"\'; auto c = "tanh";\n',
    "src/stray/a.h": "",
}
SELF_TEST_FINDS = (
    'src/base/a.h:3: "lower --lr" names a flag',
    'src/base/a.h:2: includes "ir/a.h"',
    'src/ir/a.h:3: "relu" is an op\'s name',
    'src/ops/x/relu.cc:2: includes "exec/a.h"',
    "src/ops/x/tanh_cpu.h: named _cpu",
    'src/ops/x/x_plan.cc:2: includes "cpu/a.h"',
    'src/ops/x/x_plan.cc:3: includes "exec/a.h"',
    "src/stray: has no row",
    "src/exec/a.h:3: includes the model classes",
    "'src/cli/*.cc | relu' allows nothing",
)


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for name, text in SELF_TEST.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        problems, _ = check(root)
    missed = [text for text in SELF_TEST_FINDS if not any(text in problem for problem in problems)]
    if missed or len(problems) != len(SELF_TEST_FINDS):
        print("check_layers --self-test: expected", *SELF_TEST_FINDS, "got", *problems, sep="\n  ")
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--self-test", action="store_true", help="check the checker on a made-up tree"
    )
    if parser.parse_args().self_test:
        return self_test()
    problems, facts = check(pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(problems) if problems else facts)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
