"""keras_mtl.report and `keras-mtl report`: of a run, of a model, and what is refused."""

import json
import types

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_mtl
from keras_mtl import callbacks, cli, data, encoders, tasks
from keras_mtl.reporting import report
from keras_mtl.reporting._subject import DETAILED, subject_of
from tests.models import compiled, rows

CONFIG = """\
data: {{kind: csv, train: {folder}/rows.csv, labels: {{sold: sold}}}}
encoder: {{kind: tabular, units: [4]}}
tasks: [{{name: sold, kind: binary}}]
training: {{epochs: 2, batch_size: 32}}
"""


def read(page):
    assert sorted(p.name for p in page.parent.iterdir() if p.name.startswith("report")) == [
        "report.html", "report.json", "report.md",
    ]  # fmt: skip
    return json.loads(page.with_suffix(".json").read_text())["sections"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with a configuration."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "shop"
    folder.parent.joinpath("rows.csv").write_text(
        "age,sold\n" + "".join(f"{a},{'yes' if a > 50 else 'no'}\n" for a in range(20, 90))
    )
    config = folder.parent / "run.yaml"
    config.write_text(CONFIG.format(folder=folder.parent))
    from keras_mtl import _run
    from keras_mtl._config_file import read_config

    told = read_config(config)
    train, valid, _ = _run.load_data(told)
    model = _run.make_model(told, train)
    model.compile("adam", balancer="dwa")
    kept = callbacks.RunFolder(folder, config=config, seed=7, data={"train": train, "valid": valid})
    model.fit(
        train.dataset(32), validation_data=valid.dataset(32), epochs=2, verbose=0, callbacks=[kept]
    )
    return folder


def test_of_a_run_the_model_the_test_rows_and_the_history_are_found(run):
    page = report(run)
    assert page == run / "report.html"
    sections = read(page)
    facts = dict(map(tuple, sections["how-it-was-made"]["parts"][0]["blocks"][0]["rows"]))
    assert facts["seed"] == "7" and facts["balancer"] == "DWA" and facts["status"] == "finished"
    labels = sections["data"]["parts"][0]["blocks"][0]
    assert labels["columns"][:4] == ["task", "train", "valid", "judged here"]
    sold = next(row for row in labels["rows"] if row[0] == "sold")
    assert sum(sold[1:4]) == 70, "all rows of the file are in one of the parts"
    history = json.loads((run / "history.json").read_text())
    charts = [b for p in sections["training-curves"]["parts"][1:] for b in p["blocks"]]
    loss = next(c for c in charts if c["title"] == "loss")
    assert loss["series"][1]["y"] == history["val_loss"]


def test_the_command_writes_the_same_elsewhere(run, tmp_path):
    done = CliRunner().invoke(cli.app, ["report", str(run), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "out" / "report.html") in done.output
    found = read(tmp_path / "out" / "report.html")
    (note,) = found.pop("tasks-and-each-other")["parts"][0]["blocks"]
    assert note["text"].endswith("was not measured. The model has one task.")
    assert found.keys() == read(report(run)).keys()


def test_what_is_missing_is_asked_for(run, tmp_path):
    with pytest.raises(ValueError, match="folder of a run, or `model=`, `data=` and `folder=`"):
        report(model=compiled())
    with pytest.raises(ValueError, match="not the folder of a run"):
        report(tmp_path)
    with pytest.raises(ValueError, match="no rows to judge by: give `data=`"):
        report(model=compiled(), folder=tmp_path)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "run.json").write_text('{"format": 1, "status": "running"}')
    with pytest.raises(
        ValueError, match=r"holds no model.keras; let the run end, or give `model=`"
    ):
        report(begun)
    with pytest.raises(ValueError, match=r"has no config.yaml that names them; give `data=`"):
        report(begun, model=compiled())
    nothing = data.Examples({"x": np.zeros((2, 1))}, {"else": [0, 1]})
    with pytest.raises(ValueError, match="hold no label"):
        report(begun, nothing, model=planted()[0])
    assert [p.name for p in begun.iterdir()] == ["run.json"], "nothing half-written"


def test_a_run_without_epochs_or_parts_has_no_curves(tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "run.json").write_text('{"format": 1, "status": "failed", "failure": "out of <disk>"}')
    sections = read(report(begun, data.Examples({"x": rows()[0]}, rows()[1]), model=compiled()))
    assert "training-curves" not in sections
    assert "out of &lt;disk&gt;" in (begun / "report.html").read_text()


def planted(n=60):
    """A task that 59 rows obey, row 37 against it, and a model that knows the rule."""
    inputs = keras.Input((1,), name="x")
    task = tasks.Binary("side")
    scores = keras.layers.Dense(1, name="side_scores")
    model = keras_mtl.MultiTaskModel(inputs, {"side": tasks.Prediction(task)(scores(inputs))})
    scores.set_weights([np.array([[3.0]]), np.zeros(1)])
    x = np.linspace(-2, 2, n).astype("float32").reshape(-1, 1)
    y = (x[:, 0] > 0).astype("int32")
    y[55] = 0
    return model, data.Examples({"x": x}, {"side": y})


def test_the_worst_example_is_the_wrong_label_also_in_shuffled_batches(tmp_path):
    model, examples = planted()
    for given in (examples, examples.dataset(7, shuffle=True)):
        part = read(report(model=model, data=given, folder=tmp_path))["worst-examples"]["parts"][0]
        worst = part["blocks"][0]["rows"][0]
        assert worst["inputs"][0]["values"] == [["x", f"{examples.inputs['x'][55, 0]:.4g}"]]
        facts = dict(map(tuple, worst["facts"]))
        assert (facts["true"], facts["predicted"]) == ("no", "yes")
        chance = 1 / (1 + np.exp(-3 * examples.inputs["x"][55, 0]))
        assert facts["loss"] == pytest.approx(-np.log(1 - chance), rel=1e-5)
    assert worst["row"] in range(60)


def test_tasks_whose_rows_come_in_different_batches_keep_their_own_inputs():
    inputs = keras.Input((1,), name="x")
    made = {n: tasks.Regression(n, scaling=None) for n in ("a", "b")}
    model = keras_mtl.MultiTaskModel(inputs, {n: t.head(inputs) for n, t in made.items()})
    batches = [
        ({"x": np.array([[0.0], [1.0]])}, {"a": np.array([1.0, np.nan])}),
        ({"x": np.array([[2.0]])}, {"c": np.array([1.0])}),
        (
            {"x": np.array([[3.0], [4.0]])},
            {"b": np.array([np.nan, 7.0]), "a": np.array([1.0, 2.0])},
        ),
    ]
    found = subject_of(model, batches)
    assert found.judged["a"].rows.tolist() == [0, 3, 4] and found.judged["b"].rows.tolist() == [4]
    assert found.rows == 5 and found.inputs[4]["x"].tolist() == [4.0]


def test_of_many_tasks_those_that_gain_least_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"t{i}" for i in range(20)]
    x = rng.normal(size=(30, 1)).astype("float32")
    model = keras_mtl.build_model(
        encoders.Dense(1, units=[2]), [tasks.Regression(name) for name in names]
    )
    labels = {name: rng.normal(size=30) for name in names}
    page = report(model=model, data=data.Examples({"features": x}, labels), folder=tmp_path)
    sections = read(page)
    assert len(sections["predicted-and-true-numbers"]["parts"]) == DETAILED
    assert "the other 8 are in the tables" in sections["predicted-and-true-numbers"]["intro"]
    assert len(sections["scores"]["parts"][0]["blocks"][0]["rows"]) == 20 * 3
    table = {r[0]: r for r in sections["scores"]["parts"][0]["blocks"][0]["rows"] if r[0]}
    skill = {n: 1 - row[2] / row[4] for n, row in table.items()}
    drawn = {p["title"] for p in sections["predicted-and-true-numbers"]["parts"]}
    assert max(skill[n] for n in drawn) <= min(skill[n] for n in set(names) - drawn)


