"""`keras-mtl report`: of a run of two tasks, with all that it measures and is given."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_mtl import _run, cli
from keras_mtl._config_file import read_config
from keras_mtl._run_files import read_run
from keras_mtl.evaluation import Comparison, gradient_cosines
from keras_mtl.reporting import report
from tests.cli._invoked import invoke

CONFIG = """\
data: {{kind: csv, train: {folder}/rows.csv, labels: {{sold: sold, price: price}}}}
encoder: {{kind: tabular, units: [4]}}
tasks: [{{name: sold, kind: binary}}, {{name: price, kind: regression}}]
training: {{epochs: 4, batch_size: 20, learning_rate: 0.02, jit_compile: false}}
output: {{folder: {folder}/run}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: what is sold hangs on age and sex, a third of the prices are missing."""
    folder = tmp_path_factory.mktemp("reported")
    rng = np.random.default_rng(0)
    lines = ["age,sex,sold,price"]
    for i in range(400):
        age, sex = rng.uniform(20, 70), "m" if rng.random() < 0.5 else "f"
        sold = "yes" if age + 20 * (sex == "m") > 55 else "no"
        lines.append(
            f"{age:.1f},{'' if i % 50 == 0 else sex},{sold},{'' if i % 3 == 0 else age:.6}"
        )
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "run.yaml").write_text(CONFIG.format(folder=folder))
    done = CliRunner().invoke(cli.app, ["train", str(folder / "run.yaml")])
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.stdout.endswith(f"keras-mtl report {folder / 'run'}\n"), "it tells what comes next"
    return folder / "run"


@pytest.fixture(scope="module")
def whole(run):
    """Everything at once: what the command printed and the JSON file."""
    values = {"single-task": {"sold": [0.5, 0.6]}, "equal": {"sold": [0.6, 0.66]}}
    counts = {"single-task": 9, "equal": 5}
    compared = Comparison({"sold": "auc"}, {"sold": True}, values, counts, counts)
    folder = run.parent / "whole"
    done = invoke("report", 
        run, "--comparison", compared.to_json(run.parent / "compared.json"), "--explain",
        "--sensitive", "sex", "--output", folder,
    )  # fmt: skip
    assert f"Report: {folder / 'report.html'}" in done.stdout
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def parts(run):
    return _run.load_data(read_config(run / "config.yaml"))


def model_of(run):
    return cli._app.load(read_run(run).model_file)


def blocks(told, anchor, part=0):
    return told["sections"][anchor]["parts"][part]["blocks"]


def test_gains_of_joint_training_are_those_of_the_file(whole):
    table = {row[0]: row for row in blocks(whole, "joint-against-single-task")[1]["rows"]}
    delta = [100 * (0.6 - 0.5) / 0.5, 100 * (0.66 - 0.6) / 0.6]
    assert table["equal"][2] == f"+{np.mean(delta):.2f} +- {np.std(delta, ddof=1):.3f}"


def test_gradients_are_those_of_the_validation_rows(whole, run, parts):
    matrix, note = blocks(whole, "tasks-and-each-other")
    expected = gradient_cosines(model_of(run), parts[1])
    np.testing.assert_allclose(matrix["values"], expected.matrix, atol=1e-6)
    np.testing.assert_allclose(np.diag(matrix["values"]), 1)
    assert matrix["full"] == 1 and "on all 40 validation rows" in note["text"]


def test_groups_are_told_apart_task_by_task(whole, run, parts):
    test = parts[2]
    served = model_of(run).predict({n: np.asarray(c) for n, c in test.inputs.items()}, verbose=0)
    sex = np.array([s.decode() if isinstance(s, bytes) else str(s) for s in test.inputs["sex"]])
    yes = served["sold"].ravel() > 0.5
    rates = {group: yes[sex == group].mean() for group in "fm"}
    table, gaps, bars, few, *unknown = blocks(whole, "fairness")
    assert table["columns"] == ["metric", "f *", "m *", "widest gap"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["labelled rows"][:2] == [(sex == "f").sum(), (sex == "m").sum()]
    assert rows["selection_rate"] == pytest.approx([*rates.values(), abs(rates["f"] - rates["m"])])
    gaps = {row[0]: row[1:] for row in gaps["rows"]}
    gap, none, of = gaps["demographic parity difference"]
    assert (gap, none, of) == (rows["selection_rate"][2], 0, "share decided for 'yes'")
    assert bars["values"] == rows["selection_rate"][:2] and few["text"].startswith(
        "* Fewer than 30"
    )
    assert len(unknown) == ("" in sex)
    off = served["price"].ravel() - np.asarray(test.labels["price"]).ravel()
    rows = {row[0]: row[1:] for row in blocks(whole, "fairness", 1)[0]["rows"]}
    assert rows["mean_error"][:2] == pytest.approx(
        [np.nanmean(off[sex == group]) for group in "fm"], abs=1e-4
    )
    there = ~np.isnan(off)
    assert rows["labelled rows"][:2] == [(there & (sex == group)).sum() for group in "fm"]
    told = whole["scores"]["fairness"]["sold"]["sex"]["groups"]
    assert {group: told[group]["selection_rate"] for group in "fm"} == pytest.approx(rates)


def test_inputs_are_weighed_of_the_judged_rows(whole):
    note, matrix, *drawings = blocks(whole, "what-the-tasks-look-at")
    assert note["text"] == "Integrated gradients, on all 40 judged rows."
    assert sorted(matrix["rows"]) == ["age", "sex"] and matrix["columns"] == ["sold", "price"]
    np.testing.assert_allclose(np.sum(matrix["values"], axis=0), 1)
    titles = [drawing["title"] for drawing in drawings]
    assert titles == ["How important each feature is to each task"], "nothing is drawn twice"


def test_by_itself_it_measures_gradients_alone(run):
    invoke("report", run)
    sections = json.loads((run / "report.json").read_text())["sections"]
    assert "tasks-and-each-other" in sections
    assert not {"fairness", "what-the-tasks-look-at", "joint-against-single-task"} & set(sections)
    invoke("report", run, "--no-affinity", "--output", run.parent / "less")
    less = json.loads((run.parent / "less" / "report.json").read_text())["sections"]
    assert set(sections) - set(less) == {"tasks-and-each-other"}


def test_faults_are_told_before_anything_is_written(run, tmp_path):
    def fault(*arguments):
        return str(
            invoke("report", run, "--output", tmp_path / "out", *arguments, code=1).exception
        )

    path = tmp_path / "compared.json"
    assert f"`keras-mtl compare CONFIG --output {path}` writes it" in fault("--comparison", path)
    for text, why in (("{", "Expecting"), ("[]", "came as list"), ('{"metrics": 3}', "'metrics'")):
        path.write_text(text)
        told = fault("--comparison", path)
        assert told.startswith(f"{path} is not what") and why in told
    values = {"single-task": {"else": [0.5]}, "equal": {"else": [math.nan]}}
    counts = {"single-task": 9, "equal": 5}
    Comparison({"else": "auc"}, {"else": True}, values, counts, counts).to_json(path)
    assert "is of the tasks ['else'], but the model's are" in fault("--comparison", path)
    assert "did you mean 'sex'" in fault("--sensitive", "sx")
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_named(run, tmp_path):
    for name in ("run.json", "config.yaml"):
        (tmp_path / name).write_text((run / name).read_text())
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes()[:500])
    done = invoke("report", tmp_path, code=1)
    assert "model.keras is no whole .keras file" in str(done.exception)


def test_in_python_the_same_is_asked_for(run, whole, tmp_path):
    page = report(run, affinity=True, explanation=True, sensitive="sex", folder=tmp_path)
    told = json.loads(page.with_suffix(".json").read_text())["sections"]
    for anchor in ("fairness", "tasks-and-each-other", "what-the-tasks-look-at"):
        assert told[anchor] == whole["sections"][anchor]
