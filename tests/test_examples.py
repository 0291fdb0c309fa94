"""The examples run, and print what they promise."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import keras_mtl

EXAMPLES = pathlib.Path(keras_mtl.__file__).parents[1] / "examples"


def run(name, *arguments, cwd, **environment):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def figure(text, task, metric):
    """A figure of a printed report: the first of that metric at or below the task's line."""
    block = text[text.index(f"\n{task} ") :]
    return float(re.search(rf"{metric} +([\d.]+)", block).group(1))


@pytest.mark.slow
def test_quickstart(tmp_path):
    shown = run("quickstart.py", cwd=tmp_path)
    assert figure(shown, "left", "accuracy") > 0.93 and figure(shown, "right", "accuracy") > 0.93
    assert (tmp_path / "saved_models" / "quickstart" / "1" / "saved_model.pb").is_file()
    assert list((tmp_path / "logs" / "quickstart" / "validation").glob("events*"))
    lines = (EXAMPLES / "quickstart.py").read_text().strip().split("\n")
    assert len(lines) <= 32


def test_bring_your_own_model(tmp_path):
    shown = run("bring_your_own_model.py", cwd=tmp_path)
    assert figure(shown, "price", "mae") < 12 and figure(shown, "sold", "auc") > 0.9
    weights = re.search(r"Loss weights now: \{'price': ([\d.]+), 'sold': 1.0\}", shown)
    assert float(weights.group(1)) < 0.1


def test_separate_datasets_without_data(tmp_path):
    environment = {"KERAS_MTL_DATA": ""}
    shown = run("separate_datasets.py", "--epochs", 5, cwd=tmp_path, **environment)
    assert figure(shown, "income", "auc") > 0.9 and figure(shown, "never_married", "auc") > 0.8


@pytest.mark.needs_data
def test_separate_datasets_of_adult(tmp_path, data_dir):
    shown = run(
        "separate_datasets.py",
        "--data-dir",
        data_dir,
        "--epochs",
        1,
        "--sampling",
        "uniform",
        cwd=tmp_path,
    )
    assert figure(shown, "income", "auc") > 0.84 and figure(shown, "never_married", "auc") > 0.85


@pytest.mark.slow
@pytest.mark.needs_data
def test_intent_and_slots(tmp_path, data_dir):
    """A tenth of the rows, a small model and two epochs: the whole figures are the example's own."""
    shown = run(
        "intent_and_slots.py", "--data-dir", data_dir, "--rows", 2000, "--epochs", 4, "--units", 64,
        "--export", tmp_path / "speech", cwd=tmp_path,
    )  # fmt: skip
    assert figure(shown, "intent", "accuracy") > 0.2  # of seven intents
    assert "SF-ID network" in shown and "this model" in shown
    assert (tmp_path / "speech" / "1" / "saved_model.pb").is_file()
