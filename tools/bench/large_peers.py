#!/usr/bin/env python3
"""Times a model of the shape of Qwen3-0.6B beside PyTorch with transformers and PEFT, two threads each.

    tools/setup.sh --coremltools --adapters && make build
    .deps/venv-coremltools/bin/python tools/bench/large_models.py FOLDER full
    .deps/venv-adapters/bin/python tools/bench/large_peers.py FOLDER/qwen06-full.mlpackage [--rounds N] [--json FILE]

Two kinds of work, in fp32, of models with random weights and the same shapes:

    prefill  the logits of the last of 512 tokens: the first token of a text that is generated
    lora     a step of AdamW on 2 x 128 tokens, adapters of rank 8 beside every linear layer

Each contender is a process of its own; they take turns. The time is the median over the rounds, memory is
the peak of the process less what it had before it opened the model. Nothing else should run on the machine.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

THREADS, RANK, ALPHA = 2, 8, 16.0
PROMPT, BATCH, TIME, TOKENS = 512, 2, 128, 151936
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
sys.path.insert(0, str(ROOT / "build" / "python"))

import numpy as np  # noqa: E402
from contender import KEEP_MEMORY, Contender, memory_megabytes  # noqa: E402


def batch(rows: int, time_: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, TOKENS, (rows, time_), np.int32)


def write_tokenizer(folder: str) -> str:
    """A word for each token; generation wants to know how a text is spelt."""
    words = {f"t{token}": token for token in range(TOKENS)}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "t0"}
    path = Path(folder) / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "model": model}))
    return str(path)


def millwright_work(kind: str, package: str):
    import millwright

    before = memory_megabytes("VmRSS")
    if kind == "prefill":
        with tempfile.TemporaryDirectory() as folder:
            model = millwright.MLModel(package, threads=THREADS, tokenizer=write_tokenizer(folder))
            _ = model.tokenizer  # its memory counts
        ids = batch(1, PROMPT)[0]
        return lambda: model.generate(ids, max_tokens=1, ignore_end=True), before
    student = millwright.StudentModel(package, millwright.AdamW(learning_rate=1e-4), threads=THREADS,
                                      lora=millwright.Lora(rank=RANK, alpha=ALPHA))
    ids = batch(BATCH, TIME + 1)
    return lambda: student.training_step(ids[:, :-1].copy(), ids[:, 1:].copy()).loss, before


def torch_work(kind: str):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.set_num_threads(THREADS)
    torch.cuda.is_current_stream_capturing = lambda: False  # there is no CUDA behind this wheel to ask
    before = memory_megabytes("VmRSS")
    config = Qwen3Config(vocab_size=TOKENS, hidden_size=1024, intermediate_size=3072,
                         num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
                         head_dim=128, max_position_embeddings=2048, rope_theta=1e6,
                         tie_word_embeddings=True, use_cache=False)
    model = Qwen3ForCausalLM(config)
    if kind == "prefill":
        model.eval()
        ids = torch.from_numpy(batch(1, PROMPT)).long()

        @torch.inference_mode()
        def prefill():
            return model(input_ids=ids, logits_to_keep=1).logits

        return prefill, before
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(LAYERS)))
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-4, fused=True)
    ids = torch.from_numpy(batch(BATCH, TIME + 1)).long()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = model(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, TOKENS), ids[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, before


def work(contender: str, kind: str, package: str) -> None:
    """The child: a line comes in, a line with the seconds of one turn goes out."""
    begin = time.perf_counter()
    turn, before = millwright_work(kind, package) if contender == "millwright" else torch_work(kind)
    opened = time.perf_counter() - begin
    for _ in sys.stdin:
        begin = time.perf_counter()
        turn()
        seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds, "opened": opened,
                          "peak": memory_megabytes("VmHWM") - before}), flush=True)


def compare(kind: str, package: str, contenders: dict, rounds: int) -> dict:
    workers = {title: Contender(__file__, [contender, kind, package], more)
               for title, (contender, more) in contenders.items()}
    answers = {title: [worker.take("go")] for title, worker in workers.items()}  # warms up
    for _ in range(rounds):
        for title, worker in workers.items():
            answers[title].append(worker.take("go"))
    for worker in workers.values():
        worker.close()
    return {title: {"seconds": statistics.median(a["seconds"] for a in turns[1:]),
                    "fastest": min(a["seconds"] for a in turns[1:]),
                    "slowest": max(a["seconds"] for a in turns[1:]),
                    "first": turns[0]["seconds"] + turns[0]["opened"], "megabytes": turns[-1]["peak"]}
            for title, turns in answers.items()}


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        return work(*sys.argv[2:5])
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=("prefill", "lora"), action="append", help="only this work")
    parser.add_argument("--alone", action="store_true", help="Millwright without PyTorch")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    contenders = {"Millwright": ("millwright", {})}
    if not options.alone:
        contenders["PyTorch"] = ("torch", KEEP_MEMORY)
    results = {kind: compare(kind, options.package, contenders, options.rounds)
               for kind in options.kind or ("prefill", "lora")}
    print("| | | s (fastest to slowest) | opening and the first turn | memory |\n|---|---|---|---|---|")
    for kind, rows in results.items():
        for title, r in rows.items():
            print(f"| {kind} | {title} | {r['seconds']:.2f} ({r['fastest']:.2f} to {r['slowest']:.2f}) "
                  f"| {r['first']:.1f} s | {r['megabytes']:,.0f} MB |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
