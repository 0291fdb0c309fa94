"""Tuning a YAML file from the command line: paths, kinds, what is written, what is refused."""

import json
import xml.etree.ElementTree as ET

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import keras_mtl
from keras_mtl import _run, cli
from keras_mtl._config_file import read_config
from keras_mtl.tuning import Choice, Float, Int, Simplex
from keras_mtl.tuning._configured import as_yaml, space_of, with_parameters

pytest.importorskip("optuna")

CONFIG = """\
data:
  kind: csv
  train: {folder}/rows.csv
  labels: {{sold: sold, price: price}}
encoder: {{kind: tabular, units: [8]}}
tasks:
  - {{name: sold, kind: binary}}
  - {{name: price, kind: regression}}
training:
  epochs: 9
  batch_size: 64
  jit_compile: false
  loss_weights: {{price: 0.5}}
  seed: 3
output:
  model: {folder}/out/model.keras
tuning:
  trials: 3
  epochs: 1
  parameters:
    training.learning_rate: {{low: 0.001, high: 0.1, log: true}}
    training.balancer: {{choices: [null, uncertainty]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("tuned")
    rng = np.random.default_rng(0)
    age, area = rng.uniform(20, 70, 160), rng.uniform(10, 90, 160)
    lines = [
        f"{a:.1f},{b:.1f},{'yes' if a > 45 else 'no'},{100 * a + b:.0f}"
        for a, b in zip(age, area, strict=True)
    ]
    (found / "rows.csv").write_text("age,area,sold,price\n" + "\n".join(lines) + "\n")
    (found / "run.yaml").write_text(CONFIG.format(folder=found))
    return found


def invoke(*arguments):
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def with_tuning(folder, parameters):
    """The run of the file with other parameters to tune."""
    content = yaml.safe_load((folder / "run.yaml").read_text())
    content["tuning"]["parameters"] = parameters
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_config(path)


def test_tune_prints_and_draws_the_front_and_goes_on_where_it_was(folder):
    output = folder / "front"
    shown = invoke("tune", folder / "run.yaml", "--output", output, "--trials", 2)
    first = json.loads((output / "tuning.json").read_text())
    assert [t["state"] for t in first["trials"]] == ["finished"] * 2
    assert f"{len(first['front'])} of 2 finished trials" in shown
    assert "sold auc  price rmse  training.learning_rate  training.balancer" in shown
    shown = invoke("tune", folder / "run.yaml", "--output", output)
    told = json.loads((output / "tuning.json").read_text())
    assert told["trials"][:2] == first["trials"] and len(told["trials"]) == 3
    assert told["higher_is_better"] == {"sold": True, "price": False}
    circles = ET.parse(output / "front.svg").iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 3
    assert (output / "tune.db").is_file() and str(output / "front.svg") in shown

    # The file of a trial is a run of its own, which comes to the scores that the table shows.
    number = told["front"][0]
    run = read_config(output / f"trial_{number}.yaml")
    given = told["trials"][number]["parameters"]
    assert run.training.learning_rate == given["training.learning_rate"]
    assert run.training.balancer == given["training.balancer"]
    assert run.training.epochs == 1 and run.tuning is None
    keras.utils.set_random_seed(run.training.seed)
    train, valid, _ = _run.load_data(run)
    model = _run.make_model(run, train)
    _run.fit(run, model, train, valid)
    report = keras_mtl.evaluate(model, valid)
    scores = {"sold": report["sold"]["auc"], "price": report["price"]["rmse"]}
    assert scores == pytest.approx(told["trials"][number]["scores"], rel=1e-4)


def test_every_path_has_the_kind_that_its_key_asks_for(folder):
    run = with_tuning(
        folder,
        {
            "training.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
            "training.batch_size": {"low": 16, "high": 64, "step": 16},
            "training.clipnorm": {"low": 1, "high": 5},
            "training.loss_weights.sold": {"low": 0.1, "high": 1},
            "tasks.price.loss": {"choices": ["mse", "huber"]},
            "tasks.0.tower": {"choices": [[], [16]]},
            "sharing": {"choices": ["hard", "mmoe"]},
            "encoder": {"choices": [{"kind": "tabular"}, {"kind": "tabular", "units": [4]}]},
        },
    )
    space = space_of(run)
    kinds = {path: type(parameter) for path, parameter in space.items()}
    assert list(kinds.values()) == [Float, Int, Float, Float, Choice, Choice, Choice, Choice]
    changed = with_parameters(
        run,
        {
            "training.batch_size": 32, "training.loss_weights.sold": 0.25,
            "tasks.price.loss": "huber", "tasks.0.tower": [16],
            "encoder": {"kind": "tabular", "units": [4]},
        },
    )  # fmt: skip
    assert changed.training.batch_size == 32
    assert changed.training.loss_weights == {"price": 0.5, "sold": 0.25}
    assert changed.tasks[1].loss == "huber" and changed.tasks[0].tower == [16]
    assert changed.encoder.units == [4]
    assert run.training.loss_weights == {"price": 0.5}, "the run itself stays as it is"
    again = folder / "again.yaml"
    again.write_text(as_yaml(changed))
    assert read_config(again) == changed


def test_shares_are_of_the_tasks(folder):
    run = with_tuning(folder, {"training.loss_weights": {"simplex": True}})
    (shares,) = space_of(run).values()
    assert isinstance(shares, Simplex) and shares.names == ["sold", "price"]


REFUSED = [
    (
        {"training.lerning_rate": {"low": 1, "high": 2}},
        r"did you mean 'learning_rate'\? expected one",
    ),
    ({"trainig.balancer": {"choices": ["dwa"]}}, "no 'trainig' there; did you mean 'training'"),
    ({"tasks.prize.loss": {"choices": ["mse"]}}, "'prize' there; did you mean 'price'"),
    ({"training.loss_weights.prize": {"low": 0.1, "high": 1}}, "did you mean 'price'"),
    ({"training.balancer": {"choices": ["cagrat"]}}, "'cagrat', expected one of.*'cagrad'"),
    ({"sharing": {"choices": ["hart"]}}, "'hart', expected one of.*did you mean 'hard'"),
    ({"tasks.price.loss": {"choices": ["mse", "l3"]}}, "should be 'mse', 'mae' or 'huber'.*'l3'"),
    ({"training.ema": {"low": 0.5, "high": 1.5}}, "less than 1.*came 1.5"),
    ({"training.batch_size": {"low": 16, "high": 64.5}}, "whole numbers, as the key's 64 is one"),
    (
        {"training.optimizer": {"low": 1, "high": 2}},
        "a range is for numbers, but the key is 'adam'",
    ),
    ({"training.learning_rate": {"low": 2, "high": 1}}, "expected low < high"),
    ({"training.learning_rate": {"simplex": True}}, "for training.loss_weights alone"),
    (
        {"training.early_stopping.patience": {"low": 1, "high": 3}},
        "nothing below a key that is None",
    ),
    ({"training.epochs": {"low": 1, "high": 3}}, "the same in all trials"),
    ({"data.train": {"choices": ["a.csv"]}}, "the same in all trials"),
]


@pytest.mark.parametrize(("parameters", "message"), REFUSED)
def test_what_cannot_be_tuned_is_told_by_its_path(folder, parameters, message):
    (path,) = parameters
    with pytest.raises(ValueError, match=message) as caught:
        space_of(with_tuning(folder, parameters))
    assert str(caught.value).startswith(f"tuning.parameters.{path}: ")


FAULTY = [
    ("log: true", "lgo: true", r":21: tuning.*rate.lgo: there is no such key.*allowed are low, high, log"),
    ("high: 0.1, log: true", "log: true", r":21: tuning.*rate: expected one of .low: 0.1, high"),
    ("[null, uncertainty]", "[null], log: true", r":22: .*`log` and `step` go with"),
    ("trials: 3", "trials: 0", r":18: tuning.trials: .*greater than 0"),
    ("trials: 3", "trails: 3", r":18: tuning.trails: .*did you mean 'trials'"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), FAULTY)
def test_a_faulty_section_is_answered_with_its_line(folder, tmp_path, right, wrong, message):
    text = CONFIG.format(folder=folder)
    assert right in text
    (tmp_path / "run.yaml").write_text(text.replace(right, wrong, 1))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "run.yaml")


def test_a_run_without_the_section_is_refused_before_anything_is_written(folder, tmp_path):
    text = CONFIG.format(folder=folder)
    (tmp_path / "run.yaml").write_text(text[: text.index("tuning:")])
    done = CliRunner().invoke(cli.app, ["tune", str(tmp_path / "run.yaml"), "--output", "x"])
    assert done.exit_code == 1 and "has no `tuning` section" in str(done.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]
