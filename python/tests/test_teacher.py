"""Teachers of students and of runs: run apart from token ids, and kept in files."""

import numpy as np
import pytest

import millwright as mw

ROWS, TIME = 4, 16
SIZES = {"batch_size": 2, "seq_len": 16, "steps": 4}


@pytest.fixture(scope="module")
def batch(example, model):
    """Rows of the play and, one token later, the labels."""
    ids = model.tokenizer.encode((example / "train.txt").read_text()[:2000])
    cut = np.array(ids[: ROWS * TIME + 1], np.int64)
    return cut[:-1].reshape(ROWS, TIME), cut[1:].reshape(ROWS, TIME)


def test_what_a_teacher_says_is_kept(example, batch, tmp_path):
    def loss(**more):
        student = mw.StudentModel(example / "student.mlpackage")
        student.set_teacher(example / "model.mlpackage", **more)
        return student.training_step(*batch).loss

    within = loss()
    assert loss(cache=tmp_path / "all", top_k=0) == pytest.approx(within, rel=1e-5)
    kept = loss(cache=tmp_path / "said")
    assert kept == pytest.approx(within, rel=0.1)
    size = (tmp_path / "said").stat().st_size
    assert size >= ROWS * TIME * (8 * 64 + 4)
    assert loss(cache=str(tmp_path / "said")) == kept
    with pytest.raises(mw.Error, match="teacher_top_k: expected 3, got predictions of 64 in "):
        loss(cache=tmp_path / "said", top_k=3)
    with pytest.raises(mw.Error, match="teacher_top_k: expected a whole number from 0"):
        loss(cache=tmp_path / "said", top_k=-1)
    assert (tmp_path / "said").stat().st_size == size


def test_what_the_teacher_of_a_run_says_is_kept(example, tmp_path):
    (tmp_path / "train.txt").write_text((example / "train.txt").read_text()[:6000])

    def run(name, **more):
        return mw.train(
            example / "student.mlpackage",
            tmp_path / "train.txt",
            tmp_path / f"{name}.mlpackage",
            teacher=example / "model.mlpackage",
            threads=1,
            **SIZES,
            **more,
        )

    kept = {"teacher_cache": tmp_path / "said", "teacher_top_k": 8}
    first = run("a", **kept)
    size = (tmp_path / "said").stat().st_size
    again = run("b", **kept)
    assert again.losses == first.losses
    assert (tmp_path / "said").stat().st_size == size
    assert any("the teacher runs apart" in note for note in again.notes)
    assert not any("the teacher runs apart" in note for note in run("c").notes)
