"""What a study shows: table, JSON, and a picture as an XML parser reads it."""

import json
import xml.etree.ElementTree as ET

import pytest

from keras_mtl.tuning import Choice, Float, Simplex, Trial, Tuning

SVG = "{http://www.w3.org/2000/svg}"
WIDE = object()
SPACE = {
    "rate": Float(0.001, 1.0),
    "width": Choice({"narrow": 8, "wide": WIDE}),
    "weights": Simplex(["f1", "error"]),
}


def trial(number, scores, state="finished", **more):
    given = {"rate": 0.123456, "width": WIDE, "weights": {"f1": 0.5, "error": 1.5}}
    told = {"curve": [], "seconds": 1.0, "reason": None, **more}
    return Trial(number, state, given, scores, **told)


@pytest.fixture
def study():
    """Less of the error is better: 0 and 3 are the front, 1 is beaten by both."""
    return Tuning(
        {"f1": "f1_macro", "error": "rmse"},
        {"f1": True, "error": False},
        SPACE,
        [
            trial(0, {"f1": 0.7, "error": 2.0}),
            trial(1, {"f1": 0.6, "error": 6.0}),
            trial(2, {}, "pruned", reason="slow"),
            trial(3, {"f1": 0.9, "error": 5.0}),
            trial(4, {}, "failed", reason="its process went away"),
        ],
    )


def test_the_table_is_the_front_from_the_best_of_the_first_task_on(study):
    lines = str(study).splitlines()
    assert lines[0] == "The Pareto front, 2 of 3 finished trials:"
    assert lines[1].split() == [
        "trial",
        "f1",
        "f1_macro",
        "error",
        "rmse",
        "rate",
        "width",
        "weights",
    ]
    assert lines[3].split() == [
        "3",
        "0.9000",
        "5.0000",
        "0.1235",
        "wide",
        "f1",
        "0.5,",
        "error",
        "1.5",
    ]
    assert lines[4].split()[:3] == ["0", "0.7000", "2.0000"]
    # Scaled: trial 0 is 1/3 and 1, trial 3 is 1 and 1/4.
    assert lines[5] == ("Trials: 3 finished, 1 pruned, 1 failed. Best with equal weights: trial 0.")
    assert study.best({"error": 0.5}).number == 3
    assert study.to_markdown().splitlines()[2] == (
        "| 3 | 0.9000 | 5.0000 | 0.1235 | wide | f1 0.5, error 1.5 |"
    )


def test_json_holds_everything_by_name(study, tmp_path):
    told = json.loads(study.to_json(tmp_path / "made" / "tuning.json").read_text())
    assert told["front"] == [3, 0] and told["best"] == 0
    assert told["trials"][2] == {
        "number": 2,
        "state": "pruned",
        "parameters": {"rate": 0.123456, "width": "wide", "weights": {"f1": 0.5, "error": 1.5}},
        "scores": {},
        "curve": [],
        "seconds": 1.0,
        "reason": "slow",
    }


def read(path):
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    width, height = float(root.get("width")), float(root.get("height"))
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height
    return root


def places(root, kind):
    """Places in the plane by trial number."""
    return {
        int(c.find(f"{SVG}title").text.split()[1]): (float(c.get("cx")), float(c.get("cy")))
        for c in root.iter(f"{SVG}circle")
        if c.get("class") == kind
    }


def corners(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_two_tasks_are_a_plane_with_the_edge_of_the_front(study, tmp_path):
    root = read(study.draw(tmp_path / "front.svg"))
    front, other = places(root, "front"), places(root, "other")
    assert set(front) == {0, 3} and set(other) == {1}
    # Right is more f1; down is less error.
    assert other[1][0] < front[0][0] < front[3][0]
    assert front[0][1] > front[3][1] > other[1][1]
    share = (front[0][0] - other[1][0]) / (front[3][0] - other[1][0])
    assert share == pytest.approx((0.7 - 0.6) / (0.9 - 0.6), abs=0.01)
    (edge,) = (p for p in root.iter(f"{SVG}polyline") if p.get("class") == "edge")
    # From one to the other by way of what both beat: the f1 of 0, the error of 3.
    assert corners(edge) == [front[0], (front[0][0], front[3][1]), front[3]]
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "f1 f1_macro (more is better)" in words and "error rmse (less is better)" in words
    assert "Pareto front: 2 of 3 finished trials" in words
    assert {"0", "3"} <= set(words)


def test_more_tasks_are_an_axis_each_with_the_better_end_above(tmp_path):
    scores = [(1.0, 9.0, 0.5), (2.0, 3.0, 0.5), (3.0, 6.0, 0.5), (0.5, 9.5, 0.5)]
    found = [trial(i, dict(zip("abc", values, strict=True))) for i, values in enumerate(scores)]
    study = Tuning(dict.fromkeys("abc", "m"), {"a": True, "b": False, "c": True}, SPACE, found)
    root = read(study.draw(tmp_path / "front.svg"))
    lines = {
        int(line.find(f"{SVG}title").text.split()[1]): (line.get("class"), corners(line))
        for line in root.iter(f"{SVG}polyline")
        if line.find(f"{SVG}title") is not None
    }
    assert {n for n, (kind, _) in lines.items() if kind == "front"} == {1, 2}
    heights = {n: [y for _, y in points] for n, (_, points) in lines.items()}
    assert heights[2][0] < heights[1][0] < heights[0][0] < heights[3][0]  # y grows downward
    assert heights[1][1] < heights[2][1] < heights[0][1] < heights[3][1]
    assert len({h[2] for h in heights.values()}) == 1, "where all are alike, none is above"


def test_one_task_is_drawn_over_the_trials(tmp_path):
    found = [trial(i, {"a": value}) for i, value in enumerate((0.3, 0.9, 0.5))]
    study = Tuning({"a": "auc"}, {"a": True}, SPACE, found)
    root = read(study.draw(tmp_path / "front.svg"))
    assert set(places(root, "front")) == {1}
    xs = {**places(root, "front"), **places(root, "other")}
    assert xs[0][0] < xs[1][0] < xs[2][0]
    assert "Best of 3 finished trials: 1" in [text.text for text in root.iter(f"{SVG}text")]


def test_points_that_lie_together_are_drawn_all_the_same(tmp_path):
    found = [trial(i, {"a": 0.5, "b": 0.5}) for i in range(3)]
    study = Tuning({"a": "auc", "b": "auc"}, {"a": True, "b": True}, SPACE, found)
    root = read(study.draw(tmp_path / "front.svg"))
    assert set(places(root, "front")) == {0, 1, 2}
