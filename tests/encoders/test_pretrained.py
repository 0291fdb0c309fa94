"""Pretrained on pictures: networks of keras.applications, made on the spot; and what is refused."""

import sys
import types

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import encoders, tasks
from keras_mtl.encoders._application import Application, applications
from keras_mtl.encoders._preset import Preset
from tests.encoders._served import assert_served

# Pictures.


def through(source, pictures, **options):
    """What reaches the network of that name."""
    pixels = keras.Input((None, None, 3))
    reads = Application(source, keras.Model(pixels, keras.layers.Identity()(pixels)), **options)
    return np.asarray(reads(reads.preprocess(np.asarray(pictures, "float32"))))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # In [-1, 1]; blue first and without the mean; in units of the standard deviation; as it is.
        ("MobileNetV2", [1.0, -1.0, 0.2]),
        ("ResNet50", [153 - 103.939, 0 - 116.779, 255 - 123.68]),
        ("DenseNet121", [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.6 - 0.406) / 0.225]),
        ("EfficientNetB0", [255, 0, 153]),
    ],
)
def test_pixels_are_given_as_the_network_was_trained_on_them(source, expected):
    np.testing.assert_allclose(through(source, [[[[255, 0, 153]]]])[0, 0, 0], expected, rtol=1e-5)


def test_the_preprocessing_of_every_network_is_found():
    assert len(applications()) >= 38
    for source in applications():
        assert through(source, np.full((1, 1, 1, 3), 255)).shape == (1, 1, 1, 3), source


def test_pictures_are_resized_and_grey_ones_shown_to_all_channels():
    grey = np.arange(16.0).reshape(1, 4, 4, 1)
    seen = through("EfficientNetB0", grey, size=(2, 2), channels=1)
    # Half the size: each pixel is the mean of four.
    np.testing.assert_allclose(seen[0, ..., 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(seen, np.repeat(seen[..., :1], 3, axis=-1))


def test_it_is_the_network_of_that_name_with_the_weights_of_a_file(rng, tmp_path):
    by_hand = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    for variable in by_hand.trainable_variables[::5]:
        variable.assign(variable + 0.01)
    by_hand.save_weights(tmp_path / "my.weights.h5")
    encoder = encoders.Pretrained(
        "MobileNetV3Small", weights=str(tmp_path / "my.weights.h5"), size=(32, 32)
    )
    pictures = rng.integers(0, 256, (2, 32, 32, 3)).astype("float32")
    given = encoder(pictures, training=False)
    assert given.shape == (2, 1, 1, 576)
    np.testing.assert_allclose(given, by_hand(pictures, training=False), rtol=1e-4, atol=1e-5)


@pytest.fixture
def tiny_net(monkeypatch):
    """A network of keras.applications that is small, and can be made once only."""
    made = []

    def tiny(include_top, weights, input_shape):
        assert not made, "a loaded model needs nothing but its file"
        made.append(weights)
        pixels = keras.Input(input_shape)
        hidden = keras.layers.Conv2D(3, 3, strides=2, padding="same")(pixels)
        hidden = keras.layers.BatchNormalization()(hidden)
        hidden = keras.layers.Dropout(0.5)(hidden)
        return keras.Model(pixels, hidden, name="tiny")

    tiny.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "TinyNet", tiny, raising=False)
    return made


def picture_model(*more, **options):
    encoder = encoders.Pretrained("TinyNet", size=(8, 8), channels=1, **options)
    return keras_mtl.build_model(encoder, [tasks.MultiClass("kind", 3), *more])


def picture_rows(rng, n=12):
    pictures = rng.integers(0, 256, (n, 10, 10, 1)).astype("uint8")
    return {"image": pictures}, {"kind": rng.integers(0, 3, n), "old": rng.integers(0, 2, n)}


@pytest.mark.parametrize("trainable", [False, True])
def test_a_frozen_network_stays_as_it_is_and_runs_as_in_inference(trainable, rng, tiny_net):
    model = picture_model(tasks.Binary("old"), trainable=trainable)
    encoder = next(x for x in model.layers if isinstance(x, encoders.Pretrained))
    assert tiny_net == ["imagenet"]
    x, y = picture_rows(rng)
    before = [np.array(v) for v in encoder.network.backbone.variables]
    model.compile(keras.optimizers.Adam(0.01), balancer="mgda")
    model.fit(x, y, epochs=2, verbose=0)
    after = [np.array(v) for v in encoder.network.backbone.weights]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=False)]
    assert all(moved) if trainable else not any(moved), "moving averages too"
    assert len(model.trainable_variables) == (4 if trainable else 0) + 4
    pictures = ops.convert_to_tensor(x["image"])
    noisy, quiet = (np.array(encoder(pictures, training=t)) for t in (True, False))
    assert np.array_equal(noisy, quiet) != trainable


