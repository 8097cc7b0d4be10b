#!/usr/bin/env python3
"""Adds to the table of ops (stdin) how many cases test each: of its own, and of the conformance suite;
and how many mutants of its gradient rule they tell apart.

op_columns.py OPS_TEST CONFORMANCE MUTANTS: the binary that holds the OP_CASES blocks, and the files of
lines `op count` that conformance_test and gradcheck_test keep.
"""
import os
import subprocess
import sys

NOTE = """*Cases* are those of its own in `src/ops/`, each run in every float type and by both executors;
*conformance* counts the programs of the conformance suite that contain it and give the expected result.
A gradient rule is checked in every case. Its *mutants* have the sign of one result flipped or one term
dropped; each is told from the rule by a case.
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


def counts(path: str) -> dict[str, int]:
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    return {name: int(count) for name, count in rows}


def main() -> None:
    own = own_cases(sys.argv[1])
    conformance, mutants = counts(sys.argv[2]), counts(sys.argv[3])
    for line in sys.stdin.read().splitlines():
        cells = line.split(" | ")
        if line.startswith("| operation |"):
            print(NOTE + "\n" + line + " cases | conformance |")
        elif line.startswith("|---"):
            print(line + "---|---|")
        elif line.startswith("| `") and len(cells) == 4:
            name = cells[0].strip("| `")
            if cells[3] == "rule |" and mutants.get(name):
                line = line.removesuffix(" |") + f", {mutants[name]} mutants |"
            print(f"{line} {own.get(name, '–')} | {conformance.get(name, '–')} |")
        else:
            print(line)


if __name__ == "__main__":
    main()
