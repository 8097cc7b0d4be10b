"""MLModel on larger models: references, states, functions, classifiers, half floats."""

import json

import numpy as np
import pytest

import millwright as mw

safetensors = pytest.importorskip("safetensors.numpy")


def test_logits_are_those_of_the_reference(shared):
    reference = safetensors.load_file(shared("models", "shakespeare-reference.safetensors"))
    model = mw.MLModel(shared("models", "shakespeare-fp32.mlpackage"))
    np.testing.assert_allclose(
        model.forward(reference["input_ids"]), reference["logits"], atol=2e-4
    )


def test_logits_of_the_last_token_come_alone(shared):
    folder = ("cases", "last-token-logits-out-of-bounds")
    last = mw.MLModel(shared(*folder, "model.mlpackage"))
    full = mw.MLModel(shared(*folder, "full.mlpackage"))
    ids = json.loads(shared(*folder, "expected.json").read_text())["prompt_ids"]
    assert full.forward(ids).shape == (1, len(ids), 320)
    assert last.forward(ids).shape == (1, 1, 320)
    np.testing.assert_allclose(last.forward(ids)[0, 0], full.forward(ids)[0, -1], atol=1e-4)


def test_ids_that_no_integer_of_the_model_holds_are_refused(shared):
    model = mw.MLModel(shared("models", "shakespeare-fp32.mlpackage"))
    with pytest.raises(mw.Error, match="input_ids"):
        model.forward(np.array([[2**40 + 5]]))


def test_a_sentence_encoder_gives_the_reference_embeddings(shared):
    reference = safetensors.load_file(shared("models", "minilm", "minilm-reference.safetensors"))
    model = mw.MLModel(shared("models", "minilm", "minilm-fp16-flex.mlpackage"))
    outputs = model.predict({name: reference[name] for name in ("input_ids", "attention_mask")})
    np.testing.assert_allclose(outputs["embedding"], reference["embedding"], atol=1e-4)
    facts = json.loads(shared("models", "minilm", "minilm-reference.json").read_text())
    assert [model.tokenizer.encode(text) for text in facts["sentences"]] == facts["ids"]


def test_states_carry_from_one_prediction_to_the_next(shared):
    model = mw.MLModel(shared("models", "shakespeare-stateful-ios18.mlpackage"))
    plain = mw.MLModel(shared("models", "shakespeare-fp32.mlpackage"))
    ids = [3, 141, 59, 26, 535]
    state = model.make_state()
    last = None
    for i, token in enumerate(ids):
        inputs = {
            "input_ids": np.array([[token]], np.int32),
            "causal_mask": np.zeros((1, 1, 1, i + 1), np.float16),
        }
        last = model.predict(inputs, state)["logits"]
    np.testing.assert_allclose(last[0, -1], plain.forward(ids)[0, -1], atol=0.1)

    cache = state.read_state("k_cache")
    assert cache.dtype == np.float16
    assert cache.any()
    state.reset()
    assert not state.read_state("k_cache").any()
    state.write_state("k_cache", cache.astype(np.float32))
    np.testing.assert_array_equal(state.read_state("k_cache"), cache)
    with pytest.raises(mw.Error, match="state 'k_cache'"):
        state.write_state("k_cache", cache[:1, :1])
    with pytest.raises(mw.Error, match="make_state"):
        model.predict(inputs)


def test_functions_are_chosen_by_name(shared):
    path = shared("models", "shakespeare-multifunction-ios18.mlpackage")
    base, one = mw.MLModel(path), mw.MLModel(path, function_name="adapter_one")
    assert set(base.functions) == {"base", "adapter_one", "adapter_two"}
    assert (base.function_name, one.function_name) == ("base", "adapter_one")
    assert not np.allclose(base.forward([3, 141]), one.forward([3, 141]), atol=1e-2)


def test_a_classifier_gives_a_label_and_a_dict(shared):
    model = mw.MLModel(shared("real", "probes", "classifier_ios16.mlpackage"))
    (feature,) = model.inputs
    outputs = model.predict({feature.name: np.ones(feature.shape, np.float32)})
    labels = [value for value in outputs.values() if isinstance(value, (str, int))]
    tables = [value for value in outputs.values() if isinstance(value, dict)]
    assert len(outputs) == len(labels) + len(tables) == 2
    assert labels[0] == max(tables[0], key=tables[0].get)


def test_half_floats_go_in_and_come_out(shared):
    model = mw.MLModel(shared("real", "add.mlmodelc"))
    assert [feature.dtype for feature in model.inputs] == ["fp16", "fp16"]
    x = np.linspace(-1, 1, 10).astype(np.float16).reshape(1, 10)
    (product,) = model.predict({"x": x, "y": x.astype(np.float64)}).values()  # despite its name
    assert product.dtype == np.float16
    np.testing.assert_array_equal(product, x * x)
