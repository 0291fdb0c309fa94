"""Dense: the stack by hand."""

import numpy as np

from keras_mtl import encoders


def test_it_is_a_stack_of_dense_layers(rng):
    encoder = encoders.Dense(3, units=[4, 2], activation="relu")
    x = rng.normal(size=(5, 3)).astype("float32")
    got = np.asarray(encoder(x))
    (k0, b0, k1, b1) = encoder.get_weights()
    expected = np.maximum(np.maximum(x @ k0 + b0, 0) @ k1 + b1, 0)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
