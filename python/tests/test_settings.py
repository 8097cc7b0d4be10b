"""Settings as Python classes: made of what the library says of them, read back by name."""

import dataclasses

import numpy as np
import pytest

import millwright as mw

IDS = np.array([[1, 2, 3, 4]], np.int32)


@pytest.fixture(scope="module")
def path(example):
    return example / "student.mlpackage"


def optimizers():
    return [
        one
        for one in (getattr(mw, name) for name in mw.__all__ if name not in ("LogitBias", "ParameterGroup"))
        if dataclasses.is_dataclass(one) and hasattr(one(), "learning_rate")
    ]


def test_both_betas_may_be_given_at_once():
    assert mw.AdamW(betas=(0.8, 0.9)) == mw.AdamW(beta1=0.8, beta2=0.9)
    with pytest.raises(ValueError):
        mw.AdamW(betas=(0.8,))


def test_every_optimizer_takes_its_steps(path):
    names = {one.__name__ for one in optimizers()}
    assert {"AdamW", "Adam", "SGD"} <= names
    losses = {}
    for one in optimizers():
        student = mw.StudentModel(path, one())
        losses[one.__name__] = [student.training_step(IDS, IDS).loss for _ in range(2)]
    assert len({first for first, _ in losses.values()}) == 1
    assert len({second for _, second in losses.values()}) == len(losses)


def test_an_error_knows_its_setting(path):
    for options, setting in (
        ({"optimizer": mw.AdamW(beta2=1.0)}, "beta2"),
        ({"clip_norm": -1}, "clip_norm"),
        ({"schedule": mw.Schedule("linear")}, "total_steps"),
    ):
        with pytest.raises(mw.Error) as caught:
            mw.StudentModel(path, **options)
        assert caught.value.setting == setting
        assert str(caught.value).startswith(setting + ": expected")


def test_an_unknown_setting_is_refused(path):
    with pytest.raises(TypeError, match="learning"):
        mw.StudentModel(path, learning=1)
