"""StudentModel on the student in examples/: steps, gradients, weights, teachers, errors."""

import json
import os
import signal
import threading
import time

import numpy as np
import pytest

import millwright as mw

ROWS, TIME = 4, 16


@pytest.fixture(scope="module")
def path(example):
    return example / "student.mlpackage"


@pytest.fixture(scope="module")
def batches(example, model):
    """Rows of the play and, one token later, the labels."""
    text = (example / "train.txt").read_text()[:20000]
    ids = np.array(model.tokenizer.encode(text), np.int64)
    count = len(ids) // (ROWS * TIME) - 1
    cut = ids[: count * ROWS * TIME + 1]
    shape = (count, ROWS, TIME)
    return list(zip(cut[:-1].reshape(shape), cut[1:].reshape(shape), strict=True))


@pytest.fixture
def student(path):
    return mw.StudentModel(path, mw.AdamW(learning_rate=3e-3))


def trained_names(student):
    return [p.name for p in student.parameters() if p.trained]


def test_the_loss_falls_over_ten_steps(student, batches):
    ids, labels = batches[0]
    results = [student.training_step(ids, labels) for _ in range(10)]
    assert [r.step for r in results] == list(range(1, 11))
    assert results[-1].loss < results[0].loss - 0.5
    assert results[0].tokens == ROWS * TIME
    assert results[0].grad_norm > 0
    assert results[0].learning_rate == pytest.approx(3e-3)


def test_a_batch_is_two_arrays_a_tuple_a_dict_or_a_list_of_rows(path, batches):
    ids, labels = batches[0]
    losses = [
        mw.StudentModel(path).training_step(*batch).loss
        for batch in (
            (ids, labels),
            (ids.astype(np.int32), labels.astype(np.uint16)),
            ((ids, labels),),
            ({"input_ids": ids, "labels": labels},),
            (ids.tolist(), labels.tolist()),
        )
    ]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-6)


def test_several_batches_are_one_step(path, batches):
    both = {
        name: np.concatenate([batches[0][i], batches[1][i]])
        for i, name in enumerate(("input_ids", "labels"))
    }
    at_once, in_turn = mw.StudentModel(path, mw.SGD(0.1)), mw.StudentModel(path, mw.SGD(0.1))
    one = at_once.training_step(both)
    second = {"input_ids": batches[1][0], "labels": batches[1][1]}
    other = in_turn.training_step([batches[0], second])
    assert (other.step, other.tokens) == (1, one.tokens)
    assert other.loss == pytest.approx(one.loss, rel=1e-5)
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
    for name in trained_names(at_once):
        np.testing.assert_allclose(
            in_turn.get_parameter(name), at_once.get_parameter(name), atol=1e-5
        )


def test_gradients_come_by_parameter_name_and_change_nothing(student, batches):
    before = student.state_dict()
    gradients = student.backward(*batches[0])
    assert list(gradients) == sorted(trained_names(student))
    assert gradients.result.loss == pytest.approx(student.evaluate(*batches[0]).loss, rel=1e-5)
    norm = np.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))
    assert gradients.result.grad_norm == pytest.approx(norm, rel=1e-4)
    after = student.state_dict()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_a_gradient_is_the_slope_of_the_loss(path, batches):
    student = mw.StudentModel(path, compute="fp64")
    gradients = student.backward(*batches[0])
    name = max(gradients, key=lambda name: np.abs(gradients[name]).max())
    value, gradient = student.get_parameter(name), gradients[name]
    # The directional derivative along the gradient's sign is the sum of its magnitudes.
    step = np.float32(2.0**-12)
    losses = []
    for sign in (1, -1):
        moved = (value + sign * step * np.sign(gradient)).astype(np.float32)
        student.set_parameter(name, moved)
        losses.append(student.evaluate(*batches[0]).loss)
    slope = (losses[0] - losses[1]) / (2 * step)
    assert slope == pytest.approx(np.abs(gradient).sum(), rel=0.02)


def test_a_tied_embedding_has_one_gradient_from_both_uses(student, batches):
    tied = [p for p in student.parameters() if p.trained and p.shape == [1024, 64]]
    assert len(tied) == 1
    gradient = student.backward(*batches[0])[tied[0].name]
    assert gradient.shape == (1024, 64)
    # Tokens that are no input get theirs from the head alone, so no row is zero.
    assert np.abs(gradient).sum(axis=1).all()


