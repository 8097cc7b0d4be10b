#!/usr/bin/env python3
"""Tells whether two builds compute the same bits: outputs, losses, trained weights, refusals.

    .deps/venv/bin/python tools/compare_builds.py BEFORE AFTER [--models FOLDER...] [--steps N]

BEFORE and AFTER are folders of builds (or of their bin/). Every model found below the given folders (else
examples/, tests/data and, where it is there, ../shared) is run on inputs that its name decides, planned and
op by op, and trained: on a text where it is a language model, else with `mse` towards its own noisy outputs.
What one build refuses the other has to refuse with the same sentence. Exit code 1 when anything differs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT / "examples" / "shakespeare" / "train.txt"
TOKENIZER = ROOT / "examples" / "shakespeare" / "tokenizer.json"
SUFFIXES = {".mlpackage", ".mlmodelc", ".mlmodel"}
DTYPES = {"fp16": np.float16, "fp32": np.float32, "fp64": np.float64, "int32": np.int32,
          "int64": np.int64, "int16": np.int16, "int8": np.int8, "uint8": np.uint8, "bool": np.bool_}
SECONDS = 600
TIMES = re.compile(r"\d+(\.\d+)? (s|min|h|ms|labels/s|tokens/s|examples/s|MB|GB|kB)\b")
NOT_COMPARED = {"seconds", "time", "memory", "tokens_per_second", "examples_per_second", "per_second"}


def models_below(folders):
    for folder in folders:
        if folder.suffix in SUFFIXES:
            yield folder
            continue
        for where, names, files in os.walk(folder):
            inside = [name for name in names if Path(name).suffix in SUFFIXES]
            names[:] = sorted(name for name in names if name not in inside)
            for name in sorted(inside + [f for f in files if Path(f).suffix == ".mlmodel"]):
                yield Path(where) / name


def answer(binary, arguments, folder):
    """What a command answers, or its error, and its exit code; without times and names of folders."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    try:
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, cwd=folder,
                              env=environment, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 124, f"more than {SECONDS} s"
    said = (done.stdout if done.returncode == 0 else done.stderr).decode(errors="replace")
    return done.returncode, TIMES.sub("#", said.replace(str(folder), "DIR"))


def extent(feature, axis, stated):
    """The stated extent, or for a flexible one 3 where the range has it."""
    ranges = feature.get("ranges")
    if stated > 0 and not ranges:
        return stated
    low, high = ranges[axis] if ranges else (1, -1)
    return low if low == high else max(low, 3) if high < 0 else min(max(low, 3), high)


def input_of(feature, random, rows=None):
    shape = [extent(feature, axis, stated) for axis, stated in enumerate(feature.get("shape", []))]
    if rows:
        shape = [rows, *shape[1:]]
    dtype = DTYPES.get(feature.get("dtype"))
    if dtype is None:
        return None
    if np.issubdtype(dtype, np.floating):
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2 if dtype == np.bool_ else 5, shape).astype(dtype)


def inputs_of(binary, model, folder, rows=None):
    """A tensor for each input, or None where one is no tensor that can be made here."""
    code, said = answer(binary, ["inspect", "--json", model], folder)
    if code != 0:
        return None, None
    facts = json.loads(said[said.index("{"):])
    function = next((f for f in facts["functions"] if f["name"] == facts.get("default_function")),
                    facts["functions"][0])
    random = np.random.default_rng(zlib.crc32(str(model.name).encode()))
    tensors = {feature["name"]: input_of(feature, random, rows) for feature in function["inputs"]
               if not feature.get("optional")}
    return (None if any(t is None for t in tensors.values()) else tensors), function


def contents(path):
    """The bytes of everything below a path; of an archive those of its members."""
    if path.suffix == ".npz" and path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return {name: (file[name].dtype.str, file[name].shape, file[name].tobytes())
                    for name in file.files}
    if path.name == "metrics.jsonl" and path.is_file():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [{k: v for k, v in row.items() if k not in NOT_COMPARED} for row in rows]
    if path.is_dir():
        return {str(p.relative_to(path)): contents(p) for p in sorted(path.rglob("*")) if p.is_file()
                and p.name != "Manifest.json"}
    return path.read_bytes() if path.exists() else None


