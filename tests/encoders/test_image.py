"""Image: shapes of the kinds, and any network of keras.applications."""

import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks


def test_maps_and_vectors(rng):
    pictures = rng.random((2, 16, 16, 3)).astype("float32")
    assert encoders.Image((16, 16, 3), filters=[4, 6])(pictures).shape == (2, 4, 4, 6)
    assert encoders.Image((16, 16, 3), "resnet", filters=[4, 6])(pictures).shape == (2, 8, 8, 6)
    assert encoders.Image((16, 16, 3), filters=[4], units=5)(pictures).shape == (2, 5)


def test_a_network_of_keras_applications(rng):
    encoder = encoders.Image((32, 32, 3), "MobileNetV2")
    model = keras_mtl.build_model(encoder, [tasks.MultiClass("kind", 4)])
    served = model.predict(rng.random((2, 32, 32, 3)).astype("float32"), verbose=0)["kind"]
    np.testing.assert_allclose(served.sum(-1), 1, rtol=1e-5)
    assert model.count_params() > 2_000_000
