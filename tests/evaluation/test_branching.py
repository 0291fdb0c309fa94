"""Trees of tasks: the best of all, good ones past that, and what they are made from."""

import itertools
import json
import xml.etree.ElementTree as xml

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

import keras_mtl
from keras_mtl import encoders, sharing, tasks
from keras_mtl.data import Examples
from keras_mtl.evaluation import Affinity, Branches, branch_tasks, cka, suggest_branches
from keras_mtl.evaluation._trees import coarsenings, partitions

NAMES = ["a", "b", "c"]
TOGETHER, APART = [["a", "b", "c"]], [["a", "b"], ["c"]]
NEAR = Affinity([[1, 0.9, 0.5], [0.9, 1, 0.5], [0.5, 0.5, 1]], NAMES, "rsa")
FAR = Affinity([[1, 0.8, 0.0], [0.8, 1, 0.0], [0.0, 0.0, 1]], NAMES, "rsa")
LAYERS = {"first": NEAR, "second": FAR}


def drawn(rng, depth, k):
    """Affinities of k tasks in each layer, not alike both ways."""
    names = [f"t{i}" for i in range(k)]
    return {f"l{d}": Affinity(rng.uniform(-1, 1, size=(k, k)), names) for d in range(depth)}


def groupings(items):
    """Every way to part items into groups."""
    if not items:
        yield []
        return
    for smaller in groupings(items[1:]):
        yield [[items[0]], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [items[0], *group], *smaller[i + 1 :]]


def cost_by_hand(affinity, groups, within):
    total = [
        [
            1 - (affinity[one, other] + affinity[other, one]) / 2
            for one, other in itertools.combinations(group, 2)
        ]
        for group in groups
    ]
    if within == "sum":
        return sum(map(sum, total))
    return sum(max(group, default=0.0) for group in total) / len(groups)


def is_tree(groups):
    return all(
        any(set(group) <= set(other) for other in before)
        for before, after in itertools.pairwise(groups)
        for group in after
    )


def best_by_hand(affinities, nodes, weights, within):
    """Every tree there is, one by one."""
    names = next(iter(affinities.values())).task_names
    costs = [
        [(weight * cost_by_hand(affinity, p, within), p) for p in groupings(names)]
        for weight, affinity in zip(weights, affinities.values(), strict=True)
    ]
    return min(
        sum(cost for cost, _ in tree)
        for tree in itertools.product(*costs)
        if sum(len(p) for _, p in tree) <= nodes and is_tree([p for _, p in tree])
    )


@pytest.mark.parametrize("within", ["sum", "max"])
def test_exact_is_the_best_of_all_trees(rng, within):
    for weights in ([1, 1, 1], [0.5, 2, 1]):
        affinities = drawn(rng, 3, 4)
        for nodes in (3, 5, 6, 8, 12):
            found = branch_tasks(affinities, nodes, weights=weights, within=within, method="exact")
            expected = best_by_hand(affinities, nodes, weights, within)
            assert found.cost == pytest.approx(expected)
            assert found.nodes <= nodes and is_tree(found.groups)
            for partition in found.groups:
                assert sorted(itertools.chain(*partition)) == ["t0", "t1", "t2", "t3"]
            by_beam = branch_tasks(
                affinities, nodes, weights=weights, within=within, method="beam", beam=100
            )
            assert by_beam.cost == pytest.approx(expected)


def test_how_many_trees_the_tests_and_the_search_look_at():
    """Bell's numbers, and the partitions of partitions: A000110 and A000258 of the OEIS."""
    assert [len(list(groupings(list(range(n))))) for n in (3, 4, 5)] == [5, 15, 52]
    for n, pairs in ((3, 12), (4, 60), (5, 358)):
        assert sum(len(list(coarsenings(p))) for p in partitions(n)) == pairs
    found = branch_tasks(drawn(np.random.default_rng(0), 4, 5), 8)
    assert found.made_by == "the best of all trees, 1,432 steps looked at"


