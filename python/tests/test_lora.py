"""LoRA from Python: adapters that train, are written, loaded and added to their weights."""

import json

import numpy as np
import pytest

import millwright as mw


@pytest.fixture(scope="module")
def path(example):
    return example / "student.mlpackage"


@pytest.fixture(scope="module")
def batch(example, model):
    ids = np.array(model.tokenizer.encode((example / "train.txt").read_text()[:2000]), np.int64)
    return ids[:64].reshape(4, 16), ids[1:65].reshape(4, 16)


@pytest.fixture
def student(path):
    return mw.StudentModel(path, mw.AdamW(learning_rate=1e-2), lora=mw.Lora(rank=4, alpha=8))


def logits_of(outputs):
    return next(iter(outputs.values()))


def test_adapters_learn_and_the_weights_stay(student, batch):
    trained = [p for p in student.parameters() if p.trained]
    assert trained and all(".lora_" in p.name for p in trained)
    first = student.training_step(*batch).loss
    for _ in range(9):
        last = student.training_step(*batch).loss
    assert last < first - 0.3
    assert np.any(student.get_parameter(trained[1].name))


def test_an_adapter_beside_the_model_and_in_its_weights_gives_the_same(
    path, student, batch, tmp_path
):
    for _ in range(3):
        student.training_step(*batch)
    student.save_adapter(tmp_path / "a.safetensors")
    student.save(tmp_path / "fused.mlpackage")
    data = {"input_ids": batch[0]}
    now = logits_of(student.predict(data))
    beside = logits_of(mw.MLModel(path, adapter=tmp_path / "a.safetensors").predict(data))
    fused = logits_of(mw.MLModel(tmp_path / "fused.mlpackage").predict(data))
    np.testing.assert_allclose(beside, now, atol=1e-4)
    np.testing.assert_allclose(fused, now, atol=1e-3)
    assert np.abs(now - logits_of(mw.MLModel(path).predict(data))).max() > 0.01
    other = mw.StudentModel(path, lora=mw.Lora(rank=4, alpha=8))
    other.load_adapter(tmp_path / "a.safetensors")
    assert other.evaluate(*batch).loss == student.evaluate(*batch).loss


def test_an_adapter_in_a_folder_is_one_of_peft(path, student, batch, tmp_path):
    student.training_step(*batch)
    student.save_adapter(tmp_path / "peft")
    config = json.loads((tmp_path / "peft/adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    data = {"input_ids": batch[0]}
    beside = logits_of(mw.MLModel(path, adapter=tmp_path / "peft").predict(data))
    np.testing.assert_allclose(beside, logits_of(student.predict(data)), atol=1e-4)
    other = mw.StudentModel(path, lora=mw.Lora(rank=4, alpha=8))
    other.load_adapter(tmp_path / "peft")
    assert other.evaluate(*batch).loss == student.evaluate(*batch).loss
    config["use_dora"] = True
    (tmp_path / "peft/adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(mw.Error, match="expected a magnitude, as 'use_dora' says, got none"):
        mw.MLModel(path, adapter=tmp_path / "peft")


@pytest.mark.parametrize("form", ["peft", "mlx"])
def test_magnitudes_are_trained_and_written_in_every_form(path, batch, tmp_path, form):
    student = mw.StudentModel(
        path, mw.AdamW(learning_rate=0.01), lora=mw.Lora(rank=4, alpha=8, dora=True)
    )
    names = [p.name for p in student.parameters() if p.name.endswith(".lora_magnitude")]
    before = student.get_parameter(names[0])
    for _ in range(3):
        student.training_step(*batch)
    assert np.abs(student.get_parameter(names[0]) - before).max() > 1e-3
    weights = [name.removesuffix(".lora_magnitude") for name in names]
    modules = "".join(f"net.{i}.part = {weight}\n" for i, weight in enumerate(weights))
    (tmp_path / "map.txt").write_text(modules)
    student.save_adapter(tmp_path / form, tmp_path / "map.txt", format=form)
    data = {"input_ids": batch[0]}
    beside = mw.MLModel(path, adapter=tmp_path / form, module_names=tmp_path / "map.txt")
    np.testing.assert_allclose(
        logits_of(beside.predict(data)), logits_of(student.predict(data)), atol=1e-4
    )
    student.save(tmp_path / "fused.mlpackage")
    fused = logits_of(mw.MLModel(tmp_path / "fused.mlpackage").predict(data))
    np.testing.assert_allclose(fused, logits_of(student.predict(data)), atol=1e-3)
    other = mw.StudentModel(path, lora=mw.Lora(rank=4, alpha=8, dora=True))
    other.load_adapter(tmp_path / form, tmp_path / "map.txt")
    assert other.evaluate(*batch).loss == student.evaluate(*batch).loss


def test_functions_that_share_weights_change_together(data, tmp_path):
    path = data / "packages" / "two_functions.mlpackage"
    student = mw.StudentModel(path, mw.SGD(learning_rate=0.1), loss="mse", function_name="double")
    assert student.notes() == [
        "changes functions double, triple (1 of 1 weights), which share what is trained"
    ]
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    student.training_step({"x": x, "labels": x})
    student.save(tmp_path / "both.mlpackage")
    student.save(tmp_path / "one.mlpackage", only_function=True)

    def answer(package, function):
        return mw.MLModel(package, function_name=function).predict({"x": x})["y"]

    both = tmp_path / "both.mlpackage"
    np.testing.assert_allclose(answer(both, "triple"), 1.5 * answer(both, "double"), rtol=1e-5)
    np.testing.assert_array_equal(
        answer(tmp_path / "one.mlpackage", "triple"), answer(path, "triple")
    )
    assert np.abs(answer(both, "triple") - answer(path, "triple")).max() > 1e-4


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        (mw.Lora(rank=0), "rank: expected a whole number from 1"),
        (mw.Lora(alpha=float("nan")), "alpha: expected a number more than 0, got nan"),
        (mw.Lora(targets=["absent"]), "target 'absent': expected a glob that matches a weight"),
    ],
)
def test_bad_settings_are_told_in_a_sentence(path, lora, sentence):
    with pytest.raises(mw.Error, match=sentence):
        mw.StudentModel(path, lora=lora)


def test_wrong_types_are_told(path):
    with pytest.raises(TypeError, match="lora: expected a Lora, got dict"):
        mw.StudentModel(path, lora={"rank": 4})
    with pytest.raises(TypeError, match="targets: expected a list of strings"):
        mw.StudentModel(path, lora=mw.Lora(targets="*w*"))
    with pytest.raises(mw.Error, match="expected a student with StudentOptions::lora"):
        mw.StudentModel(path).save_adapter("a.safetensors")
