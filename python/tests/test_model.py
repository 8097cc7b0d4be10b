"""MLModel on the model in examples/: predict, forward, descriptions, dtypes, threads, errors."""

import gc
import threading

import numpy as np
import pytest

import millwright as mw

IDS = np.array([[1, 50, 300, 7]], np.int32)


def logits_of(model, ids):
    return model.predict({"input_ids": ids})["logits"]


def test_predict_gives_numpy_arrays_by_name(model):
    outputs = model.predict({"input_ids": IDS})
    assert list(outputs) == ["logits"]
    assert outputs["logits"].dtype == np.float32
    assert outputs["logits"].shape == (1, 4, 1024)
    assert np.isfinite(outputs["logits"]).all()


def test_a_list_of_inputs_gives_a_list_of_outputs(model):
    both = model.predict([{"input_ids": IDS}, {"input_ids": IDS[:, :2]}])
    assert [one["logits"].shape[1] for one in both] == [4, 2]
    np.testing.assert_array_equal(both[0]["logits"], logits_of(model, IDS))


def test_forward_takes_lists_and_arrays(model):
    expected = logits_of(model, IDS)
    np.testing.assert_array_equal(model.forward(IDS), expected)
    np.testing.assert_array_equal(model.forward([1, 50, 300, 7]), expected)
    np.testing.assert_array_equal(model.forward(IDS[0].astype(np.int64)), expected)
    np.testing.assert_array_equal(model.forward(IDS.astype(np.float32)), expected)
    with pytest.raises(mw.Error, match=r"expected int32, got the value 4294967297 at \[0, 0\]"):
        model.forward(IDS.astype(np.int64) + 2**32)


@pytest.mark.parametrize(
    "dtype",
    [np.int8, np.uint8, np.int16, np.uint16, np.int64, ">i4", "uint32", np.float16, np.float64]
)
def test_integers_of_other_widths_are_taken(model, dtype):
    ids = np.array([[1, 50, 100, 7]], dtype)
    np.testing.assert_array_equal(logits_of(model, ids), logits_of(model, ids.astype(np.int32)))


def test_arrays_need_not_be_contiguous_or_aligned(model):
    expected = logits_of(model, IDS)
    np.testing.assert_array_equal(logits_of(model, np.repeat(IDS, 2, axis=1)[:, ::2]), expected)
    np.testing.assert_array_equal(logits_of(model, np.asfortranarray(IDS)), expected)
    raw = np.frombuffer(b"x" + IDS.tobytes(), np.uint8)[1:].view(np.int32).reshape(IDS.shape)
    assert not raw.flags.aligned
    np.testing.assert_array_equal(logits_of(model, raw), expected)


def test_results_outlive_the_model_and_can_be_written(example):
    logits = logits_of(mw.MLModel(example / "student.mlpackage"), IDS)
    before = logits.copy()
    gc.collect()
    np.testing.assert_array_equal(logits, before)
    logits[:] = 0
    assert not logits.any()


def test_the_inputs_are_not_changed(model):
    ids = IDS.copy()
    logits_of(model, ids)
    np.testing.assert_array_equal(ids, IDS)


def test_descriptions_are_mappings_from_names(model):
    assert list(model.input_description) == ["input_ids"]
    assert "logits" in model.output_description
    assert isinstance(model.input_description["input_ids"], str)
    assert len(model.output_description) == 1
    with pytest.raises(KeyError):
        model.input_description["other"]


def test_features_say_what_the_model_takes(model):
    (feature,) = model.inputs
    assert (feature.name, feature.kind, feature.dtype) == ("input_ids", "MultiArray", "int32")
    assert feature.ranges == [(1, 64), (1, 128)]
    assert model.states == []
    assert model.function_name in model.functions
    assert isinstance(model.user_defined_metadata, dict)
    assert "input_ids int32 [1..64, 1..128]" in repr(model)


def test_the_parameters_of_coremltools_are_accepted(example):
    model = mw.MLModel(str(example / "student.mlpackage"), "CPU_ONLY", None)
    assert model.compute_units == "CPU_ONLY"


def test_the_tokenizer_encodes_and_decodes(model):
    tokenizer = model.tokenizer
    ids = tokenizer.encode("To be, or not to be")
    assert all(isinstance(i, int) for i in ids)
    assert tokenizer.decode(ids) == "To be, or not to be"
    assert tokenizer.vocab_size == len(tokenizer) == 1024


def test_threads_get_the_same_results(model):
    expected = {n: model.forward(list(range(1, n + 1))) for n in range(1, 7)}
    wrong = []

    def work(first):
        for i in range(6):
            n = 1 + (first + i) % 6
            if not np.allclose(model.forward(list(range(1, n + 1))), expected[n], atol=1e-5):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compute_modes_agree(example, model):
    expected = logits_of(model, IDS)
    exact = logits_of(mw.MLModel(example / "model.mlpackage", compute="fp64"), IDS)
    np.testing.assert_allclose(expected, exact, atol=1e-4)


def test_taps_come_out_beside_the_outputs(model):
    tapped = model.predict({"input_ids": IDS}, taps=["*"])
    assert len(tapped) > 10
    np.testing.assert_allclose(tapped["logits"], logits_of(model, IDS), atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'input_ids': expected a tensor, got none"),
        ({"input_ids": IDS, "x": IDS}, "input 'x': unknown; the model takes input_ids"),
        ({"input_ids": IDS[0]}, r"expected shape \[1..64, 1..128\], got \[4\]"),
        ({"input_ids": IDS + 0.5}, r"expected int32, got fp64 with the value \d+.5 at \[0, 0\]"),
        ({"input_ids": np.full((1, 2), np.nan, np.float32)}, r"got fp32 with the value nan"),
        ({"input_ids": IDS.astype(np.int64) << 40}, "got the value"),
        ({"input_ids": "text"}, "input 'input_ids': expected an array of numbers or booleans"),
        ({"input_ids": IDS.astype(complex)}, "got dtype complex128"),
        ({"input_ids": np.zeros((1, 0), np.int32)}, r"got \[1, 0\]"),
    ],
)
def test_bad_inputs_are_errors_that_say_so(model, inputs, message):
    with pytest.raises(mw.Error, match=message) as caught:
        model.predict(inputs)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "invalid_argument"


def test_loading_errors_have_codes(example):
    with pytest.raises(mw.Error, match="no/such.mlpackage") as caught:
        mw.MLModel("no/such.mlpackage")
    assert caught.value.code == "io"
    with pytest.raises(mw.Error, match="function 'other': expected one of"):
        mw.MLModel(example / "student.mlpackage", function_name="other")
    with pytest.raises(mw.Error, match="compute: expected fp32"):
        mw.MLModel(example / "student.mlpackage", compute="int8")
    with pytest.raises(mw.Error, match="threads: expected a whole number from 0"):
        mw.MLModel(example / "student.mlpackage", threads=-1)
    with pytest.raises(TypeError, match="tokeniser"):
        mw.MLModel(example / "student.mlpackage", tokeniser="tokenizer.json")
    with pytest.raises(TypeError, match="device: expected a string, got int"):
        mw.MLModel(example / "student.mlpackage", device=1)
    with pytest.raises(TypeError, match="a dict or a list of dicts, got int"):
        mw.MLModel(example / "student.mlpackage").predict(3)