def test_a_model_of_pictures_loads_without_making_the_network_again(rng, tiny_net, tmp_path):
    model = picture_model(trainable=False)
    x, _ = picture_rows(rng)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for name, answer in model.predict(x, verbose=0).items():
        np.testing.assert_array_equal(loaded.predict(x, verbose=0)[name], answer)
    assert len(loaded.trainable_variables) == 2


def test_pixels_are_not_rounded_in_half_precision(rng, tiny_net):
    encoder = encoders.Pretrained("TinyNet", size=(8, 8), dtype="mixed_bfloat16")
    exact = encoders.Pretrained.from_config(encoder.get_config())
    for layer in exact.network.backbone.layers:
        layer.dtype_policy = "float32"
    exact.set_weights(encoder.get_weights())
    # 253 and 254 are one number in bfloat16.
    pictures = np.full((1, 8, 8, 3), 253.0), np.full((1, 8, 8, 3), 254.0)
    halves = [np.asarray(encoder(p), "float32") for p in pictures]
    assert encoder(pictures[0]).dtype == "bfloat16"
    np.testing.assert_allclose(halves[0], exact(pictures[0]), rtol=0.03, atol=0.02)
    assert (
        encoders.Pretrained.from_config(encoder.get_config()).dtype_policy.name == "mixed_bfloat16"
    )


def test_pixels_are_served_as_they_are(rng, tiny_net, tmp_path):
    x, _ = picture_rows(rng)
    assert_served(picture_model(), {"image": x["image"].astype("float32")}, tmp_path)


# What is refused.


def stub(monkeypatch, error=None, inputs=("token_ids",)):
    """KerasHub in name only, and what its loader was asked for."""
    asked = []

    def from_preset(source, **options):
        asked.append((source, options))
        if error is not None:
            raise error
        read = {name: keras.Input((None,), name=name) for name in inputs}
        return keras.Model(read, keras.layers.Identity()(next(iter(read.values()))))

    loader = types.SimpleNamespace(from_preset=from_preset)
    models = types.SimpleNamespace(Backbone=loader)
    tokenizers = types.SimpleNamespace(Tokenizer=loader, BytePairTokenizer=Preset)
    module = types.SimpleNamespace(models=models, tokenizers=tokenizers)
    monkeypatch.setitem(sys.modules, "keras_hub", module)
    return asked


def test_a_name_reaches_the_loader_that_knows_it(monkeypatch, tiny_net):
    asked = stub(monkeypatch)
    encoders.Pretrained("TinyNet", weights=None)
    assert tiny_net == [None] and not asked
    encoder = encoders.Pretrained("bert_tiny_en_uncased", weights=None, words=True)
    assert [source for source, _ in asked] == ["bert_tiny_en_uncased"] * 2
    assert asked[0][1]["load_weights"] is False
    assert list(encoder.make_inputs()) == ["tokens"]


def test_what_keras_hub_does_not_know_is_told_with_advice(monkeypatch):
    stub(monkeypatch, ValueError("Unknown preset identifier."))
    with pytest.raises(ValueError, match=r"did you mean 'MobileNetV3Small'.*Unknown preset"):
        encoders.Pretrained("MobileNetV3Smal")


def test_without_keras_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r'pip install "keras-mtl\[text\]"'):
        encoders.Pretrained("bert_tiny_en_uncased")


def test_a_network_of_something_else_is_refused(monkeypatch):
    stub(monkeypatch, inputs=("images",))
    with pytest.raises(ValueError, match=r"inputs are \['images'\]"):
        encoders.Pretrained("resnet_50_imagenet")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("TinyNet", {"words": True}, "`words` .* is for texts"),
        ("TinyNet", {"channels": 4}, "`channels` .* is 4"),
        ("TinyNet", {"size": 8}, "`size` .* is 8; expected .height, width."),
        ("TinyNet", {"size": (8, 0)}, "`size` .* is 0"),
        ("bert", {"channels": 1}, "`channels` .* is for pictures"),
        ("bert", {"size": (8, 8)}, "expected the largest number of word pieces"),
        ("bert", {"size": 2}, "`size` .* is 2; expected at least 3"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(source, options, message, monkeypatch, tiny_net):
    stub(monkeypatch)
    with pytest.raises(ValueError, match=message):
        encoders.Pretrained(source, **options)
