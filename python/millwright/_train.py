"""train(): a whole run, from files of data to the written package."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from millwright import _core
from millwright._model import MLModel
from millwright._settings import (
    AdamW,
    DistillOptions,
    Optimizer,
    RunSettings,
    StudentOptions,
    TrainingSettings,
    TrainSettings,
)

_S = TypeVar("_S")


def train(
    model: str | os.PathLike[str] | MLModel,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    optimizer: Optimizer | None = None,
    *,
    teacher: str | os.PathLike[str] | MLModel | None = None,
    progress: Callable[[_core.TrainingProgress], object] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    compute: str | None = None,
    function_name: str | None = None,
    threads: int | None = None,
    device: str | None = None,
    **settings: Unpack[TrainSettings],
) -> _core.TrainingReport:
    """Does what `millwright train` does, with the same bits.

    Reads the data (a text, .jsonl, .npz or .safetensors, or a folder), trains, validates on
    `eval_data`, keeps checkpoints, and writes the package `output` and a report beside it. `model`
    is a path, or an MLModel, whose function, tokenizer, compute mode, threads and device are then
    used. With a `teacher` the student learns from its predictions as well.

    `progress` is called after each step. When it returns False the run stops there: it keeps a
    checkpoint, writes no package, and `report.interrupted` is true; with `resume=True` the same
    call goes on. So it is when `progress` raises or Ctrl-C comes, and the exception arrives here.
    Other settings are those of a run and of a student, by name: steps, batch_size, schedule, ...
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function, got {type(progress).__name__}")
    given = {"compute": compute, "threads": threads, "device": device}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not isinstance(model, MLModel):
        model = MLModel(model, function_name=function_name, tokenizer=tokenizer, **options)
    elif options or function_name is not None or tokenizer is not None:
        raise _core.Error(
            "compute, threads, device, tokenizer and function_name: expected with a path only; an"
            " MLModel has its own"
        )
    if teacher is not None and not isinstance(teacher, MLModel):
        options.pop("compute", None)
        teacher = MLModel(teacher, **options)
    rest: dict[str, Any] = dict(settings)
    run = _taken(RunSettings, rest, data=data, output=output)
    distill = _taken(DistillOptions, rest)
    student = StudentOptions(AdamW() if optimizer is None else optimizer, **rest)
    return _core.train(
        model._core,
        None if teacher is None else teacher._core,
        TrainingSettings(run, student, distill),
        progress,
    )


def _taken(kind: type[_S], settings: dict[str, Any], **more: Any) -> _S:
    """The settings of one kind, taken out of those of all kinds."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**more, **{name: settings.pop(name) for name in names & settings.keys()})
