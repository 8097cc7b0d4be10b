"""Passes on what `cargo test` says and writes it as JUnit XML: cargo test 2>&1 | cargo_report.py FILE.

Fails where a test failed, and where what cargo counts is not what was read.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

SUITE = re.compile(r"\s+Running (?:unittests )?(\S+) \(|\s+Doc-tests (\S+)")
CASE = re.compile(r"test (.+) \.\.\. (ok|FAILED|ignored)(?:, .*)?")
RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
WORDS = ("ok", "FAILED", "ignored")


def read(lines):
    """(suite, case, verdict) of each test, and how many cargo says that there are of each verdict."""
    cases, told, suite = [], [0, 0, 0], ""
    for line in lines:
        print(line, end="", flush=True)
        if match := SUITE.match(line):
            suite = match.group(1) or f"documentation of {match.group(2)}"
        elif match := CASE.fullmatch(line.rstrip()):
            cases.append((suite, *match.groups()))
        elif match := RESULT.match(line):
            told = [all + int(more) for all, more in zip(told, match.groups())]
    return cases, told


def main():
    report = pathlib.Path(sys.argv[1])
    cases, told = read(sys.stdin)
    found = [sum(verdict == word for _, _, verdict in cases) for word in WORDS]
    root = ElementTree.Element("testsuite", name="cargo")
    for suite, name, verdict in cases:
        case = ElementTree.SubElement(root, "testcase", classname=suite, name=name)
        if verdict == "FAILED":
            ElementTree.SubElement(case, "failure")
        elif verdict == "ignored":
            ElementTree.SubElement(case, "skipped", message="ignored")
    report.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(report)
    if found != told or not cases:
        print(f"error: read {found} tests passed, failed, ignored; cargo says {told}", file=sys.stderr)
        return 1
    return 1 if found[1] else 0


if __name__ == "__main__":
    sys.exit(main())
