#!/usr/bin/env python3
"""Times two builds of Millwright beside each other: whether a change made anything slower.

    .deps/venv/bin/python tools/bench/two_builds.py BEFORE AFTER --minilm PACKAGE --decoder PACKAGE
        [--stories15m PACKAGE] [--gpt2 PACKAGE] [--rounds N] [--json FILE]

BEFORE and AFTER are folders of builds. The lines are those of peers.py and training_peers.py, and training
steps at real size where the packages are given: stories15m 8 x 256 tokens, gpt2 4 x 256. Each build is a
process of its own with two threads; in every round both do the same work one after the other, the first of
them in turn. The ratio is before's time by after's (above 1: after is faster), its median over the rounds with
a 95 % interval (bootstrap). Exit code 1 where the upper end of an interval is below 0.98. Nothing else should
run on the machine.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
BOUND = 0.98
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shakespeare"


def predict_work(package, batch):
    import millwright
    import numpy as np

    generator = np.random.default_rng(0)
    ids = generator.integers(1000, 30000, (batch, 128)).astype(np.int32)
    mask = np.ones((batch, 128), np.int32)
    model = millwright.MLModel(package)
    return lambda: model.predict({"input_ids": ids, "attention_mask": mask})


def decode_work(package, tokens):
    import millwright
    import numpy as np

    model = millwright.MLModel(package)
    ids = np.random.default_rng(0).integers(0, 1000, tokens).astype(np.int32)

    def run():
        state = model.make_state()
        for i in range(tokens):
            mask = np.zeros((1, 1, 1, i + 1), np.float16)
            model.predict({"input_ids": ids[None, i : i + 1], "causal_mask": mask}, state)

    return run


def start_work(package):
    import numpy as np

    folder = tempfile.TemporaryDirectory()
    inputs = Path(folder.name, "inputs.npz")
    np.savez(inputs, input_ids=np.full((1, 128), 2000, np.int32),
             attention_mask=np.ones((1, 128), np.int32))
    command = [os.environ["MW_TWO_BUILDS_FOLDER"] + "/bin/millwright", "run", package, "--inputs", inputs]

    def run():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return folder  # which lives as long as this

    return run


def train_work(package, batch, length, steps, vocabulary):
    import millwright
    import numpy as np

    student = millwright.StudentModel(package, millwright.AdamW(learning_rate=1e-3), threads=THREADS)
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, vocabulary, (batch, length + 1)).astype(np.int32)
    ids, labels = (np.ascontiguousarray(part) for part in (tokens[:, :-1], tokens[:, 1:]))

    def run():
        for _ in range(steps):
            student.training_step(ids, labels)

    return run


def lines(options):
    """{title: (function, arguments)} of all that can be timed."""
    found = {}
    if options.minilm:
        found["MiniLM 1 x 128"] = ("predict_work", [options.minilm, 1])
        found["MiniLM 32 x 128"] = ("predict_work", [options.minilm, 32])
        found["MiniLM: process start, load, first prediction"] = ("start_work", [options.minilm])
    if options.decoder:
        found["decode 100 tokens through the KV cache"] = ("decode_work", [options.decoder, 100])
    for name in ("student", "model"):
        package = str(EXAMPLE / f"{name}.mlpackage")
        found[f"training step of {name}, 8 x 128"] = ("train_work", [package, 8, 128, 10, 1024])
    if options.stories15m:
        found["training step of stories15m, 8 x 256"] = (
            "train_work", [options.stories15m, 8, 256, 1, 32000])
    if options.gpt2:
        found["training step of gpt2, 4 x 256"] = ("train_work", [options.gpt2, 4, 256, 1, 50257])
    return found


def work(function, arguments):
    """The child: a line comes in, the seconds of one round go out."""
    run = globals()[function](*arguments)
    for _ in sys.stdin:
        begin = time.perf_counter()
        run()
        print(time.perf_counter() - begin, flush=True)


class Build:
    def __init__(self, folder, function, arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "MW_TWO_BUILDS_FOLDER": str(folder),
                       "PYTHONPATH": str(folder / "python")}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", function, json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def seconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a build ended: {self.process.args}")
        return float(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def interval(ratios):
    """Of the median, 95 %, from 2,000 resamples."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[1949]


def compare(before, after, function, arguments, rounds):
    builds = [Build(before, function, arguments), Build(after, function, arguments)]
    times = ([], [])
    for number in range(rounds + 2):  # two warm up
        for which in ((0, 1) if number % 2 == 0 else (1, 0)):
            taken = builds[which].seconds()
            if number >= 2:
                times[which].append(taken)
    for build in builds:
        build.close()
    ratios = [b / a for b, a in zip(*times, strict=True)]
    low, high = interval(ratios)
    return {"before_ms": statistics.median(times[0]) * 1e3, "after_ms": statistics.median(times[1]) * 1e3,
            "ratio": statistics.median(ratios), "low": low, "high": high}


def main():
    if sys.argv[1:2] == ["--worker"]:
        return work(sys.argv[2], json.loads(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    for name in ("minilm", "decoder", "stories15m", "gpt2"):
        parser.add_argument(f"--{name}", help="a .mlpackage")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    results = {}
    print("| | before, ms | after, ms | before / after | 95 % of the median |\n|---|---|---|---|---|")
    for title, (function, arguments) in lines(options).items():
        row = compare(options.before.resolve(), options.after.resolve(), function, arguments, options.rounds)
        results[title] = row
        print(f"| {title} | {row['before_ms']:.1f} | {row['after_ms']:.1f} | {row['ratio']:.3f} | "
              f"{row['low']:.3f} to {row['high']:.3f} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    slower = [title for title, row in results.items() if row["high"] < BOUND]
    if slower:
        raise SystemExit("slower: " + "; ".join(slower))


if __name__ == "__main__":
    main()
