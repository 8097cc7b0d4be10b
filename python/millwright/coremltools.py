"""Makes coremltools' own MLModel.predict and make_state work on this machine.

    import coremltools as ct
    import millwright.coremltools
    ct.models.MLModel("model.mlpackage").predict({"x": x})
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping

import numpy as np

try:
    import coremltools
except ImportError as error:
    raise ImportError(
        "millwright.coremltools: coremltools cannot be imported here, and this module only adds to"
        " it; install coremltools, or use millwright.MLModel, which does not need it"
    ) from error

from coremltools.models.model import MLState

from millwright._core import Error
from millwright._model import MLModel

# Beside each coremltools model: the same one opened by Millwright, opened when first needed.
_opened: weakref.WeakKeyDictionary[object, MLModel] = weakref.WeakKeyDictionary()


def _load_with_millwright(model) -> MLModel:
    name = getattr(model, "function_name", None)
    package = getattr(model, "package_path", None) or getattr(model, "path", None)
    if package is not None and os.path.exists(package):
        return MLModel(package, function_name=name)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "model.mlmodel")
        model.save(file)
        return MLModel(file, function_name=name)


def _open(model) -> MLModel:
    if model not in _opened:
        try:
            _opened[model] = _load_with_millwright(model)
        except Error as error:
            raise _as_theirs(error) from None
    return _opened[model]


class PredictionError(Error, RuntimeError):
    """What coremltools raises where Core ML refuses, with Millwright's sentence in it."""


def _as_theirs(error: Error) -> PredictionError:
    theirs = PredictionError(f"Unable to compute the prediction using ML Program: {error}")
    theirs.code = error.code
    return theirs


def _theirs(value):
    """A value of an output or a state as coremltools gives it: never fp16, never of rank 0."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    return value.reshape(1) if value.ndim == 0 else value


class _State:
    """What stands behind a coremltools MLState."""

    def __init__(self, state):
        self.state = state

    def read_state(self, name):
        try:
            return _theirs(self.state.read_state(name))
        except Error as error:
            raise _as_theirs(error) from None

    def write_state(self, name, value):
        try:
            self.state.write_state(name, value)
        except Error as error:
            raise _as_theirs(error) from None


def _predict(self, data, state=None):
    """Runs the model with Millwright; the parameters and the results are those of coremltools."""
    if isinstance(data, (list, tuple)):
        return [_predict(self, one, state) for one in data]
    if isinstance(data, Mapping):
        data = {
            name: value.detach() if getattr(value, "requires_grad", False) else value
            for name, value in data.items()
        }
    state = getattr(state, "__proxy__", state)
    model = _open(self)
    try:
        results = model.predict(data, getattr(state, "state", state))
    except Error as error:
        raise _as_theirs(error) from None
    return {name: _theirs(value) for name, value in results.items()}


def _make_state(self):
    return MLState(_State(_open(self).make_state()))


async def _load(self):
    """In place of coremltools' own, which gives up on a model that Core ML has not loaded."""
    self._model = coremltools.models.MLModel(
        self.spec_or_path, weights_dir=self.weights_dir, function_name=self.function_name
    )
    _open(self._model)
    if not isinstance(self.spec_or_path, str):
        self.temp_asset_path = self._model.package_path


def _compiled_init(self, path, compute_units=None, function_name=None, **_):
    """In place of coremltools' own, which refuses to open a compiled model here."""
    self.path = os.fspath(path)
    self.compute_unit = compute_units
    self.function_name = function_name
    _open(self)


coremltools.models.MLModel.predict = _predict
coremltools.models.MLModel.make_state = _make_state
if hasattr(coremltools.models, "CompiledMLModel"):
    coremltools.models.CompiledMLModel.__init__ = _compiled_init
    coremltools.models.CompiledMLModel.predict = _predict
    coremltools.models.CompiledMLModel.make_state = _make_state

# The inspector, the validator and the comparator load their models through this; without it they
# would find nothing and say nothing.
try:
    from coremltools.models.ml_program.experimental.async_wrapper import LocalMLModelAsyncWrapper
except ImportError:
    pass
else:
    LocalMLModelAsyncWrapper.load = _load
