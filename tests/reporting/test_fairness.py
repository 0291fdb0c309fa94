"""Groups side by side: scikit-learn's metrics in each, who is few, and what is not known."""

import numpy as np
import pytest
from sklearn import metrics

from keras_mtl.evaluation.fairness import by_group
from keras_mtl.evaluation.report import Report
from keras_mtl.reporting import fairness
from keras_mtl.reporting._bootstrap import intervals
from keras_mtl.reporting._content import Bars, Note, Table
from keras_mtl.reporting._judged import Judged
from tests.reporting._every_kind import judged
from tests.reporting.test_sections import subject

N = 160


def groups_of(n, seed=1):
    """Two large groups, one of five rows, and three rows of nobody knows whom."""
    found = np.array(["old", "young"], object)[np.random.default_rng(seed).integers(0, 2, n)]
    found[:5], found[5:8] = "child", None
    return found


def section_of(one, groups=None):
    groups = groups_of(one.rows.max() + 1) if groups is None else groups
    by = by_group(one.task, one.labels, one.answers, "age", groups[one.rows])
    found = {} if by is None else {"age": by}
    report = Report({one.name: one.scores}, fairness={one.name: found})
    (part,) = fairness.section(subject(one, report=report, groups={"age": groups})).parts
    assert part.title == one.name
    return part.blocks, groups[one.rows]


def rows_in(table):
    return {row[0]: list(row[1:]) for row in table.rows}


def test_each_group_has_the_metrics_of_scikit_learn_and_an_interval_of_its_own():
    one = judged("binary", n=N)
    (table, _, bars, few, unknown), of = section_of(one)
    assert list(table.columns) == ["metric", "child *", "old", "young", "widest gap"]
    rows = rows_in(table)
    names = list(rows)
    assert names[names.index("auc (main)") + 1] == "95 % interval"
    areas = []
    for i, group in enumerate(("child", "old", "young")):
        kept = of == group
        areas.append(metrics.roc_auc_score(one.labels[kept], one.answers[kept].ravel()))
        assert rows["labelled rows"][i] == kept.sum()
        assert rows["auc (main)"][i] == pytest.approx(areas[-1])
        found = Judged("t", one.task, one.labels[kept], one.answers[kept], one.rows[kept],
                       {"auc": areas[-1]})  # fmt: skip
        assert rows["95 % interval"][i] == intervals(found)["auc"].range
    low, high = rows["95 % interval"][1]
    assert low < areas[1] < high
    assert rows["auc (main)"][3] == pytest.approx(max(areas) - min(areas))
    assert isinstance(bars, Bars) and list(bars.names) == ["child *", "old", "young"]
    assert few.text == "* Fewer than 30 labelled rows, so trust neither them nor gaps: child (5)."
    assert unknown.text == "Left out, since their age is not known: 3 rows."


def test_of_several_classes_those_come_first_that_groups_differ_most_in():
    one = judged("several", n=N)
    blocks, of = section_of(one)
    table = next(b for b in blocks if isinstance(b, Table) and b.title.startswith("One by one"))
    decided = one.answers.argmax(axis=1)
    rows = rows_in(table)
    shares = [np.mean(decided[of == group] == 1) for group in ("child", "old", "young")]
    assert rows["selection_rate of c"][:3] == pytest.approx(shares)
    gaps = [row[-1] for row in rows.values()]
    assert gaps == sorted(gaps, reverse=True) and len(gaps) == 3 * 4
    assert not any(name.startswith("selection_rate") for name in rows_in(blocks[0]))


def test_of_numbers_the_mean_errors_are_compared():
    one = judged("numbers", n=N)
    blocks, of = section_of(one)
    table = next(b for b in blocks if isinstance(b, Table) and b.title.startswith("One by one"))
    off = np.nanmean((one.answers - one.labels)[of == "old"], axis=0)
    rows = rows_in(table)
    assert rows["mean_error of height"][1] == pytest.approx(off[0], rel=1e-5)
    assert rows["mean_error of width"][1] == pytest.approx(off[1], rel=1e-5)
    bars = next(b for b in blocks if isinstance(b, Bars))
    assert bars.title == "rmse by age"


def test_of_tags_the_main_metric_is_compared_and_of_no_groups_nothing_is_told():
    blocks, _ = section_of(judged("slots", n=N))
    assert [row[0] for row in blocks[1].rows] == ["f1 difference"]
    one = judged("binary", n=N)
    blocks, _ = section_of(one, np.full(N, None))
    assert blocks == [Note("No labelled row has a known group of age.")]
    assert fairness.section(subject(one, report=Report({}), groups={})) is None


def test_groups_of_one_class_have_no_area_and_no_gap_of_it():
    one = judged("binary", n=N)
    groups = np.where(one.labels == 1, "a", "b").astype(object)
    whole = np.full(one.rows.max() + 1, None)
    whole[one.rows] = groups
    (table, gaps, *_), _ = section_of(one, whole)
    rows = rows_in(table)
    assert np.isnan(rows["auc (main)"][:2]).all() and rows["auc (main)"][2] is None
    assert rows["95 % interval"][:2] == [None, None]
    assert np.isnan(rows_in(gaps)["auc difference"][0])
