#!/usr/bin/env python3
"""Times Millwright beside ONNX Runtime and PyTorch: one run, two threads each, taking turns.

    tools/setup.sh --peers
    .deps/venv/bin/python tools/bench/peers.py --minilm PACKAGE --decoder PACKAGE [--json FILE]

The peers run models of the same shapes with random weights. Each number is the median over rounds in
which every contender runs once; nothing else should run on the machine.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
sys.path.insert(0, str(ROOT / "build" / "python"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np  # noqa: E402


def seconds(run) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def take_turns(contenders: dict, rounds: int) -> dict:
    """Median seconds of each callable; two rounds warm up."""
    times = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name, run in contenders.items():
            gc.collect()
            taken = seconds(run)
            if number >= 2:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def minilm_contenders(package: str, onnx_file: Path, batch: int) -> dict:
    import millwright
    import onnxruntime
    import torch

    import models

    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 30000, (batch, 128)).astype(np.int32)
    mask = np.ones((batch, 128), np.int32)
    ours = millwright.MLModel(package)
    torch.manual_seed(0)
    net = models.MiniLM().eval()
    if not onnx_file.exists():
        example = (torch.zeros(2, 8, dtype=torch.int32), torch.ones(2, 8, dtype=torch.int32))
        torch.onnx.export(
            net, example, str(onnx_file), input_names=["ids", "mask"], output_names=["embedding"],
            dynamic_axes={"ids": {0: "batch", 1: "time"}, "mask": {0: "batch", 1: "time"}},
            opset_version=17, dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(onnx_file), options)
    torch_ids, torch_mask = torch.from_numpy(ids), torch.from_numpy(mask)

    def run_torch() -> None:
        with torch.inference_mode():
            net(torch_ids, torch_mask)

    return {
        "Millwright": lambda: ours.predict({"input_ids": ids, "attention_mask": mask}),
        "ONNX Runtime": lambda: session.run(None, {"ids": ids, "mask": mask}),
        "PyTorch": run_torch,
    }


def decode_contenders(package: str, tokens: int) -> dict:
    import millwright
    import torch

    import models

    ours = millwright.MLModel(package)
    net = models.TinyLlama().eval()
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 1000, tokens).astype(np.int32)

    def run_ours() -> None:
        state = ours.make_state()
        for i in range(tokens):
            mask = np.zeros((1, 1, 1, i + 1), np.float16)
            logits = ours.predict({"input_ids": ids[None, i : i + 1], "causal_mask": mask}, state)
            int(logits["logits"].argmax())

    def run_torch() -> None:
        with torch.inference_mode():
            caches = net.new_cache()
            for i in range(tokens):
                int(net(torch.from_numpy(ids[None, i : i + 1]).long(), caches, i).argmax())

    return {"Millwright": run_ours, "PyTorch": run_torch}


START_ORT = """
import sys, numpy as np, onnxruntime
o = onnxruntime.SessionOptions(); o.intra_op_num_threads = 2
s = onnxruntime.InferenceSession(sys.argv[1], o)
s.run(None, {"ids": np.full((1, 128), 2000, np.int32), "mask": np.ones((1, 128), np.int32)})
"""

START_OURS = """
import sys, numpy as np
sys.path.insert(0, sys.argv[2])
import millwright
m = millwright.MLModel(sys.argv[1])
m.predict({"input_ids": np.full((1, 128), 2000, np.int32), "attention_mask": np.ones((1, 128), np.int32)})
"""


def start_contenders(package: str, onnx_file: Path, folder: Path) -> dict:
    inputs = folder / "inputs.npz"
    np.savez(inputs, input_ids=np.full((1, 128), 2000, np.int32),
             attention_mask=np.ones((1, 128), np.int32))
    command = str(ROOT / "build" / "bin" / "millwright")

    def process(*arguments: str):
        return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    python = sys.executable
    return {
        "Millwright (command line)": process(command, "run", package, "--inputs", str(inputs)),
        "Millwright (Python)": process(python, "-c", START_OURS, package,
                                       str(ROOT / "build" / "python")),
        "ONNX Runtime (Python)": process(python, "-c", START_ORT, str(onnx_file)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minilm", required=True, help="MiniLM sentence encoder, .mlpackage")
    parser.add_argument("--decoder", required=True, help="language model with a KV cache, .mlpackage")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the seconds here")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(THREADS)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx_file = folder / "minilm.onnx"
        for batch in (1, 32):
            contenders = minilm_contenders(options.minilm, onnx_file, batch)
            rounds = options.rounds if batch == 1 else max(3, options.rounds // 3)
            results[f"MiniLM {batch} x 128, ms"] = take_turns(contenders, rounds)
        results["decode 100 tokens through the KV cache, ms"] = take_turns(
            decode_contenders(options.decoder, 100), max(3, options.rounds // 3))
        results["MiniLM: process start, load, first prediction, ms"] = take_turns(
            start_contenders(options.minilm, onnx_file, folder), max(3, options.rounds // 3))
    for title, row in results.items():
        print(title)
        ours = next(iter(row.values()))
        for name, value in row.items():
            print(f"    {name:28} {value * 1e3:9.1f}   {value / ours:5.2f} x Millwright's time")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
