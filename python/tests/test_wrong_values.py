"""Values that no number, name or array of the model can be are refused in a sentence of ours."""

import numpy as np
import pytest

import millwright as mw

IDS = np.array([[1, 2, 3]], np.int32)


@pytest.fixture(scope="module")
def path(example):
    return example / "student.mlpackage"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_axis": 2**70}, r"class_axis: expected a whole number from -\d+ to \d+, got 11805"),
        ({"class_axis": 1.5}, "class_axis: expected a whole number, got 1.5"),
        ({"class_axis": "last"}, "class_axis: expected a whole number, got 'last'"),
        ({"threads": 2**31}, r"threads: expected a whole number from -\d+ to \d+, got 2147483648"),
        ({"threads": 1025}, "threads: expected a whole number from 0 to 1024, got 1025"),
        ({"compute": "fp8"}, "compute: expected fp32, fp64, fp16 or bf16, got 'fp8'"),
        ({"print_after": ["no_such_pass"]}, "no_such_pass"),
        ({"threads": 1.5}, "threads: expected a whole number, got 1.5"),
        ({"lora": mw.Lora(seed=-1)}, r"lora: seed: expected a whole number from 0 to \d+, got -1"),
        ({"lora": mw.Lora(rank=1.5)}, "lora: rank: expected a whole number, got 1.5"),
        ({"device": "abacus"}, "device: expected one of cpu, got 'abacus'"),
        ({"memory": 1.5}, "memory: expected a whole number, got 1.5"),
        ({"memory": 2**64}, r"memory: expected a whole number from 0 to \d+, got 18446744073709551616"),
    ],
)
def test_numbers_that_are_not_whole_or_too_large(path, options, message):
    with pytest.raises(mw.Error, match=message) as caught:
        mw.StudentModel(path, **options)
    assert caught.value.code == "invalid_argument"


def test_whole_numbers_of_other_types_are_taken(path):
    student = mw.StudentModel(path, memory=np.int64(0), threads=np.uint8(1), class_axis=np.int16(2))
    assert student.training_step(IDS, IDS).tokens == 3


@pytest.mark.parametrize("name", ["loss", "target", "compute", "function_name", "wrt_inputs"])
def test_names_that_are_no_strings(path, name):
    value = [7] if name == "wrt_inputs" else 7
    with pytest.raises(TypeError, match=f"{name}: expected a string, got int"):
        mw.StudentModel(path, **{name: value})


def test_keys_that_are_no_strings(path):
    student, model = mw.StudentModel(path), mw.MLModel(path)
    said = "{}: expected strings as keys of the dict, got 1"
    for refused in (student.training_step, student.evaluate, student.backward):
        with pytest.raises(TypeError, match=said.format("input")):
            refused({1: IDS, "labels": IDS})
    for refused in (student.predict, model.predict):
        with pytest.raises(TypeError, match=said.format("input")):
            refused({1: IDS})
    with pytest.raises(TypeError, match=said.format("training state")):
        student.load_state_dict({1: IDS})
    with pytest.raises(TypeError, match="taps: expected a string, got int"):
        model.predict({"input_ids": IDS}, taps=[1])
    with pytest.raises(TypeError, match="parameter: expected a string, got int"):
        student.get_parameter(1)


def test_masked_values(path):
    student, model = mw.StudentModel(path), mw.MLModel(path)
    masked = np.ma.masked_array(IDS, [[False, True, False]])
    said = "{}: expected an array without a mask, got one with 1 masked values; fill them first"
    for batch, name in (
        ({"input_ids": masked, "labels": IDS}, "input 'input_ids'"),
        ({"input_ids": IDS, "labels": masked}, "labels"),
    ):
        with pytest.raises(mw.Error, match=said.format(name)):
            student.training_step(batch)
    with pytest.raises(mw.Error, match=said.format("input_ids")):
        model.forward(masked)
    # A mask that hides nothing changes nothing.
    np.testing.assert_array_equal(model.forward(np.ma.masked_array(IDS)), model.forward(IDS))


def test_an_image_of_pillow_is_refused_for_its_pixels(data):
    class Image:
        __module__ = "PIL.Image"

    model = mw.MLModel(data / "packages" / "image.mlpackage")
    (name,) = model.input_description
    said = f"input '{name}': expected an array, got a PIL image; pass its pixels as an array"
    with pytest.raises(mw.Error, match=said):
        model.predict({name: Image()})
