"""evaluate(sensitive=...): metrics by group as worked by hand, and as fairlearn has them."""

import json
import math
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from fairlearn import metrics as fairlearn
from sklearn import metrics

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation._sensitive import sensitive_groups
from keras_mtl.evaluation.fairness import by_group

# Ten rows of two groups. Decided for 1: a 3 of 5, b 1 of 5. Of rows that are 1: a 2 of 2, b 1 of 3.
# Of rows that are 0: a 1 of 3, b 0 of 2.
TRUTH = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 0])
CHANCE = np.array([0.9, 0.8, 0.7, 0.2, 0.1, 0.6, 0.3, 0.4, 0.1, 0.2])[:, None]
GROUP = np.array(["a"] * 5 + ["b"] * 5, object)


def named(values):
    """Groups of the letters of a word, "-" where one is not known."""
    return np.array([None if v == "-" else v for v in values], object)


@pytest.fixture
def model():
    """Two tasks and a number, from one input."""
    keras.utils.set_random_seed(1)
    made = [tasks.Binary("hired"), tasks.MultiClass("level", 3), tasks.Regression("pay")]
    model = keras_mtl.build_model(encoders.Dense(4, units=[6]), made)
    model.compile("sgd")
    return model


@pytest.fixture
def rows(rng):
    """Inputs and labels of 120 rows, a quarter without a label of `hired`."""
    y = {
        "hired": rng.integers(0, 2, 120),
        "level": rng.integers(0, 3, 120),
        "pay": rng.normal(size=120),
    }
    y["hired"][::4] = -1
    return {"features": rng.normal(size=(120, 4)).astype("float32")}, y


def test_a_binary_task_worked_by_hand():
    found = by_group(tasks.Binary("hired"), TRUTH, CHANCE, "sex", GROUP)
    assert found.rows == {"a": 5, "b": 5} and found.few == ["a", "b"] and found.unknown == 0
    rates = ("selection_rate", "true_positive_rate", "false_positive_rate")
    assert [found["a"][r] for r in rates] == pytest.approx([3 / 5, 1, 1 / 3])
    assert [found["b"][r] for r in rates] == pytest.approx([1 / 5, 1 / 3, 0])
    assert found["a"]["accuracy"] == pytest.approx(4 / 5)
    assert found["b"]["auc"] == pytest.approx(metrics.roc_auc_score(TRUTH[5:], CHANCE[5:, 0]))
    assert found.gaps == pytest.approx(
        {
            "demographic_parity_difference": 3 / 5 - 1 / 5,
            "demographic_parity_ratio": (1 / 5) / (3 / 5),
            "equal_opportunity_difference": 1 - 1 / 3,
            "equalized_odds_difference": 1 - 1 / 3,
            "auc_difference": 0.0,
        }
    )


def test_three_groups_as_fairlearn_has_them(rng):
    truth, chance = rng.integers(0, 2, 300), rng.uniform(size=(300, 1))
    groups = rng.choice(["x", "y", "z"], 300).astype(object)
    decided, kind = (chance[:, 0] > 0.5).astype(int), {"sensitive_features": groups.astype(str)}
    found = by_group(tasks.Binary("hired"), truth, chance, "race", groups)
    for name in ("demographic_parity_difference", "demographic_parity_ratio",
                 "equal_opportunity_difference", "equalized_odds_difference"):  # fmt: skip
        expected = getattr(fairlearn, name)(truth, decided, **kind)
        assert found.gaps[name] == pytest.approx(expected, abs=1e-12), name
    areas = fairlearn.MetricFrame(
        metrics=metrics.roc_auc_score, y_true=truth, y_pred=chance[:, 0], **kind
    )
    assert {g: found[g]["auc"] for g in "xyz"} == pytest.approx(areas.by_group.to_dict())
    assert found.gaps["auc_difference"] == pytest.approx(areas.difference())
    assert found.few == []


