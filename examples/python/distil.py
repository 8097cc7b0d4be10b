"""Distils a small language model from a larger one: distil.py TEACHER STUDENT TEXT OUTPUT [STEPS]"""

import pathlib
import sys

import numpy as np

import millwright as mw

ROWS, TIME = 8, 64


def main(teacher, model, text, output, steps=200):
    steps = int(steps)
    student = mw.StudentModel(
        model,
        mw.AdamW(learning_rate=2e-3),
        schedule=mw.Schedule("cosine", warmup_steps=steps // 10, total_steps=steps),
        clip_norm=1,
    )
    student.set_teacher(teacher, temperature=2, alpha=0.5)
    ids = np.array(student.model.tokenizer.encode(pathlib.Path(text).read_text()))

    random = np.random.default_rng(1)
    for _ in range(steps):
        rows = random.integers(len(ids) - TIME, size=(ROWS, 1)) + np.arange(TIME)
        result = student.training_step(ids[rows], ids[rows + 1])  # labels are one token later
        if result.step % 10 == 1 or result.step == steps:
            print(f"step {result.step}: loss {result.loss:.4f}", flush=True)
    for warning in student.save(output):
        print(warning)
    print("saved", output)


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(f"usage: {sys.argv[0]} TEACHER STUDENT TEXT OUTPUT [STEPS]")
    try:
        main(*sys.argv[1:])
    except (mw.Error, OSError) as error:
        sys.exit(f"error: {error}")
