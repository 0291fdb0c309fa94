"""`keras-mtl train` into a folder, killed and gone on with, and `keras-mtl runs`."""

import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml

from keras_mtl._config_file import read_config
from keras_mtl._run_files import read_run, write_json
from tests.cli._invoked import invoke

CONFIG = """\
data: {kind: csv, train: rows.csv, labels: {sold: sold, price: price}}
encoder: {kind: tabular, units: [4], dropout: 0.2}
tasks:
  - {name: sold, kind: binary}
  - {name: price, kind: regression}
training: {epochs: 3, batch_size: 40, balancer: dwa, jit_compile: false}
output: {folder: runs/first, export: saved}
"""

# As the console script does, but for a kill in the second epoch.
KILLED = """\
import os, signal
from keras_mtl.callbacks import RunFolder

written = RunFolder.on_epoch_end

def on_epoch_end(self, epoch, logs=None):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    written(self, epoch, logs)

RunFolder.on_epoch_end = on_epoch_end
from keras_mtl.cli import main
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with rows, a configuration, and a run `runs/first` that was killed once."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 70, 200)
    rows = [f"{a:.1f},{'yes' if a > 45 else 'no'},{100 * a:.0f}" for a in age]
    (folder / "rows.csv").write_text("age,sold,price\n" + "\n".join(rows) + "\n")
    (folder / "run.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, "train", "run.yaml"],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, check=False, capture_output=True,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        invoke("train", "run.yaml", "--run", "runs/whole")
    return folder


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def test_a_killed_run_is_listed_and_the_same_command_goes_on(place):
    assert read_run("runs/first").history["epoch"] == [0]
    listed = json.loads(invoke("runs", "--json").stdout)
    assert [(run["name"], run["status"]) for run in listed] == [
        ("first", "killed"), ("whole", "finished"),
    ]  # fmt: skip
    shown = invoke("train", "run.yaml").stdout
    assert "Run:        runs/first" in shown and "Model:      runs/first/model.keras" in shown
    assert shown.endswith("keras-mtl report runs/first\n"), "it tells what comes next"
    first, whole = read_run("runs/first"), read_run("runs/whole")
    assert first.history == whole.history and first.history["epoch"] == [0, 1, 2]
    assert first.scores == whole.scores and first.scores["tasks"]["sold"]["auc"] > 0
    models = [keras.models.load_model(run.model_file) for run in (first, whole)]
    for left, right in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(left, right)
    assert first.config_file.read_text() == CONFIG
    assert first.about["export"] == "saved/2" and first.about["seed"] == 0
    assert first.about["data"]["parts"]["test"]["rows"] == 20
    assert list((first.logs / "train").glob("events*"))
    # The model of a run is found by the same file.
    assert f"{first.scores['tasks']['price']['rmse']:.4f}" in invoke("evaluate", "run.yaml").stdout


def test_a_finished_run_is_refused_and_one_that_was_not_judged_is_judged(place):
    done = invoke("train", "run.yaml", "--run", "runs/whole", code=1)
    assert "finished, after 3 epochs" in str(done.exception) and "--anew" in str(done.exception)
    scores = read_run("runs/whole").scores
    (place / "runs" / "whole" / "scores.json").unlink()
    before = (place / "runs" / "whole" / "model.keras").read_bytes()
    assert "it is judged now" in invoke("train", "run.yaml", "--run", "runs/whole").stderr
    assert read_run("runs/whole").scores == scores
    assert (place / "runs" / "whole" / "model.keras").read_bytes() == before


def fake(place, name, balancer, auc, rmse, **about):
    """A run's files as they are told of in docs/runs.md, without a training."""
    config = yaml.safe_load(CONFIG)
    config["training"]["balancer"] = balancer
    config["tasks"][1]["loss"] = "mae" if balancer else "mse"
    tasks = {
        "sold": {"kind": "Binary", "main_metric": "auc", "higher_is_better": True},
        "price": {"kind": "Regression", "main_metric": "rmse", "higher_is_better": False},
    }
    told = {
        "format": 1, "name": name, "status": "finished", "created": f"2026-01-0{len(name)}",
        "epochs": 3, "seconds": 1.5, "seed": 0, "model": {"tasks": tasks, "balancer": balancer},
        **about,
    }  # fmt: skip
    folder = place / "some" / name
    write_json(folder / "run.json", told)
    write_json(folder / "history.json", {"epoch": [0], "loss": [1.0]})
    if auc:
        scores = {"tasks": {"sold": {"auc": auc, "f1": 0.5}, "price": {"rmse": rmse}}}
        write_json(folder / "scores.json", scores)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def some(place):
    fake(place, "bb", "DWA", 0.75, 20.0)
    fake(place, "a", None, 0.5, 10.0)
    fake(place, "ccc", "DWA", None, None, status="failed", model=None)
    return place / "some"


def test_runs_are_listed_with_their_main_metrics(some):
    lines = invoke("runs", some).stdout.splitlines()
    assert lines[0].split() == [
        "run", "status", "epochs", "seconds", "sold", "auc", "price", "rmse", "balancer", "sharing",
        "seed", "created",
    ]  # fmt: skip
    cells = [line.split() for line in lines[2:]]
    assert [row[0] for row in cells] == ["a", "bb", "ccc"]  # by age
    assert cells[1][1:8] == ["finished", "3", "1.5", "0.7500", "20.0000", "DWA", "hard"]
    assert cells[2][1:8] == ["failed", "3", "1.5", "-", "-", "-", "hard"]


def test_runs_are_compared_where_they_differ(some):
    found = json.loads(invoke("runs", some / "a", some / "bb", "--json").stdout)
    assert found["differences"] == {
        "config.tasks.price.loss": ["mse", "mae"],
        "config.training.balancer": [None, "DWA"],
        "balancer": [None, "DWA"],
    }
    assert found["metrics"]["price rmse"] == [10.0, 20.0]
    shown = invoke("runs", some / "a", some / "bb").stdout
    lines = {" ".join(line.split()[:2]): line.split() for line in shown.splitlines()}
    assert lines["price rmse"] == ["price", "rmse", "10.0000", "*", "20.0000"]
    assert lines["sold auc"] == ["sold", "auc", "0.5000", "0.7500", "*"]
    assert lines["sold f1"] == ["sold", "f1", "0.5000", "0.5000"]  # no main metric
    assert "config.training.batch_size" not in shown
    assert invoke("runs", some, "--compare").stdout.count("ccc") == 3


def test_what_is_no_run_is_told(some, tmp_path):
    assert "There is no folder" in str(invoke("runs", tmp_path / "no", code=1).exception)
    assert "is not the folder of a run" in str(
        invoke("runs", some / "a", tmp_path, code=1).exception
    )
    assert "two are needed" in str(invoke("runs", some / "a", "--compare", code=1).exception)
    assert invoke("runs", tmp_path).stdout == f"There is no run in {tmp_path}.\n"


def test_keys_of_output_hold_beside_a_folder(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG.replace("export: saved", "logs: elsewhere"))
    output = read_config(path).output
    assert output.model == "runs/first/model.keras" and output.logs == "elsewhere"
    moved = output.moved_to("runs/second")
    assert moved.model == "runs/second/model.keras" and moved.logs == "elsewhere"
    path.write_text(CONFIG.replace("folder: runs/first, ", ""))
    output = read_config(path).output
    assert output.model == "model.keras" and output.logs is None and output.export == "saved"
    assert output.moved_to("x").logs == "x/logs" and output.moved_to("x").export == "saved"
