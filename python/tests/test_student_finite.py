"""Steps that are not finite, or over no label, change nothing; such weights are not loaded."""

import numpy as np
import pytest

import millwright as mw


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_step_that_is_not_finite_has_not_happened(data):
    student = mw.StudentModel(data / "packages" / "linear.mlpackage", loss="mse")
    x, labels = np.arange(8.0).reshape(2, 4) / 8, np.ones((2, 3))
    student.training_step({"x": x, "labels": labels})
    before = student.state_dict()
    bent = x.copy()
    bent[1, 2] = np.nan
    said = r"expected a finite loss, got nan: input 'x' holds nan at \[1, 2\]; the step has not"
    with pytest.raises(mw.Error, match=said) as caught:
        student.training_step({"x": bent, "labels": labels})
    assert caught.value.code == "invalid_argument"
    with pytest.raises(mw.Error, match="expected a finite loss, got inf; .*lower the learning rate"):
        student.training_step([{"x": x, "labels": labels}, {"x": x, "labels": labels * 1e30}])
    assert same(student.state_dict(), before)
    assert student.training_step({"x": x, "labels": labels}).step == 2


def test_weights_that_are_not_finite_are_not_loaded(data, tmp_path):
    student = mw.StudentModel(data / "packages" / "linear.mlpackage", loss="mse")
    before = student.state_dict()
    name = next(p.name for p in student.parameters() if p.shape == [3, 4])
    for number in (np.nan, np.inf, -np.inf):
        state = {key: value.copy() for key, value in before.items()}
        state[name][2, 1] = number
        said = rf"parameter '{name}': expected finite numbers, got {number} at \[2, 1\]"
        with pytest.raises(mw.Error, match=said):
            student.load_state_dict(state)
        with pytest.raises(mw.Error, match=said):
            student.set_parameter(name, state[name])
    assert same(student.state_dict(), before)


def test_labels_of_which_none_counts_are_no_step(example):
    student = mw.StudentModel(example / "student.mlpackage")
    ids, labels = np.arange(8)[None], np.arange(1, 9)[None]
    student.training_step(ids, labels)
    before = student.state_dict()
    with pytest.raises(mw.Error, match="labels: expected at least one that counts, got only -100"):
        student.training_step(ids, np.full_like(labels, -100))
    assert same(student.state_dict(), before)
    result = student.training_step([(ids, np.full_like(labels, -100)), (ids, labels)])
    assert (result.step, result.tokens) == (2, labels.size)


def test_an_epsilon_of_zero_would_divide_by_zero(example):
    with pytest.raises(mw.Error, match="epsilon: expected a number more than 0, got 0"):
        mw.StudentModel(example / "student.mlpackage", mw.AdamW(epsilon=0))
