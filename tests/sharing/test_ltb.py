"""LTB: how nodes are drawn, what it is at both ends of the temperature, and the tree it finds."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_mtl.sharing.branched import Branched
from keras_mtl.sharing.ltb import LTB, gumbel_noise, gumbel_softmax
from tests.sharing._scheme_checks import (
    NAMES,
    check_mask,
    check_training,
    connected,
    relu,
)


def nodes(scheme, layer, x, apart):
    """What each node of a layer makes, in NumPy: of one input, or of one each."""
    kernel, bias = (np.asarray(v) for v in scheme.levels[layer].weights)
    inputs = x if apart else [x] * len(kernel)
    return [relu(h @ k + b) for h, k, b in zip(inputs, kernel, bias, strict=True)]


def logits_of(scheme):
    return [*scheme.choices, *scheme.last]


def sharpen(scheme, rng, by=1.0):
    """Gives the scheme choices that differ by `by` or more."""
    for logits in logits_of(scheme):
        order = [rng.permutation(logits.shape[1]) for _ in range(logits.shape[0])]
        logits.assign(by * np.array(order, "float32"))


def branched_like(scheme, x):
    """The `Branched` of a scheme's tree, with its weights."""
    found = Branched(scheme.tree(), scheme.units, scheme.activation)
    connected(found, x, list(scheme.task_names))
    read = {n: int(np.argmax(v)) for n, v in zip(scheme.task_names, scheme.last, strict=True)}
    for layer in reversed(range(len(scheme.units))):
        kernel, bias = (np.asarray(v) for v in scheme.levels[layer].weights)
        for tower, group in zip(found.levels[layer].towers, found.groups[layer], strict=True):
            tower.set_weights([kernel[read[group[0]]], bias[read[group[0]]]])
        if layer > 0:
            parents = np.argmax(scheme.choices[layer - 1], axis=-1)
            read = {name: int(parents[node]) for name, node in read.items()}
    return found


def drawn_shares(n=3, names=NAMES, **arguments):
    """A scheme whose tasks' features are the shares d themselves: its nodes make unit vectors."""
    x = np.zeros((1, 2), "float32")
    scheme = LTB([n], "linear", branches=n, **arguments)
    connected(scheme, x, names)
    scheme.levels[0].set_weights([np.zeros((n, 2, n)), np.eye(n)])
    return scheme, lambda: {n: np.asarray(v)[0] for n, v in scheme(x, training=True).items()}


def test_the_noise_is_gumbels():
    noise = np.asarray(gumbel_noise((20000,), keras.random.SeedGenerator(1)))
    assert stats.kstest(noise, "gumbel_r").pvalue > 0.01


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_a_node_is_drawn_as_often_as_its_softmax_says(temperature):
    likely = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.log(likely).astype("float32")
    noise = gumbel_noise((20000, 4), keras.random.SeedGenerator(2))
    drawn = np.asarray(gumbel_softmax(logits, noise, temperature))
    np.testing.assert_allclose(drawn.sum(-1), 1, rtol=1e-5)
    counts = np.bincount(drawn.argmax(-1), minlength=4)
    assert stats.chisquare(counts, 20000 * likely).pvalue > 0.01


