"""Shared-private: what each task reads, what is kept apart, and what the adversary unlearns."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

import keras_mtl
from keras_mtl import alignment, encoders, tasks
from keras_mtl._domains import telling
from keras_mtl.sharing.shared_private import SharedPrivate, overlap
from tests.sharing._scheme_checks import (
    NAMES,
    affine,
    check_mask,
    check_positions,
    check_training,
    connected,
    relu,
    separate,
)


def directions(x):
    away = x - x.mean(0)
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def test_the_overlap_is_that_of_numpy_and_leaves_rows_out(rng):
    s, p = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    expected = np.square(directions(s).T @ directions(p)).sum() / 81
    there = np.array([1.0, 1, 1, 1, 1, 1, 0, 1, 0])
    kept = there > 0
    fewer = np.square(directions(s[kept]).T @ directions(p[kept])).sum() / 49
    s, p = s.astype("float32"), p.astype("float32")
    assert float(overlap(s, p)) == pytest.approx(expected, rel=1e-5)
    # Neither their scale nor where they lie counts.
    assert float(overlap(1e-3 * s + 7, 1e3 * p)) == pytest.approx(expected, rel=1e-3)
    assert float(overlap(s, p, there.astype("float32"))) == pytest.approx(fewer, rel=1e-5)


def test_the_overlap_is_1_for_one_direction_and_0_for_unrelated_ones():
    line = np.array([[-2.0], [-1.0], [1.0], [2.0]], "float32")
    assert float(overlap(line, -3 * line)) == pytest.approx(1)
    other = np.array([[1.0], [-1.0], [-1.0], [1.0]], "float32")
    assert float(overlap(line, other)) == pytest.approx(0, abs=1e-6)
    # All rows at the mean: nothing is told, and no gradient is NaN.
    same = tf.ones((4, 2))
    with tf.GradientTape() as tape:
        tape.watch(same)
        value = overlap(same, tf.constant(line))
    assert float(value) == 0 and not tape.gradient(value, same).numpy().any()


def test_a_task_reads_the_shared_tower_and_its_own(rng):
    x = rng.normal(size=(5, 3)).astype("float32")
    scheme = SharedPrivate(units=[6, 4])
    out = connected(scheme, x)
    common = x
    for level in scheme.shared:
        common = relu(affine(common, level.towers[0]))
    for name, own in separate(scheme, x).items():
        expected = np.concatenate([common, own], axis=1)
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-6)


def test_without_private_towers_it_is_hard_sharing_after_one_layer(rng):
    x = rng.normal(size=(5, 3)).astype("float32")
    scheme = SharedPrivate(units=[4])
    connected(scheme, x)
    for tower in scheme.levels[0].towers:
        tower.kernel.assign(np.zeros((3, 4)))
    out = connected(scheme, x)
    hidden = relu(affine(x, scheme.shared[0].towers[0]))
    for name in NAMES:
        np.testing.assert_allclose(out[name][:, :4], hidden, rtol=1e-5, atol=1e-6)
        assert not out[name][:, 4:].any()


def test_its_losses_reach_what_they_should(rng):
    """The adversary moves the shared tower alone; orthogonality moves private ones too."""
    x = rng.normal(size=(12, 3)).astype("float32")
    adversary = alignment.Adversarial(domains=2, units=(5,), steps=0)
    scheme = SharedPrivate(units=[4], orthogonality=0.0, alignment={"source": adversary})
    connected(scheme, x)
    private = [v for level in scheme.levels for v in level.trainable_variables]
    shared = [v for level in scheme.shared for v in level.trainable_variables]

    def gradients():
        with telling({"source": np.arange(12) % 2}), tf.GradientTape() as tape:
            scheme(x, training=True)
            (loss,) = scheme.losses
        return tape.gradient(loss, [[v.value for v in part] for part in (shared, private)])

    moved, still = gradients()
    assert all(np.any(g) for g in moved) and all(g is None for g in still)
    scheme = SharedPrivate(units=[4], orthogonality=2.0)
    connected(scheme, x)
    private = [level.towers[0].kernel for level in scheme.levels]
    shared = [v for level in scheme.shared for v in level.trainable_variables]
    for part in gradients():
        assert all(np.any(g) for g in part)
    parts = [np.asarray(v) for v in connected(scheme, x).values()]
    expected = 2 * sum(float(overlap(v[:, :4], v[:, 4:])) for v in parts)
    scheme(x, training=True)
    assert float(scheme.losses[0]) == pytest.approx(expected, rel=1e-4)
    scheme(x, training=False)
    assert not scheme.losses


def test_padding_has_no_part_in_the_overlap(rng):
    x = rng.normal(size=(3, 4, 5)).astype("float32")
    there = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool)
    scheme = SharedPrivate(units=[4], orthogonality=1.0)
    connected(scheme, x)
    losses = []
    for padding in (0.0, 9.0):
        scheme(np.where(there[..., None], x, padding), training=True, mask=there)
        losses.append(float(scheme.losses[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] > 0


def data_of_two_sources(rng, n=600):
    """What two tasks have in common, and a trait that tells whose data a row is from."""
    source = np.arange(n) % 2
    common = rng.normal(size=(n, 4))
    trait = rng.normal(size=(n, 2)) + 3 * (2 * source[:, None] - 1)
    x = np.concatenate([common, trait], axis=1).astype("float32")
    says = common[:, 0] + trait[:, 0] - 3 * (2 * source - 1) > 0
    labels = {"a": np.where(source == 0, says, -1), "b": np.where(source == 1, says, -1)}
    return x, {name: y.astype("int32") for name, y in labels.items()}, source


def test_the_task_cannot_be_told_by_what_is_shared(rng):
    """It can by what the towers read, and by what is private; all tasks are learnt still."""
    x, labels, source = data_of_two_sources(rng)
    adversary = alignment.Adversarial(domains=2, units=(16,), steps=200, name="adversary")
    scheme = SharedPrivate((8,), "tanh", alignment={"source": adversary})
    made = [tasks.Binary("a"), tasks.Binary("b")]
    model = keras_mtl.build_model(encoders.Dense(6, units=[16]), made, scheme)
    # The adversary has to keep up with what it is to judge.
    model.compile(keras.optimizers.SGD(0.05), learning_rate_multipliers={"adversary": 10.0})
    model.fit(x, {**labels, "source": source}, batch_size=100, epochs=60, verbose=0)
    read = model.get_layer("dense_encoder")(x)
    features = scheme(read)["a"].numpy()
    read, shared, private = (
        LogisticRegression(max_iter=2000).fit(f[:300], source[:300]).score(f[300:], source[300:])
        for f in (read.numpy(), features[:, :8], features[:, 8:])
    )
    assert read > 0.95 and private > 0.9 and shared < 0.75
    for task, out in model.predict(x, verbose=0).items():
        there = labels[task] >= 0
        assert ((out[there, 0] > 0.5) == labels[task][there]).mean() > 0.85


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    check_training(lambda: SharedPrivate(units=[5]), tmp_path / "m.keras", rng, "mixed_float16")


def test_the_alignment_comes_back_from_the_disk_and_in_every_group(tmp_path, rng):
    x, labels, source = data_of_two_sources(rng, 60)
    made = alignment.Adversarial(domains=2, units=(4,), steps=9)
    model = keras_mtl.build_model(
        encoders.Dense(6, units=[8]), [tasks.Binary("a"), tasks.Binary("b")],
        SharedPrivate(units=(4,), alignment={"source": made}), groups=[["a"], ["b"]],
    )  # fmt: skip
    assert model.label_names == ["a", "b", "source"]
    model.compile("adam", run_eagerly=True)
    model.fit(x, {**labels, "source": source}, batch_size=20, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.label_names == model.label_names
    assert len([w for w in loaded.weights if w.path.endswith("done")]) == 2
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    with pytest.raises(ValueError, match="'source' tell the domain of each row"):
        loaded.fit(x, {**labels, "source": source + 3}, verbose=0)


def test_positions_and_masks(rng):
    check_positions(lambda: SharedPrivate(units=[5, 4]), rng)
    check_mask(SharedPrivate)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"units": []}, ValueError, "is empty"),
        ({"orthogonality": -1}, ValueError, "not negative"),
        ({"alignment": ["mmd"]}, TypeError, "expected alignments by label name"),
        ({"alignment": {"source": "mmd"}}, TypeError, "has 'mmd' for 'source'; expected an object"),
        (
            {"alignment": {"source": alignment.CORAL(domains=2, domain="site")}},
            ValueError,
            "for 'source' that aligns the domains of 'site'",
        ),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        SharedPrivate(**arguments)


def test_a_label_of_domains_is_no_task():
    scheme = SharedPrivate(alignment={"b": alignment.CORAL(domains=2)})
    with pytest.raises(ValueError, match="names the label 'b', which is a task"):
        scheme.connect(keras.Input((3,)), ["a", "b"])
