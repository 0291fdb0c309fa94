"""Steps that take more than one look: parts of a batch, gradients kept, losses afterwards."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import balancing, encoders, tasks
from tests.models import LOSSES, TASKS, compiled, rows
from tests.test_gradients import RATE, gradients_of, step_of


class Parts(balancing.SplitBalancer):
    """Known weights of the gradients of two parts, and what it was shown."""

    fixed = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, -1.0]], "float32")

    def make_state(self, k):
        self.seen = self.add_weight((2, k, 2, k), "zeros", "float32", trainable=False, name="seen")

    def task_weights(self, products, losses, present):
        self.seen.assign(products)
        return ops.convert_to_tensor(self.fixed)


class Before(balancing.FollowingBalancer):
    """Steps along the sum of the gradients of this step and of the one before."""

    def follow(self, gradients, kept, norms, losses):
        return balancing.Followed(gradients, gradients + kept, gradients)

    def task_weights(self, gramian, losses, present):
        return ops.ones_like(losses)


def moved(model, x, y):
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.train_on_batch(x, y)
    return {v.path: (before[v.path] - v.numpy()) / RATE for v in model.trainable_variables}


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_parts_of_a_batch_have_gradients_of_their_own(how):
    """Rows 0, 2, ... and 1, 3, ... are told apart for what is shared; heads learn from all."""
    x, y = rows(31)
    made = Parts()
    got = step_of(made, x, y, **how)
    halves = [(x[p::2], {t: y[t][p::2] for t in TASKS}) for p in range(2)]
    alone = [{t: gradients_of(t, *half) for t in TASKS} for half in halves]
    for path, gradient in got.items():
        if path.startswith("shared"):
            expected = sum(
                made.fixed[p, k] * alone[p][t][path] for p in range(2) for k, t in enumerate(TASKS)
            )
        else:
            expected = gradients_of(path.split("/")[0], x, y)[path]
        np.testing.assert_allclose(gradient, expected, rtol=2e-4, atol=2e-6, err_msg=path)
    np.testing.assert_allclose(made.last_weights, made.fixed.sum(0))
    flat = [
        np.concatenate([alone[p][t][v].ravel() for v in sorted(got) if v.startswith("shared")])
        for p in range(2)
        for t in TASKS
    ]
    seen = np.asarray(made.seen).reshape(6, 6)
    np.testing.assert_allclose(seen, np.array(flat) @ np.array(flat).T, rtol=1e-3, atol=1e-5)


def test_a_task_without_labels_in_one_part_leaves_what_is_shared_alone():
    x, y = rows(32)
    y = {**y, "a_kind": np.where(np.arange(32) % 2 == 0, y["a_kind"], -1)}
    got = step_of(Parts(), x, y)
    evens = (x[::2], {t: y[t][::2] for t in TASKS})
    odds = (x[1::2], {t: y[t][1::2] for t in TASKS})
    price, sold = (gradients_of(t, *evens)["shared/kernel"] for t in ("z_price", "m_sold"))
    sold_too = gradients_of("m_sold", *odds)["shared/kernel"]
    np.testing.assert_allclose(
        got["shared/kernel"], 2 * price + sold - sold_too, rtol=2e-4, atol=2e-6
    )
    # Its head learns from the labels that are there, as many as they are.
    expected = gradients_of("a_kind", x, y)["a_kind/kernel"]
    np.testing.assert_allclose(got["a_kind/kernel"], expected, rtol=2e-4, atol=2e-6)


def test_a_batch_of_one_row_still_has_parts():
    x, y = rows(33)
    model = compiled(balancer=balancing.MoDo())
    history = model.fit(x, y, batch_size=32, epochs=2, verbose=0).history
    assert all(np.isfinite(v).all() for v in model.get_weights())
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_gradients_are_kept_from_step_to_step_and_saved(scale, tmp_path):
    """Without the loss scale; heads have no memory."""
    x, y = rows(32)
    optimizer = keras.optimizers.SGD(RATE, loss_scale_factor=scale)
    model = compiled(seed=3, optimizer=optimizer, balancer=balancing.DBMTL())
    model.train_on_batch(x, y)
    made = model.balancer
    expected = np.stack([gradients_of(t, x, y)["shared/kernel"] for t in TASKS])
    logs = compiled(seed=3).evaluate(x, y, verbose=0, return_dict=True)
    expected /= np.array([logs[f"{t}_loss"] for t in TASKS])[:, None, None]
    named = {v.path: v for v in model.trainable_variables}
    kept = made.memory(named["shared/kernel"])
    np.testing.assert_allclose(kept, (1 - 0.9) * expected, rtol=2e-3, atol=1e-5)
    assert all(made.memory(v).shape == (3, *v.shape) for v in model.shared_variables())
    with pytest.raises(ValueError, match="compile the model again"):
        made.memory(named["a_kind/kernel"])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    (kernel,) = (v for v in loaded.trainable_variables if v.path == "shared/kernel")
    np.testing.assert_array_equal(loaded.balancer.memory(kernel), kept)


def test_encoders_whose_weights_are_named_alike_are_followed_apart():
    """As two groups have them, whose layers have the same paths."""
    model = keras_mtl.build_model(
        encoders.Image((8, 8, 1), filters=(4,)),
        [tasks.Binary(name) for name in "abcd"],
        groups=[["a", "b"], ["c", "d"]],
    )
    model.compile(keras.optimizers.SGD(0.1), balancer=balancing.MoCo())
    shared = model.shared_variables()
    assert len({v.path for v in shared}) < len(shared)
    x = np.zeros((8, 8, 8, 1), "float32")
    x[::2] = 1.0
    model.train_on_batch(x, {name: np.arange(8) % 2 for name in "ab"})
    moved = [bool(np.any(model.balancer.memory(v).numpy())) for v in shared]
    assert moved == [True] * 3 + [False] * 3, "the second group had no labels"


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}])
def test_what_is_kept_joins_the_next_step(how):
    x, y = rows(32)
    model = compiled(seed=3, optimizer=keras.optimizers.SGD(RATE), balancer=Before(), **how)
    first, second = moved(model, x, y), moved(model, x, y)
    plain = compiled(seed=3, optimizer=keras.optimizers.SGD(RATE))
    one, two = moved(plain, x, y), moved(plain, x, y)
    np.testing.assert_allclose(first["shared/kernel"], one["shared/kernel"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        second["shared/kernel"], two["shared/kernel"] + one["shared/kernel"], rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(second["a_kind/kernel"], two["a_kind/kernel"], rtol=1e-4, atol=1e-6)


def test_a_step_that_is_not_finite_is_not_kept():
    x, y = rows(32)
    sgd = keras.optimizers.SGD(RATE)
    model = compiled(optimizer=sgd, balancer=balancing.MoCo(), on_nonfinite="ignore")
    model.train_on_batch(x, y)
    before = [np.array(v) for v in model.balancer.variables]
    x[0] = np.inf
    model.train_on_batch(x, y)
    last = [v.path for v in model.balancer.variables].index(model.balancer.last_weights.path)
    for i, (one, variable) in enumerate(zip(before, model.balancer.variables, strict=True)):
        if i != last:
            np.testing.assert_array_equal(variable, one)


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_balancing_every_third_step(how):
    """In between, what is shared goes with the last weights, and heads with their own gradients."""
    x, y = rows(32)
    model = compiled(
        seed=3, optimizer=keras.optimizers.SGD(0.05), balancer=balancing.MGDA(every=3), **how
    )
    plain = compiled(
        seed=3, optimizer=keras.optimizers.SGD(0.05), balancer=balancing.MGDA(), run_eagerly=True
    )
    found = []
    for step in range(4):
        plain.set_weights(model.get_weights()[: len(plain.get_weights())])
        before = {v.path: v.numpy() for v in model.trainable_variables}
        model.train_on_batch(x, y)
        plain.train_on_batch(x, y)
        found.append(np.array(model.balancer.last_weights))
        same = np.allclose(found[-1], plain.balancer.last_weights, atol=1e-4)
        assert same == (step in (0, 3))
        for v, w in zip(model.trainable_variables, plain.trainable_variables, strict=True):
            if not v.path.startswith("shared"):
                np.testing.assert_allclose(v, w, rtol=1e-4, atol=1e-6)
        reference = compiled(
            seed=3, optimizer=keras.optimizers.SGD(0.05), balancer=Fixed(found[-1]),
            run_eagerly=True,
        )  # fmt: skip
        for v in reference.trainable_variables:
            v.assign(before[v.path])
        reference.train_on_batch(x, y)
        for v, w in zip(model.trainable_variables, reference.trainable_variables, strict=True):
            np.testing.assert_allclose(v, w, rtol=1e-3, atol=1e-5, err_msg=v.path)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[3] != found[0]).any()


class Fixed(balancing.GramianBalancer):
    def __init__(self, weights):
        super().__init__()
        self.fixed = np.array(weights, "float32")

    def task_weights(self, gramian, losses, present):
        return ops.convert_to_tensor(self.fixed)


def test_a_recurrent_trunk_is_balanced_now_and_then(rng):
    """Loops of the forward pass are differentiated inside the branch that balances."""
    inputs = keras.Input((5, 3), name="x")
    shared = keras.layers.LSTM(4)(inputs)
    outputs = {n: keras.layers.Dense(1)(shared) for n in ("a", "b")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile("sgd", loss="mse", balancer=balancing.UPGrad(every=2))
    x = rng.normal(size=(32, 5, 3)).astype("float32")
    labels = {"a": x[:, 0, :1], "b": -x[:, 1, :1]}
    history = model.fit(x, labels, batch_size=8, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_every_is_refused_where_it_saves_nothing():
    with pytest.raises(ValueError, match="`every` is 0; expected a positive integer"):
        balancing.MGDA(every=0)
    with pytest.raises(ValueError, match="leave one of the two out"):
        balancing.MGDA(gradients="features", every=2)
    with pytest.raises(ValueError, match="follows gradients at every step"):
        balancing.MoCo(every=2)
    for made in (balancing.MoCo, balancing.MoDo):
        with pytest.raises(ValueError, match="use gradients='parameters'"):
            made(gradients="features")


def test_famo_sees_the_losses_of_the_same_batch_after_the_step():
    x, y = rows(32)
    made = balancing.FAMO(learning_rate=0.1, decay=0.0)
    model = compiled(seed=3, optimizer=keras.optimizers.SGD(0.05), balancer=made)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    model.reset_metrics()
    logs = model.train_on_batch(x, y, return_dict=True)
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    fall = np.array([np.log(before[f"{t}_loss"] / after[f"{t}_loss"]) for t in TASKS])
    slopes = (fall - fall.mean()) / 3
    np.testing.assert_allclose(made.logits.first, 0.1 * slopes, rtol=1e-3)
    assert logs["a_kind_loss"] == pytest.approx(before["a_kind_loss"], rel=1e-5), "recorded once"


def test_imtl_scales_losses_and_heads_and_learns_the_scales():
    x, y = rows(32)
    made = balancing.IMTL()
    model = compiled(seed=3, optimizer=keras.optimizers.SGD(RATE), balancer=made)
    made.log_scales.assign([0.5, -0.5, 0.0])
    losses = model.evaluate(x, y, verbose=0, return_dict=True)
    got = moved(model, x, y)
    scale = dict(zip(TASKS, np.exp([0.5, -0.5, 0.0]), strict=True))
    alone = {t: gradients_of(t, x, y) for t in TASKS}
    for task in TASKS:
        np.testing.assert_allclose(
            got[f"{task}/kernel"], scale[task] * alone[task][f"{task}/kernel"], rtol=1e-4, atol=1e-6
        )
    slopes = [scale[t] * losses[f"{t}_loss"] - 1 for t in TASKS]
    np.testing.assert_allclose(got[made.log_scales.path], slopes, rtol=1e-3)
    weights = np.array(made.last_weights)
    expected = sum(
        w * scale[t] * alone[t]["shared/kernel"] for w, t in zip(weights, TASKS, strict=True)
    )
    np.testing.assert_allclose(got["shared/kernel"], expected, rtol=1e-3, atol=1e-5)
    assert weights.sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", ["upgrad", "moco", "modo", "famo", "graddrop"])
def test_several_steps_in_one_execution_are_those_steps(name):
    x, y = rows(64)
    found = []
    for at_once in (1, 4):
        keras.utils.set_random_seed(0)
        model = compiled(
            seed=3, optimizer="sgd", balancer=balancing.get(name), steps_per_execution=at_once
        )
        model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
        found.append(model.get_weights())
    for one, two in zip(*found, strict=True):
        if one.dtype.kind == "f":
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def test_balanced_gradients_are_accumulated():
    """Two steps of half the batches each are one step along the mean of two balanced gradients."""
    x, y = rows(32)
    halves = [(x[i : i + 16], {t: v[i : i + 16] for t, v in y.items()}) for i in (0, 16)]
    each = [step_of(balancing.UPGrad(), *half)["shared/kernel"] for half in halves]
    optimizer = keras.optimizers.SGD(RATE, gradient_accumulation_steps=2)
    model = compiled(seed=3, optimizer=optimizer, balancer=balancing.UPGrad())
    before = model.get_layer("shared").kernel.numpy()
    for half in halves:
        model.train_on_batch(*half)
    got = (before - model.get_layer("shared").kernel.numpy()) / RATE
    np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-3, atol=1e-5)


def test_losses_are_those_of_stock_keras_whatever_the_parts():
    x, y = rows(32)
    plain = compiled(seed=3, run_eagerly=True).train_on_batch(x, y, return_dict=True)
    for balancer in ("modo", "forum", "moco"):
        model = compiled(seed=3, balancer=balancer, run_eagerly=True)
        logs = model.train_on_batch(x, y, return_dict=True)
        for name, value in plain.items():
            assert logs[name] == pytest.approx(value, rel=1e-4), (balancer, name)
    assert set(LOSSES) == set(TASKS)


class Shown(Before):
    """Keeps the Gramian that it was shown."""

    def make_state(self, k):
        self.seen = self.add_weight((k, k), "zeros", "float32", trainable=False, name="seen")

    def task_weights(self, gramian, losses, present):
        self.seen.assign(gramian)
        return ops.ones_like(losses)


def test_what_is_kept_of_an_absent_task_is_not_measured():
    """Its row stands apart from the others', whatever its memory holds."""
    x, y = rows(32)
    balancer = Shown()
    model = compiled(seed=3, optimizer=keras.optimizers.SGD(RATE), balancer=balancer)
    model.train_on_batch(x, y)
    assert balancer.seen.numpy()[1, 0] != 0
    model.train_on_batch(x, {**y, "a_kind": np.full(32, -1)})
    seen = balancer.seen.numpy()
    at = model.task_names.index("a_kind")
    beside = np.delete(seen[at], at)
    np.testing.assert_array_equal(beside, 0)
    assert seen[at, at] > np.delete(np.diag(seen), at).max()


@pytest.mark.parametrize("name", ["modo", "auto_lambda", "forum"])
def test_parts_that_take_one_pass_are_not_scaled_by_a_loss_scale(name):
    x, y = rows(30)
    steps = []
    for scale in (None, 1024.0):
        optimizer = keras.optimizers.SGD(RATE, loss_scale_factor=scale)
        model = compiled(seed=3, optimizer=optimizer, balancer=balancing.get(name))
        steps.append(moved(model, x, y))
    for path, step in steps[0].items():
        np.testing.assert_allclose(steps[1][path], step, rtol=1e-3, atol=1e-6, err_msg=path)
