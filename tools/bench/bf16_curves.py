#!/usr/bin/env python3
"""Trains in bf16 beside PyTorch's bf16 autocast and beside fp32: losses step by step, gradients.

    tools/setup.sh --adapters && make build python
    .deps/venv-adapters/bin/python tools/bench/bf16_curves.py [--steps N]

The language models of examples/, from the weights in their packages, on the batches of training_peers.py.
Prints how far the losses in bf16 are from autocast's and from fp32, and how far the gradients of the first
batch are from fp32's, of Millwright and of autocast: of each tensor's norm, tensors above 1e-4 of the largest.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import training_peers as peers  # noqa: E402  (finds the package and sets the threads)
import numpy as np  # noqa: E402


def millwright_run(name: str, compute: str, ids, labels, steps: int, weights: Path):
    import millwright

    student = millwright.StudentModel(
        peers.EXAMPLE / f"{name}.mlpackage", millwright.AdamW(learning_rate=1e-3),
        threads=peers.THREADS, compute=compute)
    if not weights.exists():
        student.save_weights(weights)
    gradients = dict(student.backward(ids[0], labels[0]))
    losses = [student.training_step(ids[i % len(ids)], labels[i % len(ids)]).loss
              for i in range(steps)]
    return np.array(losses), gradients


def torch_run(weights: Path, half: bool, ids, labels, steps: int):
    import contextlib

    import torch
    from safetensors.numpy import load_file
    from torch.nn import functional

    torch.set_num_threads(peers.THREADS)
    net = peers.torch_net(load_file(weights))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)

    def loss_of(batch: int):
        autocast = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
        with autocast:
            logits = net(torch.from_numpy(ids[batch]))
        wanted = torch.from_numpy(labels[batch]).view(-1)
        loss = functional.cross_entropy(logits.float().view(-1, logits.shape[-1]), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return loss.item()

    loss_of(0)
    gradients = {name: p.grad.numpy().copy() for name, p in net.named_parameters()}
    losses = []
    for i in range(steps):
        losses.append(loss_of(i % len(ids)))
        optimizer.step()
    return np.array(losses), gradients


def deviation(got: dict, want: dict) -> float:
    """The largest of all tensors, in parts of the tensor's norm."""
    norms = {name: np.linalg.norm(value) for name, value in want.items()}
    counted = [name for name, norm in norms.items() if norm >= 1e-4 * max(norms.values())]
    return max(np.linalg.norm(got[name] - want[name]) / norms[name] for name in counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        batches = Path(folder) / "batches.npz"
        peers.write_batches(batches)
        with np.load(batches) as file:
            ids, labels = file["ids"], file["labels"]
        for name in peers.MODELS.values():
            weights = Path(folder) / f"{name}.safetensors"
            given = (ids, labels, options.steps)
            fp32, exact = millwright_run(name, "fp32", *given, weights)
            bf16, ours = millwright_run(name, "bf16", *given, weights)
            torch_fp32, torch_exact = torch_run(weights, False, *given)
            autocast, theirs = torch_run(weights, True, *given)
            apart = np.max(np.abs(bf16 - autocast) / autocast)
            print(f"{name}, {options.steps} steps: losses in bf16 within {apart:.2%} of autocast's; "
                  f"the last {bf16[-1]:.4f}, in fp32 {fp32[-1]:.4f}, autocast {autocast[-1]:.4f}, "
                  f"PyTorch in fp32 {torch_fp32[-1]:.4f}")
            print(f"{name}: gradients within {deviation(ours, exact):.2%} of fp32's, "
                  f"autocast's within {deviation(theirs, torch_exact):.2%}")


if __name__ == "__main__":
    main()
