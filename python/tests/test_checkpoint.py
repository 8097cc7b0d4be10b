"""A student that goes on from a checkpoint in a file."""

import numpy as np
import pytest

import millwright as mw


def test_a_checkpoint_goes_through_a_file(data, tmp_path):
    path = data / "packages" / "linear.mlpackage"
    batch = {"x": np.arange(8.0).reshape(2, 4) / 8, "labels": np.ones((2, 3))}
    first, second = (mw.StudentModel(path, loss="mse") for _ in range(2))
    first.training_step(batch)
    file = tmp_path / "checkpoint.safetensors"
    first.save_checkpoint(file)
    second.load_checkpoint(file)
    a, b = first.training_step(batch), second.training_step(batch)
    assert (a.step, a.loss) == (b.step, b.loss) == (2, b.loss)
    with pytest.raises(mw.Error, match="ends in .safetensors"):
        first.save_checkpoint(tmp_path / "checkpoint.bin")
    with pytest.raises(mw.Error, match="no such file"):
        first.load_checkpoint(tmp_path / "none.safetensors")
    other = mw.StudentModel(path, mw.SGD(0.1), loss="mse")
    with pytest.raises(mw.Error, match=r"checkpoint.safetensors: .*training state"):
        other.load_checkpoint(file)
