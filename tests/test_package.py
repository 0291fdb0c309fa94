"""The package as it is installed: a wheel that imports elsewhere, and an import that is light."""

import os
import pathlib
import statistics
import subprocess
import sys
import zipfile

import pytest

import keras_mtl

ROOT = pathlib.Path(keras_mtl.__file__).parents[1]


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.slow
def test_a_wheel_holds_the_whole_package_and_imports_elsewhere(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        file.extractall(tmp_path / "site")
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "keras_mtl").rglob("*.py")}
    assert sources | {"keras_mtl/py.typed"} <= names
    assert not any(name.startswith(("tests/", "examples/")) for name in names)
    shown = python(
        "import keras_mtl; print(keras_mtl.__file__, keras_mtl.__version__)",
        PYTHONPATH=str(tmp_path / "site"),
    )
    path, version = shown.split()
    assert path.startswith(str(tmp_path)) and version == keras_mtl.__version__


def test_importing_brings_in_nothing_that_is_used_later_only():
    """TensorBoard, scikit-learn, seqeval and the command line's libraries wait until used."""
    code = (
        "import sys, keras, tensorflow; before = set(sys.modules); import keras_mtl;"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    assert python(code) == "['keras_mtl']"


def test_importing_costs_little_beyond_keras():
    """The time of the modules of this package alone, by Python's own clock: at most 0.5 s."""
    # Without a collection of TensorFlow's objects, whose turn may come in between.
    code = (
        "import gc, keras, tensorflow, time; gc.disable();"
        "t = time.process_time(); import keras_mtl;"
        "print(time.process_time() - t)"
    )
    assert statistics.median(float(python(code)) for _ in range(3)) < 0.5
