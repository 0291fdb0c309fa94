"""Hard: the same features for each task."""

import keras
import numpy as np

from keras_mtl import sharing


def test_every_task_reads_the_same_features_and_mask():
    ids = keras.Input((None,), dtype="int32")
    seen = keras.layers.Embedding(5, 3, mask_zero=True)(ids)
    shared = sharing.Hard().connect(seen, ["a", "b"])
    model = keras.Model(ids, {**shared, "c": seen})
    out = model(np.array([[1, 2, 0]]))
    np.testing.assert_array_equal(out["a"], out["c"])
    np.testing.assert_array_equal(out["b"], out["c"])
    np.testing.assert_array_equal(out["a"]._keras_mask, [[True, True, False]])
