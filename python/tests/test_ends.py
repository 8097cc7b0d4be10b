"""What a loss is of: classifiers, sigmoids, pixels; against formulas in NumPy."""

import numpy as np
import pytest

import millwright as mw


@pytest.fixture
def classifier(data):
    return mw.StudentModel(data / "ends" / "classifier.mlpackage", mw.SGD(learning_rate=0.5))


@pytest.fixture(scope="module")
def x():
    return np.array([[0.5, -1.0, 2.0, 0.25]], np.float32)




def test_a_classifier_learns_from_names(classifier, x):
    assert classifier.class_labels == ["cat", "dog", "fox"]
    losses = [
        classifier.evaluate({"x": x, "labels": labels}).loss
        for labels in (["dog"], np.array(["dog"]), np.array(["dog"], object), [1], [[1]])
    ]
    assert losses == [losses[0]] * len(losses)
    p = classifier.predict({"x": x})["classLabel_probs"]
    assert losses[0] == pytest.approx(-np.log(p["dog"]), rel=1e-5)
    for _ in range(20):
        classifier.training_step({"x": x, "labels": ["dog"]})
    assert classifier.predict({"x": x})["classLabel"] == "dog"
    assert "over axis 1, 3 classes" in classifier.objective({"x": x, "labels": ["dog"]})


def test_names_that_are_none_are_refused(classifier, x, data):
    with pytest.raises(mw.Error, match="expected one of the classes cat, dog, fox, got bird"):
        classifier.evaluate({"x": x, "labels": ["bird"]})
    plain = mw.StudentModel(data / "ends" / "pixels.mlpackage")
    with pytest.raises(mw.Error, match="labels: expected integers, got names"):
        plain.evaluate({"x": np.zeros((1, 2, 3, 3), np.float32), "labels": ["bird"]})


@pytest.mark.parametrize("weight", [(), 3, [3.0]])
def test_a_sigmoid_has_binary_cross_entropy(data, weight):
    student = mw.StudentModel(
        data / "ends" / "sigmoid.mlpackage", loss="binary_cross_entropy", pos_weight=weight
    )
    x, y = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4), np.array([1, 0])
    p = student.predict({"x": x})["p"].astype(np.float64)[:, 0]
    factor = 3 if weight else 1
    expected = -(factor * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert student.evaluate({"x": x, "labels": y}).loss == pytest.approx(expected, rel=1e-5)
    assert student.objective({"x": x, "labels": y}).startswith("binary cross entropy of ")
    with pytest.raises(mw.Error, match="labels: expected numbers from 0 to 1 or -100, got 2"):
        student.evaluate({"x": x, "labels": [2, 0]})


def test_the_class_axis_may_be_given(data):
    path = data / "ends" / "pixels.mlpackage"
    x = np.linspace(-1, 1, 18, dtype=np.float32).reshape(1, 2, 3, 3)
    y = np.arange(9).reshape(1, 3, 3) % 4
    found = mw.StudentModel(path).evaluate({"x": x, "labels": y}).loss
    assert mw.StudentModel(path, class_axis=1).evaluate({"x": x, "labels": y}).loss == found
    with pytest.raises(mw.Error, match=r"labels: expected shape \[1, 4, 3\]"):
        mw.StudentModel(path, class_axis=-1).evaluate({"x": x, "labels": y})
    with pytest.raises(mw.Error, match="pos_weight: expected binary cross entropy"):
        mw.StudentModel(path, pos_weight=2)


def test_a_name_of_several_classes_is_refused():
    from millwright._student import _indices

    assert _indices(["b"], ["a", "b", "a"]).tolist() == [1]
    with pytest.raises(mw.Error, match="expected a name of one class, got a, of several"):
        _indices(["b", "a"], ["a", "b", "a"])
