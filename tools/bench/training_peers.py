#!/usr/bin/env python3
"""Times a training step of Millwright beside PyTorch's: fp32, AdamW, two threads each, taking turns.

    tools/setup.sh --peers && make build
    .deps/venv/bin/python tools/bench/training_peers.py [--rounds N] [--json FILE]

Every contender is a process of its own that trains the language models of examples/ from the weights in
their packages, on the same batches of 8 x 128 tokens. PyTorch runs an equal model (models.py); a
contender whose losses are not Millwright's is an error. In every round each process takes a number of
steps while the others wait. Speeds are medians over the rounds, memory is the peak of the process.
Nothing else should run on the machine.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
BATCH, TIME = 8, 128
CHECKED, TOLERANCE = 5, 1e-3  # losses compared, and how far apart they may be, relative
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shakespeare"
MODELS = {"student (2 layers of width 64)": "student", "model (4 layers of width 128)": "model"}
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
sys.path.insert(0, str(ROOT / "build" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np  # noqa: E402
from contender import KEEP_MEMORY, Contender, memory_megabytes  # noqa: E402


def millwright_step(name: str, weights: Path):
    import millwright

    student = millwright.StudentModel(
        EXAMPLE / f"{name}.mlpackage", millwright.AdamW(learning_rate=1e-3), threads=THREADS)
    if not weights.exists():
        student.save_weights(weights)
    return lambda ids, labels: student.training_step(ids, labels).loss


def torch_net(tensors: dict):
    """models.TinyLlama with the weights of a package, by their names in it."""
    import torch

    import models

    width = tensors["norm_weight"].shape[0]
    layers = 1 + max(int(name.split("_")[1]) for name in tensors if name.startswith("layers_"))
    heads = 4
    size = width // heads
    keys = tensors["layers_0_attention_wk_weight"].shape[0]
    net = models.TinyLlama(width, layers, heads, keys // size,
                           tensors["layers_0_w1_weight"].shape[0],
                           tensors["tok_embeddings_weight"].shape[0])

    def halves(weight: np.ndarray) -> np.ndarray:
        """The package turns neighbouring numbers of a head, models.py those half a head apart."""
        parts = weight.reshape(-1, size // 2, 2, weight.shape[1])
        return np.ascontiguousarray(parts.transpose(0, 2, 1, 3)).reshape(weight.shape)

    values = {net.tokens.weight: tensors["tok_embeddings_weight"],
              net.norm.weight: tensors["norm_weight"]}
    for i, layer in enumerate(net.layers):
        of_layer = {layer.norm1: "attention_norm", layer.norm2: "ffn_norm",
                    layer.query: "attention_wq", layer.key: "attention_wk",
                    layer.value: "attention_wv", layer.out: "attention_wo",
                    layer.gate: "w1", layer.up: "w3", layer.down: "w2"}
        for module, name in of_layer.items():
            value = tensors[f"layers_{i}_{name}_weight"]
            values[module.weight] = halves(value) if name[-2:] in ("wq", "wk") else value
    if len(values) != len(tensors) or len(values) != len(list(net.parameters())):
        raise SystemExit("the package has other parameters than the model of models.py")
    with torch.no_grad():
        for parameter, value in values.items():
            parameter.copy_(torch.from_numpy(value))
    return net


def torch_step(weights: Path, compiled: bool):
    import torch
    from safetensors.numpy import load_file
    from torch.nn import functional

    torch.set_num_threads(THREADS)
    net = torch_net(load_file(weights))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    forward = torch.compile(net) if compiled else net

    def step(ids: np.ndarray, labels: np.ndarray) -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = forward(torch.from_numpy(ids))
        loss = functional.cross_entropy(
            logits.view(-1, logits.shape[-1]), torch.from_numpy(labels).view(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def work(contender: str, name: str, folder: Path) -> None:
    """The child: a line with a number of steps comes in, a line with seconds and losses goes out."""
    weights = folder / f"{name}.safetensors"
    step = (millwright_step(name, weights) if contender == "millwright"
            else torch_step(weights, contender == "torch-compile"))
    with np.load(folder / "batches.npz") as file:
        ids, labels = file["ids"], file["labels"]
    at = 0
    for line in sys.stdin:
        losses = []
        begin = time.perf_counter()
        for _ in range(int(line)):
            losses.append(step(ids[at % len(ids)], labels[at % len(ids)]))
            at += 1
        taken = time.perf_counter() - begin
        print(json.dumps({"seconds": taken, "losses": losses, "peak": memory_megabytes("VmHWM")}), flush=True)


def write_batches(path: Path, count: int = 16) -> None:
    import millwright

    tokenizer = millwright.MLModel(EXAMPLE / "student.mlpackage").tokenizer
    tokens = np.array(tokenizer.encode((EXAMPLE / "train.txt").read_text()), np.int64)
    starts = np.random.default_rng(0).integers(0, len(tokens) - TIME - 1, (count, BATCH))
    windows = tokens[starts[..., None] + np.arange(TIME + 1)]
    np.savez(path, ids=np.ascontiguousarray(windows[..., :-1]),
             labels=np.ascontiguousarray(windows[..., 1:]))


def compare(name: str, contenders: dict, folder: Path, options) -> dict:
    workers = {}
    for title, (contender, more) in contenders.items():
        workers[title] = Contender(__file__, [contender, name, str(folder)], more)
        if contender == "millwright":
            reference = workers[title].take(str(CHECKED))["losses"]
            continue
        losses = workers[title].take(str(CHECKED))["losses"]
        apart = max(abs(a - b) / b for a, b in zip(losses, reference, strict=True))
        print(f"{name}: {title}: the first {CHECKED} losses are within {apart:.1e} of Millwright's")
        if apart > TOLERANCE:
            raise SystemExit(f"{title} does other work: {losses}, expected {reference}")
    answers = {title: [] for title in workers}
    for number in range(options.rounds + 1):
        for title, worker in workers.items():
            answer = worker.take(str(options.steps))
            if number > 0:  # the first warms up
                answers[title].append(answer)
    for worker in workers.values():
        worker.close()
    tokens = options.steps * BATCH * TIME
    return {title: {"tokens_per_second": tokens / statistics.median(a["seconds"] for a in rounds),
                    "slowest": tokens / max(a["seconds"] for a in rounds),
                    "fastest": tokens / min(a["seconds"] for a in rounds),
                    "peak_megabytes": rounds[-1]["peak"]}
            for title, rounds in answers.items()}


def print_table(results: dict) -> None:
    print("\n| training step, 8 x 128 tokens | | tokens/s (slowest to fastest round) | Millwright is "
          "faster by | peak memory |\n|---|---|---|---|---|")
    for work_title, row in results.items():
        ours = next(iter(row.values()))["tokens_per_second"]
        for title, r in row.items():
            ratio = "" if title == "Millwright" else f"{ours / r['tokens_per_second']:.2f} x"
            print(f"| {work_title} | {title} | {r['tokens_per_second']:,.0f} "
                  f"({r['slowest']:,.0f} to {r['fastest']:,.0f}) | {ratio} "
                  f"| {r['peak_megabytes']:.0f} MB |")


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        return work(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="steps that a contender takes in a round")
    parser.add_argument("--compile", action="store_true", help="also PyTorch's torch.compile")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    contenders = {"Millwright": ("millwright", {}), "PyTorch": ("torch", {}),
                  "PyTorch, freed memory kept": ("torch", KEEP_MEMORY)}
    if options.compile:
        contenders["PyTorch, compiled, freed memory kept"] = ("torch-compile", KEEP_MEMORY)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_batches(folder / "batches.npz")
        for title, model in MODELS.items():
            results[title] = compare(model, contenders, folder, options)
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
