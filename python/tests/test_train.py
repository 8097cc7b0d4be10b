"""train(): a whole run from Python gives what the command gives; what ends it leaves it whole."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import millwright as mw

SIZES = {"batch_size": 2, "seq_len": 16, "steps": 6, "checkpoint_every": 2, "eval_every": 3}


@pytest.fixture
def files(example, tmp_path):
    for name, length in (("train.txt", 6000), ("valid.txt", 1500)):
        (tmp_path / name).write_text((example / name).read_text()[:length])
    return tmp_path


@pytest.fixture
def train(example, files):
    def run(name="out", optimizer=None, **settings):
        return mw.train(
            example / "student.mlpackage",
            files / "train.txt",
            files / f"{name}.mlpackage",
            optimizer,
            threads=1,
            **{"eval_data": files / "valid.txt", **SIZES, **settings},
        )

    return run


def weights(folder, name):
    return (folder / f"{name}.mlpackage/Data/com.apple.CoreML/weights/weight.bin").read_bytes()


def test_gives_what_the_command_gives(example, files, train):
    command = shutil.which("millwright")
    if command is None:
        pytest.skip("millwright is not on the PATH")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZES.items()]
    subprocess.run(
        [command, "train", example / "student.mlpackage", "--data", files / "train.txt"]
        + ["--output", files / "a.mlpackage", "--eval-data", files / "valid.txt"]
        + ["--threads=1", "--lr=0.01", "--optimizer=adam", *options],
        check=True,
        capture_output=True,
    )
    told = []
    report = train("b", mw.Adam(learning_rate=0.01), progress=told.append)
    lines = [json.loads(line) for line in (files / "a.run/metrics.jsonl").open()]
    assert report.losses == [line["loss"] for line in lines if line["step"]]
    assert [record.valid_loss for record in report.steps] == [
        line.get("valid_loss") for line in lines
    ]
    assert weights(files, "a") == weights(files, "b")
    assert [progress.step for progress in told] == list(range(1, 7))
    assert told[-1].loss == report.loss == report.losses[-1]
    assert told[2].steps == 6 and told[2].record.valid_loss == told[3].valid_loss
    assert report.step == 6 and not report.interrupted
    assert report.output == files / "b.mlpackage" and report.adapter is None
    assert report.tokens_per_second > 0
    assert report.notes[0].startswith("trains ")
    assert pathlib.Path(report.checkpoint).exists()
    pages = [(files / f"{name}.run/report.html").read_text() for name in "ab"]
    rows = [page[page.index("<h2>Settings") :].replace("a.mlpackage", "b.mlpackage") for page in pages]
    assert rows[0] == rows[1] and "batch_size" in rows[1]
    assert report.html == files / "b.run/report.html"


def test_learns_from_a_teacher(example, files, train):
    report = train("b", teacher=example / "model.mlpackage", temperature=3, alpha=0.25)
    assert report.losses != train("c").losses
    assert "teacher" in report.html.read_text()


def test_stops_when_told_to_and_goes_on(files, train):
    whole = train("whole")
    stopped = train("parts", progress=lambda progress: progress.step < 3)
    assert stopped.interrupted and stopped.step == 3
    assert stopped.output is None and not (files / "parts.mlpackage").exists()
    with pytest.raises(mw.Error, match="resume= goes on with it"):
        train("parts")
    assert train("parts", resume=True).losses == whole.losses
    assert weights(files, "parts") == weights(files, "whole")


def test_what_progress_raises_arrives(files, train):
    def fail(progress):
        if progress.step == 3:
            raise LookupError("no such widget")

    with pytest.raises(LookupError, match="no such widget"):
        train(progress=fail)
    assert not (files / "out.mlpackage").exists()
    assert (files / "out.run/step-00000003.safetensors").exists()
    assert train(resume=True).step == 6


def test_an_interrupt_keeps_a_checkpoint(files, train):
    def interrupt(progress):
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(progress=interrupt, steps=100_000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not (files / "out.mlpackage").exists()
    assert train(resume=True, steps=4).step == 4


@pytest.mark.parametrize(
    ("settings", "setting", "sentence"),
    [
        ({"seq_len": 0}, "seq_len", "seq_len: expected a whole number from 1 to 1099511627776"),
        ({"steps": -1}, "steps", "steps: expected a whole number from 0 to 2147483646, got -1"),
        ({"seq_len": 4096}, "seq_len", "seq_len 4096: the model takes at most 128 tokens"),
        ({"seed": 0.5}, "seed", "seed: expected a whole number, got 0.5"),
        ({"alpha": 2}, "alpha", "alpha: expected a number from 0 to 1, got 2"),
        ({"patience": 2, "eval_every": 0}, "patience", "patience: expected validations on the way, got eval_every= 0"),
        ({"adapter_format": "zip"}, "adapter_format", "adapter_format: expected millwright, peft or mlx"),
    ],
)
def test_refuses_by_name(train, settings, setting, sentence):
    with pytest.raises(mw.Error) as caught:
        train(**settings)
    assert caught.value.setting == setting
    assert sentence in str(caught.value)


def test_refuses_other_kinds_of_things(train):
    with pytest.raises(TypeError, match="eval_data: expected a path, got int"):
        train(eval_data=3)
    with pytest.raises(TypeError, match="learning"):
        train(learning=1)
    with pytest.raises(TypeError, match="progress: expected a function, got int"):
        train(progress=3)
