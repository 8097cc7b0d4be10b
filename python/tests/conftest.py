"""Where the models are; without MW_SHARED the tests that need the larger ones are skipped."""

import os
import pathlib

import pytest

import millwright as mw

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def example():
    return pathlib.Path(os.environ.get("MW_EXAMPLES", ROOT / "examples")) / "shakespeare"


@pytest.fixture(scope="session")
def data():
    return pathlib.Path(os.environ.get("MW_TEST_DATA", ROOT / "tests" / "data"))


@pytest.fixture(scope="session")
def shared():
    def find(*parts):
        root = os.environ.get("MW_SHARED")
        path = pathlib.Path(root or "/nonexistent", *parts)
        if root is None or not path.exists():
            pytest.skip(f"MW_SHARED is not set or has no {'/'.join(parts)}")
        return path

    return find


@pytest.fixture(scope="session")
def model(example):
    return mw.MLModel(example / "model.mlpackage")
