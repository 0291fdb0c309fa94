"""The command line, as a person runs it: in a process of its own where that matters."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_mtl
from keras_mtl import cli
from keras_mtl._config_file import read_config

CONFIG = """\
data:
  kind: csv
  train: {folder}/rows.csv
  labels: {{sold: sold, price: price}}
encoder:
  kind: tabular
  units: [8]
tasks:
  - {{name: sold, kind: binary, class_weight: balanced}}
  - {{name: price, kind: regression, units: EUR}}
training:
  epochs: 4
  batch_size: 32
  learning_rate: 0.01
  loss_weights: {{price: 0.5}}
  balancer: uncertainty
  early_stopping: {{monitor: [val_sold_auc, val_price_rmse], patience: 2}}
output:
  model: {folder}/out/model.keras
  logs: {folder}/out/logs
  report: {folder}/out/report.json
  export: {folder}/out/saved
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with rows, a configuration and what `train` made of them."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    age, job = rng.uniform(20, 70, 300), rng.choice(["cook", "judge"], 300)
    lines = [
        f"{a:.1f},{j},{'yes' if a > 45 else 'no'},{100 * a + (900 if j == 'judge' else 0):.0f}"
        for a, j in zip(age, job, strict=True)
    ]
    (folder / "rows.csv").write_text("age,job,sold,price\n" + "\n".join(lines) + "\n")
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    done = CliRunner().invoke(cli.app, ["train", str(folder / "run.yaml")])
    assert done.exit_code == 0, done.output
    return folder, done.output


def invoke(*arguments):
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_train_writes_what_the_configuration_says(trained):
    folder, shown = trained
    report = json.loads((folder / "out" / "report.json").read_text())
    assert set(report["tasks"]) == {"sold", "price"}
    assert report["tasks"]["sold"]["auc"] > 0.7
    assert f"{report['tasks']['sold']['auc']:.4f}" in shown
    assert (folder / "out" / "saved" / "1" / "saved_model.pb").is_file()
    assert list((folder / "out" / "logs" / "train").glob("events*"))
    model = keras.models.load_model(folder / "out" / "model.keras")
    assert model.loss_weights == {"sold": 1.0, "price": 0.5}
    assert type(model.balancer).__name__ == "Uncertainty"


def test_evaluate_reads_the_same_split_and_gives_the_same_numbers(trained):
    folder, _ = trained
    shown = invoke("evaluate", folder / "run.yaml", "--output", folder / "again.json")
    again = json.loads((folder / "again.json").read_text())
    assert again == json.loads((folder / "out" / "report.json").read_text())
    assert "Report:" in shown
    train = invoke("evaluate", folder / "run.yaml", "--part", "train")
    assert " 240 " in train and " 240 " not in shown


def test_predict_answers_rows_of_csv_and_jsonl_alike(trained):
    folder, _ = trained
    (folder / "new.csv").write_text("job,age\njudge,60\n,\n")
    (folder / "new.jsonl").write_text('{"age": 60, "job": "judge"}\n{"age": NaN, "job": ""}\n')
    model = folder / "out" / "model.keras"
    from_csv = [
        json.loads(line) for line in invoke("predict", model, folder / "new.csv").splitlines()
    ]
    from_jsonl = [
        json.loads(x) for x in invoke("predict", model, folder / "new.jsonl").splitlines()
    ]
    assert from_csv == from_jsonl and len(from_csv) == 2
    assert from_csv[0]["sold"]["label"] in ("no", "yes")
    loaded = keras.models.load_model(model)
    served = loaded.predict({"age": np.array([60.0]), "job": np.array(["judge"])}, verbose=0)
    assert from_csv[0]["price"] == pytest.approx(served["price"][0].tolist(), abs=1e-3)
    alone = json.loads(
        invoke("predict", model, folder / "new.csv", "--task", "price").splitlines()[0]
    )
    assert alone == {"price": from_csv[0]["price"]}


