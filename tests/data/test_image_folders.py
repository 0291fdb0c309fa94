"""Pictures in folders."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.data import from_image_folder


def draw(path, value, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((*size, 3), value, "uint8")
    encode = tf.io.encode_jpeg if path.suffix == ".jpg" else tf.io.encode_png
    path.write_bytes(encode(picture).numpy())


def test_a_class_a_folder(tmp_path):
    for i in range(3):
        draw(tmp_path / "cat" / f"{i}.png", 255)
        draw(tmp_path / "dog" / f"{i}.jpg", 0)
    rows = from_image_folder(tmp_path, "animal", size=(4, 4))
    assert rows.classes == {"animal": ["cat", "dog"]}
    for batches in (rows.dataset(6), rows.dataset(6, cache=True), rows.select(range(6)).dataset(6)):
        inputs, labels = next(iter(batches))
        assert inputs["image"].shape == (6, 4, 4, 3)
        np.testing.assert_allclose(inputs["image"][:, 0, 0, 0], 1 - labels["animal"], atol=0.02)


def test_a_table_of_labels_for_many_tasks(tmp_path):
    draw(tmp_path / "a.png", 51)
    draw(tmp_path / "b.png", 102)
    (tmp_path / "labels.csv").write_text("file,kind,weight\na.png,x,1.5\nb.png,,2.5\n")
    rows = from_image_folder(
        tmp_path, {"kind": "kind", "weight": "weight"}, table=tmp_path / "labels.csv", size=(2, 2)
    )
    inputs, labels = next(iter(rows.dataset(2)))
    np.testing.assert_allclose(inputs["image"][:, 0, 0, 0], [0.2, 0.4], atol=1e-3)
    assert labels["kind"].numpy().tolist() == [0, -1]
    assert labels["weight"].numpy().tolist() == [1.5, 2.5]


def test_unreadable_pictures_are_told_by_name(tmp_path):
    draw(tmp_path / "cat" / "0.png", 255)
    (tmp_path / "cat" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 pictures .* cannot be decoded: .*1.png"):
        from_image_folder(tmp_path, "animal")
    with pytest.raises(ValueError, match="holds no picture"):
        from_image_folder(tmp_path / "cat", "animal")
