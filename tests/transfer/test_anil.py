"""ANIL: the inner steps are gradient descent, and the outer gradient is that of the whole."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.transfer.anil import adapted_head, anil_scores, fit_anil
from keras_mtl.transfer.episodes import Episodes
from keras_mtl.transfer.features import features_model
from keras_mtl.transfer.few_shot import few_shot_accuracy
from tests.transfer._few_shot import noisy_classes, untrained


def softmax(scores):
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def cross_entropy(scores, labels):
    return -np.log(softmax(scores)[np.arange(len(labels)), labels]).mean()


def unit(features):
    """What a rate is divided by: the mean squared length, with 1 for the bias."""
    return 1 + np.square(features).sum(-1).mean()


def test_the_first_step_by_hand():
    """From zero all classes have 1/2: the gradient is the sum of x (1/2 - y) over n.

    The mean squared length is (4 + 16) / 2, and one more for the bias.
    """
    kernel, bias = adapted_head(np.array([[2.0], [4.0]]), np.array([0, 1]), 2, steps=1, rate=11.0)
    np.testing.assert_allclose(kernel, [[-0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(bias, [0, 0])


def test_steps_are_gradient_descent_on_the_cross_entropy(rng):
    """Against gradients by finite differences of the loss, in float64."""
    x, labels = rng.normal(size=(8, 3)), np.array([0, 0, 1, 1, 2, 2, 2, 0])
    found = np.zeros((4, 3))

    def loss(flat):
        head = flat.reshape(4, 3)
        return cross_entropy(x @ head[:3] + head[3], labels)

    for _ in range(4):
        moved = [found.reshape(-1) + s * 1e-6 * np.eye(12)[i] for i in range(12) for s in (1, -1)]
        losses = np.array([loss(flat) for flat in moved]).reshape(12, 2)
        found = found - 0.7 * ((losses[:, 0] - losses[:, 1]) / 2e-6).reshape(4, 3)
    kernel, bias = adapted_head(x, labels, 3, steps=4, rate=0.7 * unit(x))
    np.testing.assert_allclose(kernel, found[:3], atol=1e-5)
    np.testing.assert_allclose(bias, found[3], atol=1e-5)


def test_the_outer_gradient_goes_through_the_inner_steps(rng):
    shown, asked = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    labels, truth = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 1, 0])

    def outer(features):
        """The loss of what is asked, in NumPy and float64."""
        head = np.zeros((4, 3))
        both = np.concatenate([features, np.ones((6, 1))], axis=1)
        for _ in range(3):
            head = (
                head
                - 0.5 / unit(features) * both.T @ (softmax(both @ head) - np.eye(3)[labels]) / 6
            )
        return cross_entropy(asked @ head[:3] + head[3], truth)

    features = tf.Variable(shown, dtype="float32")
    with tf.GradientTape() as tape:
        scores = anil_scores(features, labels, asked, 3, steps=3, rate=0.5)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(truth, scores, True))
    np.testing.assert_allclose(loss, outer(shown), rtol=1e-5)
    steps = 1e-5 * np.eye(18).reshape(18, 6, 3)
    slopes = [(outer(shown + step) - outer(shown - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(tape.gradient(loss, features), np.reshape(slopes, (6, 3)), atol=1e-5)


@pytest.mark.parametrize("length", [0.01, 1.0, 300.0])
def test_every_step_lessens_the_loss_whatever_the_length_of_features(length, rng):
    x, labels = length * (1 + rng.normal(size=(20, 6))), np.arange(20) % 4
    losses = []
    for steps in range(1, 9):
        kernel, bias = (np.asarray(v) for v in adapted_head(x, labels, 4, steps=steps, rate=3.9))
        losses.append(cross_entropy(x @ kernel + bias, labels))
    assert np.log(4) > losses[0] and (np.diff(losses) < 0).all()


def test_many_steps_on_classes_that_are_apart_tell_them(rng):
    shown = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]])
    asked = np.repeat(shown, 5, axis=0) + rng.normal(size=(15, 2))
    scores = anil_scores(shown, np.arange(3), asked, 3, steps=50)
    np.testing.assert_array_equal(np.argmax(scores, -1), np.repeat(np.arange(3), 5))


def test_impossible_steps_are_refused():
    with pytest.raises(ValueError, match="at least one step"):
        adapted_head(np.ones((2, 1)), np.arange(2), 2, steps=0)
    with pytest.raises(ValueError, match="positive rate"):
        adapted_head(np.ones((2, 1)), np.arange(2), 2, rate=0)


def test_training_makes_a_few_steps_enough(rng):
    x, labels = noisy_classes(rng, classes=40)
    model = untrained()
    score = functools.partial(anil_scores, steps=3, rate=2.0)

    def accuracy():
        rows = features_model(model).predict(x, verbose=0)
        new = Episodes(rows, labels, ways=5, shots=2, queries=5, classes=range(30, 40))
        return few_shot_accuracy(new, score, count=100)

    before = accuracy()
    fit_anil(
        model,
        Episodes(x, labels, ways=5, shots=2, queries=5, classes=range(30)),
        inner_steps=3,
        rate=2.0,
        steps=60,
        epochs=3,
        optimizer=keras.optimizers.Adam(0.01),
        verbose=0,
    )
    after = accuracy()
    assert before.mean < 0.5 and after.mean - after.margin > 0.6, (str(before), str(after))
