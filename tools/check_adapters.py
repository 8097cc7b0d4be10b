#!/usr/bin/env python3
"""Has Hugging Face PEFT and mlx-lm open the adapters that `millwright train` writes, and the other way round.

A small Llama with random weights is made with transformers and converted by coremltools. Each adapter, LoRA and
DoRA, is then computed by the framework beside the original and by Millwright beside the package: the logits agree
within 1e-3. Run it by tools/check_adapters.sh, in an environment with what tools/requirements/adapters.txt lists.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
warnings.filterwarnings("ignore")

import coremltools as ct  # noqa: E402
import mlx.core as mx  # noqa: E402
import mlx_lm.utils  # noqa: E402
import numpy as np  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.tuner.utils import linear_to_lora_layers  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLE = ROOT / "examples/shakespeare"
TOLERANCE = 1e-3
LENGTH = 16
MODULES = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
KEYS = ["self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"]


class Logits(torch.nn.Module):
    """What is converted: token ids to logits, with the mask and the positions of a whole text."""

    def __init__(self, model):
        super().__init__()
        self.model = model.model
        self.lm_head = model.lm_head
        hidden = torch.full((1, 1, LENGTH, LENGTH), -3e4).triu(1)
        self.register_buffer("mask", hidden, persistent=False)
        self.register_buffer("positions", torch.arange(LENGTH)[None], persistent=False)

    def forward(self, ids):
        model = self.model
        hidden = model.embed_tokens(ids)
        rotary = model.rotary_emb(hidden, self.positions)
        for layer in model.layers:
            out = layer(
                hidden,
                attention_mask=self.mask,
                position_ids=self.positions,
                position_embeddings=rotary,
                use_cache=False,
            )
            hidden = out[0] if isinstance(out, tuple) else out
        return self.lm_head(model.norm(hidden))


class Checks:
    def __init__(self, millwright, folder):
        self.millwright, self.folder = str(millwright), folder
        self.failures = 0
        self.source, self.package = folder / "source", folder / "model.mlpackage"
        self.ids = np.random.default_rng(5).integers(0, 250, (1, LENGTH)).astype(np.int32)
        save_file({"input_ids": self.ids}, folder / "ids.safetensors")
        self.make_model()

    def make_model(self):
        torch.manual_seed(1)
        vocabulary = len(json.loads((EXAMPLE / "tokenizer.json").read_text())["model"]["vocab"])
        config = transformers.LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
        model = transformers.LlamaForCausalLM(config).eval()
        model.save_pretrained(self.source)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(EXAMPLE / "tokenizer.json"))
        tokenizer.save_pretrained(self.source)
        with torch.no_grad():
            traced = torch.jit.trace(Logits(model), torch.zeros(1, LENGTH, dtype=torch.int32))
        converted = ct.convert(
            traced,
            inputs=[ct.TensorType(name="input_ids", shape=(1, LENGTH), dtype=np.int32)],
            outputs=[ct.TensorType(name="logits")],
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS17,
        )
        converted.save(str(self.package))
        self.expect("the package without an adapter", self.here(), self.torch_logits(self.original()))

    # --- the two sides -------------------------------------------------------------------------

    def run(self, *words):
        answer = subprocess.run([self.millwright, *map(str, words)], capture_output=True, text=True)
        if answer.returncode != 0:
            sys.exit(f"millwright {' '.join(map(str, words))}\n{answer.stdout}{answer.stderr}")

    def here(self, adapter=None):
        out = self.folder / "logits.safetensors"
        more = [] if adapter is None else ["--adapter", adapter]
        self.run("run", self.package, "--inputs", self.folder / "ids.safetensors", "--output", out, *more)
        return load_file(out)["logits"]

    def original(self):
        return transformers.LlamaForCausalLM.from_pretrained(self.source, attn_implementation="eager").eval()

    def torch_logits(self, model):
        with torch.no_grad():
            return model(input_ids=torch.tensor(self.ids, dtype=torch.int64)).logits.numpy()

    def mlx_logits(self, adapter):
        model, _ = mlx_lm.utils.load(str(self.source), adapter_path=str(adapter))
        return np.array(model(mx.array(self.ids)))

    def expect(self, what, ours, theirs):
        largest = float(np.abs(ours - theirs).max())
        good = ours.shape == theirs.shape and largest <= TOLERANCE
        self.failures += not good
        print(f"{'ok' if good else 'FAILED':6}  {what}: logits differ by at most {largest:.1e}", flush=True)

    def expect_change(self, what, adapter):
        change = float(np.abs(self.here(adapter) - self.here()).max())
        if change < 20 * TOLERANCE:
            self.failures += 1
            print(f"FAILED  {what}: changes the logits by {change:.1e} alone, which would show nothing")

    # --- the checks ----------------------------------------------------------------------------

    def trained_here(self, form, dora):
        adapter = self.folder / f"trained_{form}_{'dora' if dora else 'lora'}"
        names = [] if form == "mlx" else ["--adapter-names", self.source / "model.safetensors"]
        kind = ["--lora-dora"] if dora else []
        targets = [f"*{module}?weight*" for module in MODULES]
        self.run(
            "train", self.package, "--data", EXAMPLE / "train.txt", "--tokenizer", EXAMPLE / "tokenizer.json",
            "--output", adapter, "--adapter-format", form, "--lora-rank", 4, "--lora-targets", *targets,
            "--steps", 20, "--batch-size", 2, "--lr", 0.02, "--checkpoint-dir", self.folder / f"run_{adapter.name}",
            *names, *kind,
        )  # fmt: skip
        what = f"{'DoRA' if dora else 'LoRA'} trained here, opened by {'PEFT' if form == 'peft' else 'mlx-lm'}"
        theirs = self.mlx_logits(adapter) if form == "mlx" else self.peft_logits(adapter)
        self.expect(what, self.here(adapter), theirs)
        self.expect_change(what, adapter)

    def peft_logits(self, adapter):
        return self.torch_logits(peft.PeftModel.from_pretrained(self.original(), str(adapter)).eval())

    def made_by_peft(self, dora):
        torch.manual_seed(2)
        config = peft.LoraConfig(r=3, lora_alpha=7, target_modules=MODULES, use_dora=dora, init_lora_weights=False)
        model = peft.get_peft_model(self.original(), config).eval()
        with torch.no_grad():
            for name, value in model.named_parameters():
                if "lora_" not in name:
                    continue
                value.mul_(1 + 0.3 * torch.rand_like(value)) if "magnitude" in name else value.mul_(0.3)
        adapter = self.folder / f"peft_{dora}"
        model.save_pretrained(str(adapter))
        what = f"{'DoRA' if dora else 'LoRA'} made by PEFT, opened here"
        self.expect(what, self.here(adapter), self.torch_logits(model))
        self.expect_change(what, adapter)

    def made_by_mlx(self, dora):
        mx.random.seed(3)
        model, _ = mlx_lm.utils.load(str(self.source))
        parameters = {"rank": 3, "scale": 2.0, "dropout": 0.0, "keys": KEYS}
        linear_to_lora_layers(model, 1, parameters, use_dora=dora)
        weights = {}
        for name, value in tree_flatten(model.parameters()):
            if name.endswith((".lora_a", ".lora_b")):
                weights[name] = mx.random.normal(value.shape) * 0.2
            elif name.endswith(".m"):
                weights[name] = value * (1 + 0.3 * mx.random.uniform(shape=value.shape))
        model.load_weights(list(weights.items()), strict=False)
        adapter = self.folder / f"mlx_{dora}"
        adapter.mkdir()
        mx.save_safetensors(str(adapter / "adapters.safetensors"), weights)
        config = {
            "fine_tune_type": "dora" if dora else "lora",
            "num_layers": 1,
            "lora_parameters": parameters,
        }
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        what = f"{'DoRA' if dora else 'LoRA'} made by mlx-lm, opened here"
        self.expect(what, self.here(adapter), np.array(model(mx.array(self.ids))))
        self.expect_change(what, adapter)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millwright", type=pathlib.Path, default=ROOT / "build/bin/millwright")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checks = Checks(options.millwright.resolve(), pathlib.Path(folder))
        for dora in (False, True):
            for form in ("peft", "mlx"):
                checks.trained_here(form, dora)
            checks.made_by_peft(dora)
            checks.made_by_mlx(dora)
    sys.exit(1 if checks.failures else 0)


if __name__ == "__main__":
    main()
