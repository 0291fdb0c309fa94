"""DWA: the formula by hand, over the epochs of `fit`."""

import numpy as np

from keras_mtl.balancing.dwa import dwa_weights
from tests.models import TASKS, compiled, rows


def oracle(last, before, temperature):
    """K exp(r_k / T) / sum exp(r_j / T), Liu et al. 2019, equation 7."""
    r = np.array(last) / np.array(before)
    e = np.exp(r / temperature)
    return len(r) * e / e.sum()


def test_weights_by_the_papers_formula(rng):
    for k in (1, 2, 5, 40):
        last, before = rng.random(k) + 0.1, rng.random(k) + 0.1
        got = np.asarray(
            dwa_weights(last.astype("float32"), before.astype("float32"), temperature=2.0)
        )
        np.testing.assert_allclose(got, oracle(last, before, 2.0), rtol=1e-5)
        np.testing.assert_allclose(got.sum(), k, rtol=1e-5)


def test_the_first_two_epochs_are_equal_and_the_third_follows_the_losses():
    x, y = rows(64)
    model = compiled(balancer="dwa", optimizer="sgd")
    seen = []
    import keras

    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda e, logs: seen.append(
            np.asarray(model.balancer.task_weights(np.zeros(3)))
        )
    )
    history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[watch]).history
    np.testing.assert_allclose(seen[0], 1)
    np.testing.assert_allclose(seen[1], 1)
    losses = np.array([history[f"{t}_loss"] for t in TASKS])
    np.testing.assert_allclose(seen[2], oracle(losses[:, 1], losses[:, 0], 2.0), rtol=1e-4)