def test_parameters_tell_what_is_trained_and_why(student):
    parameters = student.parameters()
    assert any(p.trained for p in parameters)
    for p in parameters:
        assert p.name
        assert p.reason
        assert p.dtype == "fp32" or not p.trained
    assert "Parameter('" in repr(parameters[0])
    assert f"{len(trained_names(student))} parameters" in repr(student)


def test_trainable_globs_freeze_the_rest(path, batches):
    everything = trained_names(mw.StudentModel(path))
    chosen = everything[0]
    student = mw.StudentModel(path, trainable=[chosen])
    assert trained_names(student) == [chosen]
    before = student.get_parameter(chosen)
    student.training_step(*batches[0])
    assert not np.array_equal(student.get_parameter(chosen), before)
    with pytest.raises(mw.Error, match="expected one that is trained"):
        student.get_parameter(everything[1])


def test_groups_and_schedules_reach_the_update(path, batches):
    names = trained_names(mw.StudentModel(path))
    student = mw.StudentModel(
        path,
        mw.AdamW(learning_rate=1e-2),
        groups=[mw.ParameterGroup("*", weight_decay=0.0), mw.ParameterGroup(names[0], 0.0)],
        schedule=mw.Schedule("cosine", warmup_steps=2, total_steps=4),
    )
    before = {name: student.get_parameter(name) for name in names[:2]}
    rates = [student.training_step(*batches[0]).learning_rate for _ in range(5)]
    assert rates == pytest.approx([5e-3, 1e-2, 1e-2, 5e-3, 0], abs=1e-8)
    np.testing.assert_array_equal(student.get_parameter(names[0]), before[names[0]])
    assert not np.array_equal(student.get_parameter(names[1]), before[names[1]])


def test_set_and_get_return_the_same_numbers(student):
    name = trained_names(student)[0]
    value = student.get_parameter(name)
    assert value.dtype == np.float32
    changed = value + np.arange(value.size, dtype=np.float32).reshape(value.shape) / 8
    student.set_parameter(name, changed)
    np.testing.assert_array_equal(student.get_parameter(name), changed)
    changed[...] = 0
    assert student.get_parameter(name).any()
    with pytest.raises(mw.Error, match=r"expected floats of shape \["):
        student.set_parameter(name, value.reshape(-1)[:1])
    with pytest.raises(mw.Error, match="parameter 'other': expected one that is trained"):
        student.set_parameter("other", value)


def test_training_goes_on_from_a_state(path, batches):
    first = mw.StudentModel(path)
    first.training_step(*batches[0])
    state = first.state_dict()
    second = mw.StudentModel(path)
    second.load_state_dict(state)
    a, b = first.training_step(*batches[1]), second.training_step(*batches[1])
    assert (a.step, b.step) == (2, 2)
    assert b.loss == pytest.approx(a.loss, rel=1e-6)
    for name in trained_names(first):
        np.testing.assert_allclose(
            second.get_parameter(name), first.get_parameter(name), atol=1e-6
        )
    name = trained_names(first)[0]
    del state[name]
    with pytest.raises(mw.Error, match="is missing"):
        second.load_state_dict(state)


def test_weights_go_through_a_file(student, path, batches, tmp_path):
    student.training_step(*batches[0])
    file = tmp_path / "weights.safetensors"
    student.save_weights(file)
    other = mw.StudentModel(path)
    other.load_weights(file)
    for name in trained_names(student):
        np.testing.assert_array_equal(other.get_parameter(name), student.get_parameter(name))
    with pytest.raises(mw.Error, match="ends in .safetensors"):
        student.save_weights(tmp_path / "weights.bin")
    with pytest.raises(mw.Error, match="no such file"):
        student.load_weights(tmp_path / "none.safetensors")
    few = mw.StudentModel(path, trainable=trained_names(student)[:1])
    with pytest.raises(mw.Error, match="expected one that is trained"):
        few.load_weights(file)


