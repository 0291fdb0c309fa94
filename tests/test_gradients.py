"""The gradient engine: K gradients of one forward pass, combined as a balancer says."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import balancing, encoders, tasks
from tests.models import LOSSES, TASKS, compiled, functional, rows

RATE = 0.5


class Fixed(balancing.GramianBalancer):
    """Known weights, and what it was shown."""

    def __init__(self, weights, gradients="parameters"):
        super().__init__(gradients)
        self.fixed = weights

    def make_state(self, k):
        self.seen = self.add_weight((k, k), "zeros", "float32", trainable=False, name="seen")
        self.seen_losses = self.vector("seen_losses")

    def task_weights(self, gramian, losses, present):
        self.seen.assign(gramian)
        self.seen_losses.assign(losses)
        return ops.convert_to_tensor(self.fixed, "float32")


class Mean(balancing.GradientBalancer):
    """The sum of the gradients, entry by entry."""

    def combine(self, gradients, present):
        return ops.sum(gradients, axis=0)


def gradients_of(task, x, y, alpha=1.0):
    """What a step of this task alone moves, by variable, as a gradient."""
    model = functional(seed=3)
    model.compile(keras.optimizers.SGD(RATE), loss={task: LOSSES[task]}, loss_weights={task: alpha})
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.train_on_batch(x, y)
    return {v.path: (before[v.path] - v.numpy()) / RATE for v in model.trainable_variables}


def step_of(balancer, x, y, **kwargs):
    model = compiled(seed=3, optimizer=keras.optimizers.SGD(RATE), balancer=balancer, **kwargs)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    model.train_on_batch(x, y)
    return {v.path: (before[v.path] - v.numpy()) / RATE for v in model.trainable_variables}


@pytest.mark.parametrize("space", ["parameters", "features"])
@pytest.mark.parametrize("how", [{}, {"jit_compile": True}, {"run_eagerly": True}])
def test_shared_variables_get_the_weighted_sum_and_heads_their_own(space, how):
    x, y = rows(32)
    alphas = {"z_price": 0.3, "a_kind": 1.0, "m_sold": 2.0}
    alone = {task: gradients_of(task, x, y, alphas[task]) for task in TASKS}
    balancer = Fixed([2.0, -1.0, 0.5], space)
    got = step_of(balancer, x, y, loss_weights=alphas, **how)
    for path, gradient in got.items():
        if path.startswith("shared"):
            expected = sum(w * alone[t][path] for w, t in zip(balancer.fixed, TASKS, strict=True))
        else:
            expected = alone[path.split("/")[0]][path]
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6, err_msg=path)
    np.testing.assert_allclose(balancer.last_weights, [2.0, -1.0, 0.5])


def test_the_gramian_is_that_of_the_shared_parameters():
    x, y = rows(32)
    balancer = Fixed([1.0, 1.0, 1.0])
    step_of(balancer, x, y)
    flat = []
    for task in TASKS:
        alone = gradients_of(task, x, y)
        flat.append(np.concatenate([alone[p].ravel() for p in alone if p.startswith("shared")]))
    np.testing.assert_allclose(balancer.seen, np.array(flat) @ np.array(flat).T, rtol=1e-4)


def test_sums_of_gradients_are_equal_weighting():
    x, y = rows(32)
    plain = step_of(None, x, y)
    for balancer in (Mean(), Mean("features"), "equal", Fixed([1.0] * 3)):
        for path, gradient in step_of(balancer, x, y).items():
            np.testing.assert_allclose(gradient, plain[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_a_task_without_labels_in_the_batch_takes_no_part():
    x, y = rows(32)
    for missing in ({**y, "a_kind": np.full(32, -1)}, {k: y[k] for k in y if k != "a_kind"}):
        balancer = Fixed([2.0, 7.0, 0.5])
        got = step_of(balancer, x, missing)
        alone = {t: gradients_of(t, x, y) for t in ("z_price", "m_sold")}
        for path in ("shared/kernel", "shared/bias"):
            expected = 2.0 * alone["z_price"][path] + 0.5 * alone["m_sold"][path]
            np.testing.assert_allclose(got[path], expected, rtol=1e-4, atol=1e-6)
        assert not got["a_kind/kernel"].any()
        np.testing.assert_array_equal(balancer.last_weights, [2.0, 0.0, 0.5])
        assert balancer.seen[1, 1] > balancer.seen[0, 0], "it is stood in for"


def test_regularisation_is_added_and_not_balanced():
    x, y = rows(32)
    found = []
    for balancer in (None, Fixed([1.0] * 3), Fixed([1.0] * 3, "features")):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(
            4, kernel_regularizer="l2", activity_regularizer="l2", name="shared"
        )(inputs)
        outputs = {
            "z_price": keras.layers.Dense(1, kernel_regularizer="l2")(hidden),
            "m_sold": keras.layers.Dense(1, activation="sigmoid")(hidden),
            "a_kind": keras.layers.Dense(3, activation="softmax")(hidden),
        }
        model = keras_mtl.MultiTaskModel(inputs, outputs)
        model.compile(keras.optimizers.SGD(RATE), loss=dict(LOSSES), balancer=balancer)
        logs = model.train_on_batch(x, y, return_dict=True)
        found.append(([float(logs["loss"])], *[v.numpy() for v in model.trainable_variables]))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def test_a_loss_scale_is_not_seen_by_the_solver():
    x, y = rows(32)
    seen = []
    for scale in (None, 1024.0):
        balancer = Fixed([1.0, 2.0, 3.0])
        model = compiled(
            seed=3,
            optimizer=keras.optimizers.SGD(RATE, loss_scale_factor=scale),
            balancer=balancer,
        )
        model.train_on_batch(x, y)
        seen.append((balancer.seen.numpy(), *model.get_weights()))
    for one, two in zip(*seen, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-6)


def test_padded_texts_are_balanced_by_features(rng):
    """Masks reach the heads through the cut."""
    words = np.array([["a", "b", ""], ["b", "", ""], ["c", "a", "b"], ["a", "", ""]])
    labels = {
        "kind": np.array([0, 1, 1, 0]),
        "tag": np.array([[0, 1, -1], [1, -1, -1], [2, 0, 1], [0, -1, -1]]),
    }
    after = []
    for balancer in (None, Fixed([1.0, 1.0]), Fixed([1.0, 1.0], "features")):
        keras.utils.set_random_seed(0)
        model = keras_mtl.build_model(
            encoders.Text(["a", "b", "c"], kind="bilstm", units=4, embedding=3, dropout=0.0),
            [tasks.MultiClass("kind", 2), tasks.SequenceTagging("tag", ["O", "B-x", "B-y"])],
        )
        model.compile(keras.optimizers.SGD(RATE), balancer=balancer)
        model.fit(words, labels, verbose=0, shuffle=False)
        after.append([v.numpy() for v in model.trainable_variables])
        if balancer is not None:
            assert abs(balancer.seen[0, 1]) > 1e-6, "both read the same features"
    for other in after[1:]:
        for one, two in zip(after[0], other, strict=True):
            np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)


def test_features_that_are_not_shared_are_refused():
    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(1, name="shared")(inputs)
    model = keras_mtl.MultiTaskModel(
        inputs, {"z_price": hidden, "m_sold": keras.layers.Dense(1)(hidden)}
    )
    model.compile("sgd", loss="mse", balancer=balancing.MGDA(gradients="features"))
    x, y = rows(8)
    with pytest.raises(ValueError, match=r"the tasks \['z_price'\] have no layer of their own"):
        model.fit(x, {k: y[k] for k in ("z_price", "m_sold")}, verbose=0)
    with pytest.raises(ValueError, match="`gradients` is 'feature'; expected 'parameters'"):
        balancing.MGDA(gradients="feature")


def test_a_step_that_overflows_is_skipped_for_all_tasks():
    """Under float16 one task's infinite gradient moves no variable, and no state becomes NaN."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x, y = rows(16)
        model = compiled(balancer=balancing.GradNorm(), optimizer=keras.optimizers.SGD(0.1))
    finally:
        keras.config.set_dtype_policy("float32")
    model.optimizer.initial_scale = 2.0**40  # nothing of this size fits into float16
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(x, y)
    for one, two in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(two, one)
    assert np.isfinite(model.balancer.learnt.numpy()).all()
    for _ in range(40):
        model.train_on_batch(x, y)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    assert any(
        (o != v.numpy()).any() for o, v in zip(before, model.trainable_variables, strict=True)
    )


def test_masks_that_keras_carries_reach_the_heads_too():
    words = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [2, 1, 3, 1], [1, 1, 0, 0]])
    labels = {"a": np.array([[0.0], [1], [1], [0]]), "b": np.array([[1.0], [2], [0], [1]])}
    after = []
    for balancer in (None, Fixed([1.0, 1.0], "features")):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((None,), name="words", dtype="int32")
        shared = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
        outputs = {n: keras.layers.Dense(1)(keras.layers.LSTM(2)(shared)) for n in ("a", "b")}
        model = keras_mtl.MultiTaskModel(inputs, outputs)
        model.compile(keras.optimizers.SGD(RATE), loss="mse", balancer=balancer)
        model.fit(words, labels, verbose=0, shuffle=False)
        after.append([v.numpy() for v in model.trainable_variables])
    for one, two in zip(*after, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5)
