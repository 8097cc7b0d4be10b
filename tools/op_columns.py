#!/usr/bin/env python3
"""Adds to the table of ops (stdin) how many cases test each: of its own, and of the conformance suite.

op_columns.py OPS_TEST CONFORMANCE: the binary that holds the OP_CASES blocks, and the file of lines
`op count` that conformance_test keeps.
"""
import os
import subprocess
import sys

NOTE = """*Cases* are those of its own in `src/ops/`, each run in every float type and by both executors;
*conformance* counts the programs of the conformance suite that contain it and give the expected result.
"""


def own_cases(binary: str) -> dict[str, int]:
    listing = subprocess.run(
        [binary, "--gtest_filter=op_cases.*"],
        env={**os.environ, "MW_COUNT_CASES": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split() for line in listing.splitlines() if line.startswith("cases ")]
    return {name: int(count) for _, name, count in rows}


def conformance_cases(path: str) -> dict[str, int]:
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return {name: int(count) for name, count in rows}


def main() -> None:
    own, conformance = own_cases(sys.argv[1]), conformance_cases(sys.argv[2])
    for line in sys.stdin.read().splitlines():
        cells = line.split(" | ")
        if line.startswith("| operation |"):
            print(NOTE + "\n" + line + " cases | conformance |")
        elif line.startswith("|---"):
            print(line + "---|---|")
        elif line.startswith("| `") and len(cells) == 4:
            name = cells[0].strip("| `")
            print(f"{line} {own.get(name, '–')} | {conformance.get(name, '–')} |")
        else:
            print(line)


if __name__ == "__main__":
    main()