def test_classes_are_judged_one_against_the_rest_and_the_widest_gap_counts():
    truth = np.array([0, 1, 2, 2, 0, 1, 2, 1])
    decided = np.array([0, 1, 2, 2, 0, 0, 1, 1])
    found = by_group(
        tasks.MultiClass("level", ["low", "mid", "top"]),
        truth,
        np.eye(3)[decided],
        "sex",
        named("aaaabbbb"),
    )
    rates = [found[g]["selection_rate of top"] for g in "ab"]
    assert rates == pytest.approx([2 / 4, 0]), "the widest of the three"
    assert found.gaps["demographic_parity_difference"] == pytest.approx(0.5)
    assert found.gaps["demographic_parity_ratio"] == 0
    # Of the two b rows that are not low and not mid, none is decided to be top.
    assert found.gaps["equal_opportunity_difference"] == pytest.approx(1.0)
    assert found["b"]["false_positive_rate of low"] == pytest.approx(1 / 3)
    assert "selection_rate of top" not in str(found), (
        "rates of single classes are in `scores` alone"
    )


def test_each_class_of_several_may_be_missing_by_itself():
    truth = np.array([[1, -1], [0, 1], [1, 0], [-1, 0], [1, 1], [-1, -1]])
    chance = np.array([[0.9, 0.9], [0.8, 0.1], [0.1, 0.2], [0.9, 0.7], [0.7, 0.8], [0.9, 0.9]])
    found = by_group(tasks.MultiLabel("tags", ["p", "q"]), truth, chance, "sex", named("aabbba"))
    assert found.rows == {"a": 2, "b": 3}, "the last row has no label at all"
    assert [found[g]["selection_rate of p"] for g in "ab"] == pytest.approx([1, 1 / 2])
    assert [found[g]["selection_rate of q"] for g in "ab"] == pytest.approx([0, 2 / 3])
    assert found["b"]["false_positive_rate of q"] == pytest.approx(1 / 2)
    assert math.isnan(found["a"]["false_positive_rate of q"])
    assert found.gaps["demographic_parity_difference"] == pytest.approx(2 / 3)


def test_numbers_differ_by_their_mean_and_by_their_error():
    truth = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, np.nan], [np.nan, 2.0]])
    guess = np.array([[2.0, 1.0], [4.0, 0.0], [5.0, 9.0], [7.0, 2.0]])
    task = tasks.Regression("pay", ["base", "bonus"])
    found = by_group(task, truth, guess, "sex", named("aabb"))
    assert [found[g]["mean_prediction of base"] for g in "ab"] == [3.0, 5.0]
    assert [found[g]["mean_error of base"] for g in "ab"] == [1.0, 0.0]
    assert [found[g]["mean_label of bonus"] for g in "ab"] == [0.0, 2.0]
    assert found.gaps["mean_prediction_difference"] == 2.0
    assert found.gaps["mean_error_difference"] == 1.0
    assert found.gaps["rmse_difference"] == pytest.approx(math.sqrt(3 / 4))
    one = by_group(tasks.Regression("pay"), truth[:3, 0], guess[:3, :1], "sex", named("aab"))
    assert one["a"]["mean_error"] == 1.0 and "mean_error" in str(one)


def test_tags_have_only_what_they_are_scored_by():
    truth = np.array([[0, 1], [1, -1]])
    answers = np.eye(2)[np.array([[0, 1], [0, 0]])]
    task = tasks.SequenceTagging("slots", ["O", "B-x"])
    found = by_group(task, truth, answers, "sex", named("ab"))
    assert list(found.gaps) == [f"{task.main_metric}_difference"]
    assert found["a"][task.main_metric] == 1.0 and found["b"][task.main_metric] == 0.0


def test_what_one_group_alone_has_makes_no_gap():
    found = by_group(tasks.Binary("hired"), np.array([1, 0, 0, 0]), CHANCE[:4], "s", named("aabb"))
    assert math.isnan(found["b"]["true_positive_rate"]) and math.isnan(found["b"]["auc"])
    assert math.isnan(found.gaps["equal_opportunity_difference"])
    assert found.gaps["equalized_odds_difference"] == pytest.approx(1 / 2), "of false positives"
    assert math.isnan(found.gaps["auc_difference"])
    assert found.to_dict()["gaps"]["auc_difference"] is None
    nobody = by_group(tasks.Binary("hired"), TRUTH, 0 * CHANCE, "sex", GROUP)
    assert math.isnan(nobody.gaps["demographic_parity_ratio"]), "nobody is chosen in either group"


