"""MLModel, with the interface of coremltools' class of that name."""

from __future__ import annotations

import dataclasses
import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from millwright import _core
from millwright._settings import (
    GenerateSettings,
    GenerationSettings,
    LoadOptions,
    LoadSettings,
    LogitBias,
    StudentOptions,
)

_LARGEST_ID = 2**31 - 1
_AUTHORSHIP = ("shortDescription", "author", "license", "version")


class Descriptions(Mapping[str, str]):
    """The inputs or outputs of a model: their names, each with the author's text about it."""

    def __init__(self, features: Sequence[_core.Feature]) -> None:
        self._texts = {feature.name: feature.description for feature in features}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return f"Features({','.join(self._texts)})"


class MLModel:
    """A Core ML model: an .mlpackage or .mlmodelc folder, or an .mlmodel file.

    `compute_units` is accepted and ignored, so that code written for coremltools runs.
    `function_name` picks a function of a package that has several. `compute` is what floats inside
    the model are computed in: fp32, bf16 (what is multiplied), fp64 (slow and exact), or fp16
    (rounds every value that the file calls fp16, as a device would). `threads` 0 means all cores. `tokenizer` is a
    tokenizer.json or its folder; without it, the one in or beside the model is found when first
    asked for. `adapter` is a file that StudentModel.save_adapter() wrote. `device` is what computes.
    `naive` runs op by op with the reference implementations. `print_after` are passes of
    docs/passes.md after which the program goes to stderr as text, or "all".

    predict() and forward() may be called from several threads at once; they release the GIL.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        compute_units: object = None,
        function_name: str | None = None,
        **settings: Unpack[LoadSettings],
    ) -> None:
        self.compute_units = compute_units
        given: dict[str, Any] = _without_none(settings)
        function = _text("function_name", function_name or "")
        self._core = _core.load(os.fspath(path), LoadOptions(function=function, **given))
        self.inputs: list[_core.Feature] = self._core.inputs
        self.outputs: list[_core.Feature] = self._core.outputs
        self.states: list[_core.Feature] = self._core.states
        self._kinds = {output.name: output.kind for output in self.outputs}
        self._images = {image.name for image in self.inputs if image.kind == "Image"}

    @overload
    def predict(
        self,
        data: Mapping[str, ArrayLike],
        state: _core.MLState | None = None,
        *,
        taps: Sequence[str] = (),
    ) -> dict[str, Any]: ...
    @overload
    def predict(
        self,
        data: Sequence[Mapping[str, ArrayLike]],
        state: _core.MLState | None = None,
        *,
        taps: Sequence[str] = (),
    ) -> list[dict[str, Any]]: ...
    def predict(self, data, state=None, *, taps=()):
        """Named arrays in, all outputs out as NumPy arrays.

        A list of dicts gives a list, one prediction after the other (a state is carried along). A
        classifier's label comes as a str or int, its probabilities as a dict. `taps` are globs:
        every value inside the model whose name matches comes out as well.
        """
        if isinstance(data, Mapping):
            return self._predict_one(data, state, _names("taps", taps))
        if isinstance(data, (list, tuple)):
            return [self.predict(one, state, taps=taps) for one in data]
        raise TypeError(f"predict: expected a dict or a list of dicts, got {type(data).__name__}")

    def _predict_one(self, data, state, taps):
        for name, value in data.items():
            if name in self._images and type(value).__module__.partition(".")[0] == "PIL":
                raise _invalid(
                    f"input '{name}': expected an array, got a PIL image; pass its pixels as an"
                    " array of the input's shape, channels before height and width"
                )
        return self._plain_all(self._core.predict(_arrays("input", data), state, taps))

    def _plain_all(self, results):
        return {
            name: self._plain(name, value, results)
            for name, value in results.items()
            if not self._is_keys(name)
        }

    def _is_keys(self, name: str) -> bool:
        return name.endswith(".keys") and self._kinds.get(name[: -len(".keys")]) == "Dictionary"

    def _plain(self, name, value, results):
        """Numbers, strings and dicts where the description says that an output is one."""
        kind = self._kinds.get(name)
        if kind == "Dictionary" and f"{name}.keys" in results:
            return dict(zip(results[f"{name}.keys"].tolist(), value.tolist(), strict=True))
        if kind in ("String", "Int64", "Double") and value.size == 1:
            return value.item()
        return value

    def make_state(self) -> _core.MLState:
        """The model's states, all zeros: for one sequence of predictions, one thread at a time."""
        return self._core.make_state()

    def forward(self, ids: ArrayLike) -> NDArray[np.float32]:
        """Token ids [time] or [batch, time] to logits [batch, time, vocabulary], or [batch, 1,
        vocabulary] where the model gives those of the last token only.

        Masks, positions and caches that the model wants beside the ids are made for the caller.
        """
        return self._core.forward(_array("input_ids", ids))

    def generate(
        self,
        prompt: str | ArrayLike,
        on_text: Callable[[str], object] | None = None,
        **settings: Unpack[GenerateSettings],
    ) -> _core.Generation:
        """Continues a prompt, a text or token ids, token by token; str() of the result is the text.

        `on_text` is called with each piece of text as it comes; when it returns False the text
        ends there. `logit_bias` may be a dict of ids or texts of one token to numbers, of which
        -inf means never. Other settings are those of docs/settings.md, by name: max_tokens,
        temperature, top_k, top_p, min_p, repetition_penalty, seed, stop, stop_ids, ...
        """
        if on_text is not None and not callable(on_text):
            raise TypeError(f"on_text: expected a function, got {type(on_text).__name__}")
        given: dict[str, Any] = _without_none(settings)
        if isinstance(bias := given.get("logit_bias"), Mapping):
            given["logit_bias"] = [LogitBias(_token(key), bias[key]) for key in bias]
        if isinstance(prompt, str):
            ids = self.tokenizer.encode(prompt)
        else:
            ids = _token_ids(prompt)
        return _core.generate(self._core, ids, GenerationSettings(**given), on_text)

    @property
    def tokenizer(self) -> _core.Tokenizer:
        return self._core.tokenizer

    @property
    def input_description(self) -> Descriptions:
        return Descriptions(self.inputs)

    @property
    def output_description(self) -> Descriptions:
        return Descriptions(self.outputs)

    @property
    def function_name(self) -> str:
        return self._core.function

    @property
    def functions(self) -> list[str]:
        return self._core.functions

    @property
    def path(self) -> str:
        return self._core.path

    @property
    def user_defined_metadata(self) -> dict[str, str]:
        return {k: v for k, v in self._core.metadata.items() if k not in _AUTHORSHIP}

    @property
    def short_description(self) -> str:
        return self._core.metadata.get("shortDescription", "")

    @property
    def author(self) -> str:
        return self._core.metadata.get("author", "")

    @property
    def license(self) -> str:
        return self._core.metadata.get("license", "")

    @property
    def version(self) -> str:
        return self._core.metadata.get("version", "")

    def __repr__(self) -> str:
        parts = [f"MLModel('{self.path}', function '{self.function_name}'"]
        for title, features in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("states", self.states),
        ):
            if features:
                parts.append(f"{title}: " + ", ".join(_signature(f) for f in features))
        return "\n  ".join(parts) + ")"


