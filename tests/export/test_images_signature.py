"""Images sent as the files that they come in, written by Pillow."""

import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl import encoders, export, tasks
from tests.export.test_saved_model import TF1_LOADER, Exported, answers_of

HEIGHT, WIDTH = 4, 6


def looking(shape=(HEIGHT, WIDTH, 3), dtype="float32") -> keras_mtl.MultiTaskModel:
    """A model whose answers are the image that it was given, and one with a weight."""
    image = keras.Input(shape, name="image", dtype=dtype)
    seen = ops.cast(image, "float32")
    return keras_mtl.MultiTaskModel(
        {"image": image},
        {"seen": seen, "felt": keras.layers.Dense(2)(ops.mean(seen, axis=(1, 2)))},
    )


def file(levels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    kept = io.BytesIO()
    PIL.Image.fromarray(levels).save(kept, kind, **options)
    return kept.getvalue()


def levels(rng, height=HEIGHT, width=WIDTH) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3)).astype("uint8")


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """Exported with pixels from 0 to 1, as three images answer them."""
    rng = np.random.default_rng(5)
    images = np.stack([levels(rng) for _ in range(3)])
    given = {"serving_images image": np.array([file(image) for image in images], object)}
    exported = Exported(
        looking(),
        tmp_path_factory.mktemp("looked"),
        {"image": (images / 255.0).astype("float32")},
        given,
        pixels=(0, 1),
    )
    exported.loaded = tf.saved_model.load(str(exported.path))
    return exported


def seen(exported, *files: bytes) -> np.ndarray:
    """The pixels that a model gets for files."""
    served = exported.loaded.signatures["serving_images"]
    return served(image=tf.constant(files, tf.string))["seen"].numpy()


def test_png_files_are_answered_as_their_pixels_without_keras(looked, tmp_path):
    found = answers_of(TF1_LOADER, looked, tmp_path)
    for signature in ("serving_default", "serving_images", "serving_examples"):
        for task, expected in looked.expected.items():
            np.testing.assert_allclose(found[f"{signature} {task}"], expected, atol=1e-6)


def test_jpeg_and_grey_files_are_read_as_pillow_reads_them(looked, rng):
    smooth = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1).repeat(3, -1)
    jpeg = file(smooth.astype("uint8"), "JPEG", quality=95)
    expected = np.asarray(PIL.Image.open(io.BytesIO(jpeg)))
    # TensorFlow takes the fast cosine transform, which is off by up to some levels.
    np.testing.assert_allclose(seen(looked, jpeg)[0] * 255, expected, atol=10)
    grey = levels(rng)[:, :, 0]
    np.testing.assert_allclose(
        seen(looked, file(grey))[0] * 255, np.stack([grey] * 3, -1), atol=1e-3
    )


def test_files_of_any_size_are_resized_one_by_one(looked):
    """Halves of two colours stay halves; a colour stays a colour."""
    halves = np.zeros((40, 60, 3), "uint8")
    halves[:, :30] = (200, 100, 50)
    small = np.full((1, 1, 3), 51, "uint8")
    large, tiny = seen(looked, file(halves), file(small))
    np.testing.assert_allclose(
        large[:, :2] * 255, np.broadcast_to((200, 100, 50), (4, 2, 3)), atol=1
    )
    np.testing.assert_allclose(large[:, 4:], 0, atol=1e-2)
    np.testing.assert_allclose(tiny, 0.2, atol=1e-6)


def test_files_are_seen_as_they_were_when_it_was_trained_from_a_folder(looked, tmp_path, rng):
    made = [file(levels(rng, *size), "JPEG") for size in ((9, 31), (4, 6), (3, 3))]
    (tmp_path / "some").mkdir()
    for i, content in enumerate(made):
        (tmp_path / "some" / f"{i}.jpg").write_bytes(content)
    rows = keras_mtl.data.from_image_folder(tmp_path, "kind", size=(HEIGHT, WIDTH))
    trained_on, _ = next(iter(rows.dataset(3)))
    np.testing.assert_allclose(seen(looked, *made), trained_on["image"], atol=1e-6)


def test_what_is_no_image_is_refused(looked):
    broken = file(np.zeros((9, 9, 3), "uint8"))[:40]
    for content in (b"", b"no image", broken):
        with pytest.raises(tf.errors.InvalidArgumentError):
            seen(looked, content)


def test_black_and_white_are_what_the_data_say(tmp_path):
    signature = tf.saved_model.load(
        str(export.saved_model(looking((2, 2, 1)), tmp_path, pixels=(1, -1)))
    ).signatures["serving_images"]
    inverted = signature(image=tf.constant([file(np.array([[0, 255], [51, 255]], "uint8"))]))
    np.testing.assert_allclose(inverted["seen"][0, :, :, 0], [[1, -1], [0.6, -1]], atol=1e-6)


def test_whole_numbers_are_pixels_and_fractions_are_not_guessed_at(tmp_path, rng):
    signatures = {}
    for dtype in ("uint8", "float32"):
        path = export.saved_model(looking(dtype=dtype), tmp_path / dtype)
        signatures[dtype] = tf.saved_model.load(str(path)).signatures
    assert "serving_images" not in signatures["float32"], "0 to 1, or 0 to 255?"
    image = levels(rng)
    found = signatures["uint8"]["serving_images"](image=tf.constant([file(image)]))
    np.testing.assert_array_equal(found["seen"][0], image)


def test_images_of_free_size_stay_as_they_are(tmp_path, rng):
    path = export.saved_model(looking((None, None, 3)), tmp_path, pixels=(0, 255))
    served = tf.saved_model.load(str(path)).signatures["serving_images"]
    for size in ((3, 5), (7, 2)):
        image = levels(rng, *size)
        found = served(image=tf.constant([file(image), file(image)]))["seen"]
        np.testing.assert_array_equal(found, np.stack([image, image]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(image=tf.constant([file(levels(rng, 3, 5)), file(levels(rng, 5, 3))]))


def test_the_other_inputs_are_taken_as_they_are(tmp_path, rng):
    inputs = {
        "image": keras.Input((2, 2, 3), name="image", dtype="uint8"),
        "weight-kg": keras.Input((), name="weight-kg"),
    }
    heavy = ops.mean(ops.cast(inputs["image"], "float32"), axis=(1, 2, 3)) * inputs["weight-kg"]
    model = keras_mtl.MultiTaskModel(inputs, {"heavy": heavy})
    path = export.saved_model(model, tmp_path)
    image = levels(rng, 2, 2)
    served = tf.saved_model.load(str(path)).signatures["serving_images"]
    found = served(**{"image": tf.constant([file(image)]), "weight-kg": tf.constant([2.0])})
    np.testing.assert_allclose(found["heavy"], [2 * image.mean()], rtol=1e-6)


def test_pixels_that_are_for_nothing_are_refused(tmp_path):
    words = encoders.Text(["a"], "cnn", units=2, embedding=2)
    text = keras_mtl.build_model(words, [tasks.Binary("t")])
    two = [keras.Input((2, 2, 3), name=name) for name in ("left", "right")]
    both = keras_mtl.MultiTaskModel(two, {"t": ops.mean(two[0] + two[1], axis=(1, 2))})
    for model in (text, both):
        with pytest.raises(ValueError, match=r"one input of images.*leave it out"):
            export.saved_model(model, tmp_path / "m", pixels=(0, 1))
    for pixels in [(1, 1), (0, np.nan), (0, 1, 2)]:
        with pytest.raises(ValueError, match="expected what black and white are"):
            export.saved_model(looking(), tmp_path / "m", pixels=pixels)
    assert not (tmp_path / "m").exists()
