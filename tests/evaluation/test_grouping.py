"""Groups of tasks: the best of all, good ones past that, and what cannot be grouped."""

import json
import xml.etree.ElementTree as xml

import numpy as np
import pytest

from keras_mtl.evaluation.affinity import Affinity
from keras_mtl.evaluation.grouping import Groups, group_tasks, suggest_groups


def named(matrix):
    return Affinity(matrix, [f"t{i}" for i in range(len(matrix))])


def partitions(items):
    """Every way to part items into groups."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]


def worth_by_hand(matrix, served, trained, alone):
    total = 0.0
    for j in served:
        partners = [matrix[i][j] for i in trained if i != j]
        total += sum(partners) / len(partners) if partners else alone[j]
    return total


def best_by_hand(matrix, at_most, alone, overlap):
    k = len(matrix)

    def worth(group):
        others = [i for i in range(k) if i not in group]
        sets = [
            [others[b] for b in range(len(others)) if bits >> b & 1]
            for bits in range(2 ** len(others) if overlap else 1)
        ]
        return max(worth_by_hand(matrix, group, group + more, alone) for more in sets)

    return max(
        sum(worth(group) for group in found)
        for found in partitions(list(range(k)))
        if len(found) <= at_most
    )


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 7])
def test_exact_is_the_best_of_all_partitions(rng, k, overlap):
    for at_most in {1, 2, (k + 1) // 2, k} & set(range(1, k + 1)):
        matrix = rng.normal(size=(k, k))
        alone = rng.normal(size=k) / 2
        affinity = named(matrix)
        given = dict(zip(affinity.task_names, alone, strict=True))
        found = group_tasks(affinity, at_most, overlap=overlap, alone=given, method="exact")
        assert found.score == pytest.approx(best_by_hand(matrix, at_most, alone, overlap))
        assert len(found) <= at_most
        assert sorted(t for group in found for t in group) == affinity.task_names
        greedy = group_tasks(affinity, at_most, overlap=overlap, alone=given, method="greedy")
        assert greedy.score <= found.score + 1e-9 and len(greedy) <= at_most


def test_bell_numbers_hold_for_the_test_itself():
    assert [len(list(partitions(list(range(n))))) for n in (3, 5, 7)] == [5, 52, 877]


@pytest.mark.parametrize("method", ["exact", "greedy"])
def test_blocks_of_friends_are_found(rng, method):
    blocks = [[0, 5, 7], [1, 2], [3, 4, 6, 8]]
    matrix = rng.normal(-1, 0.2, size=(9, 9))
    for block in blocks:
        matrix[np.ix_(block, block)] = rng.normal(1, 0.2, size=(len(block), len(block)))
    found = group_tasks(named(matrix), 3, method=method)
    assert list(found) == [[f"t{i}" for i in block] for block in blocks]


def test_greedy_loses_little_where_tasks_have_friends(rng):
    """Tasks as points, affinity by nearness: within a tenth of the best, over 20 draws."""
    for _ in range(20):
        points = rng.normal(size=(9, 2))
        near = np.exp(-np.square(points[:, None] - points[None]).sum(-1)) - 0.3
        best = group_tasks(named(near), 3)
        assert group_tasks(named(near), 3, method="greedy").score >= 0.9 * best.score


def test_twelve_tasks_take_a_known_amount_of_work(rng):
    """(3^12 - 1) / 2 = 265,720 splits of 4,213,597 partitions, whatever the numbers."""
    for matrix in (rng.normal(size=(12, 12)), np.zeros((12, 12))):
        found = group_tasks(named(matrix))
        assert found.made_by == "the best of all groups, 265,720 splits looked at"


def test_past_twelve_tasks_it_is_greedy_and_says_so(rng):
    matrix = rng.normal(size=(30, 30))
    found = group_tasks(named(matrix), 4, overlap=True)
    assert len(found) <= 4 and "greedily" in str(found)
    with pytest.raises(ValueError, match="there are 30 tasks; expected 12 at the most"):
        group_tasks(named(matrix), 4, method="exact")


def test_as_good_is_as_few_models_as_it_takes():
    assert list(group_tasks(named(np.ones((4, 4))))) == [["t0", "t1", "t2", "t3"]]
    assert list(group_tasks(named(-np.ones((3, 3))))) == [["t0"], ["t1"], ["t2"]]
    assert len(group_tasks(named(np.zeros((5, 5))))) == 1


def test_a_task_alone_scores_what_it_is_given():
    matrix = [[0, 0.2], [0.2, 0]]
    assert len(group_tasks(named(matrix))) == 1
    apart = group_tasks(named(matrix), alone={"t0": 0.5})
    assert list(apart) == [["t0"], ["t1"]] and apart.scores == {"t0": 0.5, "t1": 0.0}


def test_a_helper_serves_a_group_that_does_not_serve_it():
    """t2 helps both others and is harmed by them: it is alone, and trained with them too."""
    matrix = [[0, 0.1, -5], [0.1, 0, -5], [2, 2, 0]]
    found = group_tasks(named(matrix), overlap=True)
    assert found.helpers == [["t2"], ["t2"], []] and found.score == 4
    two = group_tasks(named(matrix), 2, overlap=True)
    assert list(two) == [["t0", "t1"], ["t2"]]
    assert two.helpers == [["t2"], []]
    assert two.scores == {"t0": pytest.approx(1.05), "t1": pytest.approx(1.05), "t2": 0.0}
    assert "Group 1 also trains t2." in str(two)


def test_groups_of_ones_own_are_scored(tmp_path):
    affinity = named([[9, 0.02, -0.01], [0.04, 9, -0.01], [-0.03, 0.01, 9]])
    made = Groups(affinity, [["t2"], ["t1", "t0"]], alone={"t2": 0.005})
    assert made.scores == {"t0": 0.04, "t1": 0.02, "t2": 0.005}
    assert list(made.scores) == affinity.task_names
    assert made.score == pytest.approx(0.065)
    told = json.loads(made.to_json(tmp_path / "groups.json").read_text())
    assert told["groups"] == [["t2"], ["t1", "t0"]] and told["score"] == made.score
    tree = xml.parse(made.draw(tmp_path / "deep" / "groups.svg")).getroot()
    frames = [r for r in tree.iter() if r.get("class") == "frame"]
    cells = {(r.get("x"), r.get("y")): r for r in tree.iter() if r.get("class") == "cell"}
    # t1 and t0 are the second and third of rows and columns: the frames lie on their two pairs.
    steps = sorted({int(x) for x, _ in cells})
    at = {(steps.index(int(r.get("x")) - 2)) for r in frames}
    assert len(cells) == 9 and len(frames) == 2 and at == {1, 2}
    assert "Group 2: t1, t0" in [node.text for node in tree.iter()]


def test_suggestions_take_an_affinity():
    found = suggest_groups(named([[0, 1, -1], [1, 0, -1], [-1, -1, 0]]), max_groups=2)
    assert list(found) == [["t0", "t1"], ["t2"]]
    with pytest.raises(TypeError, match="an Affinity needs none"):
        suggest_groups(named(np.eye(2)), np.zeros((3, 2)))
    with pytest.raises(TypeError, match="and no data"):
        suggest_groups(object())


def test_what_cannot_be_grouped_is_refused():
    affinity = named(np.eye(3))
    for groups in (0, 4):
        with pytest.raises(ValueError, match=rf"`groups` is {groups}; expected .* the 3 tasks"):
            group_tasks(affinity, groups)
    with pytest.raises(TypeError, match="`affinity` came as a ndarray"):
        group_tasks(np.eye(3))
    with pytest.raises(ValueError, match="`method` is 'best'"):
        group_tasks(affinity, method="best")
    with pytest.raises(ValueError, match="'t9'"):
        group_tasks(affinity, alone={"t9": 1.0})
    with pytest.raises(ValueError, match="not finite"):
        group_tasks(affinity, alone={"t0": float("nan")})
    with pytest.raises(ValueError, match="of 't0' onto 't1' is not known"):
        group_tasks(named([[0, np.nan], [1, 0]]))
    with pytest.raises(ValueError, match=r"leaves out \['t1'\]"):
        Groups(affinity, [["t0"], ["t2"]])
    with pytest.raises(ValueError, match=r"has \['t1'\] more than once"):
        Groups(affinity, [["t0", "t1"], ["t1", "t2"]])
    with pytest.raises(ValueError, match="'t7'"):
        Groups(affinity, [["t0", "t1"], ["t7", "t2"]])
    with pytest.raises(ValueError, match="1 groups without a task"):
        Groups(affinity, [["t0", "t1", "t2"], []])
    for helpers in ([["t1"]], [["t0"], []], [["t1", "t1"], []]):
        with pytest.raises(ValueError, match="`helpers` came as"):
            Groups(affinity, [["t0", "t2"], ["t1"]], helpers)
