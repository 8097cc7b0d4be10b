#!/usr/bin/env python3
"""Trains the student of examples/ alone and with its teacher, and compares them on unseen text.

    make build
    .deps/venv/bin/python tools/bench/distillation_seeds.py [--seeds 0 1 2] [--steps N] [--lr X]

Both runs of a seed start from the same weights, drawn anew for each seed with the deviations of those
in the package, see the same batches of 8 x 128 tokens in the same order, and take equally many steps
with the same optimiser, learning rate and schedule; the second alone has the teacher. The loss is that of
`millwright eval` on valid.txt: of the data alone, without the teacher. Prints a Markdown table; exit
status 1 if the student with the teacher is not the better one for every seed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shakespeare"
sys.path.insert(0, str(ROOT / "build" / "python"))

import numpy as np  # noqa: E402

import millwright  # noqa: E402


def run(*words) -> str:
    command = [str(ROOT / "build" / "bin" / "millwright"), *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return answer.stdout


def write_fresh_student(seed: int, path: Path) -> None:
    """The student with other random matrices and tables; the scales of its norms stay as they are."""
    student = millwright.StudentModel(EXAMPLE / "student.mlpackage")
    random = np.random.default_rng(seed)
    for parameter in student.parameters():
        if parameter.trained and len(parameter.shape) > 1:
            value = student.get_parameter(parameter.name)
            student.set_parameter(parameter.name,
                                  random.normal(0, value.std(), value.shape).astype(np.float32))
    student.save(path)


def held_out_loss(model: Path) -> float:
    answer = run("eval", model, "--data", EXAMPLE / "valid.txt", "--tokenizer", EXAMPLE,
                 "--seq-len", 128, "--stride", 128, "--json")
    return json.loads(answer)["mean_loss"]


def losses_of(seed: int, folder: Path, options) -> tuple[float, float]:
    start = folder / f"start-{seed}.mlpackage"
    write_fresh_student(seed, start)
    shared = ["--data", EXAMPLE / "train.txt", "--tokenizer", EXAMPLE, "--steps", options.steps,
              "--batch-size", 8, "--seq-len", 128, "--lr", options.lr, "--schedule", "cosine",
              "--warmup", options.warmup, "--clip", 1, "--seed", seed, "--checkpoint-every", 0]
    alone, taught = folder / f"alone-{seed}.mlpackage", folder / f"taught-{seed}.mlpackage"
    run("train", start, "--output", alone, *shared)
    run("distill", "--teacher", EXAMPLE / "model.mlpackage", "--student", start, "--output", taught,
        "--temperature", options.temperature, "--alpha", options.alpha, *shared)
    return held_out_loss(alone), held_out_loss(taught)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--alpha", type=float, default=0.5)
    options = parser.parse_args()
    print("| seed | student alone | with the teacher | difference |\n|---|---|---|---|", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            alone, taught = losses_of(seed, Path(folder), options)
            rows.append((alone, taught))
            print(f"| {seed} | {alone:.4f} | {taught:.4f} | {taught - alone:+.4f} |", flush=True)
    alone, taught = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"| mean | {alone:.4f} | {taught:.4f} | {taught - alone:+.4f} |")
    print(f"\nteacher: {held_out_loss(EXAMPLE / 'model.mlpackage'):.4f}")
    return 0 if all(taught < alone for alone, taught in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
