#!/usr/bin/env python3
"""Writes packages of the shape of Qwen3-0.6B with random weights, to measure with.

    tools/setup.sh --coremltools
    .deps/venv-coremltools/bin/python tools/bench/large_models.py FOLDER NAME ...

28 layers of width 1,024, 16 heads of 128 over 8 of keys, hidden width 3,072, 151,936 tokens, tied
embeddings. NAME is a form, and behind a `-` each what its weights are stored in and how many places its cache
has (2,048): apple-32768, parts-lut4.

    full     logits of every position, no cache: input_ids int32 [batch, time]
    decoder  one token a call: input_ids [1, 1], position [1], caches in two states
    apple    any number of tokens a call: inputIds [1, time], causalMask [1, 1, time, width], keyCache and valueCache
    parts    a folder as ANEMLL writes it: embeddings, two chunks with `infer` and `prefill` of 64 tokens, 1x1
             convolutions, a head with 16 outputs

fp16 (nothing behind the name), int4 (blocks of 32 along the inputs), lut4 or lut8 (a table for each eight
outputs). The embeddings, and so the head, stay fp16.
"""

import shutil
import sys
from functools import cache
from pathlib import Path

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types

LAYERS, WIDTH, HEADS, KV_HEADS, SIZE, HIDDEN, TOKENS = 28, 1024, 16, 8, 128, 3072, 151936
PLACES, BLOCK, CHUNKS, HEAD_PARTS = 2048, 64, 2, 16
STORED = ("fp16", "int4", "lut4", "lut8")
random = np.random.default_rng(0)


def half(*shape: int, deviation: float = 0.02) -> np.ndarray:
    return (random.standard_normal(shape, np.float32) * deviation).astype(np.float16)


