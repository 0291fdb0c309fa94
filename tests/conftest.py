"""What all tests share: quiet TensorFlow, fixed seeds, and the real data if there are any."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Programs of XLA are compiled once and run a few times here: fast code costs more than it saves.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _fresh_seeds():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _look_through_once():
    """What a module leaves behind is collected, and the graphs that stay are not looked through again.

    Python's collector would, at ever longer pauses: there are gigabytes of them in the end.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The folder of real data sets; a test that asks for it is marked `needs_data`."""
    folder = os.environ.get("KERAS_MTL_DATA")
    if not folder:
        pytest.skip("needs real data: set KERAS_MTL_DATA to the folder that holds it")
    return pathlib.Path(folder)
