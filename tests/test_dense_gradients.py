"""Gradients of `Dense` kernels as products: the step is what it is without them, in every kind of model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl import balancing
from keras_mtl._dense_gradients import Product, Products, inner_products, reading, weighted_sum
from tests.test_gradients import Fixed

TASKS = ("price", "kind")
WIDTH = 24


class Same(keras.layers.Dense):
    """A `Dense` that is none, whose kernel has its K gradients computed."""


def plain(dense, x):
    hidden = dense(WIDTH, activation="relu", name="first")(x)
    return [dense(WIDTH, activation="tanh", name="second")(hidden)] * 2


def without_bias(dense, x):
    return [dense(WIDTH, use_bias=False, activation="tanh", name="first")(x)] * 2


def called_twice(dense, x):
    layer = dense(WIDTH, activation="tanh", name="twice")
    return [layer(dense(WIDTH, name="first")(layer(x)))] * 2


def of_one_task_and_of_two(dense, x):
    shared = dense(WIDTH, activation="tanh", name="shared")(x)
    return [shared, dense(WIDTH, activation="relu", name="own")(shared)]


def regularised(dense, x):
    options = {"kernel_regularizer": "l2", "activity_regularizer": "l2"}
    return [dense(WIDTH, activation="tanh", name="first", **options)(x)] * 2


def frozen(dense, x):
    first = dense(WIDTH, activation="tanh", name="first")
    second = dense(WIDTH, activation="tanh", name="second")
    features = second(first(x))
    first.trainable = False
    return [features] * 2


def nested(dense, x):
    inside = keras.Input((WIDTH,), name="inside")
    body = keras.Model(inside, dense(WIDTH, activation="relu", name="deep")(inside), name="body")
    stack = keras.Sequential([dense(WIDTH, name="low"), keras.layers.ReLU()], name="stack")
    return [stack(body(x))] * 2


class Uses(keras.layers.Layer):
    """Reads the kernel of another layer."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.other = other

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.other.kernel))


def kernel_read_elsewhere(dense, x):
    layer = dense(WIDTH, activation="tanh", name="first")
    return [Uses(layer, name="uses")(layer(x))] * 2


def tied(dense, x):
    first = dense(WIDTH, activation="tanh", name="first")
    second = dense(WIDTH, activation="relu", name="second")
    second.build((None, WIDTH))
    features = first(x)
    second.kernel.trainable = False
    object.__setattr__(second, "_kernel", first.kernel)
    return [second(features)] * 2


class Cell(keras.layers.Layer):
    """One step of a recurrence by a `Dense` layer."""

    def __init__(self, dense, **kwargs):
        super().__init__(**kwargs)
        self.state_size = WIDTH
        self.dense = dense

    def build(self, shape):
        self.dense.build((None, WIDTH))

    def call(self, inputs, states):
        state = ops.tanh(inputs + self.dense(states[0]))
        return state, [state]


def in_a_loop(dense, x):
    steps = keras.layers.RepeatVector(3)(x)
    # The same layer inside of the loop and outside.
    inner = dense(WIDTH, name="inner")
    return [keras.layers.RNN(Cell(inner), name="loop")(steps) + inner(x)] * 2


def by_time(dense, x):
    steps = keras.layers.RepeatVector(3)(x)
    layer = dense(WIDTH, activation="tanh", name="each")
    return [keras.layers.Flatten()(layer(keras.layers.TimeDistributed(layer)(steps)))] * 2