@pytest.mark.parametrize("within", ["sum", "max"])
def test_the_beam_loses_little(rng, within):
    """Within a twentieth of the best over 20 draws, and never better."""
    ratios = []
    for nodes in (8, 10, 12, 15) * 5:
        affinities = drawn(rng, 4, 6)
        best = branch_tasks(affinities, nodes, within=within, method="exact")
        found = branch_tasks(affinities, nodes, within=within, method="beam")
        assert found.cost >= best.cost - 1e-9 and found.nodes <= nodes and is_tree(found.groups)
        ratios.append(found.cost / best.cost)
    assert np.mean(ratios) < 1.05


def test_past_eight_tasks_families_are_found_by_the_beam(rng):
    """Twelve tasks: two families that part in the middle, each into two that part at the end."""
    k = 12
    halves, quarters = np.arange(k) // 6, np.arange(k) // 3
    names = [f"t{i}" for i in range(k)]
    layers = {}
    for layer, labels in (("low", np.zeros(k)), ("middle", halves), ("high", quarters)):
        same = labels[:, None] == labels[None]
        noise = rng.uniform(0, 0.05, (k, k))
        layers[layer] = Affinity(np.where(same, 1 - noise, noise), names)
    found = branch_tasks(layers, 7)
    parts = [[names], [names[:6], names[6:]], [names[i : i + 3] for i in (0, 3, 6, 9)]]
    assert found.groups == parts and "beam search" in str(found)
    with pytest.raises(ValueError, match="there are 12 tasks; expected 8 at the most"):
        branch_tasks(layers, 7, method="exact")


def test_as_good_is_as_few_nodes_as_it_takes():
    alike = Affinity(np.ones((3, 3)), NAMES)
    for method in ("exact", "beam"):
        found = branch_tasks({"first": alike, "second": alike}, 6, method=method)
        assert found.groups == [TOGETHER, TOGETHER]
        found = branch_tasks({"first": alike, "second": FAR}, 6, method=method)
        assert found.groups == [TOGETHER, [["a"], ["b"], ["c"]]] and found.nodes == 4
    assert branch_tasks(LAYERS, 100).cost == 0


def test_a_layer_that_weighs_nothing_is_shared():
    """Four nodes for two layers: the unlike pair parts where it counts."""
    assert branch_tasks(LAYERS, 4, weights=[1, 0.1]).groups == [APART, APART]
    assert branch_tasks(LAYERS, 4, weights=[0.1, 1]).groups == [TOGETHER, [["a"], ["b"], ["c"]]]


def test_the_greatest_cost_favours_single_tasks_and_the_sum_does_not():
    """Four tasks, all as unlike as 0.5: two pairs share 1.0 in sum, three tasks and one 1.5; the
    greatest is 0.5 in each pair, and in the mean of the three's and none's 0.25."""
    layer = {"only": Affinity(np.full((4, 4), 0.5), ["a", "b", "c", "d"])}
    for method in ("exact", "beam"):
        by_sum = branch_tasks(layer, 2, method=method)
        assert sorted(map(len, by_sum.groups[0])) == [2, 2] and by_sum.cost == 1.0
        greatest = branch_tasks(layer, 2, within="max", method=method)
        assert sorted(map(len, greatest.groups[0])) == [1, 3] and greatest.cost == 0.25


