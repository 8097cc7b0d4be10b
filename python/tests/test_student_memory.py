"""StudentModel within a memory budget."""

import numpy as np
import pytest

import millwright as mw


def test_a_step_keeps_to_its_memory(example):
    path = example / "student.mlpackage"
    ids = np.random.default_rng(1).integers(0, 1000, (8, 64)).astype(np.int32)
    whole = mw.StudentModel(path)
    assert whole.step_bytes() == 0
    expected = [whole.training_step(ids, ids).loss for _ in range(3)]
    memory = whole.step_bytes() * 3 // 4
    less = mw.StudentModel(path, memory=memory)
    assert [less.training_step(ids, ids).loss for _ in range(3)] == expected
    assert 0 < less.step_bytes() <= memory
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(less.state_dict()[name], value)
    with pytest.raises(mw.Error, match=r"memory: expected at least \d+\.\d MB .* got 100\.0 kB"):
        mw.StudentModel(path, memory=100_000).training_step(ids, ids)
