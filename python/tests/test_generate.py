"""generate(): the same text as the command writes, told as it comes, with settings by name."""

import math
import threading

import numpy as np
import pytest

import millwright as mw

PROMPT = "ROMEO:"


def greedy(model, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model.forward(ids)[0, -1].argmax()))
    return ids[-count:]


def test_takes_the_likeliest_tokens(model):
    said = model.generate(PROMPT, max_tokens=8)
    ids = model.tokenizer.encode(PROMPT)
    assert said.ids == greedy(model, ids, 8)
    assert said.text == str(said)
    assert model.tokenizer.decode(ids + said.ids) == PROMPT + said.text
    assert (said.end, said.reason) == ("max_tokens", "reached max_tokens")
    assert said.prompt_tokens == len(ids)
    assert said.reused_tokens == 0
    assert said.notes == []
    assert said.tokens_per_second > 0
    assert repr(said) == "Generation(8 tokens, reached max_tokens)"
    for prompt in (ids, np.array([ids]), np.array(ids, np.int64)):
        assert model.generate(prompt, max_tokens=8).ids == said.ids


def test_tells_the_text_until_the_callback_ends_it(model):
    pieces = []
    said = model.generate(PROMPT, pieces.append, max_tokens=8)
    assert "".join(pieces) == said.text
    told = []
    said = model.generate(PROMPT, on_text=lambda piece: told.append(piece) or len(told) < 2, max_tokens=8)
    assert told == pieces[:2]
    assert said.end == "on_text"

    def fails(piece):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.generate(PROMPT, fails, max_tokens=8)
    with pytest.raises(TypeError, match="on_text: expected a function, got str"):
        model.generate(PROMPT, "print")


def test_settings_by_name(model):
    whole = model.generate(PROMPT, max_tokens=12)
    said = model.generate(PROMPT, max_tokens=12, stop=["never in it", whole.text[4:7]])
    assert said.text == whole.text[: whole.text.find(whole.text[4:7])]
    assert said.end == "stop"
    assert model.generate(PROMPT, max_tokens=12, stop_ids=[whole.ids[0]]).ids == []
    drawn = {model.generate(PROMPT, max_tokens=12, temperature=1.5, seed=s).text for s in (1, 2, 1)}
    assert len(drawn) == 2
    token = model.tokenizer.encode(" the")[-1]
    for bias in ({token: 1000}, {" the": 1000}, [mw.LogitBias(str(token), 1000)]):
        assert model.generate(PROMPT, max_tokens=2, logit_bias=bias).ids == [token, token]
    assert whole.ids[0] not in model.generate(PROMPT, max_tokens=1, logit_bias={whole.ids[0]: -math.inf}).ids
    # A text of digits is a text.
    digit = model.tokenizer.encode("6")[-1]
    assert model.generate(PROMPT, max_tokens=1, logit_bias={"6": 1000}).ids == [digit]
    assert model.generate(PROMPT, max_tokens=1, logit_bias={6: 1000}).ids == [6]


def test_keeps_its_prompt_in_a_file(data, example, tmp_path, shared):
    model = mw.MLModel(shared("models", "shakespeare-stateful-ios18.mlpackage"), tokenizer=example)
    cache = tmp_path / "prompt"
    first = model.generate(PROMPT, max_tokens=6, prompt_cache=cache)
    again = model.generate(PROMPT, max_tokens=6, prompt_cache=cache)
    assert again.ids == first.ids
    assert again.reused_tokens == first.prompt_tokens
    assert "written" in first.notes[0] and "not run again" in again.notes[0]
    cache.write_bytes(cache.read_bytes()[:-1])
    with pytest.raises(mw.Error, match="damaged prompt cache"):
        model.generate(PROMPT, prompt_cache=cache)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -1}, "temperature: expected a number from 0 to 100, got -1"),
        ({"top_p": 0}, "top_p: expected a number from 1e-09 to 1, got 0"),
        ({"stop": [""]}, "stop: expected a text of at least one character, got none"),
        ({"logit_bias": {"zzqqxx": 1}}, "logit_bias: expected an id or a text that is one token"),
        ({"logit_bias": {3: math.inf}}, "bias: expected a number, got inf"),
        ({"logit_bias": {10**6: 1}}, "logit_bias: expected ids below the model's"),
        ({"prompt_cache": "file"}, "prompt_cache: expected a model with states"),
        ({"max_tokens": 1.5}, "max_tokens: expected a whole number, got 1.5"),
    ],
)
def test_refuses_what_cannot_be(model, settings, sentence):
    with pytest.raises(mw.Error) as error:
        model.generate(PROMPT, **settings)
    assert sentence in str(error.value)


def test_refuses_other_kinds_of_things(model):
    with pytest.raises(TypeError, match="stop: expected a list of strings, got the string 'a'"):
        model.generate(PROMPT, stop="a")
    with pytest.raises(TypeError, match="unexpected keyword argument 'tempe'"):
        model.generate(PROMPT, tempe=1)
    for prompt in ([[1], [2]], [0.5], np.zeros((2, 2), int)):
        with pytest.raises(mw.Error, match="prompt: expected a text or token ids"):
            model.generate(prompt)
    with pytest.raises(mw.Error, match="prompt: expected token ids from 0 to 2147483647"):
        model.generate([1, 2**40])
    with pytest.raises(mw.Error, match="the prompt has no tokens"):
        model.generate([])


def test_several_threads_may_generate_at_once(model):
    want = model.generate(PROMPT, max_tokens=6).ids
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(model.generate(PROMPT, max_tokens=6).ids))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [want] * 3
