"""The card of a version, read back table by table."""

import datetime
import importlib.metadata

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, export, tasks


def tables(card: str) -> dict[str, list[list[str]]]:
    """The rows of the table under each heading, without its head."""
    found: dict[str, list[list[str]]] = {}
    for line in card.splitlines():
        if line.startswith("## "):
            heading = line[3:]
            found[heading] = []
        elif line.startswith("| "):
            cells = line.strip("|").replace("\\|", "\0").split("|")
            found[heading].append([cell.strip().replace("\0", "|") for cell in cells])
    return {heading: rows[2:] for heading, rows in found.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(2)
    words = encoders.Text(["play", "jazz"], "cnn", units=4, embedding=3)
    model = keras_mtl.build_model(
        words,
        [
            tasks.MultiClass("genre", ["folk|pop", "jazz\nfunk"]),
            tasks.MultiClass("decade", [f"{10 * n}s" for n in range(30)]),
            tasks.Regression("length", ["intro", "all"], units="s"),
        ],
    )
    model.adapt({"length": np.array([[3.0, 200.0], [5.0, 100.0]])})
    rows = keras_mtl.data.Examples({"tokens": [["play", "jazz"], ["jazz"]]}, {"genre": [0, 1]})
    report = keras_mtl.evaluate(model, rows)
    folder = tmp_path_factory.mktemp("cards") / "songs"
    before = datetime.datetime.now(datetime.timezone.utc)
    path = export.saved_model(model, folder, report=report)
    return model, report, path, before, (path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_it_tells_the_tasks_with_classes_and_units(exported):
    card = exported[-1]
    assert card.startswith("# songs\n")
    genre, decade, length = tables(card)["Tasks"]
    assert genre[:3] == ["genre", "MultiClass", "folk|pop, jazz funk"]
    assert decade[2].startswith("0s, 10s, ")
    assert decade[2].endswith("110s, ...: 30 in all, in assets/labels.json")
    assert length == ["length", "Regression", "intro, all", "units: s"]


def test_it_tells_inputs_and_signatures_as_they_are_served(exported):
    found = tables(exported[-1])
    assert found["Inputs"] == [["tokens", "string", "(any, any)"]]
    signatures = {row[0]: row[1:] for row in found["Signatures"]}
    assert next(iter(signatures)) == "serving_default"
    assert set(signatures) == {
        *("serving_default", "serving_labels", "serving_examples", "genre", "decade", "length"),
    }
    assert signatures["serving_examples"][0] == "examples: string (any)"
    assert signatures["length"] == ["tokens: string (any, any)", "length: float32 (any, 2)"]


def test_it_holds_the_report_of_labels_and_metrics(exported):
    _, report, _, _, card = exported
    assert report.to_markdown() in card
    task, labels, metric, value = tables(card)["Labels and metrics"][0]
    assert (task, labels) == ("genre", "2")
    assert float(value) == pytest.approx(report["genre"][metric], abs=1e-4)


def test_it_counts_parameters_and_bytes(exported):
    model, _, path, _, card = exported
    counts = {part: int(n.replace(",", "")) for part, n in tables(card)["Parameters"]}
    # By hand: 4 words of 3; 3 x 4 + 4; three convolutions of 3 x 4 x 4 + 4; three norms of 2 x 4.
    assert counts["shared"] == 12 + 16 + 3 * 52 + 3 * 8
    weights = sum(int(np.prod(w.shape)) for x in model.layers for w in x.weights)
    assert counts["all"] == weights
    assert sum(n for part, n in counts.items() if part != "all") == weights
    others = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    others -= (path / "MODEL_CARD.md").stat().st_size
    made = dict(tables(card)["Made"])
    assert int(made["size on disk, bytes, without this card"].replace(",", "")) == others


def test_it_tells_when_and_with_what_it_was_made(exported):
    *_, before, card = exported
    made = dict(tables(card)["Made"])
    then = datetime.datetime.strptime(made["date (UTC)"] + " +0000", "%Y-%m-%d %H:%M:%S %z")
    elapsed = (then - before).total_seconds()
    assert -1 <= elapsed <= 300
    for package in ("keras", "tensorflow"):
        assert made[package] == importlib.metadata.version(package)
    assert made["keras_mtl"] == keras_mtl.__version__


def test_a_report_that_cannot_be_told_leaves_nothing(tmp_path):
    x = keras.Input((1,), name="x")
    model = keras_mtl.MultiTaskModel(x, {"t": keras.layers.Dense(1)(x)})
    with pytest.raises(TypeError, match="`report` came as a dict; expected what"):
        export.saved_model(model, tmp_path / "m", report={"t": 1.0})
    assert not (tmp_path / "m").exists()

    class Broken:
        def to_markdown(self):
            raise RuntimeError("no table")

    with pytest.raises(RuntimeError, match="no table"):
        export.saved_model(model, tmp_path / "m", report=Broken())
    assert list((tmp_path / "m").iterdir()) == []
    card = (export.saved_model(model, tmp_path / "m") / "MODEL_CARD.md").read_text()
    assert "Labels and metrics" not in card
    assert tables(card)["Tasks"] == [["t", "other", "", ""]]
