"""Millwright: open a Core ML model, run it and train it, on any machine.

    import millwright as mw
    model = mw.MLModel("shakespeare.mlpackage")
    logits = model.forward(model.tokenizer.encode("To be, or not"))     # [1, time, vocabulary]
    text = model.generate("To be, or not", max_tokens=40).text
    outputs = model.predict({"input_ids": ids})               # any model: NumPy arrays by name

    student = mw.StudentModel("student.mlpackage", mw.AdamW(learning_rate=1e-3))
    result = student.training_step(ids, labels)                 # forward, backward and update
    student.save("student-trained.mlpackage")

    report = mw.train("student.mlpackage", "corpus.txt", "trained.mlpackage", steps=200)
"""

import os as _os

# Threads that wait for one another shall sleep soon, not spin: see docs/python.md. The OpenMP runtime
# reads this once, when the extension loads it.
_spins = "GOMP_SPINCOUNT" not in _os.environ and "OMP_WAIT_POLICY" not in _os.environ
if _spins:
    _os.environ["GOMP_SPINCOUNT"] = "4000"

from millwright import _settings
from millwright._core import (
    Error,
    Feature,
    Generation,
    MLState,
    Parameter,
    StepRecord,
    StepResult,
    Tokenizer,
    TrainingProgress,
    TrainingReport,
)
from millwright._model import MLModel
from millwright._settings import *
from millwright._student import Gradients, StudentModel
from millwright._train import train

if _spins:
    del _os.environ["GOMP_SPINCOUNT"]

__all__ = [
    "Error",
    "Feature",
    "Generation",
    "Gradients",
    "MLModel",
    "MLState",
    "Parameter",
    "StepRecord",
    "StepResult",
    "StudentModel",
    "Tokenizer",
    "TrainingProgress",
    "TrainingReport",
    "train",
]
__all__ += _settings.__all__
__version__ = "0.1.0"