class Recomputed(keras.layers.Layer):
    """Says that it calls its layer plainly, and does not."""

    calls_layers_plainly = True

    def __init__(self, dense, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return tf.recompute_grad(lambda x: self.dense(x))(inputs)


def recomputed(dense, x):
    return [Recomputed(dense(WIDTH, activation="tanh", name="inside"), name="again")(x)] * 2


def encoder(dense, x):
    made = keras_mtl.encoders.Dense(features=WIDTH, units=[WIDTH, WIDTH])
    made.hidden = [dense(WIDTH, activation="relu", name=f"h{i}") for i in range(2)]
    return [made(x)] * 2


MODELS = [
    plain, without_bias, called_twice, of_one_task_and_of_two, regularised, frozen, nested,
    kernel_read_elsewhere, tied, in_a_loop, by_time, recomputed, encoder,
]  # fmt: skip


def model_of(build, dense, balancer, **kwargs):
    keras.utils.set_random_seed(5)
    x = keras.Input((WIDTH,), name="x")
    price, kind = build(dense, x)
    model = keras_mtl.MultiTaskModel(
        x,
        {
            "price": keras.layers.Dense(1, name="price")(price),
            "kind": keras.layers.Dense(3, activation="softmax", name="kind")(kind),
        },
    )
    model.compile(
        keras.optimizers.SGD(0.3),
        loss={"price": "mse", "kind": "sparse_categorical_crossentropy"},
        balancer=balancer,
        **kwargs,
    )
    return model


def rows(count):
    rng = np.random.default_rng(2)
    labels = {"price": rng.normal(size=(count, 1)), "kind": rng.integers(0, 3, count)}
    return rng.normal(size=(count, WIDTH)).astype("float32"), labels


def same_weights(one, two, rtol=2e-4):
    for v, w in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(v, w, rtol=rtol, atol=1e-5, err_msg=v.path)


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("how", ["graph", "eagerly"])
def test_a_step_is_the_same_with_and_without_products(build, how):
    x, y = rows(6)
    models = []
    for dense in (keras.layers.Dense, Same):
        balancer = Fixed([2.0, -0.5])
        model = model_of(build, dense, balancer, run_eagerly=how == "eagerly")
        before = [v.numpy() for v in model.trainable_variables]
        model.train_on_batch(x, y)
        model.train_on_batch(x, {**y, "price": np.full((6, 1), np.nan)})
        models.append(model)
    assert all(
        (v.numpy() != b).any() for v, b in zip(model.trainable_variables, before, strict=True)
    )
    same_weights(*models)


@pytest.mark.parametrize(
    "balancer",
    ["cagrad", "gradnorm", "modo", "auto_lambda", "forum", "db_mtl", "graddrop"],
)
def test_balancers_of_every_kind_take_the_same_steps(balancer):
    """More rows in a batch than products are worth, then fewer; sizes known as it runs."""
    x, y = rows(44)
    models = []
    for dense in (keras.layers.Dense, Same):
        model = model_of(plain, dense, balancer, jit_compile=False)
        model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
        models.append(model)
    same_weights(*models, rtol=2e-3)


def test_now_and_then_and_under_xla():
    x, y = rows(40)
    for options in ({"every": 3}, {}):
        models = []
        for dense in (keras.layers.Dense, Same):
            model = model_of(plain, dense, balancing.CAGrad(**options), jit_compile=True)
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
            models.append(model)
        same_weights(*models)


def test_mixed_precision_weighs_float32():
    x, y = rows(8)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        models = [
            model_of(plain, dense, Fixed([2.0, -0.5])) for dense in (keras.layers.Dense, Same)
        ]
        for model in models:
            # The first steps are left out, until the loss scale has come down.
            for _ in range(6):
                model.train_on_batch(x, y)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    seen = [model.balancer.seen.numpy() for model in models]
    assert np.diag(seen[0]).min() > 0.01
    np.testing.assert_allclose(seen[0], seen[1], rtol=0.02)
    for v, w in zip(models[0].trainable_variables, models[1].trainable_variables, strict=True):
        np.testing.assert_allclose(v, w, atol=2e-3)


def test_what_a_layer_reads_is_noted_while_the_model_runs_and_no_longer():
    layer = keras.layers.Dense(WIDTH, activation="relu")
    layer.build((None, WIDTH))
    x = ops.convert_to_tensor(rows(5)[0])
    expected = np.asarray(layer(x))
    with reading([layer], 2, lambda tensor: None) as found:
        np.testing.assert_allclose(layer(x), expected, rtol=1e-6)
        layer(ops.ones((200, WIDTH)))
    assert [read.layer for read in found] == [layer], "200 rows are too many to be worth it"
    assert found[0].inputs is x and found[0].sums.shape == (5, WIDTH)
    with pytest.raises(RuntimeError, match="in the midst"), reading([layer], 2, print):
        raise RuntimeError("in the midst")
    assert "call" not in vars(layer)


@pytest.mark.parametrize("rows_", [3, 90])
@pytest.mark.parametrize("k", [2, 5])
def test_inner_products_and_sums_are_those_of_the_kernels(rows_, k):
    rng = np.random.default_rng(k)
    read, also = (rng.normal(size=(rows_ + i, 11)) for i in range(2))
    told, other = (rng.normal(size=(k, rows_ + i, 7)) for i in range(2))
    kernels = np.einsum("bi,kbo->kio", read, told)
    others = np.einsum("bi,kbo->kio", also, other)
    one = Products(*(ops.convert_to_tensor(a, "float32") for a in (read, told)))
    one = Products(one.inputs, list(one.told))
    two = Products(
        ops.convert_to_tensor(also, "float32"), list(ops.convert_to_tensor(other, "float32"))
    )
    got = inner_products(one, two)
    np.testing.assert_allclose(got, np.einsum("kio,lio->kl", kernels, others), rtol=1e-3, atol=1e-3)
    gramian = np.einsum("kio,lio->kl", kernels, kernels)
    np.testing.assert_allclose(inner_products(one, one), gramian, rtol=1e-3, atol=1e-3)
    lengths = inner_products(one, one, lengths_only=True)
    np.testing.assert_allclose(lengths, np.diag(np.diag(gramian)), rtol=1e-4)
    dense = list(ops.convert_to_tensor(others, "float32"))
    mixed = inner_products(one, dense)
    np.testing.assert_allclose(
        mixed, np.einsum("kio,lio->kl", kernels, others), rtol=1e-3, atol=1e-3
    )
    weights = list(rng.normal(size=k).astype("float32"))
    expected = np.einsum("k,kio->io", weights, kernels)
    np.testing.assert_allclose(weighted_sum(weights, one), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        Product(one.inputs, one.told[0]).dense(), kernels[0], rtol=1e-3, atol=1e-4
    )