def test_a_draw_by_hand():
    logits, noise = np.log([[1.0, 3.0]]).astype("float32"), np.zeros((1, 2), "float32")
    np.testing.assert_allclose(gumbel_softmax(logits, noise, 1.0), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(gumbel_softmax(logits, noise, 0.5), [[0.1, 0.9]], rtol=1e-5)
    np.testing.assert_array_equal(gumbel_softmax(logits, noise, 1e-4), [[0.0, 1.0]])


@pytest.mark.parametrize("branches", [None, 2, [1, 2, 4]])
def test_what_is_served_is_the_tree_it_names(branches, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = LTB([5, 4, 2], branches=branches)
    connected(scheme, x)
    for _ in range(5):
        sharpen(scheme, rng)
        served, expected = connected(scheme, x), connected(branched_like(scheme, x), x)
        for name in NAMES:
            np.testing.assert_allclose(served[name], expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("straight_through", [False, True])
def test_training_nears_the_tree_as_the_temperature_nears_0(straight_through, rng):
    """Where the logits leave no doubt: the noise of a draw is seldom above 20."""
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = LTB([5, 2], temperature=1e-3, straight_through=straight_through)
    connected(scheme, x)
    sharpen(scheme, rng, by=100.0)
    expected = connected(branched_like(scheme, x), x)
    for name, out in scheme(x, training=True).items():
        np.testing.assert_allclose(out, expected[name], rtol=1e-4, atol=1e-6)


def test_training_is_the_mean_of_all_nodes_as_the_temperature_is_great(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = LTB([5, 2], branches=[2, 4], temperature=1e7)
    connected(scheme, x)
    sharpen(scheme, rng)
    mean = np.mean(nodes(scheme, 0, x, apart=False), axis=0)
    expected = np.mean(nodes(scheme, 1, [mean] * 4, apart=True), axis=0)
    for out in scheme(x, training=True).values():
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


def test_straight_through_reads_one_path_and_learns_all_the_same(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = LTB([5, 4], branches=2, activation="tanh", straight_through=True)
    connected(scheme, x)
    first = [
        np.tanh(x @ k + b) for k, b in zip(*map(np.asarray, scheme.levels[0].weights), strict=True)
    ]
    kernel, bias = (np.asarray(v) for v in scheme.levels[1].weights)
    paths = [
        np.tanh(h @ k + b) for h, (k, b) in itertools.product(first, zip(kernel, bias, strict=True))
    ]
    with tf.GradientTape() as tape:
        out = scheme(x, training=True)
        loss = tf.add_n([tf.reduce_sum(v) for v in out.values()])
    compiled = tf.function(lambda: scheme(x, training=True), jit_compile=True)()
    for features in [*out.values(), *compiled.values()]:
        assert any(np.allclose(features, path, rtol=1e-4, atol=1e-6) for path in paths)
    for gradient in tape.gradient(loss, [v.value for v in logits_of(scheme)]):
        assert np.abs(gradient).max() > 0


def test_straight_through_has_the_gradient_of_the_relaxed_draw():
    """With features that are the shares, of (1, 2, 4) times them: d_i (v_i - d v) / temperature."""
    values = np.array([1.0, 2.0, 4.0], "float32")
    found = {}
    for straight_through in (False, True):
        keras.utils.set_random_seed(3)
        scheme, _ = drawn_shares(temperature=2.0, straight_through=straight_through)
        state = [np.asarray(seed.state) for seed in scheme.seeds]
        with tf.GradientTape() as tape:
            out = scheme(np.zeros((1, 2), "float32"), training=True)["a"]
            loss = tf.reduce_sum(out * values)
        found[straight_through] = (np.asarray(out)[0], tape.gradient(loss, scheme.last[0].value)[0])
    assert all(
        (np.asarray(s.state) != before).any() for s, before in zip(scheme.seeds, state, strict=True)
    )
    relaxed, gradient = found[False]
    np.testing.assert_allclose(
        gradient, relaxed * (values - relaxed @ values) / 2, rtol=1e-4, atol=1e-6
    )
    hard, same = found[True]
    np.testing.assert_array_equal(hard, np.eye(3)[relaxed.argmax()])
    np.testing.assert_allclose(same, gradient, rtol=1e-4, atol=1e-6)


def test_every_choice_and_every_batch_is_drawn_anew():
    _, draw = drawn_shares()
    draws = [shares for _ in range(3) for shares in draw().values()]
    np.testing.assert_allclose([d.sum() for d in draws], 1, rtol=1e-5)
    for one, other in itertools.combinations(draws, 2):
        assert np.abs(one - other).max() > 1e-4


def test_the_temperature_falls_with_the_root_of_the_steps():
    """Of the same noise, how far apart the logarithms of the shares are: 1 over the temperature."""
    scheme, draw = drawn_shares(temperature=6.0)
    states = [np.asarray(seed.state) for seed in scheme.seeds]
    spread = {}
    for step in (0, 3, 8):
        scheme.steps.assign(step)
        for seed, state in zip(scheme.seeds, states, strict=True):
            seed.state.assign(state)
        spread[step] = np.ptp(np.log(draw()["a"]))
        assert int(scheme.steps) == step + 1
    assert spread[3] == pytest.approx(2 * spread[0], rel=1e-3)
    assert spread[8] == pytest.approx(3 * spread[0], rel=1e-3)
    scheme(np.zeros((1, 2), "float32"))
    assert int(scheme.steps) == 9


def test_a_schedule_is_followed_down_to_0():
    falling = keras.optimizers.schedules.PolynomialDecay(1e7, decay_steps=2, end_learning_rate=0.0)
    scheme, draw = drawn_shares(temperature=falling)
    np.testing.assert_allclose(draw()["a"], 1 / 3, rtol=1e-5)
    draw()
    np.testing.assert_array_equal(np.sort(draw()["a"]), [0.0, 0.0, 1.0])
    again = LTB.from_config(scheme.get_config())
    assert float(again.temperature(1)) == 5e6


def test_the_tree_by_hand():
    scheme = LTB([2, 2, 2], branches=[2, 3, 3])
    connected(scheme, np.zeros((1, 2), "float32"), ["a", "b", "c", "d"])
    scheme.choices[0].assign([[0, 1], [1, 0], [0, 1]])  # Nodes 0 and 2 read node 1.
    scheme.choices[1].assign([[1, 0, 0], [0, 0, 1], [0, 1, 0]])  # 0, 2 and 1.
    for logits, node in zip(scheme.last, [1, 0, 1, 2], strict=True):
        logits.assign(np.eye(3)[[node]])
    # Middle layer: a and c read 2, b reads 0, d reads 1; in the first a, b and c read 1, d reads 0.
    apart = [["a", "c"], ["b"], ["d"]]
    assert scheme.tree() == [[["a", "b", "c"], ["d"]], apart, apart]


def test_any_choices_make_a_tree(rng):
    scheme = LTB([2, 2, 2], branches=3)
    names = ["a", "b", "c", "d", "e"]
    connected(scheme, np.zeros((1, 2), "float32"), names)
    seen = set()
    for _ in range(50):
        sharpen(scheme, rng)
        tree = scheme.tree()
        Branched(tree, units=[2, 2, 2])  # Which refuses what is no tree.
        assert all(sorted(itertools.chain(*partition)) == names for partition in tree)
        seen.add(str(tree))
    assert len(seen) > 20


def test_a_task_reaches_its_own_choice_and_all_nodes(rng):
    x = rng.normal(size=(8, 3)).astype("float32")
    scheme = LTB([5, 4], activation="tanh")
    connected(scheme, x)
    for i, name in enumerate(NAMES):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(scheme(x, training=True)[name])
        gradients = tape.gradient(loss, [v.value for v in scheme.trainable_variables])
        reached = [
            v.name
            for v, g in zip(scheme.trainable_variables, gradients, strict=True)
            if g is not None and np.abs(g).max() > 0
        ]
        others = {v.name for j, v in enumerate(scheme.last) if j != i}
        assert set(reached) == {v.name for v in scheme.trainable_variables} - others


def test_choices_are_made_in_single_precision():
    """8 and 8.001 are one number in half precision."""
    scheme = LTB([2], "linear", branches=2, dtype="mixed_float16")
    x = np.zeros((1, 2), "float32")
    assert connected(scheme, x, ["a"])["a"].dtype == "float16"
    scheme.levels[0].set_weights([np.zeros((2, 2, 2)), np.eye(2)])
    scheme.last[0].assign([[8.0, 8.001]])
    np.testing.assert_array_equal(connected(scheme, x, ["a"])["a"], [[0.0, 1.0]])
    assert scheme.tree() == [[["a"]]] and scheme.last[0].dtype == "float32"


def test_it_trains_compiled_and_goes_on_from_the_disk(tmp_path, rng):
    model, loaded = check_training(
        lambda: LTB([5, 4], branches=[2, 3]), tmp_path / "m.keras", rng, "mixed_float16"
    )
    x = rng.normal(size=(4, 4)).astype("float32")
    one, other = model(x, training=True), loaded(x, training=True)
    for task in one:
        np.testing.assert_array_equal(one[task], other[task])
    before, after = (
        next(layer for layer in m.layers if isinstance(layer, LTB)) for m in (model, loaded)
    )
    assert int(before.steps) == int(after.steps) == 7
    assert before.tree() == after.tree()


def test_two_tasks_that_are_equal_share_and_a_third_parts():
    """a and b are one task of two numbers, c two others: more than a layer of two units can hold."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300 * 32, 6)).astype("float32")
    same, other = x @ rng.normal(size=(6, 2)), x @ rng.normal(size=(6, 2))
    inputs = keras.Input((6,))
    scheme = LTB([2, 2], "linear", branches=2)
    model = keras.Model(inputs, scheme.connect(inputs, NAMES))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    labels = {"a": same, "b": same, "c": other}
    model.fit(x, labels, batch_size=32, verbose=0)
    assert scheme.tree() == [[["a", "b"], ["c"]]] * 2
    error = np.mean([np.square(scheme(x)[n] - y).mean() for n, y in labels.items()])
    assert error < 0.2 * np.var([same, other])


def test_positions_and_masks(rng):
    for shape in ((2, 5, 3), (2, 4, 6, 3)):
        scheme = LTB([5, 4])
        x = rng.normal(size=shape).astype("float32")
        connected(scheme, x)
        sharpen(scheme, rng)
        out = connected(scheme, x)
        one_by_one = scheme(x.reshape(-1, *[1] * (len(shape) - 2), 3))
        assert scheme.compute_output_shape((None, *shape[1:]))["a"] == (None, *shape[1:-1], 4)
        for name in NAMES:
            expected = np.reshape(one_by_one[name], (*shape[:-1], 4))
            np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-6)
    check_mask(LTB)


def test_a_draw_is_of_a_whole_batch(rng):
    """Rows that are equal come out equal, and padding with the rest."""
    scheme = LTB([5, 4], temperature=0.1)
    x = np.tile(rng.normal(size=3).astype("float32"), (4, 5, 1))
    connected(scheme, x)
    for out in scheme(x, training=True).values():
        np.testing.assert_allclose(out, np.broadcast_to(out[:1, :1], out.shape), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"branches": 0}, "`branches` of sharing.LTB is 0"),
        ({"branches": [2, 2, 2]}, r"is \[2, 2, 2\], but `units` gives 2 layers"),
        ({"temperature": 0.0}, "positive number"),
        ({"temperature": float("inf")}, "positive number"),
        ({"temperature": "low"}, "positive number"),
        ({"units": [0]}, "at least 1"),
    ],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        LTB(**arguments)


def test_there_is_no_tree_before_there_are_tasks():
    with pytest.raises(ValueError, match=r"`tree` of a sharing\.LTB was called before"):
        LTB().tree()
