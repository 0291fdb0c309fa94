"""MMD of scores between groups: the formula by hand, which rows take part, and what is refused."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import fairness, tasks
from keras_mtl._domains import telling
from keras_mtl.fairness import MMD

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def by_hand(x, y):
    """Gretton's unbiased estimate, in float64; the unit is the mean squared distance of any two rows."""
    both = np.concatenate([x, y]).astype("float64")
    squares = ((both[:, None] - both[None]) ** 2).sum(-1)
    pairs = ~np.eye(len(both), dtype=bool)
    kernel = np.mean([np.exp(-squares / (f * squares[pairs].mean())) for f in FACTORS], axis=0)
    n, one = len(x), np.arange(len(both)) < len(x)
    within = [kernel[np.ix_(s, s)][~np.eye(s.sum(), dtype=bool)].mean() for s in (one, ~one)]
    return sum(within) - 2 * kernel[:n, n:].mean()


@pytest.fixture
def batch():
    """Scores `(40, 1)`, their groups of three (-1 in the last four rows) and labels (-1 in two)."""
    rng = np.random.default_rng(0)
    groups = np.append(np.arange(36) % 3, [-1] * 4).astype("int32")
    labels = rng.integers(0, 2, 40).astype("int32")
    labels[[3, 8]] = -1
    scores = rng.normal(size=(40, 1)) + 0.7 * groups[:, None]
    return scores.astype("float32"), groups, labels


def connected(task=None, **options):
    made = MMD("sex", **{"groups": 3, "strength": 2.0, **options})
    made.connect(keras.Input((1,)), task or tasks.Binary("sold"))
    return made


def added(layer, scores, groups, labels=None, compiled=False):
    """The loss that a layer adds in training, and its gradient in the scores."""

    @tf.function(jit_compile=compiled)
    def run(scores, told):
        with tf.GradientTape() as tape, telling(told):
            tape.watch(scores)
            out = layer(scores, training=True)
            loss = tf.add_n([*layer.losses, 0 * tf.reduce_sum(out)])
        return loss, tape.gradient(loss, scores)

    told = {"sex": groups} if labels is None else {"sex": groups, "sold": labels}
    told = {name: tf.convert_to_tensor(value) for name, value in told.items()}
    loss, gradient = run(tf.convert_to_tensor(scores), told)
    return float(loss), gradient.numpy()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_mean_over_pairs_of_groups(batch, compiled):
    scores, groups, _ = batch
    pairs = itertools.combinations(range(3), 2)
    expected = np.mean([by_hand(scores[groups == a], scores[groups == b]) for a, b in pairs])
    loss, gradient = added(connected(), scores, groups, compiled=compiled)
    assert loss == pytest.approx(2.0 * expected, rel=1e-4)
    assert np.isfinite(gradient).all() and np.abs(gradient[groups >= 0]).min() > 0
    np.testing.assert_array_equal(gradient[groups < 0], 0)


@pytest.mark.parametrize(("criterion", "compared"), [("equalized_odds", (0, 1)),
                                                     ("equal_opportunity", (1,))])  # fmt: skip
def test_rows_of_the_same_label(batch, criterion, compared):
    scores, groups, labels = batch
    expected = np.mean(
        [
            by_hand(*(scores[(groups == g) & (labels == c)] for g in pair))
            for c in compared
            for pair in itertools.combinations(range(3), 2)
        ]
    )
    layer = connected(criterion=criterion)
    for of in (labels, np.where(labels < 0, np.nan, labels).astype("float32")[:, None]):
        loss, gradient = added(layer, scores, groups, of)
        assert loss == pytest.approx(2.0 * expected, rel=1e-4)
        apart = ~np.isin(labels, compared) | (groups < 0)
        np.testing.assert_array_equal(gradient[apart], 0)
        assert np.abs(gradient[~apart]).min() > 0
    assert added(layer, scores, groups) == (0.0, pytest.approx(0)), "no labels, no comparison"


def test_a_label_that_one_group_alone_has_is_left_out_of_the_mean(batch):
    scores, groups, labels = batch
    labels = np.where(groups == 0, 1, labels)
    kept = [(1, 0, 1), (1, 0, 2), (1, 1, 2), (0, 1, 2)]
    expected = np.mean(
        [by_hand(*(scores[(groups == g) & (labels == c)] for g in (a, b))) for c, a, b in kept]
    )
    loss, _ = added(connected(criterion="equalized_odds"), scores, groups, labels)
    assert loss == pytest.approx(2.0 * expected, rel=1e-4)


