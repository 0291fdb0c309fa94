"""multi_mnist: idx files, and canvases of the right digits."""

import gzip
import struct

import numpy as np
import pytest

from keras_mtl.datasets import multi_mnist
from keras_mtl.datasets.multi_mnist import read_idx


def test_idx_by_hand_and_damage(tmp_path):
    content = b"\x00\x00\x08\x02" + struct.pack(">II", 2, 3) + bytes(range(6))
    (tmp_path / "a").write_bytes(content)
    with gzip.open(tmp_path / "b.gz", "wb") as file:
        file.write(content)
    for name in ("a", "b.gz"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), [[0, 1, 2], [3, 4, 5]])
    (tmp_path / "cut").write_bytes(content[:-1])
    with pytest.raises(
        ValueError, match=r"holds 5 bytes of data, but says it has the shape \(2, 3\)"
    ):
        read_idx(tmp_path / "cut")
    (tmp_path / "other").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="is not an idx file"):
        read_idx(tmp_path / "other")


@pytest.mark.needs_data
def test_canvases_hold_the_digits_that_the_labels_name(data_dir):
    train, _valid, test = multi_mnist(data_dir, train=300, valid=20, test=50, shift=28)
    assert train.inputs["image"].shape == (300, 56, 56, 1)
    images = read_idx(data_dir / "mnist10k" / "t10k-images-idx3-ubyte.gz") / 255.0
    labels = read_idx(data_dir / "mnist10k" / "t10k-labels-idx1-ubyte.gz")
    for i in range(10):
        left = test.inputs["image"][i, :28, :28, 0]
        match = np.flatnonzero(np.abs(images - left).max((1, 2)) < 1e-6)
        assert test.labels["left"][i] in labels[match]