def test_groups_of_ones_own_are_told_written_and_drawn(tmp_path):
    made = Branches(
        LAYERS, [[["c", "a", "b"]], [["c"], ["b", "a"]]], weights=[1, 2], made_by="hand"
    )
    assert made.costs == pytest.approx({"first": 0.1 + 0.5 + 0.5, "second": 0.2})
    assert made.cost == pytest.approx(1.5) and made.nodes == 3 and len(made) == 2
    assert "3 nodes, dissimilarity 1.50 as layers are weighed; hand." in str(made)
    told = json.loads(made.to_json(tmp_path / "b.json").read_text())
    assert told["groups"] == made.groups and told["cost"] == made.cost
    assert told["affinities"]["first"] == NEAR.to_dict()
    root = xml.parse(made.draw(tmp_path / "deep" / "b.svg")).getroot()
    boxes = [[int(r.get(k)) for k in ("x", "y", "width", "height")] for r in root.iter()
             if r.get("class") == "node"]  # fmt: skip
    words = [t.text for t in root.iter() if t.tag.endswith("text")]
    assert {"c, a, b", "c", "a, b", "first", "second"} - {"a, b"} <= set(words)
    assert any(set(word.split(", ")) == {"a", "b"} for word in words)
    (top, *below), lines = boxes, [r for r in root.iter() if r.tag.endswith("line")]
    assert len(below) == len(lines) == 2
    for x, y, width, _ in below:
        assert top[0] <= x and x + width <= top[0] + top[2] and y >= top[1] + top[3]
        # A line comes down from the middle of the box above to the middle of this one.
        ends = [[int(line.get(k)) for k in ("x1", "y1", "x2", "y2")] for line in lines]
        assert [top[0] + top[2] // 2, top[1] + top[3], x + width // 2, y] in ends
    assert below[0][0] + below[0][2] <= below[1][0]


@pytest.fixture
def layers(rng):
    """What two layers of three models make of the same rows; b's second is a's, turned."""
    first = {name: rng.normal(size=(12, 4)) for name in NAMES}
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    a = rng.normal(size=(12, 3))
    return {"first": first, "second": {"a": a, "b": a @ turn, "c": rng.normal(size=(12, 3))}}


def test_representations_are_compared_layer_by_layer(layers):
    found = suggest_branches(layers, nodes=4)
    upper = np.triu_indices(12, 1)
    for layer, of_layer in layers.items():
        ranked = {n: (1 - np.corrcoef(rows))[upper] for n, rows in of_layer.items()}
        for one, other in itertools.combinations(NAMES, 2):
            expected = spearmanr(ranked[one], ranked[other]).statistic
            assert found.affinities[layer][one, other] == pytest.approx(expected)
    by_cka = suggest_branches(layers, nodes=3, measure=cka)
    assert by_cka.affinities["second"]["a", "b"] == pytest.approx(1.0)
    assert by_cka.groups == [TOGETHER, APART]
    again = suggest_branches(by_cka.affinities, nodes=3)
    assert again.groups == by_cka.groups and again.cost == by_cka.cost


def single(rng, name):
    """A model of one task with two layers of its own."""
    inputs = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(5, "tanh", name="low")(inputs)
    hidden = keras.layers.Dense(3, "tanh", name="high")(hidden)
    model = keras_mtl.MultiTaskModel(inputs, {name: keras.layers.Dense(1, name=name)(hidden)})
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_models_are_compared_on_what_their_layers_make(rng):
    models = {name: single(rng, name) for name in NAMES}
    models["b"].set_weights(models["a"].get_weights())
    x = rng.normal(size=(40, 4)).astype("float32")
    by_hand = {"low": {}, "high": {}}
    for name, model in models.items():
        kernel, bias, kernel_2, bias_2 = map(np.asarray, model.get_weights()[:4])
        by_hand["low"][name] = np.tanh(x[:20] @ kernel + bias)
        by_hand["high"][name] = np.tanh(by_hand["low"][name] @ kernel_2 + bias_2)
    expected = suggest_branches(by_hand, nodes=3)
    found = suggest_branches(models, x, ["low", "high"], nodes=3, rows=20)
    assert found.groups == expected.groups == [TOGETHER, APART]
    for layer in by_hand:
        np.testing.assert_allclose(
            found.affinities[layer].matrix, expected.affinities[layer].matrix, atol=1e-4
        )
    rows = Examples({"features": x}, {"a": x[:, 0]})
    for data in ({"features": x}, rows, rows.dataset(batch_size=8)):
        same = suggest_branches(models, data, ["low", "high"], nodes=3, rows=20)
        for layer in by_hand:
            np.testing.assert_allclose(
                same.affinities[layer].matrix, found.affinities[layer].matrix, atol=1e-6
            )
    one = suggest_branches(models, x, ["high"], nodes=2, weights=[3.0])
    assert one.groups == [APART] and list(one.affinities) == ["high"]


def test_models_of_the_builder_are_compared_and_the_tree_is_built(rng):
    x = rng.normal(size=(30, 4)).astype("float32")
    models = {
        name: keras_mtl.build_model(encoders.Dense(4, units=[6]), [tasks.Regression(name)])
        for name in NAMES
    }
    encoder = next(layer.name for layer in models["a"].layers if layer.weights)
    found = suggest_branches(models, x, [encoder], nodes=2, measure=cka)
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[6]),
        [tasks.Regression(name) for name in NAMES],
        sharing=sharing.Branched(found, units=[5]),
    )
    (scheme,) = (layer for layer in model.layers if isinstance(layer, sharing.Branched))
    assert scheme.tree() == found.groups and found.nodes == 2
    assert len(scheme.levels[0].towers) == 2


