"""StudentModel: trains a Core ML model on its own weights, alone or distilled from a teacher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millwright import _core
from millwright._model import (
    MLModel,
    _array,
    _arrays,
    _expect_unmasked,
    _invalid,
    _names,
    _text,
    _whole,
)


@dataclass(frozen=True)
class AdamW:
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2017)."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2014, with weight decay added to the gradient."""

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum v = momentum v + g and p -= learning_rate v."""

    learning_rate: float = 1e-2
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate, by step.

    It rises linearly over `warmup_steps`; then it stays at 1 ("constant"), or falls ("linear",
    "cosine") to `final_factor` at step `total_steps`.
    """

    kind: str = "constant"
    warmup_steps: int = 0
    total_steps: int = 0
    final_factor: float = 0.0


@dataclass(frozen=True)
class ParameterGroup:
    """Settings for the parameters whose names match `glob`; the last group that matches counts.

    `weight_decay` None leaves the optimiser's.
    """

    glob: str
    learning_rate_factor: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation (Hu et al. 2021): small factors beside frozen weights are trained.

    y = W x becomes y = W x + (alpha / rank) B A x. `targets` are globs over parameter names; "*"
    takes every weight of linear, matmul and ungrouped conv, compressed ones included.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: Sequence[str] = ("*",)
    seed: int = 0


Optimizer: TypeAlias = AdamW | Adam | SGD
#: Arrays by name with the labels as `labels`, or a tuple (input_ids, labels).
Batch: TypeAlias = Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]


class Gradients(dict[str, NDArray[Any]]):
    """Gradients of the mean loss: NumPy arrays by parameter name, as "input.NAME" by input."""

    #: The loss, the norm and the number of labels of the same batch.
    result: _core.StepResult


class StudentModel:
    """A model in training. The file it came from stays as it is.

    `model` is a path, or an MLModel, whose function, compute mode, threads and device are then
    used.
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
        trainable: Sequence[str] = ("*",),
        schedule: Schedule | None = None,
        groups: Sequence[ParameterGroup] = (),
        loss: str = "cross_entropy",
        target: str = "",
        label_smoothing: float = 0.0,
        clip_norm: float = 0.0,
        wrt_inputs: Sequence[str] = (),
        lora: Lora | None = None,
        memory: int = 0,
        class_axis: int | None = None,
        pos_weight: float | Sequence[float] = (),
        compute: str | None = None,
        function_name: str | None = None,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        given = {"compute": compute, "threads": threads, "device": device}
        self._options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if isinstance(model, MLModel):
            if self._options or function_name is not None:
                raise _invalid(
                    "compute, threads, device and function_name: expected with a path only; an"
                    " MLModel has its own"
                )
            self.model = model
        else:
            self.model = MLModel(model, function_name=function_name, **self._options)
        schedule = schedule or Schedule()
        self._core = _core.Student(
            self.model._core,
            *_optimizer(optimizer or AdamW()),
            schedule.kind,
            {
                "warmup_steps": float(schedule.warmup_steps),
                "total_steps": float(schedule.total_steps),
                "final_factor": float(schedule.final_factor),
            },
            _names("trainable", trainable),
            [(g.glob, float(g.learning_rate_factor), g.weight_decay) for g in groups],
            _text("loss", loss),
            _text("target", target),
            float(label_smoothing),
            float(clip_norm),
            _names("wrt_inputs", wrt_inputs),
            _adapters(lora),
            _whole("memory", memory, 0, 2**64 - 1),
            None if class_axis is None else _whole("class_axis", class_axis, -(2**31), 2**31 - 1),
            [float(w) for w in np.atleast_1d(np.asarray(pos_weight, dtype=np.float64))],
        )
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
    ) -> None:
        """Learns from the teacher's logits as well; to be called before the first step.

        The loss becomes (1 - alpha) cross entropy + alpha temperature^2 KL(teacher || student),
        both softened by the temperature. Vocabulary and tokens must be the student's. `target` names
        the teacher's output.
        """
        if not isinstance(teacher, MLModel):
            teacher = MLModel(teacher, **self._options)
        self._core.set_teacher(teacher._core, float(temperature), float(alpha), _text("target", target))

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

    def save_adapter(
        self, path: str | os.PathLike[str], module_names: str | os.PathLike[str] | None = None
    ) -> None:
        """The adapters alone, for MLModel(adapter=...).

        A .safetensors file, or, by a name without extension, a folder as PEFT has it. There
        `module_names`, a .safetensors file of the model that the package was converted from, tells
        how its modules are called.
        """
        self._core.save_adapter(os.fspath(path), os.fspath(module_names or ""))

    def load_adapter(self, path: str | os.PathLike[str]) -> None:
        """Goes on from what save_adapter() or PEFT wrote, of a student with the same `lora`."""
        self._core.load_adapter(os.fspath(path))

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


def _optimizer(optimizer: Optimizer) -> tuple[str, dict[str, float]]:
    if isinstance(optimizer, SGD):
        return "SGD", {
            "learning_rate": float(optimizer.learning_rate),
            "momentum": float(optimizer.momentum),
            "weight_decay": float(optimizer.weight_decay),
            "nesterov": float(optimizer.nesterov),
        }
    if isinstance(optimizer, (Adam, AdamW)):
        beta1, beta2 = optimizer.betas
        return type(optimizer).__name__, {
            "learning_rate": float(optimizer.learning_rate),
            "beta1": float(beta1),
            "beta2": float(beta2),
            "epsilon": float(optimizer.epsilon),
            "weight_decay": float(optimizer.weight_decay),
        }
    raise TypeError(f"optimizer: expected AdamW, Adam or SGD, got {type(optimizer).__name__}")


def _adapters(lora: Lora | None) -> tuple[int, float, list[str], int] | None:
    if lora is None:
        return None
    if not isinstance(lora, Lora):
        raise TypeError(f"lora: expected a Lora, got {type(lora).__name__}")
    return (
        _whole("lora: rank", lora.rank, -(2**63), 2**63 - 1),
        float(lora.alpha),
        _names("targets", lora.targets),
        _whole("lora: seed", lora.seed, 0, 2**64 - 1),
    )


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