def test_more_than_eight_groups_are_each_compared_with_all_others_of_the_label():
    rng = np.random.default_rng(1)
    groups, labels = np.arange(54) % 9, np.arange(54) // 27
    scores = rng.normal(size=(54, 1)).astype("float32")
    expected = np.mean(
        [
            by_hand(
                scores[(labels == c) & (groups == g)], scores[(labels == c) & (groups != g)]
            )
            for c in (0, 1)
            for g in range(9)
        ]
    )  # fmt: skip
    layer = connected(groups=9, criterion="equalized_odds")
    assert added(layer, scores, groups, labels)[0] == pytest.approx(2 * expected, rel=1e-3)


def test_a_group_that_is_not_in_the_batch_adds_nothing(batch):
    scores, groups, _ = batch
    for there in (np.full(40, 1, "int32"), np.full(40, -1, "int32"), np.eye(40, dtype="int32")[0]):
        loss, gradient = added(connected(groups=2), scores, there)
        assert loss == 0 and not gradient.any()
    two = np.where(groups == 2, -1, groups)
    expected = by_hand(scores[groups == 0], scores[groups == 1])
    assert added(connected(), scores, two)[0] == pytest.approx(2.0 * expected, rel=1e-4)


def test_scores_that_shrink_about_their_mean_gain_nothing():
    """Of two groups that do not differ, on the whole: a biased estimate would draw them to a point."""
    rng = np.random.default_rng(2)
    layer, groups = connected(groups=2), (np.arange(24) % 2).astype("int32")

    @tf.function
    def towards(scores):
        """How much the loss has scores shrink about their mean."""
        with tf.GradientTape() as tape, telling({"sex": groups}):
            tape.watch(scores)
            layer(scores, training=True)
            (loss,) = layer.losses
        return tf.reduce_sum(scores * tape.gradient(loss, scores))

    found = [float(towards(tf.constant(rng.normal(size=(24, 1)), "float32"))) for _ in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(400)


def test_nothing_is_added_where_nobody_tells_groups_or_trains(batch):
    scores, groups, _ = batch
    made = connected()
    made(scores, training=True)
    assert not made.losses
    with telling({"sex": groups}):
        made(scores, training=False)
        assert not made.losses
        np.testing.assert_array_equal(made(scores, training=True), scores)
        assert len(made.losses) == 1
        half = made(tf.cast(scores, "float16"), training=True)
        assert half.dtype == tf.float16 and made.losses[0].dtype == tf.float32
        without = connected(strength=0.0)
        without(scores, training=True)
        assert not without.losses


def test_config_round_trip():
    made = connected(criterion="equalized_odds", task=tasks.MultiClass("level", 4))
    again = fairness.get(keras.saving.serialize_keras_object(made))
    assert again.get_config() == made.get_config() and (again.task, again.classes) == ("level", 4)
    assert fairness.names() == ["mmd"] and fairness.get(made) is made


def test_wrong_arguments_are_named():
    for options, message in (
        ({"sensitive": ""}, "`sensitive` of fairness.MMD is ''"),
        ({"sensitive": ["sex"]}, "`sensitive` of fairness.MMD"),
        ({"groups": 1}, "`groups` of fairness.MMD is 1; expected how many groups 'sex' has"),
        ({"groups": True}, "`groups`"),
        ({"groups": 2.5}, "`groups`"),
        ({"strength": -1.0}, "`strength` of fairness.MMD is -1.0"),
        ({"strength": float("nan")}, "`strength`"),
        ({"criterion": "parity"}, "`criterion` of fairness.MMD is 'parity'; expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            MMD(**{"sensitive": "sex", **options})
    with pytest.raises(ValueError, match=r"such as keras_mtl.fairness.MMD\('sex', groups=2\)"):
        fairness.get("mmd")


def test_tasks_that_a_criterion_does_not_go_with_are_refused():
    for task, criterion, message in (
        (tasks.Regression("pay"), "equalized_odds", "'pay' has not one class a row"),
        (tasks.MultiLabel("tags", 2), "equalized_odds", "'tags' has not one class a row"),
        (tasks.MultiLabel("tags", 2), "equal_opportunity", "'tags' does not have two classes"),
        (tasks.MultiClass("level", 3), "equal_opportunity", "'level' does not have two classes"),
        (tasks.SequenceTagging("slots", ["O", "B-x"]), "demographic_parity", "every position"),
    ):
        with pytest.raises(ValueError, match=message):
            MMD("sex", criterion=criterion).connect(keras.Input((2,)), task)
    made = connected()
    with pytest.raises(ValueError, match="is of task 'sold' and cannot also be of 'bought'"):
        made.connect(keras.Input((1,)), tasks.Binary("bought"))