def test_what_cannot_be_branched_is_refused(layers, rng):
    for nodes in (1, 2.5):
        with pytest.raises(ValueError, match=rf"`nodes` is {nodes}; expected .* at least 2"):
            branch_tasks(LAYERS, nodes)
    with pytest.raises(ValueError, match="`within` is 'mean'"):
        branch_tasks(LAYERS, 3, within="mean")
    with pytest.raises(ValueError, match="`method` is 'greedy'"):
        branch_tasks(LAYERS, 3, method="greedy")
    with pytest.raises(ValueError, match="`beam` is 0"):
        branch_tasks(LAYERS, 3, beam=0)
    for weights in ([1], [1, -1], [1, float("nan")]):
        with pytest.raises(ValueError, match="expected 2 numbers, one a layer"):
            branch_tasks(LAYERS, 3, weights=weights)
    with pytest.raises(TypeError, match=r"expected \{layer: Affinity\}"):
        branch_tasks([NEAR, FAR], 3)
    with pytest.raises(TypeError, match="`affinity` came as a ndarray"):
        branch_tasks({"first": np.eye(3)}, 3)
    with pytest.raises(ValueError, match="of 'a' onto 'b' is not known"):
        branch_tasks({"first": Affinity([[1, np.nan], [0, 1]], ["a", "b"])}, 2)
    with pytest.raises(ValueError, match="`affinities` of layer 'second' are of the tasks"):
        branch_tasks({"first": NEAR, "second": Affinity(np.eye(3), ["a", "c", "b"])}, 2)
    for groups, words in (
        ([TOGETHER], "has 1 partitions, but there are 2 layers"),
        ([APART, TOGETHER], "expected tasks that have parted to stay apart"),
        ([APART, [["a"], ["b", "c"]]], "expected tasks that have parted to stay apart"),
        ([TOGETHER, [["a", "b"]]], "expected each of the tasks"),
        ([TOGETHER, [["a", "b"], ["b", "c"]]], "expected each of the tasks"),
        ([TOGETHER, [["a", "b", "c"], []]], "expected each of the tasks"),
        ([TOGETHER, [["a", "b", "z"]]], "`groups` names task 'z'"),
    ):
        with pytest.raises(ValueError, match=words):
            Branches(LAYERS, groups)
    models = {name: single(rng, name) for name in NAMES}
    x = np.zeros((5, 4), "float32")
    with pytest.raises(ValueError, match=r"`layers` names 'hihg', .* did you mean 'high'\?"):
        suggest_branches(models, x, ["low", "hihg"], nodes=3)
    for arguments in ((models,), (models, x), (layers, x, ["low"]), (LAYERS, x)):
        with pytest.raises(TypeError, match="models need data and the names of layers"):
            suggest_branches(*arguments, nodes=3)
    for source in (NEAR, {}, {"first": NEAR, "second": layers["second"]}, {"first": 3}):
        with pytest.raises(TypeError, match="`source` of `suggest_branches` must be"):
            suggest_branches(source, nodes=3)
