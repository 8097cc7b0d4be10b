"""Small packages whose outputs end in something: classifier, sigmoid, pixels.

    python make_packages.py        # with coremltools 9

classifier: softmax of a linear layer, classes "cat", "dog", "fox"; sigmoid: two rows, one number
each; pixels: four classes for each of 3 x 3 pixels, on axis 1.
"""

import pathlib
import shutil

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb

HERE = pathlib.Path(__file__).parent
random = np.random.default_rng(11)


def numbers(*shape):
    return (np.round(random.standard_normal(shape) * 64) / 64).astype(np.float32)


def program(shape):
    return mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS16)


def save(prog, name, **options):
    model = ct.convert(
        prog,
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )
    path = HERE / f"{name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    model.save(str(path))


@program((1, 4))
def classifier(x):
    z = mb.linear(x=x, weight=numbers(3, 4), bias=numbers(3), name="z")
    return mb.softmax(x=z, axis=-1, name="p")


@program((2, 4))
def sigmoid(x):
    return mb.sigmoid(x=mb.linear(x=x, weight=numbers(1, 4), bias=numbers(1), name="z"), name="p")


@program((1, 2, 3, 3))
def pixels(x):
    return mb.conv(x=x, weight=numbers(4, 2, 1, 1), bias=numbers(4), name="scores")


save(classifier, "classifier", classifier_config=ct.ClassifierConfig(["cat", "dog", "fox"]))
save(sigmoid, "sigmoid")
save(pixels, "pixels")
