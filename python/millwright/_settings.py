"""Settings of opening, training and generation. tools/settings_tables.sh writes this file from include/millwright/settings.hpp."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import TypeAlias, TypedDict


@dataclass(frozen=True)
class AdamW:
    """Loshchilov and Hutter 2017: weight decay apart from the gradient."""

    #: Size of a step.
    learning_rate: float = 0.001
    #: Decay of the mean of gradients.
    beta1: float = 0.9
    #: Decay of the mean of their squares.
    beta2: float = 0.999
    #: Added to what a step is divided by, lest that be 0.
    epsilon: float = 1e-08
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.01
    #: Divide the means by what the first steps lack.
    bias_correction: bool = True

    betas: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, betas: tuple[float, float] | None) -> None:
        """`betas` gives both at once."""
        if betas is not None:
            for name, value in zip(("beta1", "beta2"), betas, strict=True):
                object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2014, with weight decay added to the gradient."""

    #: Size of a step.
    learning_rate: float = 0.001
    #: Decay of the mean of gradients.
    beta1: float = 0.9
    #: Decay of the mean of their squares.
    beta2: float = 0.999
    #: Added to what a step is divided by, lest that be 0.
    epsilon: float = 1e-08
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.0
    #: Divide the means by what the first steps lack.
    bias_correction: bool = True

    betas: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, betas: tuple[float, float] | None) -> None:
        """`betas` gives both at once."""
        if betas is not None:
            for name, value in zip(("beta1", "beta2"), betas, strict=True):
                object.__setattr__(self, name, value)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum."""

    #: Size of a step.
    learning_rate: float = 0.01
    #: Share of the step before in a step.
    momentum: float = 0.0
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.0
    #: Look ahead by the momentum.
    nesterov: bool = False


@dataclass(frozen=True)
class Lion:
    """Chen et al. 2023: steps of one size, by a sign."""

    #: Size of a step.
    learning_rate: float = 0.0001
    #: Share of the mean of gradients in a step.
    beta1: float = 0.9
    #: Decay of the mean of gradients.
    beta2: float = 0.99
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.0

    betas: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, betas: tuple[float, float] | None) -> None:
        """`betas` gives both at once."""
        if betas is not None:
            for name, value in zip(("beta1", "beta2"), betas, strict=True):
                object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Muon:
    """Jordan et al. 2024, Liu et al. 2025: steps of matrices made orthogonal, AdamW for the rest."""

    #: Size of a step.
    learning_rate: float = 0.001
    #: Share of the step before in a step.
    momentum: float = 0.95
    #: Look ahead by the momentum.
    nesterov: bool = True
    #: Decay of the mean of gradients.
    beta1: float = 0.9
    #: Decay of the mean of their squares.
    beta2: float = 0.999
    #: Added to what a step is divided by, lest that be 0.
    epsilon: float = 1e-08
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.1

    betas: InitVar[tuple[float, float] | None] = None

    def __post_init__(self, betas: tuple[float, float] | None) -> None:
        """`betas` gives both at once."""
        if betas is not None:
            for name, value in zip(("beta1", "beta2"), betas, strict=True):
                object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Adafactor:
    """Shazeer and Stern 2018: squares kept by row and by column, steps relative to the weights."""

    #: Size of a step.
    learning_rate: float = 0.01
    #: The mean of squares takes in t to the power of minus this at step t.
    decay_rate: float = 0.8
    #: Weights count as at least so large.
    epsilon: float = 0.001
    #: Largest root mean square of a step before it is scaled.
    clip_threshold: float = 1.0
    #: Share of a weight that it loses in a step of size 1.
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate, by step."""

    #: How the learning rate goes on after the warm-up.
    kind: str = "constant"
    #: Steps in which the learning rate rises.
    warmup_steps: int = 0
    #: The step at which the learning rate has fallen (default: the last one of the run).
    total_steps: int = 0
    #: What it rises from, relative to its size.
    initial_factor: float = 0.0
    #: What it has fallen to, relative to its size.
    final_factor: float = 0.0
    #: Of step: what the learning rate is multiplied by.
    decay_factor: float = 0.1
    #: Of step: after how many steps, each time.
    decay_every: int = 1000


@dataclass(frozen=True)
class ParameterGroup:
    """Settings for the parameters whose names match; the last match counts."""

    #: Of names of parameters.
    glob: str
    #: On the learning rate.
    learning_rate_factor: float = 1.0
    #: Instead of the optimiser's.
    weight_decay: float | None = None


@dataclass(frozen=True)
class Lora:
    """Adapters of Hu et al. 2021: y = W x becomes y = W x + (alpha / rank) B A x, and W stays."""

    #: Of the adapters that are trained.
    rank: int = 8
    #: Adapters count alpha / rank times.
    alpha: float = 16.0
    #: Globs over names of weights of linear, matmul and conv without groups.
    targets: Sequence[str] = ("*",)
    #: Of what A begins as.
    seed: int = 0
    #: Train a magnitude for each output of an adapted weight, too (DoRA, Liu et al. 2024).
    dora: bool = False


