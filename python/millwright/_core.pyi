# What the extension offers to _model.py, _student.py and callers.
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from millwright._settings import GenerationSettings, LoadOptions, StudentOptions, TrainingSettings

class Error(ValueError):
    code: str
    setting: str

class Feature:
    name: str
    kind: str
    dtype: str
    shape: list[int]
    ranges: list[tuple[int, int]]
    enumerated: list[list[int]]
    optional: bool
    description: str

class Tokenizer:
    vocab_size: int
    end_of_text_ids: list[int]
    path: str
    @staticmethod
    def from_file(path: str) -> Tokenizer: ...
    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...
    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str: ...
    def __len__(self) -> int: ...

class MLState:
    names: list[str]
    def reset(self) -> None: ...
    def read_state(self, name: str) -> NDArray[Any]: ...
    def write_state(self, name: str, value: ArrayLike) -> None: ...

class Model:
    inputs: list[Feature]
    outputs: list[Feature]
    states: list[Feature]
    function: str
    functions: list[str]
    metadata: dict[str, str]
    path: str
    tokenizer: Tokenizer
    def predict(
        self, inputs: dict[str, NDArray[Any]], state: MLState | None, taps: list[str]
    ) -> dict[str, NDArray[Any]]: ...
    def forward(self, ids: NDArray[Any]) -> NDArray[Any]: ...
    def make_state(self) -> MLState: ...

class StepResult:
    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    tokens: int

class Parameter:
    name: str
    shape: list[int]
    dtype: str
    trained: bool
    reason: str

class Student:
    def __init__(self, model: Model, settings: StudentOptions, /) -> None: ...
    def set_teacher(
        self,
        teacher: Model,
        temperature: float,
        alpha: float,
        target: str,
        cache: str,
        top_k: int,
        /,
    ) -> None: ...
    def training_step(self, batches: list[dict[str, NDArray[Any]]], /) -> StepResult: ...
    def backward(
        self, batch: dict[str, NDArray[Any]], /
    ) -> tuple[dict[str, NDArray[Any]], StepResult]: ...
    def evaluate(self, batch: dict[str, NDArray[Any]], /) -> StepResult: ...
    def predict(self, inputs: dict[str, NDArray[Any]], /) -> dict[str, NDArray[Any]]: ...
    def objective(self, batch: dict[str, NDArray[Any]], /) -> str: ...
    def class_labels(self) -> list[str] | list[int]: ...
    def step_bytes(self) -> int: ...
    def parameters(self) -> list[Parameter]: ...
    def get_parameter(self, name: str, /) -> NDArray[Any]: ...
    def set_parameter(self, name: str, value: NDArray[Any], /) -> None: ...
    def state(self) -> dict[str, NDArray[Any]]: ...
    def load_state(self, state: dict[str, NDArray[Any]], /) -> None: ...
    def save_weights(self, path: str, /) -> None: ...
    def load_weights(self, path: str, /) -> None: ...
    def save_checkpoint(self, path: str, /) -> None: ...
    def load_checkpoint(self, path: str, /) -> None: ...
    def save_adapter(self, path: str, module_names: str, format: str, /) -> None: ...
    def load_adapter(self, path: str, module_names: str, /) -> None: ...
    def notes(self) -> list[str]: ...
    def save(self, path: str, only_function: bool, /) -> list[str]: ...

class StepRecord:
    step: int
    loss: float | None
    valid_loss: float | None
    grad_norm: float | None
    learning_rate: float | None
    tokens: int
    seconds: float
    memory: int

class TrainingProgress:
    step: int
    loss: float
    record: StepRecord
    steps: int
    valid_loss: float | None
    per_second: float
    seconds_left: float

class TrainingReport:
    interrupted: bool
    stopped_early: bool
    objective: str
    step: int
    written_step: int
    steps: list[StepRecord]
    losses: list[float]
    loss: float | None
    valid_loss: float | None
    best_loss: float | None
    best_step: int
    test_loss: float | None
    tokens: int
    seconds: float
    tokens_per_second: float
    step_bytes: int
    trained_numbers: int
    all_numbers: int
    output: Path | None
    adapter: Path | None
    checkpoint: Path | None
    html: Path | None
    warnings: list[str]
    notes: list[str]

def train(
    model: Model,
    teacher: Model | None,
    settings: TrainingSettings,
    progress: Callable[[TrainingProgress], object] | None,
) -> TrainingReport: ...
class Generation:
    text: str
    ids: list[int]
    end: str
    reason: str
    prompt_tokens: int
    reused_tokens: int
    first_token_seconds: float
    seconds: float
    tokens_per_second: float
    notes: list[str]

def generate(
    model: Model,
    prompt: list[int],
    settings: GenerationSettings,
    on_text: Callable[[str], object] | None,
) -> Generation: ...
def load(path: str, options: LoadOptions) -> Model: ...