@pytest.mark.parametrize("name", ["trained.mlpackage", "trained.mlmodelc"])
def test_the_saved_package_has_the_trained_weights(student, batches, tmp_path, name):
    ids, labels = batches[0]
    for _ in range(3):
        student.training_step(ids, labels)
    assert student.save(tmp_path / name) == []
    saved = mw.MLModel(tmp_path / name)
    expected = student.predict({"input_ids": ids})["logits"]
    np.testing.assert_allclose(
        saved.predict({"input_ids": ids})["logits"], expected, atol=1e-4
    )
    assert saved.user_defined_metadata["millwright.trained_steps"] == "3"


def test_a_student_starts_from_a_loaded_model(path, batches):
    loaded = mw.MLModel(path, threads=1)
    student = mw.StudentModel(loaded)
    assert student.model is loaded
    before = loaded.predict({"input_ids": batches[0][0]})["logits"]
    np.testing.assert_allclose(
        student.predict({"input_ids": batches[0][0]})["logits"], before, atol=1e-4
    )
    student.training_step(*batches[0])
    np.testing.assert_array_equal(loaded.predict({"input_ids": batches[0][0]})["logits"], before)
    with pytest.raises(mw.Error, match="threads, function_name: expected with a path only"):
        mw.StudentModel(loaded, threads=1, function_name="main")


def test_a_teacher_changes_the_loss(path, example, batches):
    alone, taught = mw.StudentModel(path), mw.StudentModel(path)
    taught.set_teacher(example / "model.mlpackage", temperature=2.0, alpha=0.5)
    a, b = alone.training_step(*batches[0]), taught.training_step(*batches[0])
    assert a.loss != pytest.approx(b.loss, rel=1e-3)
    assert taught.training_step(*batches[0]).loss < b.loss
    with pytest.raises(mw.Error, match="before the first step"):
        taught.set_teacher(example / "model.mlpackage")


def test_a_teacher_with_another_vocabulary_is_refused(path, example, tmp_path):
    def teacher(name, change):
        tokenizer = json.loads((example / "tokenizer.json").read_text())
        change(tokenizer["model"]["vocab"])
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(json.dumps(tokenizer))
        return mw.MLModel(example / "model.mlpackage", tokenizer=tmp_path / name)

    student = mw.StudentModel(path)
    larger = teacher("larger", lambda vocabulary: vocabulary.update({"no such word": 1024}))
    with pytest.raises(mw.Error, match="the student's vocabulary of 1024 tokens, got 1025"):
        student.set_teacher(larger)
    swapped = teacher("swapped", lambda vocabulary: vocabulary.update({"#": 4, "$": 3}))
    with pytest.raises(mw.Error, match=r"token 3: expected the student's '#', got '\$'"):
        student.set_teacher(swapped)
    student.set_teacher(teacher("same", lambda vocabulary: None))


def test_any_model_learns_and_its_inputs_have_gradients(data):
    student = mw.StudentModel(
        data / "packages" / "linear.mlpackage", mw.SGD(0.1), loss="mse", wrt_inputs=["x"]
    )
    batch = {"x": np.arange(8.0).reshape(2, 4) / 8, "labels": np.ones((2, 3))}
    (y,) = student.predict({"x": batch["x"]}).values()
    gradients = student.backward(batch)
    weights = [p.name for p in student.parameters() if p.shape == [3, 4]]
    slope = 2 * (y - batch["labels"]) / y.size
    np.testing.assert_allclose(gradients[weights[0]], slope.T @ batch["x"], atol=1e-5)
    np.testing.assert_allclose(
        gradients["input.x"], slope @ student.get_parameter(weights[0]), atol=1e-5
    )
    losses = [student.training_step(batch).loss for _ in range(5)]
    assert losses[0] == pytest.approx(np.mean((y - batch["labels"]) ** 2), rel=1e-5)
    assert losses == sorted(losses, reverse=True)


def test_arrays_of_other_libraries_come_through_dlpack(path, batches):
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    ids, labels = batches[0]
    given = mw.StudentModel(path).training_step(Foreign(ids), Foreign(labels))
    assert given.loss == pytest.approx(mw.StudentModel(path).training_step(ids, labels).loss)


def test_threads_take_turns_with_a_student(student, batches):
    steps = []

    def work():
        for _ in range(3):
            steps.append(student.training_step(*batches[0]).step)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(steps) == list(range(1, 10))