def test_export_writes_the_next_version(trained):
    folder, _ = trained
    shown = invoke("export", folder / "out" / "model.keras", folder / "versions", "--keep", 1)
    assert shown.strip() == str(folder / "versions" / "1")
    invoke("export", folder / "out" / "model.keras", folder / "versions", "--keep", 1)
    assert [p.name for p in (folder / "versions").iterdir()] == ["2"]


def test_export_leaves_requests_to_be_warm_by(trained):
    pytest.importorskip("tensorflow_serving.apis")
    folder, _ = trained
    shown = invoke("export", folder / "out" / "model.keras", folder / "warm", "--warm-up")
    assert (pathlib.Path(shown.strip()) / "assets.extra/tf_serving_warmup_requests").stat().st_size


def test_compare_prints_a_table_with_a_verdict(trained):
    folder, _ = trained
    shown = invoke(
        "compare",
        folder / "run.yaml",
        "--seeds",
        1,
        "--balancer",
        "dwa",
        "--output",
        folder / "c.json",
    )
    told = json.loads((folder / "c.json").read_text())
    assert list(told["values"]) == ["single-task", "equal", "dwa", "loss_weights"]
    assert told["verdict"] in shown and "Delta_m" in shown


WRONG = [
    (
        "kind: tabular",
        "kind: tabula",
        r":6: encoder.kind: 'tabula' is not allowed.*did you mean 'tabular'",
    ),
    ("epochs: 4", "epoch: 4", r":12: training.epoch: there is no such key; did you mean 'epochs'"),
    ("epochs: 4", "epochs: none", r":12: training.epochs: .*valid integer.*came 'none'"),
    ("batch_size: 32", "batch_size: 0", r":13: training.batch_size: .*greater than 0.*came 0"),
    ("name: price", "name: sold", r":10: tasks.1.name: the task 'sold' is there already"),
    (
        "loss_weights: {price",
        "loss_weights: {prize",
        r":15: training.loss_weights: .*'prize'; did you mean 'price'",
    ),
    (
        "kind: binary",
        "kind: bynary",
        r":9: tasks.0.kind: 'bynary' is not allowed.*did you mean 'binary'",
    ),
    ("class_weight: balanced", "class_wait: balanced", r":9: tasks.0.*class_wait.*'class_weight'"),
    ("data:\n  kind: csv", "data:\n  kind: [csv", r"is not YAML"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_a_wrong_configuration_is_answered_with_its_line(tmp_path, right, wrong, message):
    text = CONFIG.format(folder=tmp_path)
    assert right in text
    path = tmp_path / "run.yaml"
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ValueError, match=message):
        read_config(path)


def test_every_example_configuration_is_valid():
    found = sorted((pathlib.Path(keras_mtl.__file__).parents[1] / "examples").glob("*.yaml"))
    assert len(found) >= 4
    for path in found:
        assert read_config(path).tasks


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", "from keras_mtl.cli import main; main()", *arguments],
        capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip


def test_exit_codes_and_messages_are_what_a_shell_expects(tmp_path):
    helped = run("--help")
    assert helped.returncode == 0
    for command in (
        "demo",
        "train",
        "runs",
        "report",
        "tune",
        "evaluate",
        "predict",
        "compare",
        "export",
        "serve",
    ):
        assert command in helped.stdout
    unknown = run("trian")
    assert unknown.returncode == 2 and "trian" in unknown.stderr
    (tmp_path / "run.yaml").write_text("data: 3\n")
    faulty = run("train", str(tmp_path / "run.yaml"))
    assert faulty.returncode == 1
    assert re.search("^Error: ", faulty.stderr, re.MULTILINE) and "Traceback" not in faulty.stderr
    absent = run("export", str(tmp_path / "no.keras"), str(tmp_path / "m"))
    assert absent.returncode == 1 and "There is no model file" in absent.stderr
    assert not (tmp_path / "m").exists()
