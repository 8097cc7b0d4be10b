"""Millwright: open a Core ML model and run it, on any machine.

    import millwright as mw
    model = mw.MLModel("shakespeare.mlpackage")
    logits = model.forward(model.tokenizer.encode("To be, or not"))     # [1, time, vocabulary]
    outputs = model.predict({"x": x, "mask": mask})                     # any model, NumPy arrays
"""

import os as _os

# Threads that wait for one another shall sleep soon, not spin: see docs/python.md. The OpenMP runtime
# reads this once, when the extension loads it.
_spins = "GOMP_SPINCOUNT" not in _os.environ and "OMP_WAIT_POLICY" not in _os.environ
if _spins:
    _os.environ["GOMP_SPINCOUNT"] = "4000"

from millwright._core import Error, Feature, MLState, Tokenizer
from millwright._model import MLModel

if _spins:
    del _os.environ["GOMP_SPINCOUNT"]

__all__ = ["Error", "Feature", "MLModel", "MLState", "Tokenizer"]
__version__ = "0.1.0"
