"""Each section's numbers: those of scikit-learn, seqeval, or a count by hand."""

import types

import numpy as np
import pytest
from seqeval.metrics import classification_report
from sklearn import metrics

from keras_mtl.reporting import classes, confusion, curves, explanations, glance, residuals
from keras_mtl.reporting import precision_recall as pr
from keras_mtl.reporting._bootstrap import intervals
from keras_mtl.reporting._content import Chart, Matrix
from keras_mtl.reporting._judged import Judged
from keras_mtl.tasks import MultiClass
from tests.reporting._every_kind import TAGS, judged


def subject(*every, **known):
    told = {
        "judged": {one.name: one for one in every}, "detailed": list(every), "left_out": "",
        "intervals": {one.name: intervals(one, resamples=100) for one in every}, "comparison": None,
        "notes": {}, "rows": 60, "model": types.SimpleNamespace(
            task_names=[one.name for one in every], tasks={one.name: one.task for one in every}
        ), **known,
    }  # fmt: skip
    return types.SimpleNamespace(**told)


def test_confusion_counts_as_scikit_learn():
    one = judged("several")
    names, counts = confusion.confusion(one)
    expected = metrics.confusion_matrix(one.labels, one.answers.argmax(axis=1), labels=range(4))
    np.testing.assert_array_equal(counts, expected)
    assert names == one.task.classes
    slots = judged("slots")
    there = slots.labels != -1
    expected = metrics.confusion_matrix(slots.labels[there], slots.answers.argmax(-1)[there])
    np.testing.assert_array_equal(confusion.confusion(slots)[1], expected)


def test_of_many_classes_those_with_most_errors_are_kept_and_nothing_is_lost():
    rng = np.random.default_rng(0)
    task = MultiClass("t", 72)
    labels = rng.integers(0, 72, 600)
    labels[0] = -2
    served = np.eye(72)[np.where(labels < 9, (labels + 1) % 72, labels)]
    one = Judged("t", task, labels, served, np.arange(600), {})
    section = confusion.section(subject(one))
    (matrix,) = [block for block in section.parts[0].blocks if isinstance(block, Matrix)]
    assert len(matrix.rows) == confusion.LARGEST + 1 and matrix.values.sum() == 600
    assert "(unknown class)" in matrix.rows, "a class the task does not know is an error"
    assert set(map(str, range(9))) <= set(matrix.rows)


def test_precision_and_recall_are_those_of_scikit_learn():
    one = judged("binary")
    (part,) = pr.section(subject(one)).parts
    chart, table = part.blocks[:2]
    precision, recall, _ = metrics.precision_recall_curve(one.labels, one.answers.ravel())
    assert chart.series[0].x == recall.tolist() and chart.series[0].y == precision.tolist()
    area = metrics.average_precision_score(one.labels, one.answers.ravel())
    assert table.rows[0][1] == pytest.approx(area) == pytest.approx(one.scores["average_precision"])
    topics = judged("topics")
    there = topics.labels[:, 1] != -1
    yes, chances = pr.one_against_others(topics)["1"]
    np.testing.assert_array_equal(yes, topics.labels[there, 1] == 1)
    np.testing.assert_array_equal(chances, topics.answers[there, 1])


def test_classes_one_by_one_are_those_of_scikit_learn_and_seqeval():
    one = judged("several")
    rows = {row[0]: row[1:] for row in classes.section(subject(one)).parts[0].blocks[0].rows}
    told = metrics.precision_recall_fscore_support(one.labels, one.answers.argmax(axis=1))
    for i, name in enumerate(one.task.classes):
        assert rows[name][:4] == pytest.approx([column[i] for column in told])
    slots = judged("slots")
    true, said = (
        [
            [TAGS[i] for i, known in zip(row, slots.there[r], strict=True) if known]
            for r, row in enumerate(ids)
        ]
        for ids in (slots.labels, slots.answers.argmax(-1))
    )
    expected = classification_report(true, said, output_dict=True, zero_division=0)
    rows = {row[0]: row[1:] for row in classes.section(subject(slots)).parts[0].blocks[0].rows}
    assert set(rows) == {"x", "<b>"}
    for name, found in rows.items():
        told = expected[name]
        assert found[:3] == pytest.approx([told["precision"], told["recall"], told["f1-score"]])
        assert found[3] == told["support"]