class Comparison:
    def __init__(self, before, after, options):
        self.binaries = {"before": before, "after": after}
        self.steps = options.steps
        self.counts = {"equal": 0, "refused alike": 0}
        self.differences = []

    def same(self, what, arguments, results):
        """Runs both builds and compares what they say and the results they write."""
        answers, written = {}, {}
        with tempfile.TemporaryDirectory() as name:
            for title, binary in self.binaries.items():
                folder = Path(name) / "run"
                folder.mkdir()
                answers[title] = answer(binary, arguments, folder)
                written[title] = {r: contents(folder / r) for r in results}
                shutil.rmtree(folder)
        if answers["before"] != answers["after"]:
            self.differences.append(f"{what}: {answers['before']} before, {answers['after']} after")
        elif written["before"] != written["after"]:
            names = [r for r in results if written["before"][r] != written["after"][r]]
            self.differences.append(f"{what}: other bytes in {', '.join(names)}")
        else:
            self.counts["equal" if answers["before"][0] == 0 else "refused alike"] += 1

    def train(self, model, function, work):
        steps = ["--steps", self.steps, "--output", "out.mlpackage", "--checkpoint-dir", "run",
                 "--checkpoint-every", 0, "--lr", "0.003"]
        results = ["out.mlpackage", "run/metrics.jsonl"]
        names = [feature["name"] for feature in function["inputs"]]
        if "input_ids" in names:
            text = [*steps, "--data", TEXT, "--tokenizer", TOKENIZER, "--batch-size", 2]
            self.same(f"{model}: train", ["train", model, *text, "--seq-len", 32], results)
            return
        tensors, _ = inputs_of(self.binaries["before"], model, work, rows=4)
        outputs = [f for f in function["outputs"] if f.get("dtype") in ("fp32", "fp16")]
        if tensors is None or not tensors or not outputs:
            return
        np.savez(work / "rows.npz", **tensors)
        target = outputs[0]["name"]
        code, _ = answer(self.binaries["before"],
                         ["run", model, "--inputs", work / "rows.npz", "--output", work / "y.npz"], work)
        if code != 0:
            return
        with np.load(work / "y.npz") as file:
            labels = file[target].astype(np.float32) + 0.1
        if not labels.shape or labels.shape[0] != 4:
            return
        np.savez(work / "data.npz", labels=labels, **tensors)
        self.same(f"{model}: train", ["train", model, *steps, "--data", work / "data.npz", "--loss", "mse",
                                      "--target", target, "--batch-size", 2], results)

    def model(self, model):
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            tensors, function = inputs_of(self.binaries["before"], model, work)
            if tensors is None:
                self.same(f"{model}: inspect", ["inspect", model], [])
                return
            np.savez(work / "inputs.npz", **tensors)
            for how in ([], ["--naive"]):
                given = ["--inputs", work / "inputs.npz"] if tensors else []
                self.same(f"{model}: run {' '.join(how)}",
                          ["run", model, *given, *how, "--output", "y.npz"], ["y.npz"])
            if function.get("trainable", {}).get("tensors", 0) > 0 and self.steps > 0:
                self.train(model, function, work)


def binary_of(folder):
    for path in (folder / "bin" / "millwright", folder / "millwright"):
        if path.is_file():
            return path.resolve()
    raise SystemExit(f"{folder}: expected a folder of a build, with bin/millwright")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--models", type=Path, nargs="*")
    parser.add_argument("--steps", type=int, default=50, help="of training; 0: none")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    folders = options.models or [path for path in (ROOT / "examples", ROOT / "tests" / "data",
                                                   ROOT.parent / "shared") if path.is_dir()]
    models = [path.resolve() for path in models_below(folders)]
    comparison = Comparison(binary_of(options.before), binary_of(options.after), options)
    with ThreadPoolExecutor(options.jobs) as pool:
        for number, _ in enumerate(pool.map(comparison.model, models), 1):
            if number % 100 == 0:
                print(f"{number} of {len(models)} models", flush=True)
    for difference in comparison.differences:
        print(difference[:1000])
    counts = ", ".join(f"{count} {name}" for name, count in comparison.counts.items())
    print(f"{len(models)} models: {counts}, {len(comparison.differences)} different")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
