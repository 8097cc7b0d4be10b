"""PyTorch models of the shapes that the benchmarked packages have, with random weights."""

import torch
from torch import nn
from torch.nn import functional as F


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape

        def split(y: torch.Tensor) -> torch.Tensor:
            return y.view(batch, time, self.heads, width // self.heads).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), attn_mask=mask
        )
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, time, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class MiniLM(nn.Module):
    """Six BERT layers of width 384; the normalised mean of the last hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(30522, 384), nn.Embedding(512, 384)
        self.norm = nn.LayerNorm(384)
        self.layers = nn.ModuleList(EncoderLayer(384, 12, 1536) for _ in range(6))

    def forward(self, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]])
        kept = attention.to(x.dtype)
        mask = (1 - kept)[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, mask)
        mean = (x * kept[:, :, None]).sum(1) / kept.sum(1, keepdim=True)
        return F.normalize(mean, dim=-1)


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int, context: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, width // heads
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, kv_heads * self.size, bias=False)
        self.value = nn.Linear(width, kv_heads * self.size, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)
        angles = torch.outer(
            torch.arange(context).float(), 10000 ** -(torch.arange(0, self.size, 2) / self.size)
        )
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x: torch.Tensor, begin: int) -> torch.Tensor:
        a, b = x.chunk(2, dim=-1)
        end = begin + x.shape[2]
        cos, sin = self.cos[begin:end], self.sin[begin:end]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    def forward(self, x: torch.Tensor, cache: tuple | None, begin: int) -> torch.Tensor:
        batch, time, width = x.shape
        y = self.norm1(x)

        def split(z: torch.Tensor, heads: int) -> torch.Tensor:
            return z.view(batch, time, heads, self.size).transpose(1, 2)

        q = self.rotate(split(self.query(y), self.heads), begin)
        k = self.rotate(split(self.key(y), self.kv_heads), begin)
        v = split(self.value(y), self.kv_heads)
        if cache is not None:
            keys, values = cache
            keys[:, :, begin : begin + time] = k
            values[:, :, begin : begin + time] = v
            k, v = keys[:, :, : begin + time], values[:, :, : begin + time]
        grouped = self.heads != self.kv_heads
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=time > 1, enable_gqa=grouped)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class TinyLlama(nn.Module):
    """The shape of the example language model: 4 layers of width 128, context 128."""

    context = 128

    def __init__(self, width: int = 128, layers: int = 4, heads: int = 4, kv_heads: int = 2,
                 hidden: int = 352, vocabulary: int = 1024) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, kv_heads, hidden, self.context) for _ in range(layers)
        )
        self.norm = RMSNorm(width)

    def new_cache(self) -> list:
        layer = self.layers[0]
        shape = (1, layer.kv_heads, self.context, layer.size)
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in self.layers]

    def forward(self, ids: torch.Tensor, caches: list | None = None, begin: int = 0) -> torch.Tensor:
        x = self.tokens(ids)
        for i, layer in enumerate(self.layers):
            x = layer(x, caches[i] if caches is not None else None, begin)
        return F.linear(self.norm(x), self.tokens.weight)
