"""compare: the same budget for all, repeatable, and a verdict that fits the numbers."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation import Comparison


@pytest.fixture
def parts(rng):
    x = rng.normal(size=(240, 4)).astype("float32")
    y = {"a": (x[:, 0] > 0).astype(int), "b": x[:, 0] + 0.3 * rng.normal(size=240)}
    rows = data.Examples({"features": x}, y)
    return rows.select(range(160)), rows.select(range(160, 200)), rows.select(range(200, 240))


def build(names):
    kinds = {"a": tasks.Binary("a"), "b": tasks.Regression("b")}
    return keras_mtl.build_model(encoders.Dense(4, units=[8]), [kinds[n] for n in names])


def test_rows_budget_and_repeatability(parts):
    train, valid, test = parts
    lines: list[str] = []
    found = [
        keras_mtl.compare(
            build, train, test, valid=valid, epochs=3, seeds=seeds, batch_size=32,
            rows={"uncertainty": {"balancer": "uncertainty"}}, progress=lines.append,
            optimizer=lambda: keras.optimizers.Adam(0.01),
        )
        for seeds in ((0, 1), (1,))
    ]  # fmt: skip
    assert list(found[0].values) == ["single-task", "equal", "uncertainty"]
    for row, metrics in found[0].values.items():
        assert {task: values[1:] for task, values in metrics.items()} == found[1].values[row]
    assert found[0].metrics == {"a": "auc", "b": "rmse"}
    assert found[0].higher_is_better == {"a": True, "b": False}
    assert len(lines) == (2 + 1) * 4
    single = sum(build([n]).count_params() for n in "ab")
    # count_params holds the alphas and the target's scale too, which are not trained.
    assert found[0].parameters["single-task"] == single - 2 - 3
    assert found[0].parameters["uncertainty"] == found[0].parameters["equal"] + 2
    assert json.loads(json.dumps(found[0].to_dict()))["delta_m"].keys() == {"equal", "uncertainty"}
    assert len({line.count("|") for line in found[0].to_markdown().split("\n")[:5]}) == 1


def told(joint):
    values = {"single-task": {"a": [0.80, 0.81, 0.79]}, "equal": {"a": joint}}
    return Comparison({"a": "accuracy"}, {"a": True}, values, {"single-task": 9, "equal": 5},
                      {"single-task": 1.0, "equal": 1.0}).verdict  # fmt: skip


def test_the_verdict_says_what_the_numbers_say():
    assert "worth it" in told([0.88, 0.90, 0.86])
    assert "worth nothing" in told([0.70, 0.72, 0.69])
    assert "no difference that can be told from chance" in told([0.82, 0.78, 0.80])


def test_delta_m_is_paired_by_seed():
    values = {"single-task": {"a": [0.5, 0.8]}, "equal": {"a": [0.55, 0.88]}}
    made = Comparison({"a": "accuracy"}, {"a": True}, values, {}, {})
    np.testing.assert_allclose(made.delta["equal"], [10.0, 10.0])


WRITTEN = Comparison(
    {"a": "auc", "b": "rmse"}, {"a": True, "b": False},
    {"single-task": {"a": [0.8, 0.9], "b": [2.0, 3.0]}, "equal": {"a": [0.88, 0.9], "b": [2.0, 2.7]}},
    {"single-task": 9, "equal": 5}, {"single-task": 1.5, "equal": 1.0},
)  # fmt: skip


def test_what_was_written_is_read_back_and_worked_out_anew(tmp_path):
    told = json.loads(WRITTEN.to_json(tmp_path / "c.json").read_text())
    told["delta_m"], told["verdict"] = {}, "edited"
    again = Comparison.from_dict(told)
    assert again.to_dict() == WRITTEN.to_dict() and str(again) == str(WRITTEN)
    np.testing.assert_allclose(again.delta["equal"], [5.0, 5.0])


def changed(**parts):
    return {**json.loads(json.dumps(WRITTEN.to_dict())), **parts}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1], "came as list; expected an object"),
        ({}, "'metrics' is None; expected an object"),
        (changed(seconds=[1]), r"'seconds' is \[1\]"),
        (changed(metrics={}), r"the tasks \[\]"),
        (changed(values={"equal": {"a": [1], "b": [1]}}), "the row 'single-task', and a joint row"),
        (changed(values={"single-task": {"a": [1], "b": [1]}}), "a joint row or more"),
        (changed(higher_is_better={"a": True}), r"higher_is_better is of \['a'\]"),
        (changed(parameters={"equal": 3}), "None for 'parameters' of row 'single-task'"),
        (changed(seconds={"equal": True, "single-task": 1}), "has True for 'seconds'"),
        (changed(values={**WRITTEN.values, "equal": 3}), "row 'equal' is of 3"),
        (changed(values={**WRITTEN.values, "equal": {"a": [1.0, 2.0]}}), r"'equal' is of \['a'\]"),
        (
            changed(values={**WRITTEN.values, "equal": {"a": [1, None], "b": [1, 2]}}),
            "has None for",
        ),
        (changed(values={**WRITTEN.values, "equal": {"a": 1, "b": [1, 2]}}), "has 1 of task 'a'"),
        (changed(values={**WRITTEN.values, "equal": {"a": [1], "b": [1]}}), r"of \[1, 2\] seeds"),
    ],
)
def test_a_file_that_was_cut_or_edited_is_refused(content, told):
    with pytest.raises(ValueError, match=told):
        Comparison.from_dict(content)


def test_one_task_or_no_seed_is_refused(parts):
    train, _, test = parts
    with pytest.raises(ValueError, match="`seeds` is empty"):
        keras_mtl.compare(build, train, test, seeds=())
    alone = data.Examples(train.inputs, {"a": train.labels["a"]})
    with pytest.raises(ValueError, match="two or more tasks"):
        keras_mtl.compare(build, alone, test)
