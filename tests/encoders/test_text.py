"""Text: unknown words, spelling, and word dropout."""

import keras
import numpy as np

from keras_mtl import encoders


def features(encoder, rows, **kwargs):
    tokens = keras.ops.convert_to_tensor(np.array(rows), dtype="string")
    out, mask = encoder(tokens, **kwargs)
    return np.asarray(out), np.asarray(mask)


def test_padding_is_masked_and_unknown_words_are_not():
    encoder = encoders.Text(["a", "b"], "cnn", units=4, embedding=4)
    _, mask = features(encoder, [["a", "zzz", ""], ["b", "", ""]])
    assert mask.tolist() == [[True, True, False], [True, False, False]]


def test_unknown_words_are_alike_without_spelling_and_different_with_it():
    plain = encoders.Text(["a"], "cnn", units=4, embedding=4)
    spelt = encoders.Text(["a", "xyz", "pqr"], "cnn", units=4, embedding=4, characters=6)
    for encoder, same in ((plain, True), (spelt, False)):
        out, _ = features(encoder, [["xyzx"], ["pqrp"]])
        assert np.allclose(out[0], out[1]) == same


def test_words_are_dropped_while_training_only():
    encoder = encoders.Text(["a"], "cnn", units=4, embedding=4, dropout=0.5)
    rows = [["a"] * 50]
    quiet, _ = features(encoder, rows, training=False)
    np.testing.assert_allclose(
        quiet[0, 10:40], np.tile(quiet[0, 25], (30, 1)), rtol=1e-4, atol=1e-6
    )
    noisy, _ = features(encoder, rows, training=True)
    assert len(np.unique(np.round(noisy[0, 10:40], 4), axis=0)) > 5