def test_an_interrupt_stops_between_two_steps(student, batches):
    losses = []

    def interrupt():
        while len(losses) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # A process started in the background ignores the signal until it says otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt, daemon=True)  # waits on where a step fails
    try:
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            for _ in range(1_000_000):
                losses.append(student.training_step(*batches[0]).loss)
    finally:
        signal.signal(signal.SIGINT, before)
    assert np.isfinite(student.training_step(*batches[0]).loss)


IDS = np.array([[1, 2, 3]], np.int32)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"input_ids": IDS}, "expected labels"),
        ({"labels": IDS}, "input"),
        ({"input_ids": IDS, "labels": IDS, "x": IDS}, "'x'"),
        ({"input_ids": IDS, "labels": IDS[:, :2]}, r"labels: expected shape \[1, 3\]"),
        ({"input_ids": IDS, "labels": IDS.astype(np.float32)}, "labels: expected integers"),
        ({"input_ids": IDS.astype(np.float32) / 2, "labels": IDS}, "expected int32, got fp32"),
        ({"input_ids": IDS.astype(np.int64) << 40, "labels": IDS}, "got the value"),
        ({"input_ids": IDS, "labels": IDS.astype(np.int64) << 40}, "labels: .* got 1099511627776"),
        ({"input_ids": IDS, "labels": IDS - 2}, r"or -100, got -1"),
        ({"input_ids": IDS[None], "labels": IDS}, r"got \[1, 1, 3\]"),
        ({"input_ids": IDS, "labels": IDS + 2000}, r"labels: expected values in \[0, 1024\)"),
        ({"input_ids": "text", "labels": IDS}, "expected an array of numbers or booleans"),
    ],
)
def test_bad_batches_are_errors_that_say_so(student, batch, message):
    with pytest.raises(mw.Error, match=message) as caught:
        student.training_step(batch)
    assert caught.value.code == "invalid_argument"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable": ["nothing*"]}, "trainable 'nothing\\*': expected a glob"),
        ({"optimizer": mw.AdamW(learning_rate=-1)}, r"learning_rate: expected .*, got -1"),
        ({"optimizer": mw.SGD(learning_rate=float("nan"))}, "learning_rate: .* got nan"),
        ({"optimizer": mw.Adam(betas=(0.9, 1.0))}, r"beta2: expected a number in \[0, 1\), got 1"),
        ({"label_smoothing": 1}, "label_smoothing: expected"),
        ({"clip_norm": -1}, "clip_norm: expected"),
        ({"memory": -1}, "memory: expected a whole number from 0 to .*, got -1"),
        ({"groups": [mw.ParameterGroup("*", -1)]}, "learning_rate_factor: expected"),
        ({"loss": "hinge"}, "loss: expected cross_entropy, mse, output or binary_cross_entropy"),
        ({"target": "other"}, "target 'other': expected one of the outputs logits"),
        ({"wrt_inputs": ["other"]}, "wrt_inputs: 'other': expected an input of floats"),
        ({"wrt_inputs": ["input_ids"]}, "'input_ids': expected an input of floats"),
        ({"schedule": mw.Schedule("stairs")}, "schedule: expected constant, linear, cosine or step"),
        ({"compute": "int8"}, "compute: expected fp32"),
        ({"function_name": "other"}, "function 'other'"),
    ],
)
def test_bad_options_are_errors_that_say_so(path, options, message):
    with pytest.raises(mw.Error, match=message):
        mw.StudentModel(path, **options)


def test_wrong_kinds_of_things_are_type_errors(path, student):
    with pytest.raises(TypeError, match="optimizer: expected AdamW, Adam.*, got str"):
        mw.StudentModel(path, "adam")
    with pytest.raises(TypeError, match="trainable: expected a list of strings"):
        mw.StudentModel(path, trainable="*")
    with pytest.raises(TypeError, match="a batch: expected a dict of arrays"):
        student.training_step(IDS)
    with pytest.raises(mw.Error, match="expected a batch"):
        student.training_step([])
    with pytest.raises(mw.Error, match="temperature: expected more than 0"):
        student.set_teacher(path, temperature=0)
    with pytest.raises(mw.Error, match="alpha: expected a number from 0 to 1"):
        student.set_teacher(path, alpha=2)
