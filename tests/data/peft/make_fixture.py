"""Makes base.mlpackage, adapter/ and data.npz here, with torch, coremltools 9 and peft.

A network of nested modules, converted; an adapter of it that PEFT wrote, with ranks and alphas by
module and rank-stabilised scales; and what PyTorch computes with and without the adapter.
"""

import pathlib
import shutil

import coremltools as ct
import numpy as np
import peft
import torch

HERE = pathlib.Path(__file__).parent


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(12, 12)
        self.out_proj = torch.nn.Linear(12, 12, bias=False)

    def forward(self, x):
        return x + self.out_proj(torch.tanh(self.q_proj(x)))


class Trunk(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Block(), Block()])
        self.mix = torch.nn.Conv1d(3, 3, 3, padding=1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.mix(x)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Trunk()
        self.score = torch.nn.Linear(12, 5)

    def forward(self, x):
        return self.score(self.model(x))


torch.manual_seed(0)
net = Net().eval()
x = torch.rand(2, 3, 12) * 2 - 1
traced = torch.jit.trace(net, x)
base = ct.convert(
    traced,
    inputs=[ct.TensorType(name="x", shape=x.shape)],
    outputs=[ct.TensorType(name="scores")],
    minimum_deployment_target=ct.target.iOS17,
    compute_precision=ct.precision.FLOAT32,
)
shutil.rmtree(HERE / "base.mlpackage", ignore_errors=True)
base.save(str(HERE / "base.mlpackage"))
plain = net.double()(x.double()).detach().numpy()
net.float()

config = peft.LoraConfig(
    r=4,
    lora_alpha=6,
    target_modules=["q_proj", "mix", "score"],
    rank_pattern={"layers.1.q_proj": 2},
    alpha_pattern={"score": 3},
    use_rslora=True,
)
adapted = peft.get_peft_model(net, config)
for name, parameter in adapted.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(parameter, std=0.3)
shutil.rmtree(HERE / "adapter", ignore_errors=True)
adapted.save_pretrained(str(HERE / "adapter"))
(HERE / "adapter" / "README.md").unlink(missing_ok=True)
with torch.no_grad():
    scores = adapted.double()(x.double()).numpy()
np.savez(HERE / "data.npz", x=x.numpy(), base=plain, scores=scores)
