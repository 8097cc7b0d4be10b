"""Losses and gradients of small models by PyTorch in fp64, as tests/ends_test.cc compares them.

    python make.py > ends.json

The models: h = tanh(w0 x), z = w1 h + b1, over rows, over pixels, or over one row; then an end.
Weights and inputs are multiples of 1/128, so that fp32 holds them as they are. Made with
PyTorch 2.7.
"""

import json

import torch
from torch.nn import functional as f

torch.manual_seed(5)
IGNORED = -100


def numbers(*shape):
    return (torch.randn(*shape, dtype=torch.float64) * 64).round() / 64


def weights(inputs, hidden, outputs):
    return {
        "w0": (numbers(hidden, inputs) * 0.5).requires_grad_(),
        "w1": numbers(outputs, hidden).requires_grad_(),
        "b1": numbers(outputs).requires_grad_(),
    }


def logits(w, x):
    """Over the last axis of x."""
    return torch.tanh(x @ w["w0"].T) @ w["w1"].T + w["b1"]


def binary(z, y, of_sigmoid=False, **more):
    """Of the labels that count; their mean."""
    counts = y != IGNORED
    weight = more.get("pos_weight")
    if weight is not None:
        more["pos_weight"] = weight.expand_as(z)[counts]
    if of_sigmoid:
        return f.binary_cross_entropy(torch.sigmoid(z)[counts], y[counts])
    return f.binary_cross_entropy_with_logits(z[counts], y[counts], **more)


def case(name, w, x, labels, value, **settings):
    given = {**w, "x": x}
    gradients = torch.autograd.grad(value, list(given.values()))
    return {
        "name": name,
        "labels": {"shape": list(labels.shape), "values": labels.flatten().tolist()},
        "settings": settings,
        "value": value.item(),
        "gradients": {
            key: gradient.flatten().tolist()
            for key, gradient in zip(given, gradients, strict=True)
        },
    }


def group(layout, w, x, cases):
    tensors = {
        key: {"shape": list(value.shape), "values": value.detach().flatten().tolist()}
        for key, value in {**w, "x": x}.items()
    }
    return {"layout": layout, "tensors": tensors, "cases": cases}


def rows():
    w, x = weights(5, 7, 4), numbers(6, 5).requires_grad_()
    z = lambda: logits(w, x)  # noqa: E731
    y = torch.tensor([2, 0, 3, 1, 1, 2])
    some = torch.tensor([2, IGNORED, 3, IGNORED, 1, 0])
    many = (torch.rand(6, 4, dtype=torch.float64) < 0.4).double()
    soft = torch.rand(6, 4, dtype=torch.float64).mul(64).round() / 64
    holes = many.clone()
    holes[1], holes[4, 2] = IGNORED, IGNORED
    each = torch.tensor([1.0, 2.5, 0.5, 3.0], dtype=torch.float64)
    truth = numbers(6, 4)
    ce, bce, mse = "cross_entropy", "binary_cross_entropy", "mse"
    log_p = lambda: f.log_softmax(z(), 1)  # noqa: E731
    return group("rows", w, x, [
        case("cross_entropy", w, x, y, f.cross_entropy(z(), y), loss=ce),
        case("nll_loss", w, x, some, f.nll_loss(log_p(), some), loss=ce),
        case("cross_entropy, some ignored, smoothed", w, x, some,
             f.cross_entropy(z(), some, label_smoothing=0.125), loss=ce, label_smoothing=0.125),
        case("binary_cross_entropy", w, x, many, binary(z(), many, of_sigmoid=True), loss=bce),
        case("binary_cross_entropy_with_logits", w, x, soft, binary(z(), soft), loss=bce),
        case("binary, some ignored, weighted", w, x, holes,
             binary(z(), holes, pos_weight=torch.tensor(3.0, dtype=torch.float64)), loss=bce,
             pos_weight=[3.0]),
        case("binary, some ignored, weighted by class", w, x, holes,
             binary(z(), holes, pos_weight=each), loss=bce, pos_weight=each.tolist()),
        case("mse_loss of logits", w, x, truth, f.mse_loss(z(), truth), loss=mse, end="linear"),
        case("mse_loss of probabilities", w, x, truth, f.mse_loss(torch.softmax(z(), 1), truth),
             loss=mse, end="softmax"),
        case("mse_loss of logarithms", w, x, truth, f.mse_loss(log_p(), truth), loss=mse,
             end="log_softmax"),
        case("mse_loss of a sigmoid", w, x, truth, f.mse_loss(torch.sigmoid(z()), truth), loss=mse,
             end="sigmoid"),
    ])  # fmt: skip


def one_row():
    """As a classifier has it."""
    w, x = weights(5, 7, 4), numbers(1, 5).requires_grad_()
    z = lambda: logits(w, x)  # noqa: E731
    y = torch.tensor([2])
    many, truth = torch.tensor([[1.0, 0.0, 0.25, 1.0]], dtype=torch.float64), numbers(1, 4)
    return group("one row", w, x, [
        case("cross_entropy", w, x, y, f.cross_entropy(z(), y), loss="cross_entropy"),
        case("binary_cross_entropy", w, x, many, binary(z(), many), loss="binary_cross_entropy"),
        case("mse_loss", w, x, truth, f.mse_loss(torch.softmax(z(), 1), truth), loss="mse",
             end="softmax"),
    ])  # fmt: skip


def pixels():
    """x [2, 3, 4, 5]: the classes on axis 1."""
    w, x = weights(3, 7, 4), numbers(2, 3, 4, 5).requires_grad_()
    z = lambda: logits(w, x.movedim(1, -1)).movedim(-1, 1)  # noqa: E731
    y = torch.randint(0, 4, (2, 4, 5))
    y[0, 1, 2] = y[1, 3] = IGNORED
    many = (torch.rand(2, 4, 4, 5, dtype=torch.float64) < 0.4).double()
    many[1, :, 0] = IGNORED
    each = torch.tensor([1.0, 2.5, 0.5, 3.0], dtype=torch.float64)
    return group("pixels", w, x, [
        case("cross_entropy", w, x, y, f.cross_entropy(z(), y), loss="cross_entropy"),
        case("cross_entropy, smoothed", w, x, y, f.cross_entropy(z(), y, label_smoothing=0.125),
             loss="cross_entropy", label_smoothing=0.125),
        case("binary, some ignored, weighted by class", w, x, many,
             binary(z(), many, pos_weight=each[:, None, None]), loss="binary_cross_entropy",
             pos_weight=each.tolist(), class_axis=1),
    ])  # fmt: skip


def text_of(value, indent=""):
    """One array of numbers a line."""
    if isinstance(value, dict):
        inner = ",\n".join(
            f"{indent} {json.dumps(k)}: {text_of(v, indent + ' ')}" for k, v in value.items()
        )
        return "{\n" + inner + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"{indent} {text_of(v, indent + ' ')}" for v in value) + "]"
    return json.dumps(value)


print(text_of({"groups": [rows(), one_row(), pixels()]}))