def test_errors_of_numbers_leave_out_missing_ones():
    one = judged("numbers")
    height, width = residuals.errors(one)
    there = ~np.isnan(one.labels[:, 1])
    off = one.answers[there, 1] - one.labels[there, 1]
    expected = [there.sum(), off.mean(), np.abs(off).mean(), (off**2).mean() ** 0.5]
    assert width[1:5] == pytest.approx(expected)
    assert (height[0], width[0]) == ("height", "width")
    charts = [b for b in residuals.section(subject(one)).parts[0].blocks if isinstance(b, Chart)]
    assert len(charts) == 4 and charts[0].x_label == "true (mm)"
    assert charts[3].series[0].y[1] >= 0 and len(charts[2].series[0].x) == there.sum()


def test_a_verdict_is_about_the_main_metric_against_the_guess():
    for name, informed, told in (
        ("binary", 1.0, glance.BETTER), ("several", 0.0, glance.UNSURE),
        ("binary", -1.5, glance.WORSE), ("ordinal", 1.0, glance.BETTER),
        ("numbers", 1.0, glance.BETTER), ("slots", 1.0, glance.BETTER),
    ):  # fmt: skip
        one = judged(name, informed=informed)
        found = glance.section(subject(one)).parts[0].blocks[1].rows[0]
        assert found[1] == told, name
    assert "50 by chance" in glance.sentence(judged("binary"))
    assert "mm" in glance.sentence(judged("numbers"))


def test_curves_belong_to_the_task_of_the_longest_name():
    keys = ["loss", "a_loss", "val_a_loss", "a_b_loss", "a_b_auc", "learning_rate"]
    assert curves.by_task(keys, ["a", "a_b"]) == {
        "": {"loss": "loss", "learning_rate": "learning_rate"},
        "a": {"a_loss": "loss"},
        "a_b": {"a_b_loss": "loss", "a_b_auc": "auc"},
    }


def test_curves_tell_the_epoch_of_the_least_validation_loss_counted_from_one():
    history = {"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "val_loss": [2.0, 1.5, float("nan")]}
    history.update(a_loss=[1.0, 1.0, 1.0], val_a_loss=[1.0, None, 2.0])
    one = judged("binary")
    found = curves.section(subject(one, history=history))
    assert found.parts[0].blocks[0].rows[1] == ["least validation loss (epoch 2)", 2.0, 1.5]
    charts = [block for part in found.parts[1:] for block in part.blocks]
    assert [chart.title for chart in charts] == ["loss", "a_loss"]
    assert charts[0].series[1].x == [1, 2, 3]
    assert curves.section(subject(one, history={})) is None
    failed = {"loss": [float("nan")] * 2}
    assert "failed" in curves.section(subject(one, history=failed)).parts[0].blocks[0].text


def test_explanations_are_shares_that_tasks_can_be_compared_by():
    found = types.SimpleNamespace(
        importance={
            "noise": {"a": -1.0, "b": 0.0}, "age": {"a": 30.0, "b": 0.1},
            "job": {"a": 10.0, "b": 0.3},
        },
        pictures=lambda: {"saliency <1>": "<svg xmlns='http://www.w3.org/2000/svg'/>"},
    )  # fmt: skip
    matrix, drawing = explanations.section(subject(explanations=[found])).parts[0].blocks
    assert matrix.rows == ["age", "job", "noise"] and matrix.columns == ["a", "b"]
    np.testing.assert_allclose(matrix.values, [[0.75, 0.25], [0.25, 0.75], [0, 0]])
    assert drawing.title == "saliency <1>"
