"""train(): a whole run, from files of data to the written package."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Unpack

from millwright import _core
from millwright._model import MLModel, _names_of, _opened, _take, _take_for_opening
from millwright._settings import (
    AdamW,
    DistillOptions,
    Optimizer,
    RunSettings,
    StudentOptions,
    TrainingSettings,
    TrainSettings,
)

def train(
    model: str | os.PathLike[str] | MLModel,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    optimizer: Optimizer | None = None,
    *,
    teacher: str | os.PathLike[str] | MLModel | None = None,
    progress: Callable[[_core.TrainingProgress], object] | None = None,
    function_name: str | None = None,
    **settings: Unpack[TrainSettings],
) -> _core.TrainingReport:
    """Does what `millwright train` does, with the same bits.

    Reads the data (a text, .jsonl, .npz or .safetensors, or a folder), trains, validates on
    `eval_data`, keeps checkpoints, and writes the package `output` and a report beside it. `model`
    is a path, opened with what else MLModel takes by name, or an MLModel. With a `teacher` the
    student learns from its predictions as well.

    `progress` is called after each step. When it returns False the run stops there: it keeps a
    checkpoint, writes no package, and `report.interrupted` is true; with `resume=True` the same
    call goes on. So it is when `progress` raises or Ctrl-C comes, and the exception arrives here.
    Other settings are those of a run and of a student, by name: steps, batch_size, schedule, ...
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function, got {type(progress).__name__}")
    rest: dict[str, Any] = dict(settings)
    loading = _take_for_opening(rest)
    model = _opened(model, function_name, loading)
    if teacher is not None and not isinstance(teacher, MLModel):
        teacher = MLModel(teacher, **_take(loading, ("device", "threads")))
    run = RunSettings(data=data, output=output, **_take(rest, _names_of(RunSettings)))
    distill = DistillOptions(**_take(rest, _names_of(DistillOptions)))
    student = StudentOptions(AdamW() if optimizer is None else optimizer, **rest)
    return _core.train(
        model._core,
        None if teacher is None else teacher._core,
        TrainingSettings(run, student, distill),
        progress,
    )
