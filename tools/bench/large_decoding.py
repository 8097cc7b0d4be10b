#!/usr/bin/env python3
"""Times decoding of large models, one token a call, greedily, from an empty cache; two threads.

    tools/setup.sh --coremltools && make build
    .deps/venv-coremltools/bin/python tools/bench/large_models.py FOLDER decoder apple apple-32768
    .deps/venv/bin/python tools/bench/large_decoding.py FOLDER/qwen06-*.mlpackage [--tokens N] [--rounds N]

The models take turns. The table has the median over all tokens of all rounds, the fastest round, and what of
the memory's bandwidth that is: the weight file read once a token, against the best of 20 reads of 1 GiB by two
threads. Resident memory is what one turn adds. With two models the last line is the ratio of their rounds.
Nothing else should run on the machine.
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

THREADS = 2
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "build" / "python"))

import numpy as np  # noqa: E402
from contender import memory_megabytes  # noqa: E402

import millwright  # noqa: E402


def bandwidth() -> float:
    """Gigabytes a second."""
    parts = np.split(np.ones(1 << 28, np.float32), THREADS)
    best = 0.0
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(20):
            begin = time.perf_counter()
            list(pool.map(np.maximum.reduce, parts))
            best = max(best, (1 << 30) / (time.perf_counter() - begin) / 1e9)
    return best


def inputs_of(model: millwright.MLModel, place: int, token: int) -> dict[str, np.ndarray]:
    known = {"input_ids": np.array([[token]], np.int32), "inputIds": np.array([[token]], np.int32),
             "position": np.array([place], np.int32),
             "causalMask": np.zeros((1, 1, 1, place + 1), np.float16)}
    return {name: known[name] for name in model.input_description}


def turn(model: millwright.MLModel, tokens: int) -> list[float]:
    """Seconds of each token."""
    state, token, seconds = model.make_state(), 1, []
    for place in range(tokens):
        begin = time.perf_counter()
        logits = model.predict(inputs_of(model, place, token), state=state)["logits"]
        seconds.append(time.perf_counter() - begin)
        token = int(logits.argmax())
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    fastest = bandwidth()
    models, opened, added = {}, {}, {}
    for package in options.packages:
        begin = time.perf_counter()
        models[package] = millwright.MLModel(package, threads=THREADS)
        opened[package] = time.perf_counter() - begin
        before = memory_megabytes("VmRSS")
        turn(models[package], options.tokens)  # makes plans
        added[package] = memory_megabytes("VmRSS") - before
    rounds = {package: [] for package in models}
    for _ in range(options.rounds):
        for package, model in models.items():
            rounds[package].append(turn(model, options.tokens))
    fastest = max(fastest, bandwidth())
    print(f"reading memory: {fastest:.1f} GB/s\n")
    print("| model | opening | ms a token | best round | of the bandwidth | memory |\n|---|---|---|---|---|---|")
    for package, turns in rounds.items():
        median = statistics.median(second for seconds in turns for second in seconds)
        best = min(statistics.median(seconds) for seconds in turns)
        weights = sum(file.stat().st_size for file in package.rglob("weight.bin"))
        print(f"| {package.stem} | {opened[package]:.2f} s | {median * 1e3:.1f} | {best * 1e3:.1f} "
              f"| {weights / median / fastest / 1e7:.0f} % | {added[package]:,.0f} MB |")
    if len(rounds) == 2:
        first, second = ([sum(seconds) for seconds in turns] for turns in rounds.values())
        ratio = statistics.median(b / a for a, b in zip(first, second))
        print(f"\nthe second takes {ratio:.3f} times as long as the first, median of {options.rounds} pairs")


if __name__ == "__main__":
    main()