@cache
def numbers(name: str, outputs: int, inputs: int, stored: str) -> tuple[np.ndarray, ...]:
    """Of the weight called so: what it is stored as. Weights of normal size whose codes are random."""
    if stored == "fp16":
        return (half(outputs, inputs),)
    if stored == "int4":
        return (random.integers(-8, 8, (outputs, inputs), np.int8),
                np.full((outputs, inputs // 32), 0.02 / 4.6, np.float16))
    codes = 1 << int(stored.removeprefix("lut"))
    return (random.integers(0, codes, (outputs, inputs), np.uint8),
            np.sort(half(outputs // 8, 1, codes, 1), axis=2))


def weight(name: str, outputs: int, inputs: int, stored: str, more_axes: int = 0):
    """[outputs, inputs], and so many axes of extent 1."""
    data, *rest = numbers(name, outputs, inputs, stored)
    ones = (1,) * more_axes
    data = data.reshape(data.shape + ones)
    if stored == "fp16":
        return data
    if stored == "int4":
        return mb.constexpr_blockwise_shift_scale(data=data.astype(types.np_int4_dtype),
                                                  scale=rest[0].reshape(rest[0].shape + ones))
    table = rest[0].reshape(rest[0].shape[:2] + ones + rest[0].shape[2:])
    codes = data.astype(types.np_uint4_dtype) if stored == "lut4" else data
    return mb.constexpr_lut_to_dense(indices=codes, lut=table)


@cache
def embeddings() -> np.ndarray:
    return half(TOKENS, WIDTH)


def norm(x, width: int):
    mean = mb.reduce_mean(x=mb.mul(x=x, y=x), axes=[-1], keep_dims=True)
    return mb.mul(x=mb.mul(x=x, y=mb.rsqrt(x=mb.add(x=mean, y=np.float16(1e-5)))), y=np.ones(width, np.float16))


def angles(places: int) -> tuple[np.ndarray, np.ndarray]:
    turns = np.outer(np.arange(places), 1e6 ** (-np.arange(0, SIZE, 2) / SIZE))
    return np.cos(turns).astype(np.float16), np.sin(turns).astype(np.float16)


def rotated(x, cos, sin):
    a, b = mb.split(x=x, num_splits=2, axis=-1)
    return mb.concat(values=[mb.sub(x=mb.mul(x=a, y=cos), y=mb.mul(x=b, y=sin)),
                             mb.add(x=mb.mul(x=b, y=cos), y=mb.mul(x=a, y=sin))], axis=-1)


def layer(x, which: int, attend, linear):
    """attend(q, k, v) takes rows of heads and gives rows of HEADS * SIZE numbers; linear(x, name, outputs, inputs)."""
    y = norm(x, WIDTH)
    q, k, v = (linear(y, f"{which}.{name}", n * SIZE, WIDTH)
               for name, n in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)))
    x = mb.add(x=x, y=linear(attend(which, q, k, v), f"{which}.o", WIDTH, HEADS * SIZE))
    y = norm(x, WIDTH)
    gate = mb.silu(x=linear(y, f"{which}.gate", HIDDEN, WIDTH))
    up = linear(y, f"{which}.up", HIDDEN, WIDTH)
    return mb.add(x=x, y=linear(mb.mul(x=gate, y=up), f"{which}.down", WIDTH, HIDDEN))


def linear_of(stored: str):
    return lambda x, name, outputs, inputs: mb.linear(x=x, weight=weight(name, outputs, inputs, stored))


def convolution_of(stored: str):
    """The same over [1, inputs, 1, time]."""
    def convolution(x, name: str, outputs: int, inputs: int):
        x = mb.expand_dims(x=mb.transpose(x=x, perm=[0, 2, 1]), axes=[2])
        y = mb.conv(x=x, weight=weight(name, outputs, inputs, stored, more_axes=2))
        return mb.transpose(x=mb.squeeze(x=y, axes=[2]), perm=[0, 2, 1])

    return convolution


def attention(q, k, v, mask):
    scores = mb.mul(x=mb.matmul(x=q, y=k, transpose_y=True), y=np.float16(SIZE**-0.5))
    return mb.matmul(x=mb.softmax(x=mb.add(x=scores, y=mask), axis=-1), y=v)


def heads(y, shape, count: int):
    """Rows of `count` heads of one text or several, [batch, time, ..], as [batch, count, time, SIZE]."""
    y = mb.reshape(x=y, shape=mb.concat(values=[shape, [count, SIZE]], axis=0))
    return mb.transpose(x=y, perm=[0, 2, 1, 3])


def joined(y, shape):
    y = mb.transpose(x=y, perm=[0, 2, 1, 3])
    return mb.reshape(x=y, shape=mb.concat(values=[shape, [HEADS * SIZE]], axis=0))


def repeated(y, batch, time):
    """Each head of keys beside itself, for the heads of queries that share it."""
    split = mb.tile(x=mb.expand_dims(x=y, axes=[2]), reps=[1, 1, HEADS // KV_HEADS, 1, 1])
    return mb.reshape(x=split, shape=mb.concat(values=[batch, [HEADS], time, [SIZE]], axis=0))


def extent(shape, axis: int):
    return mb.slice_by_size(x=shape, begin=[axis], size=[1])


def between(table, begin, end):
    """Rows [begin, end) of a table with SIZE / 2 columns."""
    return mb.slice_by_index(x=table, begin=mb.concat(values=[begin, [0]], axis=0),
                             end=mb.concat(values=[end, [SIZE // 2]], axis=0))


def program_of(inputs: list, function):
    return mb.program(input_specs=inputs, opset_version=ct.target.iOS18)(function)


def converted(program, inputs: list | None = None):
    return ct.convert(program, inputs=inputs, minimum_deployment_target=ct.target.iOS18, skip_model_load=True)


def full(stored: str, places: int):
    def program(input_ids):
        x = mb.gather(x=embeddings(), indices=input_ids, axis=0)
        shape = mb.shape(x=input_ids)
        batch, time = extent(shape, 0), extent(shape, 1)
        cos, sin = (between(table, [0], time) for table in angles(places))
        mask = mb.slice_by_index(x=np.triu(np.full((places, places), -1e4, np.float16), 1),
                                 begin=[0, 0], end=mb.concat(values=[time, time], axis=0))

        def attend(_, q, k, v):
            q = rotated(norm(heads(q, shape, HEADS), SIZE), cos, sin)
            k = rotated(norm(heads(k, shape, KV_HEADS), SIZE), cos, sin)
            k, v = (repeated(y, batch, time) for y in (k, heads(v, shape, KV_HEADS)))
            return joined(attention(q, k, v, mask), shape)

        for which in range(LAYERS):
            x = layer(x, which, attend, linear_of(stored))
        return mb.linear(x=norm(x, WIDTH), weight=embeddings(), name="logits")

    lengths = (ct.RangeDim(1, 64, default=1), ct.RangeDim(1, places, default=128))
    ids = mb.TensorSpec((get_new_symbol(), get_new_symbol()), types.int32)
    return converted(program_of([ids], program), [ct.TensorType("input_ids", shape=lengths, dtype=np.int32)])


def decoder(stored: str, places: int):
    def program(input_ids, position, k_cache, v_cache):
        x = mb.gather(x=embeddings(), indices=input_ids, axis=0)
        cos, sin = (mb.gather(x=table, indices=position, axis=0) for table in angles(places))
        seen = mb.less_equal(x=np.arange(places, dtype=np.int32), y=position)
        mask = mb.select(cond=seen, a=np.zeros(places, np.float16), b=np.full(places, -1e4, np.float16))
        after = mb.add(x=position, y=np.array([1], np.int32))
        held = {k_cache: mb.read_state(input=k_cache), v_cache: mb.read_state(input=v_cache)}

        def kept(state, first: int, rows):
            begin = mb.concat(values=[[first], position, [0]], axis=0)
            end = mb.concat(values=[[first + KV_HEADS], after, [SIZE]], axis=0)
            written = mb.slice_update(x=held[state], update=rows, begin=begin, end=end)
            held[state] = mb.coreml_update_state(state=state, value=written)
            own = mb.slice_by_index(x=held[state], begin=[first, 0, 0], end=[first + KV_HEADS, places, SIZE])
            several = mb.tile(x=mb.expand_dims(x=own, axes=[1]), reps=[1, HEADS // KV_HEADS, 1, 1])
            return mb.reshape(x=several, shape=[HEADS, places, SIZE])

        def attend(which, q, k, v):
            q, k, v = (mb.reshape(x=y, shape=[n, 1, SIZE]) for y, n in ((q, HEADS), (k, KV_HEADS), (v, KV_HEADS)))
            keys = kept(k_cache, which * KV_HEADS, rotated(norm(k, SIZE), cos, sin))
            values = kept(v_cache, which * KV_HEADS, v)
            y = attention(rotated(norm(q, SIZE), cos, sin), keys, values, mask)
            return mb.reshape(x=y, shape=[1, 1, HEADS * SIZE])

        for which in range(LAYERS):
            x = layer(x, which, attend, linear_of(stored))
        return mb.linear(x=norm(x, WIDTH), weight=embeddings(), name="logits")

    caches = [mb.StateTensorSpec((LAYERS * KV_HEADS, places, SIZE), types.fp16) for _ in range(2)]
    inputs = [mb.TensorSpec((1, 1), types.int32), mb.TensorSpec((1,), types.int32), *caches]
    return converted(program_of(inputs, program))


def apple(stored: str, places: int):
    def program(inputIds, causalMask, keyCache, valueCache):
        x = mb.gather(x=embeddings(), indices=inputIds, axis=0)
        shape = mb.shape(x=inputIds)
        time, end = extent(shape, 1), extent(mb.shape(x=causalMask), 3)
        begin = mb.sub(x=end, y=time)
        cos, sin = (between(table, begin, end) for table in angles(places))
        held = {state: mb.read_state(input=state) for state in (keyCache, valueCache)}

        def kept(state, which: int, rows):
            to = mb.concat(values=[[which + 1, 1, KV_HEADS], end, [SIZE]], axis=0)
            at = mb.concat(values=[[which, 0, 0], begin, [0]], axis=0)
            written = mb.slice_update(x=held[state], update=mb.expand_dims(x=rows, axes=[0]), begin=at, end=to)
            held[state] = mb.coreml_update_state(state=state, value=written)
            own = mb.slice_by_index(x=held[state], begin=[which, 0, 0, 0, 0], end=to,
                                    squeeze_mask=[True, False, False, False, False])
            return repeated(own, [1], end)

        def attend(which, q, k, v):
            q = rotated(norm(heads(q, shape, HEADS), SIZE), cos, sin)
            keys = kept(keyCache, which, rotated(norm(heads(k, shape, KV_HEADS), SIZE), cos, sin))
            values = kept(valueCache, which, heads(v, shape, KV_HEADS))
            return joined(attention(q, keys, values, causalMask), shape)

        for which in range(LAYERS):
            x = layer(x, which, attend, linear_of(stored))
        return mb.linear(x=norm(x, WIDTH), weight=embeddings(), name="logits")

    caches = [mb.StateTensorSpec((LAYERS, 1, KV_HEADS, places, SIZE), types.fp16) for _ in range(2)]
    rows, columns = get_new_symbol(), get_new_symbol()
    inputs = [mb.TensorSpec((1, rows), types.int32), mb.TensorSpec((1, 1, rows, columns), types.fp16), *caches]
    time, width = (ct.RangeDim(1, places, default=1) for _ in range(2))
    return converted(program_of(inputs, program),
                     [ct.TensorType("inputIds", shape=(1, time), dtype=np.int32),
                      ct.TensorType("causalMask", shape=(1, 1, time, width), dtype=np.float16)])


def chunk(stored: str, places: int, layers: range, time: int):
    """Some of the layers over `time` tokens; the last ones of `prefill` give what nobody reads."""
    def program(hidden_states, position_ids, causal_mask, current_pos, model_model_kv_cache_0):
        x = hidden_states
        at = position_ids if time > 1 else current_pos
        cos, sin = (mb.gather(x=table, indices=at, axis=0) for table in angles(places))
        after = mb.add(x=current_pos, y=np.array([time], np.int32))
        held = [mb.read_state(input=model_model_kv_cache_0)]

        def kept(row: int, rows):
            written = mb.slice_update(x=held[0], update=rows,
                                      begin=mb.concat(values=[[row, 0], current_pos, [0]], axis=0),
                                      end=mb.concat(values=[[row + 1, KV_HEADS], after, [SIZE]], axis=0))
            held[0] = mb.coreml_update_state(state=model_model_kv_cache_0, value=written)
            own = mb.slice_by_index(x=held[0], begin=[row, 0, 0, 0], end=[row + 1, KV_HEADS, places, SIZE])
            return repeated(own, [1], [places])

        def attend(which, q, k, v):
            q = rotated(norm(heads(q, [1, time], HEADS), SIZE), cos, sin)
            keys = kept(which, rotated(norm(heads(k, [1, time], KV_HEADS), SIZE), cos, sin))
            values = kept(LAYERS + which, heads(v, [1, time], KV_HEADS))
            return joined(attention(q, keys, values, causal_mask), [1, time])

        for which in layers:
            x = layer(x, which, attend, convolution_of(stored))
        if layers.stop < LAYERS:
            return mb.identity(x=x, name="output_hidden_states")
        if time > 1:
            return mb.slice_by_size(x=x, begin=[0, 0, 0], size=[1, 1, WIDTH], name="output_hidden_states")
        return mb.identity(x=norm(x, WIDTH), name="output_hidden_states")

    inputs = [mb.TensorSpec((1, time, WIDTH), types.fp16), mb.TensorSpec((time,), types.int32),
              mb.TensorSpec((1, 1, time, places), types.fp16), mb.TensorSpec((1,), types.int32),
              mb.StateTensorSpec((2 * LAYERS, KV_HEADS, places, SIZE), types.fp16)]
    return converted(program_of(inputs, program))


def save_chunk(folder: Path, name: str, stored: str, places: int, layers: range) -> None:
    both = ct.utils.MultiFunctionDescriptor()
    for function, time in (("infer", 1), ("prefill", BLOCK)):
        path = str(folder / f"{function}.mlpackage")
        chunk(stored, places, layers, time).save(path)
        both.add_function(path, "main", function)
    both.default_function_name = "infer"
    ct.utils.save_multifunction(both, str(folder / name))
    for function in ("infer", "prefill"):
        shutil.rmtree(folder / f"{function}.mlpackage")


def save_parts(folder: Path, stored: str, places: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    bits = stored.removeprefix("lut") if stored.startswith("lut") else ""
    chunks = "qwen_FFN_PF" + (f"_lut{bits}" if bits else "")

    def embed(input_ids):
        return mb.gather(x=embeddings(), indices=input_ids, axis=0, name="hidden_states")

    def head(hidden_states):
        x = mb.expand_dims(x=mb.transpose(x=hidden_states, perm=[0, 2, 1]), axes=[2])
        return tuple(mb.transpose(x=mb.squeeze(x=mb.conv(x=x, weight=part[:, :, None, None]), axes=[2]),
                                  perm=[0, 2, 1], name=f"logits{i + 1}")
                     for i, part in enumerate(np.split(embeddings(), HEAD_PARTS)))

    ids = program_of([mb.TensorSpec((1, get_new_symbol()), types.int32)], embed)
    shapes = ct.EnumeratedShapes(shapes=[[1, 1], [1, BLOCK]], default=[1, 1])
    converted(ids, [ct.TensorType("input_ids", shape=shapes, dtype=np.int32)]).save(
        str(folder / "qwen_embeddings.mlpackage"))
    converted(program_of([mb.TensorSpec((1, 1, WIDTH), types.fp16)], head)).save(
        str(folder / "qwen_lm_head.mlpackage"))
    for i in range(CHUNKS):
        layers = range(i * LAYERS // CHUNKS, (i + 1) * LAYERS // CHUNKS)
        save_chunk(folder, f"{chunks}_chunk_{i + 1:02}of{CHUNKS:02}.mlpackage", stored, places, layers)
    lines = {"context_length": places, "batch_size": BLOCK, "lut_embeddings": "none",
             "lut_ffn": bits or "none", "lut_lmhead": "none", "num_chunks": CHUNKS, "model_prefix": "qwen",
             "embeddings": "qwen_embeddings.mlmodelc", "lm_head": "qwen_lm_head.mlmodelc",
             "ffn": f"{chunks}.mlmodelc", "split_lm_head": HEAD_PARTS}
    (folder / "meta.yaml").write_text(
        "model_info:\n  name: qwen06\n  version: 0.3.4\n  framework: Core ML\n  architecture: qwen3\n  parameters:\n"
        + "".join(f"    {key}: {value}\n" for key, value in lines.items()))


FORMS = {"full": full, "decoder": decoder, "apple": apple, "parts": None}


def write(folder: str, name: str) -> None:
    form, *more = name.split("-")
    stored, places = "fp16", PLACES
    for word in more:
        if word.isdigit():
            places = int(word)
        else:
            stored = word
    if form not in FORMS or stored not in STORED:
        raise SystemExit(f"{name}: expected one of {', '.join(FORMS)}, then one of {', '.join(STORED)}")
    path = Path(folder) / f"qwen06-{name}{'' if form == 'parts' else '.mlpackage'}"
    if form == "parts":
        save_parts(path, stored, places)
    else:
        FORMS[form](stored, places).save(str(path))
    print("wrote", path, flush=True)


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    for name in sys.argv[2:]:
        write(sys.argv[1], name)


if __name__ == "__main__":
    main()