def test_explanations_are_drawn_as_pictures(tmp_path):
    model, examples = planted()
    found = types.SimpleNamespace(
        importance={"x": {"side": 1.0}}, pictures=lambda: {"of x": "<svg id='side'/>"}
    )
    page = report(model=model, data=examples, folder=tmp_path, explanation=found)
    assert 'src="data:image/svg+xml;base64,' in page.read_text()
    assert "id='side'" not in page.read_text()
    again = report(model=model, data=examples, folder=tmp_path, explanation=[found, found])
    assert len(read(again)["what-the-tasks-look-at"]["parts"]) == 2


def test_groups_come_as_values_or_names_but_not_of_batches(tmp_path):
    model, examples = planted()
    groups = np.where(np.arange(60) % 2, "odd", "even")
    page = report(model=model, data=examples, folder=tmp_path, sensitive={"place": groups})
    table = read(page)["fairness"]["parts"][0]["blocks"][0]
    rows = {row[0]: row[1:] for row in table["rows"]}
    x = examples.inputs["x"][:, 0]
    shares = [np.mean(x[start::2] > 0) for start in (0, 1)]
    assert table["columns"][1:3] == ["even", "odd"] and rows["labelled rows"] == [30, 30, None]
    assert rows["selection_rate"][:2] == pytest.approx(shares)
    with pytest.raises(TypeError, match="whose rows may be in any order"):
        report(model=model, data=examples.dataset(9), folder=tmp_path, sensitive="x")
    with pytest.raises(ValueError, match="values of shape"):
        report(model=model, data=examples, folder=tmp_path, sensitive={"place": groups[1:]})


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    model, examples = planted()
    with pytest.raises(OSError, match=r"report\.json could not be written"):
        report(model=model, data=examples, folder=tmp_path / "file")
