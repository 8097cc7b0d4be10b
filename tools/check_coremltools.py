#!/usr/bin/env python3
"""Has coremltools load every package that `millwright convert` and `millwright train` write.

    make check-coremltools            all models of examples/, tests/data/ and MW_SHARED
    check_coremltools.py MODEL...     these

Each ML Program is written as the other container and back, and from there as a package when it is
not one yet. coremltools reads the specification and the package, then turns the program with its
weights into its own representation and checks it. Those that `SHORT_RUNS` names are trained for a few
steps, too, from both containers into both; as coremltools reads them, the trained constants must differ
from the source's and all others be equal. Prints what failed; exit status 1 if anything did.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
MILLWRIGHT = ROOT / "build/bin/millwright"
FOLDERS = ["real", "real/probes", "models", "models/minilm"]
WEIGHTS = "Data/com.apple.CoreML/weights"
OTHER = {".mlpackage": ".mlmodelc", ".mlmodelc": ".mlpackage", ".mlmodel": ".mlmodelc"}
EXAMPLE = ROOT / "examples/shakespeare"
TEXT = ["--data", EXAMPLE / "train.txt", "--tokenizer", EXAMPLE, "--seq-len"]
SHORT_RUNS = {  # options of `train`; without --data: of the images beside the package
    "student.mlpackage": [*TEXT, 32],
    "student-fp16.mlpackage": [*TEXT, 32],
    "shakespeare-multifunction-ios18.mlpackage": [*TEXT, 64, "--function", "adapter_one"],
    "digits-cnn-fp32.mlpackage": [],
}
# What coremltools does not load once types are written as they are, with the reason.
REFUSED = {
    "where_scalars.mlpackage": "it takes a select of two numbers for a scalar, whatever chooses",
}
OTHER_KIND = re.compile(r"a model of kind '(?!mlProgram)\w+'")


def models():
    """Every model file at hand."""
    shared = pathlib.Path(os.environ.get("MW_SHARED", ROOT.parent / "shared"))
    folders = [EXAMPLE, ROOT / "tests/data/packages"]
    folders += [shared / name for name in FOLDERS if (shared / name).is_dir()]
    found = [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in found if path.suffix in OTHER]


def millwright(*words):
    """What the command prints; an error with what it says when it fails."""
    command = [MILLWRIGHT, *map(str, words)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ValueError(answer.stderr.strip())
    return answer.stdout


def operations(package):
    """How many operations, constants apart, each function of a package has.

    Its specification is read by its own path: a package whose empty weights folder got lost on its
    way through git does not open as a whole.
    """
    import coremltools

    def count(blocks):
        return sum(
            (op.type != "const") + count(op.blocks) for block in blocks for op in block.operations
        )

    (path,) = (package / "Data").rglob("*.mlmodel")
    functions = coremltools.models.utils.load_spec(str(path)).mlProgram.functions
    return {name: count(functions[name].block_specializations.values()) for name in functions}


def load(path):
    """Loads a package with everything that coremltools has on this system."""
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load as program_of

    spec = coremltools.models.utils.load_spec(str(path))
    coremltools.models.MLModel(str(path), skip_model_load=True)
    program = program_of(
        spec, specification_version=spec.specificationVersion, file_weights_dir=str(path / WEIGHTS)
    )
    if set(program.functions) != set(spec.mlProgram.functions):
        raise ValueError(f"its functions are {sorted(program.functions)}")
    return program


def check(source, folder):
    """Loads what is written on the way through both containers: the count of packages loaded."""
    there = folder / f"there{OTHER[source.suffix]}"
    back = folder / f"back{'.mlmodelc' if there.suffix == '.mlpackage' else '.mlpackage'}"
    written = [(source, there), (there, back)]
    if source.suffix == ".mlmodelc":
        written.append((back, folder / "again.mlpackage"))
    loaded = 0
    expected = operations(source) if source.suffix == ".mlpackage" else None
    for origin, target in written:
        millwright("convert", origin, target)
        if target.suffix != ".mlpackage":
            continue
        load(target)
        found = operations(target)
        if expected is not None and found != expected:
            raise ValueError(f"{target.name} has {found} operations, expected {expected}")
        expected, loaded = found, loaded + 1
    return loaded


def constants(program):
    """Every constant of a program in coremltools' representation, by function and name."""
    return {
        (function, op.name): op.val.val
        for function, body in program.functions.items()
        for op in body.operations
        if op.op_type == "const"
    }


