#!/usr/bin/env python3
"""Writes packages of the shape of Qwen3-0.6B with random weights, to measure with.

    tools/setup.sh --coremltools
    .deps/venv-coremltools/bin/python tools/bench/large_models.py FOLDER [NAME ...]

28 layers of width 1,024, 16 heads of 128 over 8 of keys, hidden width 3,072, 151,936 tokens, tied
embeddings. NAME is a form, and behind a `-` what its weights are stored in:

    full     logits of every position, no cache: input_ids int32 [batch, time]
    decoder  one token a call: input_ids [1, 1], position [1], caches in two states of 2,048 places

fp16 (nothing behind the name), int4 (blocks of 32 along the inputs), lut4 or lut8 (a table for each eight
outputs). All of them are written where no name is given. The embeddings stay fp16.
"""

import sys

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types

LAYERS, WIDTH, HEADS, KV_HEADS, SIZE, HIDDEN, TOKENS, PLACES = 28, 1024, 16, 8, 128, 3072, 151936, 2048
FORMS = ("full", "decoder")
STORED = ("fp16", "int4", "lut4", "lut8")
random = np.random.default_rng(0)


def half(*shape: int, deviation: float = 0.02) -> np.ndarray:
    return (random.standard_normal(shape, np.float32) * deviation).astype(np.float16)


