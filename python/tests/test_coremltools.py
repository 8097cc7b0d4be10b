"""millwright.coremltools: coremltools' own classes run here, and its absence is explained."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import millwright as mw

HAS_COREMLTOOLS = importlib.util.find_spec("coremltools") is not None


@pytest.mark.skipif(HAS_COREMLTOOLS, reason="coremltools is here")
def test_without_coremltools_the_import_says_what_to_do():
    with pytest.raises(ImportError, match="install coremltools, or use millwright.MLModel"):
        import millwright.coremltools  # noqa: F401


@pytest.mark.skipif(not HAS_COREMLTOOLS, reason="coremltools is not installed")
def test_predict_of_coremltools_works(example):
    code = f"""
import numpy as np, coremltools as ct, millwright as mw
import millwright.coremltools
path = {str(example / "student.mlpackage")!r}
ids = {{"input_ids": np.array([[1, 2, 3]], np.int32)}}
theirs = ct.models.MLModel(path)
ours = mw.MLModel(path).predict(ids)["logits"]
np.testing.assert_array_equal(theirs.predict(ids)["logits"], ours)
theirs.make_state()
compiled = ct.models.CompiledMLModel(path)
np.testing.assert_array_equal(compiled.predict(ids)["logits"], ours)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not HAS_COREMLTOOLS, reason="coremltools is not installed")
def test_results_are_those_of_coremltools():
    code = '''
import asyncio
import coremltools as ct, numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types
import millwright, millwright.coremltools

def model(specs, body, target=ct.target.iOS18):
    specs = [s if not isinstance(s, tuple) else mb.TensorSpec(*s) for s in specs]
    program = mb.program(input_specs=specs, opset_version=target)(body)
    return ct.convert(program, minimum_deployment_target=target,
                      compute_precision=ct.precision.FLOAT32)

ones = np.ones(3, np.float32)
total = model([((3,), types.fp32)],
              lambda x: mb.reduce_sum(x=x, axes=[0], keep_dims=False, name="y"))
assert total.predict({"x": ones})["y"].shape == (1,)
assert [r["y"].shape for r in total.predict([{"x": ones}, {"x": ones}])] == [(1,), (1,)]
half = model([((3,), types.fp16)], lambda x: mb.relu(x=x, name="y"))
assert half.predict({"x": ones})["y"].dtype == np.float32
whole = model([((3,), types.int32)], lambda x: mb.add(x=x, y=np.int32(1), name="y"))
assert whole.predict({"x": ones})["y"].tolist() == [2, 2, 2]
try:
    whole.predict({"x": ones / 2})
    raise SystemExit("no error")
except RuntimeError as error:
    assert isinstance(error, millwright.Error) and error.code == "invalid_argument"
    assert "got fp32 with the value 0.5 at [0]" in str(error), error
    assert "Unable to compute the prediction using ML Program" in str(error), error

kept = model([((3,), types.fp16), mb.StateTensorSpec((3,), types.fp16)],
             lambda x, acc: mb.coreml_update_state(
                 state=acc, value=mb.add(x=x, y=mb.read_state(input=acc)), name="y"))
state = kept.make_state()
assert isinstance(state, ct.models.model.MLState)
for _ in range(2):
    kept.predict({"x": ones}, state)
assert state.read_state("acc").dtype == np.float32
assert state.read_state("acc").tolist() == [2, 2, 2]
state.write_state("acc", ones * 5)
assert kept.predict({"x": ones}, state)["y"].tolist() == [6, 6, 6]

from coremltools.models.ml_program.experimental.debugging_utils import (
    MLModelInspector, MLModelValidator)
bad = model([((3,), types.fp32)], lambda x: mb.add(
    x=mb.log(x=mb.sub(x=x, y=np.float32(9)), name="l"), y=np.float32(1), name="y"))

async def look():
    values = {n: v async for n, v in MLModelInspector(bad).inspect(inputs={"x": ones})}
    assert values["y"] is not None and np.isnan(values["y"]).all(), values
    failing = await MLModelValidator(bad).find_failing_ops_with_nan_output(inputs={"x": ones})
    assert [op.type for op in failing] == ["log"], failing

asyncio.run(look())

old = ct.models.neural_network.NeuralNetworkBuilder(
    [("x", ct.models.datatypes.Array(3))], [("y", ct.models.datatypes.Array(3))])
old.add_activation("a", "RELU", "x", "y")
for call in (lambda m: m.predict({"x": ones}), lambda m: m.make_state()):
    try:
        call(ct.models.MLModel(old.spec, compute_units=ct.ComputeUnit.CPU_ONLY))
        raise SystemExit("no error")
    except RuntimeError as error:
        assert isinstance(error, millwright.Error), error
        assert "a model of kind 'neuralNetwork'" in str(error), error
'''
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_millwright_does_not_import_coremltools(example):
    code = "import sys, millwright; sys.exit('coremltools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numbers_from_other_libraries_come_through_dlpack(example):
    class Foreign:
        """An array of another library, as far as DLPack goes."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    model = mw.MLModel(example / "student.mlpackage")
    ids = np.array([[1, 2, 3]], np.int32)
    np.testing.assert_array_equal(
        model.predict({"input_ids": Foreign(ids)})["logits"],
        model.predict({"input_ids": ids})["logits"],
    )