def test_a_report_has_each_task_and_attribute_of_rows_with_label_and_group(model, rows, tmp_path):
    x, y = rows
    sex = np.array(["f", "m"] * 60, object)
    sex[:5] = [None, "", np.nan, pd.NA, -1]
    report = keras_mtl.evaluate(model, x, y, sensitive={"sex": sex, "site": np.arange(120) % 12})
    assert list(report.fairness) == model.task_names
    hired = report.fairness["hired"]["sex"]
    labelled = y["hired"] >= 0
    unknown = np.arange(120) < 5
    assert hired.unknown == int((labelled & unknown).sum()) == 3
    there = labelled & ~unknown & (np.arange(120) % 2 == 0)
    assert hired.rows["f"] == int(there.sum())
    chance = model.predict(x, verbose=0)["hired"][:, 0]
    assert hired["f"]["selection_rate"] == pytest.approx((chance[there] > 0.5).mean())
    sites = report.fairness["pay"]["site"]
    assert list(sites.rows) == [str(i) for i in range(12)], "whole numbers by their size"
    assert set(sites.few) == set(sites.rows)
    kept = json.loads(report.to_json(tmp_path / "r.json").read_text())["fairness"]
    assert kept["hired"]["sex"]["rows"] == hired.rows
    assert kept["hired"]["sex"]["gaps"]["demographic_parity_difference"] == pytest.approx(
        hired.gaps["demographic_parity_difference"]
    )
    for told in (str(report), report.to_markdown()):
        assert "hired by sex" in told and "level by site" in told
        assert "Rows of unknown sex, left out: 3" in told
        assert "Fewer than 30 rows, so that chance makes much of the gaps: 0 (" in told
    line = next(li for li in report.to_markdown().splitlines() if li.startswith("| f |"))
    assert float(line.split("|")[2]) == hired.rows["f"]
    plain = keras_mtl.evaluate(model, x, y)
    assert plain.fairness == {} and plain.scores == report.scores


def test_columns_of_the_data_by_name(model, rows):
    x, y = rows
    sex = np.arange(120) % 2
    examples = data.Examples(x, {**y, "sex": np.where(np.arange(120) < 10, -1, sex)})
    examples.classes = {"sex": ["woman", "man"]}
    by_name = keras_mtl.evaluate(model, examples, sensitive="sex").fairness["pay"]["sex"]
    assert by_name.rows == {"man": 55, "woman": 55} and by_name.unknown == 10
    given = np.array(["woman", "man"], object)[sex]
    given[:10] = ""
    same = keras_mtl.evaluate(model, examples, sensitive={"sex": given}).fairness["pay"]["sex"]
    assert same.to_dict() == by_name.to_dict()
    rows_of_text = data.Examples({"sex": given, **x}, y)
    groups = sensitive_groups(rows_of_text, ["sex"])["sex"]
    assert list(groups) == [v or None for v in given]
    floats = sensitive_groups(examples, {"age": pd.Series([1.0, np.nan, -1.0, 2.0] * 30)})["age"]
    assert list(floats[:4]) == ["1", None, None, "2"], "as pandas reads whole numbers with gaps"


def test_what_cannot_be_told_apart_is_refused(model, rows):
    x, y = rows
    examples = data.Examples(x, y)
    with pytest.raises(TypeError, match=r"rows may be in any order; give keras_mtl.data.Examples"):
        keras_mtl.evaluate(model, examples.dataset(32), sensitive={"sex": ["f", "m"] * 60})
    with pytest.raises(TypeError, match="rows may be in any order"):
        keras_mtl.evaluate(model, tf.data.Dataset.from_tensors((x, y)), sensitive="sex")
    for sensitive, error, message in (
        ({"sex": ["f", "m"]}, ValueError, r"'sex' has values of shape \(2,\), expected one a row"),
        ({"sex": ["f"] * 120}, ValueError, r"has the groups \['f'\] in 120 rows"),
        ({"pay": y["pay"]}, ValueError, "'pay' has the value .*numpy.digitize"),
        ("levl", ValueError, "did you mean 'level'"),
        ("features", ValueError, r"shape \(120, 4\)"),
        ("sex", ValueError, r"give its values, \{'sex': values\}"),
        (3, TypeError, "`sensitive` came as 3"),
    ):
        with pytest.raises(error, match=message):
            keras_mtl.evaluate(model, examples, sensitive=sensitive)


def test_the_extra_is_named_where_fairlearn_is_missing(model, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(ImportError, match=r'needs fairlearn.*pip install "keras-mtl\[fairness\]"'):
        keras_mtl.evaluate(model, *rows, sensitive={"sex": ["f", "m"] * 60})