@dataclass(frozen=True)
class LogitBias:
    """What is added to the logit of one token."""

    #: An id, or a text that is one token; in double quotes always a text.
    token: str
    #: -inf: it never comes.
    bias: float


Optimizer: TypeAlias = AdamW | Adam | SGD | Lion | Muon | Adafactor


@dataclass(frozen=True)
class LoadOptions:
    """How a model is opened."""

    #: Function of a multi-function package (default: the package's own).
    function: str = ""
    #: What floats are computed in.
    compute: str = "fp32"
    #: What computes.
    device: str = "cpu"
    #: Number of threads; 0: all cores.
    threads: int = 0
    #: tokenizer.json or its folder (default: in or beside the model).
    tokenizer: str | os.PathLike[str] = ""
    #: What a student, Hugging Face PEFT or mlx-lm wrote of its adapters.
    adapter: str | os.PathLike[str] = ""
    #: Which weights the adapter's modules have, where their names do not tell.
    module_names: str | os.PathLike[str] = ""
    #: What an input of a language model takes, NAME=ROLE: ids, attention_mask, causal_mask, sliding_mask, positions, past_length, update_mask, zeros or cache:OUTPUT.
    role: Sequence[str] = ()
    #: Run op by op with the reference implementations.
    naive: bool = False
    #: Keep the time of every step.
    profile: bool = False
    #: Print the program to stderr after the pass of this name, or after `all`.
    print_after: Sequence[str] = ()


@dataclass(frozen=True)
class StudentOptions:
    """What a student learns with."""

    #: How gradients change the weights.
    optimizer: Optimizer = AdamW()
    #: A factor on the learning rate, by step.
    schedule: Schedule = Schedule()
    #: Globs over parameter names; * is what inspect lists as trainable.
    trainable: Sequence[str] = ("*",)
    #: Other settings for parameters whose names match.
    groups: Sequence[ParameterGroup] = ()
    #: What is minimised; output: the target itself.
    loss: str = "cross_entropy"
    #: The output that the loss is of, if not the logits.
    target: str = ""
    #: Of cross entropy.
    label_smoothing: float = 0.0
    #: Axis of the target that counts the classes, below 0 from the end, if the labels do not tell.
    class_axis: int | None = None
    #: Of binary cross entropy: what a label 1 counts, one number or one for each class.
    pos_weight: Sequence[float] | float = ()
    #: Largest norm of the gradients together; 0: any.
    clip_norm: float = 0.0
    #: Inputs that backward differentiates by, too.
    wrt_inputs: Sequence[str] = ()
    #: Run op by op with the reference implementations.
    naive: bool = False
    #: What a step may take; what does not fit is computed again; 0: any.
    memory: int = 0
    #: Compute again in the backward pass whatever makes a step take less memory.
    recompute: bool = False
    #: Train or adapt what stands in the last so many layers; -1: in layers; 0: anywhere.
    last_layers: int = 0
    #: Where a text takes several calls: gradients do not come back through what the cache held before a multiple of so many tokens; 0: to its beginning.
    tbptt: int = 0
    #: Train adapters; the model's own weights stay frozen.
    lora: Lora | None = None


@dataclass(frozen=True)
class RunSettings:
    """What a run does around the steps of its student."""

    #: A text, .jsonl with text, prompt and completion or messages, a folder with train.jsonl and valid.jsonl, or .npz/.safetensors with a tensor per input and labels.
    data: str | os.PathLike[str] = ""
    #: The package to write (.mlpackage or .mlmodelc); of adapters also these alone (.safetensors, or a folder in the formats peft and mlx).
    output: str | os.PathLike[str] = ""
    #: Validation data (default: valid.jsonl of the folder).
    eval_data: str | os.PathLike[str] = ""
    #: Steps between validations (0: at the end only).
    eval_every: int = 100
    #: Stop after this many validations without a new best, and write the best weights.
    patience: int | None = None
    #: Examples per batch (default: 8 windows, 32 arrays).
    batch_size: int | None = None
    #: Tokens per window (default: the model's, at most 256).
    seq_len: int | None = None
    #: Of the order of examples.
    seed: int = 0
    #: Updates of the weights.
    steps: int = 1000
    #: Batches per step.
    accumulate: int = 1
    #: Learn of prompts and completions, and of messages, the answers alone.
    mask_prompt: bool = True
    #: Let examples share a window; without, each has one of its own, cut off at seq_len.
    pack: bool = True
    #: KEY=NAME: how lines call text, prompt, completion or messages.
    data_keys: Sequence[str] = ()
    #: Batches of a validation (default: all).
    eval_batches: int | None = None
    #: Batches of test.jsonl at the end (default: all).
    test_batches: int | None = None
    #: Begin with this adapter, of Millwright, Hugging Face PEFT or mlx-lm.
    from_adapter: str | os.PathLike[str] = ""
    #: Millwright, a .safetensors file; peft or mlx, a folder as Hugging Face PEFT or mlx-lm has it (default: that of the adapter it replaces or begins with).
    adapter_format: str | None = None
    #: How modules are called, for the formats peft and mlx: weights of the model that this one was converted from (.safetensors, or the index .json of several), or a file that says which module has which weight.
    adapter_names: str | os.PathLike[str] = ""
    #: Folder for checkpoints, metrics.jsonl and report.html (default: beside the output, NAME.run).
    checkpoint_dir: str | os.PathLike[str] = ""
    #: Steps between checkpoints (0: at the end).
    checkpoint_every: int = 100
    #: Go on from the last checkpoint, if there is one.
    resume: bool = False
    #: Go on from this checkpoint.
    resume_from: str | os.PathLike[str] = ""
    #: Start anew although the folder holds checkpoints.
    overwrite: bool = False
    #: Change the function in training alone, also where others share its weights.
    only_function: bool = False