def _signature(feature: _core.Feature) -> str:
    """`input_ids int32 [1..64, 1..128]`"""
    if feature.kind in ("String", "Int64", "Double", "Dictionary"):
        return f"{feature.name} {feature.kind}"
    if feature.enumerated:
        extents = " or ".join(str(list(shape)) for shape in feature.enumerated)
    elif feature.ranges:
        bounds = (
            str(low) if low == high else f"{low}..{'' if high < 0 else high}"
            for low, high in feature.ranges
        )
        extents = f"[{', '.join(bounds)}]"
    else:
        extents = f"[{', '.join('?' if n < 0 else str(n) for n in feature.shape)}]"
    return f"{feature.name} {feature.dtype} {extents}"


def _invalid(message: str, setting: str = "") -> _core.Error:
    error = _core.Error(message)
    error.code = "invalid_argument"
    error.setting = setting
    return error


def _without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """None is the usual value."""
    return {name: value for name, value in settings.items() if value is not None}


def _names_of(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _take(settings: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of these names, taken out."""
    wanted = set(names)
    return {name: settings.pop(name) for name in [*settings] if name in wanted}


def _take_for_opening(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of opening a model, taken out; what a student has too is left to it."""
    return _without_none(_take(settings, _names_of(LoadOptions) - _names_of(StudentOptions)))


def _opened(
    model: str | os.PathLike[str] | MLModel, function_name: str | None, options: dict[str, Any]
) -> MLModel:
    if not isinstance(model, MLModel):
        return MLModel(model, function_name=function_name, **options)
    given = [*options, *([] if function_name is None else ["function_name"])]
    if given:
        raise _invalid(f"{', '.join(given)}: expected with a path only; an MLModel has its own")
    return model


def _token(key: int | str) -> str:
    """Of a LogitBias: an id, or a text in double quotes, since it may consist of digits."""
    return json.dumps(key) if isinstance(key, str) else str(operator.index(key))


def _token_ids(prompt: ArrayLike) -> list[int]:
    ids = _array("prompt", prompt)
    is_one_text = ids.ndim == 1 or (ids.ndim == 2 and ids.shape[0] == 1)
    if (ids.size and ids.dtype.kind not in "iu") or not is_one_text:
        raise _invalid(
            f"prompt: expected a text or token ids [time], got {ids.dtype} {list(ids.shape)}"
        )
    if ids.size and not (0 <= int(ids.min()) and int(ids.max()) <= _LARGEST_ID):
        raise _invalid(
            f"prompt: expected token ids from 0 to {_LARGEST_ID}, got {ids.min()} to {ids.max()}"
        )
    return ids.ravel().tolist()


def _text(what: str, value: str) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{what}: expected a string, got {type(value).__name__}")


def _names(what: str, names: Iterable[str]) -> list[str]:
    """A lone string is a sequence of its letters, which nobody means."""
    if isinstance(names, str):
        raise TypeError(f"{what}: expected a list of strings, got the string {names!r}")
    return [_text(what, name) for name in names]


def _arrays(kind: str, data: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    for name in data:
        if not isinstance(name, str):
            raise TypeError(f"{kind}: expected strings as keys of the dict, got {name!r}")
    return {name: _array(f"{kind} '{name}'", value) for name, value in data.items()}


def _expect_unmasked(what: str, value: ArrayLike) -> None:
    """Nothing here reads a mask, so what it hides would count."""
    if np.ma.is_masked(value):
        raise _invalid(
            f"{what}: expected an array without a mask, got one with"
            f" {np.ma.count_masked(value)} masked values; fill them first"
        )


def _array(what: str, value: ArrayLike) -> NDArray[Any]:
    """The value as an aligned array in C order and the byte order of this machine."""
    _expect_unmasked(what, value)
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise _invalid(
            f"{what}: expected an array of numbers or booleans, got dtype {array.dtype};"
            " convert it first"
        )
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])


def _write_state(self: _core.MLState, name: str, value: ArrayLike) -> None:
    """Replaces a state; the shape must be the declared one."""
    self._write(name, _array(f"state '{name}'", value))


_core.MLState.write_state = _write_state
