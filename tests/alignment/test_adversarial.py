"""Adversarial: the reversal, its schedule, and a classifier that learns what the features unlearn."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from keras_mtl.alignment._reversal import GradientReversal, reversed_gradient
from keras_mtl.alignment.adversarial import Adversarial, reversal_strength
from tests.alignment._samples import batch, gradients, samples


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 7.0])
def test_features_pass_exactly_and_gradients_come_back_times_minus_lambda(strength, dtype):
    x = (1e3 * samples()[0]).astype(dtype)
    weights = tf.constant(samples(seed=1)[0].astype(dtype))
    factor = tf.constant(strength, dtype)
    for compiled in (False, True):

        @tf.function(jit_compile=compiled)
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                out = reversed_gradient(x, strength)
                value = tf.reduce_sum(out * weights)
            return out, tape.gradient(value, x)

        out, gradient = run(tf.constant(x))
        np.testing.assert_array_equal(out, x)
        np.testing.assert_array_equal(gradient, -factor * weights)


def test_the_layer_turns_the_features_of_a_model_round():
    reverse = GradientReversal(0.5)
    assert GradientReversal.from_config(reverse.get_config()).strength == 0.5
    x = samples()[0]
    value, (gradient,) = gradients(lambda features: tf.reduce_sum(reverse(features) ** 2), x)
    assert float(value) == pytest.approx(np.square(x).sum(), rel=1e-5)
    np.testing.assert_array_equal(gradient, -0.5 * (2 * x))
    inputs = keras.Input((None,), dtype="int32")
    seen = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
    out = keras.Model(inputs, reverse(seen))(np.array([[1, 2, 0]]))
    np.testing.assert_array_equal(out._keras_mask, [[True, True, False]])
    with pytest.raises(ValueError, match="`strength` of GradientReversal is -1"):
        GradientReversal(-1)


def test_the_schedule_of_the_paper():
    assert float(reversal_strength(0.0)) == 0
    assert float(reversal_strength(0.5)) == pytest.approx(0.986614, rel=1e-5)
    assert float(reversal_strength(1.0)) == pytest.approx(0.999909, rel=1e-5)
    p = np.linspace(0, 1, 11)
    np.testing.assert_allclose(reversal_strength(p), np.tanh(5 * p), atol=1e-6)


def test_the_penalty_is_the_cross_entropy_over_rows_of_known_domain():
    features, domains = batch()
    made = Adversarial(domains=3, units=[5])
    made.build((None, 4))
    assert [v.shape for v in made.trainable_variables] == [(4, 5), (5,), (5, 3), (3,)]
    w1, b1, w2, b2 = (np.asarray(v) for v in made.trainable_variables)
    scores = log_softmax(np.maximum(features @ w1 + b1, 0) @ w2 + b2, axis=1)
    known = domains >= 0
    expected = -scores[known, domains[known]].mean()
    assert float(made.penalty(features, domains)) == pytest.approx(expected, rel=1e-5)
    # A single row of another domain is something to tell apart.
    domains = np.where(np.arange(24) == 3, 2, 0).astype("int32")
    expected = -scores[np.arange(24), domains].mean()
    assert float(made.penalty(features, domains)) == pytest.approx(expected, rel=1e-5)


def test_the_strength_rises_with_the_training_steps():
    features, domains = batch()
    made, plain = Adversarial(domains=3, units=[5], steps=4), Adversarial(3, units=[5], steps=0)
    for one in (made, plain):
        one.build((None, 4))
    plain.set_weights(made.get_weights())
    _, (whole,) = gradients(lambda x: plain.penalty(x, domains), features)
    for step in range(6):
        _, (gradient,) = gradients(lambda x: made.penalty(x, domains), features)
        strength = np.tanh(5 * min(step / 4, 1))
        np.testing.assert_allclose(gradient, strength * whole, rtol=1e-4, atol=1e-7)
    assert int(made.done) == 6 and int(plain.done) == 0


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_features_forget_a_domain_that_no_task_needs(weight):
    """What a logistic regression of scikit-learn still tells of it; without the adversary, all."""
    rng = np.random.default_rng(0)
    domains = rng.integers(0, 2, 256).astype("int32")
    x = rng.normal(size=(256, 4)).astype("float32")
    x[:, 2:] += 1.5 * (2 * domains[:, None] - 1)
    task = tf.constant(x[:, :1])
    encoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(4)]
    )
    head, hide = keras.layers.Dense(1), Adversarial(domains=2, units=[16], steps=100)
    head.build((None, 4))
    hide.build((None, 4))
    own = [*encoder.trainable_variables, *head.trainable_variables]
    parts = [
        (own, keras.optimizers.SGD(0.02)),
        (hide.trainable_variables, keras.optimizers.SGD(0.2)),
    ]
    for variables, optimizer in parts:
        optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step():
        with tf.GradientTape(persistent=True) as tape:
            features = encoder(x)
            error = tf.reduce_mean((head(features) - task) ** 2)
            loss = error + weight * hide.penalty(features, domains)
        for variables, optimizer in parts:
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return features, error

    for _ in range(300):
        features, error = step()
    told = LogisticRegression().fit(features.numpy(), domains).score(features.numpy(), domains)
    assert error < 0.05
    assert told < 0.65 if weight else told > 0.9