def compressed(outputs: int, inputs: int, stored: str):
    """Weights of normal size whose codes are random."""
    if stored == "fp16":
        return half(outputs, inputs)
    if stored == "int4":
        codes = random.integers(-8, 8, (outputs, inputs), np.int8).astype(types.np_int4_dtype)
        scale = np.full((outputs, inputs // 32), 0.02 / 4.6, np.float16)
        return mb.constexpr_blockwise_shift_scale(data=codes, scale=scale)
    bits = int(stored.removeprefix("lut"))
    dtype = types.np_uint4_dtype if bits == 4 else np.uint8
    codes = random.integers(0, 1 << bits, (outputs, inputs), np.uint8).astype(dtype)
    table = np.sort(half(outputs // 8, 1, 1 << bits, 1), axis=2)
    return mb.constexpr_lut_to_dense(indices=codes, lut=table)


def norm(x, width: int):
    mean = mb.reduce_mean(x=mb.mul(x=x, y=x), axes=[-1], keep_dims=True)
    return mb.mul(x=mb.mul(x=x, y=mb.rsqrt(x=mb.add(x=mean, y=np.float16(1e-5)))), y=np.ones(width, np.float16))


def angles() -> tuple[np.ndarray, np.ndarray]:
    turns = np.outer(np.arange(PLACES), 1e6 ** (-np.arange(0, SIZE, 2) / SIZE))
    return np.cos(turns).astype(np.float16), np.sin(turns).astype(np.float16)


def rotated(x, cos, sin):
    a, b = mb.split(x=x, num_splits=2, axis=-1)
    return mb.concat(values=[mb.sub(x=mb.mul(x=a, y=cos), y=mb.mul(x=b, y=sin)),
                             mb.add(x=mb.mul(x=b, y=cos), y=mb.mul(x=a, y=sin))], axis=-1)


def layer(x, stored: str, attend):
    """attend(q, k, v) takes rows of heads and gives rows of HEADS * SIZE numbers."""
    y = norm(x, WIDTH)
    q, k, v = (mb.linear(x=y, weight=compressed(n * SIZE, WIDTH, stored))
               for n in (HEADS, KV_HEADS, KV_HEADS))
    x = mb.add(x=x, y=mb.linear(x=attend(q, k, v), weight=compressed(WIDTH, HEADS * SIZE, stored)))
    y = norm(x, WIDTH)
    gate = mb.silu(x=mb.linear(x=y, weight=compressed(HIDDEN, WIDTH, stored)))
    up = mb.linear(x=y, weight=compressed(HIDDEN, WIDTH, stored))
    return mb.add(x=x, y=mb.linear(x=mb.mul(x=gate, y=up), weight=compressed(WIDTH, HIDDEN, stored)))


def attention(q, k, v, mask):
    scores = mb.mul(x=mb.matmul(x=q, y=k, transpose_y=True), y=np.float16(SIZE**-0.5))
    return mb.matmul(x=mb.softmax(x=mb.add(x=scores, y=mask), axis=-1), y=v)


def full(stored: str):
    @mb.program(input_specs=[mb.TensorSpec((get_new_symbol(), get_new_symbol()), types.int32)],
                opset_version=ct.target.iOS18)
    def program(input_ids):
        embeddings = half(TOKENS, WIDTH)
        x = mb.gather(x=embeddings, indices=input_ids, axis=0)
        shape = mb.shape(x=input_ids)
        time = mb.slice_by_size(x=shape, begin=[1], size=[1])
        rows = mb.concat(values=[time, [SIZE // 2]], axis=0)
        cos, sin = (mb.slice_by_index(x=table, begin=[0, 0], end=rows) for table in angles())
        mask = mb.slice_by_index(x=np.triu(np.full((PLACES, PLACES), -1e4, np.float16), 1),
                                 begin=[0, 0], end=mb.concat(values=[time, time], axis=0))

        def heads(y, count: int):
            y = mb.reshape(x=y, shape=mb.concat(values=[shape, [count, SIZE]], axis=0))
            return mb.transpose(x=y, perm=[0, 2, 1, 3])

        def repeated(y):
            # Each head of keys beside itself, for the heads of queries that share it.
            split = mb.tile(x=mb.expand_dims(x=y, axes=[2]), reps=[1, 1, HEADS // KV_HEADS, 1, 1])
            batch = mb.slice_by_size(x=shape, begin=[0], size=[1])
            return mb.reshape(x=split, shape=mb.concat(values=[batch, [HEADS], time, [SIZE]], axis=0))

        def attend(q, k, v):
            q = rotated(norm(heads(q, HEADS), SIZE), cos, sin)
            k = rotated(norm(heads(k, KV_HEADS), SIZE), cos, sin)
            y = attention(q, repeated(k), repeated(heads(v, KV_HEADS)), mask)
            y = mb.transpose(x=y, perm=[0, 2, 1, 3])
            return mb.reshape(x=y, shape=mb.concat(values=[shape, [HEADS * SIZE]], axis=0))

        for _ in range(LAYERS):
            x = layer(x, stored, attend)
        return mb.linear(x=norm(x, WIDTH), weight=embeddings, name="logits")

    lengths = (ct.RangeDim(1, 64, default=1), ct.RangeDim(1, PLACES, default=128))
    return ct.convert(program, inputs=[ct.TensorType("input_ids", shape=lengths, dtype=np.int32)],
                      minimum_deployment_target=ct.target.iOS18, skip_model_load=True)


def decoder(stored: str):
    caches = [mb.StateTensorSpec((LAYERS * KV_HEADS, PLACES, SIZE), types.fp16) for _ in range(2)]

    @mb.program(input_specs=[mb.TensorSpec((1, 1), types.int32), mb.TensorSpec((1,), types.int32), *caches],
                opset_version=ct.target.iOS18)
    def program(input_ids, position, k_cache, v_cache):
        embeddings = half(TOKENS, WIDTH)
        x = mb.gather(x=embeddings, indices=input_ids, axis=0)
        cos, sin = (mb.gather(x=table, indices=position, axis=0) for table in angles())
        seen = mb.less_equal(x=np.arange(PLACES, dtype=np.int32), y=position)
        mask = mb.select(cond=seen, a=np.zeros(PLACES, np.float16), b=np.full(PLACES, -1e4, np.float16))
        after = mb.add(x=position, y=np.array([1], np.int32))
        held = [mb.read_state(input=k_cache), mb.read_state(input=v_cache)]
        first = 0

        def kept(which: int, state, rows):
            begin = mb.concat(values=[[first], position, [0]], axis=0)
            end = mb.concat(values=[[first + KV_HEADS], after, [SIZE]], axis=0)
            written = mb.slice_update(x=held[which], update=rows, begin=begin, end=end)
            held[which] = mb.coreml_update_state(state=state, value=written)
            own = mb.slice_by_index(x=held[which], begin=[first, 0, 0], end=[first + KV_HEADS, PLACES, SIZE])
            several = mb.tile(x=mb.expand_dims(x=own, axes=[1]), reps=[1, HEADS // KV_HEADS, 1, 1])
            return mb.reshape(x=several, shape=[HEADS, PLACES, SIZE])

        def attend(q, k, v):
            q, k, v = (mb.reshape(x=y, shape=[n, 1, SIZE]) for y, n in ((q, HEADS), (k, KV_HEADS), (v, KV_HEADS)))
            keys = kept(0, k_cache, rotated(norm(k, SIZE), cos, sin))
            values = kept(1, v_cache, v)
            y = attention(rotated(norm(q, SIZE), cos, sin), keys, values, mask)
            return mb.reshape(x=y, shape=[1, 1, HEADS * SIZE])

        for _ in range(LAYERS):
            x = layer(x, stored, attend)
            first += KV_HEADS
        return mb.linear(x=norm(x, WIDTH), weight=embeddings, name="logits")

    return ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True)


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    every = [form if stored == "fp16" else f"{form}-{stored}" for form in FORMS for stored in STORED]
    for name in sys.argv[2:] or every:
        form, _, stored = name.partition("-")
        if name not in every:
            raise SystemExit(f"{name}: expected one of {', '.join(every)}")
        make = full if form == "full" else decoder
        path = f"{sys.argv[1]}/qwen06-{name}.mlpackage"
        make(stored or "fp16").save(path)
        print("wrote", path)


if __name__ == "__main__":
    main()
