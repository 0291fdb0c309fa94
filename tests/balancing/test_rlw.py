"""RLW: softmax weights that are drawn anew and sum to K."""

import numpy as np

from keras_mtl import balancing
from keras_mtl.balancing.rlw import rlw_weights


def test_weights_are_k_times_a_softmax():
    draws = np.array([0.0, np.log(2.0), np.log(5.0)], "float32")
    np.testing.assert_allclose(np.asarray(rlw_weights(draws)), [3 / 8, 6 / 8, 15 / 8], rtol=1e-6)


def test_draws_differ_from_step_to_step_and_repeat_under_a_seed():
    sequences = []
    for _ in range(2):
        made = balancing.RLW(seed=3)
        made.bind(["a", "b"])
        sequences.append([np.asarray(made.task_weights(np.zeros(2, "float32"))) for _ in range(3)])
    np.testing.assert_array_equal(sequences[0], sequences[1])
    assert not np.allclose(sequences[0][0], sequences[0][1])
