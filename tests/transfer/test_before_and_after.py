"""What became of each task: hand-worked differences, and models judged by the same rows."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import tasks
from keras_mtl.evaluation import BeforeAndAfter, Report, before_and_after
from tests.transfer._models import dense, rows

BEFORE = Report({"sold": {"auc": 0.75, "f1": 0.5}, "price": {"mae": 2.0}, "old": {"auc": 0.9}})
AFTER = Report(
    {"sold": {"auc": 0.5, "f1": 0.625}, "price": {"mae": float("nan")}, "new": {"f1": 1}}
)


def test_differences_are_of_what_is_in_both():
    table = before_and_after(BEFORE, AFTER)
    assert table["sold"] == {"auc": -0.25, "f1": 0.125}
    assert set(table.difference) == {"sold", "price"}
    lines = str(table).split("\n")
    assert lines[0].split() == ["task", "metric", "before", "after", "difference"]
    cells = [line.split() for line in lines[2:]]
    assert cells == [
        ["sold", "auc", "0.7500", "0.5000", "-0.2500"],
        ["f1", "0.5000", "0.6250", "+0.1250"],
        ["price", "mae", "2.0000", "nan", "+nan"],
        ["old", "auc", "0.9000"],
        ["new", "f1", "1.0000"],
    ]


def test_files_hold_what_is_shown(tmp_path):
    table = before_and_after(BEFORE, AFTER)
    read = json.loads(table.to_json(tmp_path / "t.json").read_text())
    assert read["difference"] == {"sold": {"auc": -0.25, "f1": 0.125}, "price": {"mae": None}}
    assert read["before"]["old"] == {"auc": 0.9} and "old" not in read["after"]
    lines = table.to_markdown().strip().split("\n")
    assert len(lines) == 7 and all(line.count("|") == 6 for line in lines)
    assert lines[2] == "| sold | auc | 0.7500 | 0.5000 | -0.2500 |"


def test_a_report_made_before_tells_what_training_did():
    """The new model's trunk is the old one's, so that the old task pays."""
    model = dense()
    x, y = rows(model, 64)
    data = keras_mtl.data.Examples({"features": x}, y)
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    model.fit(x, y, verbose=0)
    first = keras_mtl.evaluate(model, data)
    new = model.new_task(tasks.Regression("size"), keep=True)
    new.compile(keras.optimizers.Adam(0.05), loss={"size": "mse"}, run_eagerly=True)
    new.fit(x, {"size": x[:, 1:2]}, epochs=2, verbose=0)
    table = before_and_after(first, new, data)
    again = keras_mtl.evaluate(model, data)
    for task in ("sold", "price"):
        for metric, change in table[task].items():
            assert change == pytest.approx(again[task][metric] - first[task][metric], abs=1e-6)
    assert any(table["price"].values()), "its trunk has moved"
    assert isinstance(table, BeforeAndAfter) and "size" not in table.difference
    unmoved = before_and_after(model, new, data)
    assert not np.any(list(unmoved["sold"].values())), "the layers are the same ones"


def test_what_cannot_be_compared_is_refused():
    model = dense()
    with pytest.raises(ValueError, match="one and the same"):
        before_and_after(model, model)
    with pytest.raises(ValueError, match="`data` is missing"):
        before_and_after(BEFORE, model)
    with pytest.raises(ValueError, match=r"\['a'\] and `after` of \['b'\]"):
        before_and_after(Report({"a": {"f1": 1.0}}), Report({"b": {"f1": 1.0}}))
