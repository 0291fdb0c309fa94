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
    """A few of the rows, a small model and sixteen epochs: the whole figures are the example's own."""
    shown = run(
        "intent_and_slots.py", "--data-dir", data_dir, "--rows", 1200, "--epochs", 16, "--units", 32,
        "--export", tmp_path / "speech", cwd=tmp_path,
    )  # fmt: skip
    assert figure(shown, "intent", "accuracy") > 0.25  # of seven intents
    assert "SF-ID network" in shown and "this model" in shown
    assert (tmp_path / "speech" / "1" / "saved_model.pb").is_file()


def row_of(table, method):
    """The cells of a method's line in a printed table."""
    return re.search(rf"^{method} .*$", table, re.MULTILINE).group().split()[1:]


@pytest.mark.slow
def test_toy_landscape_in_other_units(tmp_path):
    """Equal weights follow the scale of a loss; the bargain is one for all units."""
    picture = tmp_path / "toy.png"
    shown = run(
        "toy_landscape.py", "--scale", 0.1, "--steps", 4000, "--out", picture,
        "--balancers", "equal", "nash_mtl", "gls", cwd=tmp_path,
    )  # fmt: skip
    assert re.search(r"Least 1 L1 \+ L2: .*\(-?0.00, -8.3\d\), L = \(-15.09, -15.09\)", shown)
    assert "Least 0.1 L1 + L2: theta = (-5.73, -8.41), L = (-0.38, -19.83)" in shown
    ends = {m: row_of(shown, m) for m in ("equal", "nash_mtl")}
    firsts = {m: [float(c.strip(",")) for c in found[1:-2:2]] for m, found in ends.items()}
    assert sum(abs(t1 + 5.73) < 0.1 for t1 in firsts["equal"]) >= 3
    assert ends["nash_mtl"][0] == "5/5" and all(abs(t1) < 5 for t1 in firsts["nash_mtl"])
    losses = {m: [float(c) for c in found[-2:]] for m, found in ends.items()}
    assert losses["equal"] == pytest.approx([-3.8, -19.83], abs=0.1)
    assert losses["nash_mtl"] == pytest.approx([-14.5, -14.5], abs=1.5)
    assert "needs positive losses" in " ".join(row_of(shown, "gls"))
    assert picture.read_bytes().startswith(b"\x89PNG") and f"Picture: {picture}" in shown


@pytest.mark.slow
@pytest.mark.needs_data
def test_multi_mnist_goes_on_where_it_was(tmp_path, data_dir):
    budget = ["--data-dir", data_dir, "--train", 1000, "--epochs", 3, "--seeds", 1]
    budget += ["--out", tmp_path / "results.json", "--balancer", "equal"]
    first = run("multi_mnist.py", *budget, cwd=tmp_path)
    table = first[first.index("Delta_m %") :]
    assert all(float(cell) > 0.6 for cell in row_of(table, "single-task")[:2])
    assert all(float(cell) > 0.6 for cell in row_of(table, "equal")[:2])
    more = run("multi_mnist.py", *budget, "upgrad", cwd=tmp_path)
    trained = re.findall(r"^seed 0  (\S+)", more, re.MULTILINE)
    assert trained == ["upgrad"]
    table = more[more.index("Delta_m %") :]
    assert row_of(table, "equal") == row_of(first[first.index("Delta_m %") :], "equal")
    left, right, delta = (float(cell) for cell in row_of(table, "upgrad")[:3])
    single = [float(cell) for cell in row_of(table, "single-task")[:2]]
    assert delta == pytest.approx(50 * (left / single[0] + right / single[1] - 2), abs=0.03)


@pytest.mark.slow
def test_synthetic_experts(tmp_path):
    picture = tmp_path / "experts.png"
    shown = run(
        "synthetic_experts.py", "--seeds", 1, "--steps", 150, "--correlations", 0.0,
        "--out", picture, cwd=tmp_path,
    )  # fmt: skip
    errors = {m: float(re.search(rf"^{m} .*?([\d.]+) ±", shown, re.M).group(1)) for m in
              ("shared bottom", "MMoE", "PLE")}  # fmt: skip
    assert all(0 < error < 1 for error in errors.values()), "better than the mean"
    sizes = [int(n.replace(",", "")) for n in re.findall(r"([\d,]{5,}) +[\d.]+$", shown, re.M)]
    assert len(sizes) == 3 and max(sizes) < 1.3 * min(sizes), "models of about one size"
    assert picture.read_bytes().startswith(b"\x89PNG") and f"Drawn: {picture}" in shown