@dataclass(frozen=True)
class DistillOptions:
    """What a teacher counts: (1 - alpha) cross entropy + alpha temperature^2 KL(teacher || student)."""

    #: Of both models' predictions, as they are compared.
    temperature: float = 2.0
    #: Share of the teacher in the loss; the rest is cross entropy with the data.
    alpha: float = 0.5
    #: The teacher's logits, if not chosen as the student's.
    teacher_target: str = ""
    #: A file that keeps the teacher's predictions, so that each is computed once.
    teacher_cache: str | os.PathLike[str] = ""
    #: Classes of a prediction that teacher_cache keeps, the likeliest; the others together (0: all).
    teacher_top_k: int = 64


@dataclass(frozen=True)
class TrainingSettings:
    """All that a run is told."""

    run: RunSettings
    student: StudentOptions = StudentOptions()
    distill: DistillOptions = DistillOptions()


@dataclass(frozen=True)
class GenerationSettings:
    """How a text is continued."""

    #: Tokens to generate at most.
    max_tokens: int = 100
    #: 0: greedy.
    temperature: float = 0.0
    #: Sample among the k likeliest (0: all).
    top_k: int = 0
    #: Sample among the likeliest that hold this probability.
    top_p: float = 1.0
    #: Sample among those at least so likely, relative to the likeliest.
    min_p: float = 0.0
    #: Logits of tokens that came are divided by it, negative ones multiplied (1: none).
    repetition_penalty: float = 1.0
    #: Last tokens that count as having come, those of the prompt among them (0: all).
    repetition_window: int = 64
    #: Seed of the sampling.
    seed: int = 0
    #: TOKEN=NUMBER: added to the logit of an id, or of a text that is one token; -inf: never.
    logit_bias: Sequence[LogitBias] = ()
    #: End before this text.
    stop: Sequence[str] = ()
    #: End before this token.
    stop_ids: Sequence[int] = ()
    #: Go on after the end token.
    ignore_end: bool = False
    #: Name of the logits output.
    target: str = ""
    #: File with the model's states after the prompt: read where it is there, else written.
    prompt_cache: str | os.PathLike[str] = ""


class LoadSettings(TypedDict, total=False):
    """What MLModel takes by name."""

    compute: str
    device: str
    threads: int
    tokenizer: str | os.PathLike[str] | None
    adapter: str | os.PathLike[str] | None
    module_names: str | os.PathLike[str]
    role: Sequence[str]
    naive: bool
    print_after: Sequence[str]


class Settings(LoadSettings, total=False):
    """What a StudentModel takes by name."""

    schedule: Schedule | None
    trainable: Sequence[str]
    groups: Sequence[ParameterGroup]
    loss: str
    target: str
    label_smoothing: float
    class_axis: int | None
    pos_weight: Sequence[float] | float
    clip_norm: float
    wrt_inputs: Sequence[str]
    memory: int
    recompute: bool
    last_layers: int
    tbptt: int
    lora: Lora | None


class GenerateSettings(TypedDict, total=False):
    """What MLModel.generate() takes by name."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    repetition_window: int
    seed: int
    logit_bias: Sequence[LogitBias] | Mapping[int | str, float]
    stop: Sequence[str]
    stop_ids: Sequence[int]
    ignore_end: bool
    target: str
    prompt_cache: str | os.PathLike[str] | None


class TrainSettings(Settings, total=False):
    """What train() takes by name."""

    eval_data: str | os.PathLike[str]
    eval_every: int
    patience: int | None
    batch_size: int | None
    seq_len: int | None
    seed: int
    steps: int
    accumulate: int
    mask_prompt: bool
    pack: bool
    data_keys: Sequence[str]
    eval_batches: int | None
    test_batches: int | None
    from_adapter: str | os.PathLike[str]
    adapter_format: str | None
    adapter_names: str | os.PathLike[str]
    checkpoint_dir: str | os.PathLike[str]
    checkpoint_every: int
    resume: bool
    resume_from: str | os.PathLike[str]
    overwrite: bool
    only_function: bool
    temperature: float
    alpha: float
    teacher_target: str
    teacher_cache: str | os.PathLike[str]
    teacher_top_k: int


__all__ = [
    "Adafactor",
    "Adam",
    "AdamW",
    "Lion",
    "LogitBias",
    "Lora",
    "Muon",
    "ParameterGroup",
    "SGD",
    "Schedule",
]
