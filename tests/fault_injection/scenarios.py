"""The commands whose calls fail, each with what it reads and what stands where it writes."""

import json
import os
import shutil
import struct


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        kind, dtype = ("i", "I32") if isinstance(values[0], int) else ("f", "F32")
        part = struct.pack(f"<{len(values)}{kind}", *values)
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(part)],
        }
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def package(options, name):
    return options.source / "tests/data/packages" / f"{name}.mlpackage"


def copy_with_notes(package_path, target):
    """A package in which its owner keeps other things, too."""
    shutil.copytree(package_path, target)
    (target / "notes/deep").mkdir(parents=True)
    (target / "notes/deep/n.txt").write_text("precious")
    (target / ".hidden").write_text("hidden")
    (target / "tokenizer.json").write_text("{}")
    os.symlink("/etc/hostname", target / "link")


class Scenario:
    name = ""
    words = []
    again = []  # what is added when the command runs again
    targets = []  # what it writes
    every = True  # call fails, not only the first and the last of each stack
    smoke = True
    may_be_aside = False  # for a moment a target has another name
    environment = {}

    def prepare(self, folder, options):
        raise NotImplementedError


class ConvertOverItself(Scenario):
    name = "convert-over-itself"
    words = ["convert", "m.mlpackage", "m.mlpackage", "--strip"]
    targets = ["m.mlpackage"]

    def prepare(self, folder, options):
        copy_with_notes(package(options, "linear"), folder / "old/m.mlpackage")


class ConvertToCompiled(Scenario):
    name = "convert-to-compiled"
    words = ["convert", "../in/m.mlpackage", "m.mlmodelc", "--strip"]
    targets = ["m.mlmodelc"]

    def prepare(self, folder, options):
        shutil.copytree(package(options, "palette"), folder / "in/m.mlpackage")
        (folder / "in/m.mlpackage/tokenizer.json").write_text("{}")
        copy_with_notes(package(options, "linear"), folder / "old/m.mlmodelc")


class ConvertWithoutExchange(ConvertToCompiled):
    """On a file system that cannot exchange two names."""

    name = "convert-without-exchange"
    environment = {"MW_FAULT_NO_EXCHANGE": "1"}
    may_be_aside = True
    smoke = False


class ConvertToFile(Scenario):
    name = "convert-to-file"
    words = ["convert", "../in/m.mlpackage", "new/m.mlmodel"]
    targets = ["new/m.mlmodel"]
    smoke = False

    def prepare(self, folder, options):
        shutil.copytree(package(options, "linear"), folder / "in/m.mlpackage")


def write_examples(path, count):
    values = [((i * 37) % 101) / 50 - 1 for i in range(count * 7)]
    write_safetensors(
        path,
        {"x": ([count, 4], values[: count * 4]), "labels": ([count, 3], values[count * 4 :])},
    )


class Grad(Scenario):
    name = "grad"
    words = ["grad", "../in/m.mlpackage", "--loss", "mse", "--inputs", "../in/batch.safetensors"]
    words += ["--output", "grads.safetensors"]
    targets = ["grads.safetensors"]

    def prepare(self, folder, options):
        shutil.copytree(package(options, "linear"), folder / "in/m.mlpackage")
        write_examples(folder / "in/batch.safetensors", 2)
        (folder / "old/grads.safetensors").write_text("what was there before")


class Train(Scenario):
    name = "train"
    words = ["train", "../in/m.mlpackage", "--loss", "mse", "--data", "../in/train.safetensors"]
    words += ["--eval-data", "../in/valid.safetensors", "--eval-every", "2", "--steps", "4"]
    words += ["--batch-size", "2", "--checkpoint-every", "1", "--output", "o.mlpackage"]
    again = ["--resume"]
    targets = ["o.mlpackage"]

    def prepare(self, folder, options):
        shutil.copytree(package(options, "linear"), folder / "in/m.mlpackage")
        write_examples(folder / "in/train.safetensors", 8)
        write_examples(folder / "in/valid.safetensors", 2)
        copy_with_notes(package(options, "palette"), folder / "old/o.mlpackage")


class TrainAdapters(Train):
    name = "train-adapters"
    words = [*Train.words, "--lora-rank", "1"]
    targets = ["o.mlpackage", "o-adapter.safetensors"]
    every = False
    smoke = False


class Distill(Train):
    name = "distill"
    words = ["distill", "--teacher", "../in/m.mlpackage", "--student", "../in/m.mlpackage"]
    words += ["--data", "../in/train.safetensors", "--eval-data", "../in/valid.safetensors"]
    words += ["--eval-every", "2", "--steps", "3", "--batch-size", "2", "--checkpoint-every", "1"]
    words += ["--output", "o.mlpackage"]

    def prepare(self, folder, options):
        super().prepare(folder, options)
        for name, count in (("train", 8), ("valid", 2)):
            inputs = [((i * 37) % 101) / 50 - 1 for i in range(count * 4)]
            labels = [i % 3 for i in range(count)]
            write_safetensors(
                folder / f"in/{name}.safetensors",
                {"x": ([count, 4], inputs), "labels": ([count], labels)},
            )


class TrainOnText(Scenario):
    """A language model with its tokenizer, and texts sampled before and after."""

    name = "train-on-text"
    words = ["train", "../in/m.mlpackage", "--data", "../in/train.txt", "--steps", "2"]
    words += ["--batch-size", "1", "--seq-len", "8", "--checkpoint-every", "1"]
    words += ["--output", "o.mlpackage"]
    again = ["--resume"]
    targets = ["o.mlpackage"]
    every = False
    smoke = False

    def prepare(self, folder, options):
        examples = options.source / "examples/shakespeare"
        shutil.copytree(examples / "student.mlpackage", folder / "in/m.mlpackage")
        shutil.copy(examples / "tokenizer.json", folder / "in/m.mlpackage")
        (folder / "in/train.txt").write_text((examples / "train.txt").read_text()[:2000])


SCENARIOS = [
    ConvertOverItself(),
    ConvertToCompiled(),
    ConvertWithoutExchange(),
    ConvertToFile(),
    Grad(),
    Train(),
    TrainAdapters(),
    Distill(),
    TrainOnText(),
]