@pytest.mark.needs_data
def test_school_alone_and_pooled(tmp_path, data_dir):
    """The networks of 139 heads take minutes; the ridge regressions tell whether rows are right."""
    shown = run(
        "school.py", "--data-dir", data_dir, "--splits", 3, "--models", "independent", "pooled",
        cwd=tmp_path,
    )  # fmt: skip
    alone, pooled = (float(row_of(shown, m)[0]) for m in ("independent", "pooled"))
    assert 29 < alone < 36 and alone < pooled < 38


@pytest.mark.slow
@pytest.mark.needs_data
def test_domain_shift(tmp_path, data_dir):
    shown = run(
        "domain_shift.py", "--data-dir", data_dir, "--seeds", 1, "--epochs", 8,
        "--methods", "adversarial", cwd=tmp_path,
    )  # fmt: skip
    for method in ("none", "adversarial"):
        areas = [float(cell) for cell in row_of(shown, method) if cell[0] == "0"]
        assert len(areas) == 5 and areas[-1] > 0.7, method
    assert "adversarial makes no difference that can be told from chance" in shown, "of one seed"


@pytest.mark.slow
@pytest.mark.needs_data
def test_census(tmp_path, data_dir):
    shown = run(
        "census.py", "--data-dir", data_dir, "--seeds", 1, "--epochs", 1, "--rows", 20_000,
        "--schemes", "PLE", cwd=tmp_path,
    )  # fmt: skip
    for scheme in ("shared bottom", "PLE"):
        cells = re.search(rf"^{scheme} +([\d.]+) ± \S+ +([\d.]+)", shown, re.M).groups()
        assert float(cells[0]) > 0.75 and float(cells[1]) > 0.9, scheme
    assert "paired over seeds" in shown


@pytest.mark.slow
def test_conversions(tmp_path):
    """What the columns tell of the truth is the most that a model of them can know."""
    shown = run("conversions.py", "--seeds", 1, "--rows", 12_000, "--epochs", 4, cwd=tmp_path)
    exact = [float(cell) for cell in row_of(shown, "truth")]
    assert exact == pytest.approx([0.806, 0, 0, 10.5], abs=0.1) and 0.8 < exact[0] < 0.81
    for scheme in ("clicked rows", "ESMM", "AITM at_most", "AITM given"):
        area = float(re.search(rf"^{scheme} +([\d.]+)", shown, re.M).group(1))
        assert 0.55 < area < exact[0], scheme
    assert "paired over seeds" in shown and "none of them" in shown, "of one seed nothing is proven"


def test_few_shot(tmp_path):
    shown = run(
        "few_shot.py", "--rows", 3000, "--steps", 20, "--epochs", 3, "--episodes", 40, cwd=tmp_path
    )
    first = {line[:39].strip(): float(line[40:45]) for line in shown.splitlines() if "+-" in line}
    assert first["two tasks, nearest mean"] > first["raw pixels, nearest mean"]


@pytest.mark.slow
def test_serve_and_call(tmp_path):
    for package in ("grpc", "fastapi", "uvicorn", "tensorflow_serving"):
        pytest.importorskip(package)
    shown = run("serve_and_call.py", "--models", "digits", cwd=tmp_path)
    assert "keras-mtl serve has ended with exit code 0" in shown
    table = dict(re.findall(r"^  (\S[\w ]*\w) +(\d\.\de[+-]\d\d|left out: .*)$", shown, re.M))
    always = {"REST", "gRPC", "TF1 loader", "saved_model_cli"}
    assert set(table) == always | {"OpenVINO", "LiteRT", "ONNX Runtime"}
    left_out = {way for way, found in table.items() if found.startswith("left out")}
    assert not left_out & always
    assert all(float(found) <= 1e-5 for way, found in table.items() if way not in left_out)


@pytest.mark.slow
def test_watch(tmp_path):
    shown = run("watch.py", "--epochs", 2, "--rows", 500, cwd=tmp_path)
    folder = tmp_path / "runs" / "watch"
    names = {"run.json", "history.json", "model.keras", "report.html", "report.md", "report.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert list((folder / "logs" / "validation").glob("events*"))
    assert "open runs/watch/report.html" in shown and figure(shown, "left", "accuracy") >= 0
