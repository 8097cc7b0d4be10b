#!/usr/bin/env python3
"""Has coremltools load every package that `millwright convert` writes.

    make check-coremltools            all models of examples/, tests/data/ and MW_SHARED
    check_coremltools.py MODEL...     these

Each ML Program is written as the other container and back, and from there as a package when it is
not one yet. coremltools reads the specification and the package, then turns the program with its
weights into its own representation and checks it. Prints what failed; exit status 1 if anything did.
"""

import argparse
import contextlib
import io
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
MILLWRIGHT = ROOT / "build/bin/millwright"
FOLDERS = ["real", "real/probes", "models", "models/minilm"]
WEIGHTS = "Data/com.apple.CoreML/weights"
OTHER = {".mlpackage": ".mlmodelc", ".mlmodelc": ".mlpackage", ".mlmodel": ".mlmodelc"}
OTHER_KIND = re.compile(r"a model of kind '(?!mlProgram)\w+'")


def models():
    """Every model file at hand."""
    shared = pathlib.Path(os.environ.get("MW_SHARED", ROOT.parent / "shared"))
    folders = [ROOT / "examples/shakespeare", ROOT / "tests/data/packages"]
    folders += [shared / name for name in FOLDERS if (shared / name).is_dir()]
    found = [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in found if path.suffix in OTHER]


def convert(source, target):
    """What millwright said when it failed; nothing when it wrote `target`."""
    command = [MILLWRIGHT, "convert", source, target]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stderr.strip() if answer.returncode else ""


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
        error = convert(origin, target)
        if error:
            raise ValueError(error)
        if target.suffix != ".mlpackage":
            continue
        load(target)
        found = operations(target)
        if expected is not None and found != expected:
            raise ValueError(f"{target.name} has {found} operations, expected {expected}")
        expected, loaded = found, loaded + 1
    return loaded


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    chosen = parser.parse_args().models or models()
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    with contextlib.redirect_stderr(io.StringIO()):  # parts that exist on macOS only are reported
        import coremltools

        version = coremltools.__version__
    packages, done, failures, refused = 0, 0, [], 0
    for source in chosen:
        try:
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                packages += check(source, pathlib.Path(folder))
            done += 1
        except Exception as error:  # coremltools raises errors of many types
            if OTHER_KIND.search(str(error)):
                refused += 1
                continue
            failures.append(source)
            print(f"{source}: {type(error).__name__}: {error}")
    print(
        f"coremltools {version}: {packages} packages loaded, written from {done} ML Programs; "
        f"{len(failures)} failures; {refused} models of other kinds left out"
    )
    return 1 if failures or not packages else 0


if __name__ == "__main__":
    sys.exit(main())