def expect_trained(before, after, names, function):
    """Of two programs the constants `names` of one function differ, and no others.

    A constant of another function with the numbers of one of them is the same weight, and changes
    with it: equal weights lie in a package once.
    """
    old, new = constants(before), constants(after)
    if set(old) != set(new):
        raise ValueError(f"constants differ: {sorted(set(old) ^ set(new))[:5]}")
    changed = {
        key for key, value in old.items() if not numpy.array_equal(value, new[key], equal_nan=False)
    }
    weights = [old[function, name] for name in names]
    expected = {
        key for key, value in old.items() if any(numpy.array_equal(value, w) for w in weights)
    }
    if changed != expected:
        raise ValueError(f"other constants than the trained ones: {sorted(changed ^ expected)[:5]}")


def check_training(source, options, folder):
    """Trains from both containers into both and loads the results: the count of packages loaded."""
    if not options:
        options = ["--data", folder / "digits.npz"]
        with numpy.load(source.parent / "digits.npz") as digits:
            images, labels = digits["train_images"][:64], digits["train_labels"][:64]
        numpy.savez(options[1], image=images, labels=labels)
    facts = json.loads(millwright("inspect", source, "--json"))
    function = facts["default_function"] or "main"
    if "--function" in options:
        function = options[options.index("--function") + 1]
    (weights,) = (f["weights"] for f in facts["functions"] if f["name"] == function)
    names = {weight["name"] for weight in weights if weight["trainable"]}
    compiled = folder / "compiled.mlmodelc"
    millwright("convert", source, compiled)
    before = load(source)
    trained = []
    for origin in (source, compiled):
        for suffix in (".mlpackage", ".mlmodelc"):
            target = folder / f"from{origin.suffix[1:]}{suffix}"
            millwright("train", origin, "--output", target, "--steps", 3, "--batch-size", 2,
                       "--overwrite", *options)
            if suffix == ".mlmodelc":
                twin = folder / f"{target.stem}-twin.mlpackage"
                millwright("convert", target, twin)
                target = twin
            trained.append(target)
    for target in trained:
        expect_trained(before, load(target), names, function)
    return len(trained)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    chosen = parser.parse_args().models or models()
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    with contextlib.redirect_stderr(io.StringIO()):  # parts that exist on macOS only are reported
        import coremltools

        version = coremltools.__version__
    packages, trained, done, failures, refused, unloadable = 0, 0, 0, [], 0, []
    for source in chosen:
        try:
            with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
                folder = pathlib.Path(name)
                packages += check(source, folder)
                if source.name in SHORT_RUNS:
                    trained += check_training(source, SHORT_RUNS[source.name], folder)
            done += 1
        except Exception as error:  # coremltools raises errors of many types
            if OTHER_KIND.search(str(error)):
                refused += 1
                continue
            if source.name in REFUSED:
                unloadable.append(f"{source}: {error}; {REFUSED[source.name]}")
                continue
            failures.append(source)
            print(f"{source}: {type(error).__name__}: {error}")
    print(
        f"coremltools {version}: {packages} packages loaded, written from {done} ML Programs, and "
        f"{trained} trained ones; {len(failures)} failures; {refused} models of other kinds left out"
    )
    if unloadable:
        print(f"refused by coremltools, as known: {len(unloadable)}")
        print(*(f"  {sentence}" for sentence in unloadable), sep="\n")
    return 1 if failures or not packages else 0


if __name__ == "__main__":
    sys.exit(main())
