"""StudentModel: trains a Core ML model on its own weights, alone or distilled from a teacher."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millwright import _core
from millwright._model import (
    MLModel,
    _array,
    _arrays,
    _expect_unmasked,
    _invalid,
    _opened,
    _take,
    _take_for_opening,
    _text,
)
from millwright._settings import AdamW, Optimizer, Settings, StudentOptions


#: Arrays by name with the labels as `labels`, or a tuple (input_ids, labels).
Batch: TypeAlias = Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]


class Gradients(dict[str, NDArray[Any]]):
    """Gradients of the mean loss: NumPy arrays by parameter name, as "input.NAME" by input."""

    #: The loss, the norm and the number of labels of the same batch.
    result: _core.StepResult


class StudentModel:
    """A model in training. The file it came from stays as it is.

    `model` is a path, opened with what else MLModel takes by name, or an MLModel.
    `trainable` are globs over parameter names; "*" is the default set, and any other glob also
    takes in what is out by default (parameters() says what and why). `loss` is "cross_entropy" of
    logits and labels (indices, or the class labels of a classifier; -100 is ignored),
    "binary_cross_entropy" of logits and labels from 0 to 1, "mse", or "output" for a model whose
    output is the loss itself; `target` names the output it is of. Where that is a softmax or a
    sigmoid, the cross entropy is computed of its input; objective() says of what. `class_axis` is
    the axis of the classes, which the shape of the labels tells otherwise; `pos_weight` is what a
    label 1 of binary cross entropy counts, one number or one per class. `clip_norm` 0 means no
    clipping.
    `wrt_inputs` are inputs that backward() differentiates by as well. `memory` is how many bytes
    a step may take: what does not fit is computed again in the backward pass; 0 means no limit. With
    `lora`, adapters named WEIGHT.lora_A and WEIGHT.lora_B are trained, and beside them only what
    `trainable` names.

    Calls release the GIL and run one after the other. Ctrl-C takes effect between two steps.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | MLModel,
        optimizer: Optimizer | None = None,
        *,
        function_name: str | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        rest: dict[str, Any] = dict(settings)
        self._loading = _take_for_opening(rest)
        self.model = _opened(model, function_name, self._loading)
        options = StudentOptions(AdamW() if optimizer is None else optimizer, **rest)
        self._core = _core.Student(self.model._core, options)
        self._classes = self._core.class_labels()

    @property
    def class_labels(self) -> list[str] | list[int]:
        """The classes of a classifier; labels may be these, or indices where they are strings."""
        return list(self._classes)

    def objective(self, batch: ArrayLike | Batch, labels: ArrayLike | None = None) -> str:
        """What is minimised and over what, in one line; the batch tells the shapes."""
        return self._core.objective(self._batch(batch, labels))

    def _batch(
        self, batch: ArrayLike | Batch, labels: ArrayLike | None = None
    ) -> dict[str, NDArray[Any]]:
        return _batch(batch, labels, self._classes)

    def set_teacher(
        self,
        teacher: str | os.PathLike[str] | MLModel,
        temperature: float = 2.0,
        alpha: float = 0.5,
        target: str = "",
        cache: str | os.PathLike[str] = "",
        top_k: int = 64,
    ) -> None:
        """Learns from the teacher's logits as well; to be called before the first step.

        The loss becomes (1 - alpha) cross entropy + alpha temperature^2 KL(teacher || student),
        both softened by the temperature. Vocabulary and tokens must be the student's. `target` names
        the teacher's output. A teacher of language that does not take what the student takes is fed
        with token ids by itself. The file `cache` keeps what it says, of each position the `top_k`
        likeliest tokens (0: all) and what all others have together, so that it says it once.
        """
        if not isinstance(teacher, MLModel):
            shared = _take(dict(self._loading), ("compute", "device", "threads"))
            teacher = MLModel(teacher, **shared)
        self._core.set_teacher(
            teacher._core,
            float(temperature),
            float(alpha),
            _text("target", target),
            os.fspath(cache),
            operator.index(top_k),
        )

    def training_step(
        self, batch: ArrayLike | Batch | list[Batch], labels: ArrayLike | None = None
    ) -> _core.StepResult:
        """Forward, backward and one update of the weights.

        training_step(input_ids, labels) takes token ids and, at each position, the id that is to
        follow, [time] or [batch, time]; training_step({"x": x, "labels": y}) any model's inputs. A
        list of dicts or of (input_ids, labels) tuples is one step over all of them, weighted by
        their labels.
        """
        if labels is None and isinstance(batch, list):
            return self._core.training_step([self._batch(one) for one in batch])
        return self._core.training_step([self._batch(batch, labels)])

    def backward(self, batch: ArrayLike | Batch, labels: ArrayLike | None = None) -> Gradients:
        """Gradients of the mean loss by parameter name; nothing is updated.

        `gradients.result` has the loss. Inputs named in `wrt_inputs` are there as "input.NAME".
        """
        arrays, result = self._core.backward(self._batch(batch, labels))
        gradients = Gradients(arrays)
        gradients.result = result
        return gradients

    def evaluate(
        self, batch: ArrayLike | Batch, labels: ArrayLike | None = None
    ) -> _core.StepResult:
        """The loss of a batch, without the teacher; nothing is updated."""
        return self._core.evaluate(self._batch(batch, labels))

    def predict(self, data: Mapping[str, ArrayLike]) -> dict[str, Any]:
        """All outputs with the weights as they are; as MLModel.predict."""
        return self.model._plain_all(self._core.predict(_arrays("input", data)))

    def step_bytes(self) -> int:
        """What the largest step so far takes, counted as for `memory`; 0 before the first."""
        return self._core.step_bytes()

    def parameters(self) -> list[_core.Parameter]:
        """The model's parameters in its order: name, shape, dtype in the file, trained, reason."""
        return self._core.parameters()

    def get_parameter(self, name: str) -> NDArray[np.float32]:
        """A copy of a trained parameter."""
        return self._core.get_parameter(_text("parameter", name))

    def set_parameter(self, name: str, value: ArrayLike) -> None:
        """Replaces a trained parameter by floats of the same shape."""
        self._core.set_parameter(_text("parameter", name), _array(f"parameter '{name}'", value))

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all that training changes: weights, the optimiser's moments, the step."""
        return self._core.state()

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Goes on from what state_dict() gave, of a student with the same options."""
        self._core.load_state(_arrays("training state", state))

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """The trained parameters by name, in float32, as a .safetensors file."""
        self._core.save_weights(os.fspath(path))

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Replaces the trained parameters that a .safetensors file names."""
        self._core.load_weights(os.fspath(path))

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """What state_dict() gives, as a .safetensors file."""
        self._core.save_checkpoint(os.fspath(path))

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Goes on from what save_checkpoint() wrote, of a student with the same options."""
        self._core.load_checkpoint(os.fspath(path))

    def save_adapter(
        self,
        path: str | os.PathLike[str],
        module_names: str | os.PathLike[str] | None = None,
        format: str | None = None,  # noqa: A002
    ) -> None:
        """The adapters alone, for MLModel(adapter=...).

        A .safetensors file, or, by a name without extension, a folder as PEFT has it, or mlx-lm
        where `format` is "mlx" or such a folder is replaced. There `module_names`, a .safetensors
        file of the model that the package was converted from or a map of modules, tells how its
        modules are called.
        """
        self._core.save_adapter(os.fspath(path), os.fspath(module_names or ""), format or "")

    def load_adapter(
        self, path: str | os.PathLike[str], module_names: str | os.PathLike[str] | None = None
    ) -> None:
        """Goes on from what save_adapter(), PEFT or mlx-lm wrote, of a student with the same `lora`."""
        self._core.load_adapter(os.fspath(path), os.fspath(module_names or ""))

    def notes(self) -> list[str]:
        """Sentences on what save() does beside the function in training.

        They name the functions of the package that share what is trained and change with it.
        """
        return self._core.notes()

    def save(self, path: str | os.PathLike[str], *, only_function: bool = False) -> list[str]:
        """Writes the package the model came from, with the trained weights.

        An .mlpackage or .mlmodelc, by the name. Weights keep their dtypes; the sentences that come
        back tell where one could not hold the value. Adapters are added to their weights; a
        compressed weight that has one becomes a plain one. What the function shares with others of
        the package changes in all of them; with `only_function` it gets weights of its own.
        """
        return self._core.save(os.fspath(path), bool(only_function))

    def __repr__(self) -> str:
        trained = [p for p in self.parameters() if p.trained]
        numbers = sum(int(np.prod(p.shape)) for p in trained)
        return f"StudentModel('{self.model.path}', {len(trained)} parameters, {numbers} numbers)"


def _indices(labels: ArrayLike, classes: Sequence[str | int]) -> ArrayLike:
    """Names of classes as their indices; anything else as it is."""
    _expect_unmasked("labels", labels)
    names = np.asarray(labels)
    if names.dtype.kind != "U" and not (
        names.dtype.kind == "O" and all(isinstance(name, str) for name in names.flat)
    ):
        return labels
    known: dict[str, int | None] = {}
    for i, one in enumerate(classes):
        if isinstance(one, str):
            known[one] = None if one in known else i
    if not known:
        raise _invalid("labels: expected integers, got names; the model has none")
    for name in names.flat:
        if str(name) not in known:
            some = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
            raise _invalid(f"labels: expected one of the classes {some}, got {name}")
        if known[str(name)] is None:
            raise _invalid(
                f"labels: expected a name of one class, got {name}, of several; give its index"
            )
    flat = [known[str(name)] for name in names.flat]
    return np.array(flat, dtype=np.int32).reshape(names.shape)


def _batch(
    batch: ArrayLike | Batch, labels: ArrayLike | None, classes: Sequence[str | int]
) -> dict[str, NDArray[Any]]:
    if labels is not None:
        if isinstance(batch, Mapping):
            raise TypeError("labels: expected in the dict of inputs, under the name 'labels'")
        return _arrays("input", {"input_ids": batch, "labels": _indices(labels, classes)})
    if isinstance(batch, Mapping):
        named = dict(batch)
        if "labels" in named:
            named["labels"] = _indices(named["labels"], classes)
        return _arrays("input", named)
    if isinstance(batch, tuple) and len(batch) == 2:
        return _arrays("input", {"input_ids": batch[0], "labels": _indices(batch[1], classes)})
    raise TypeError(
        "a batch: expected a dict of arrays, or input_ids and labels, got"
        f" {type(batch).__name__} without labels"
    )
