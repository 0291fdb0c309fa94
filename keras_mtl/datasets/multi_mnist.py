"""Two MNIST digits on one canvas."""

import gzip
import pathlib
import struct
from typing import Any

import numpy as np

from keras_mtl.data import Examples
from keras_mtl.datasets._overlay import overlay
from keras_mtl.datasets._source import File, locate

_HOST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_TRAIN = {
    "train-images-idx3-ubyte.gz": File(
        _HOST + "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": File(
        _HOST + "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
}
_TEST = {
    "t10k-images-idx3-ubyte.gz": File(
        _HOST + "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": File(
        _HOST + "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}


def multi_mnist(
    data_dir: Any = None,
    *,
    train: int = 60_000,
    valid: int = 5_000,
    test: int = 10_000,
    shift: int = 8,
    seed: int = 0,
) -> tuple[Examples, Examples, Examples]:
    """Canvases of two overlapping MNIST digits; the tasks are `left` and `right`.

    The construction of Sabour, Frosst and Hinton (NeurIPS 2017), as a two-task problem by Sener
    and Koltun ("Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018): digits of
    28 x 28 pixels, 8 pixels apart on a canvas of 36 x 36. Training and validation canvases are made
    from different images of MNIST's training set, test canvases from its test set.

    Args:
        data_dir: A folder that holds `mnist/` and `mnist10k/`, or both in one; by default the
            environment variable `KERAS_MTL_DATA`, then a download.
        train: Canvases to train on.
        valid: Canvases to choose by.
        test: Canvases to judge by.
        shift: Pixels that the two digits are apart.
        seed: Makes the pairs repeatable.

    Returns:
        Training, validation and test rows: input `image`, `(n, 28 + shift, 28 + shift, 1)` from 0
        to 1; labels `left` and `right`, 0 to 9.

    Raises:
        ValueError: If the files are not there or damaged.
    """
    trained = locate("mnist", _TRAIN, data_dir)
    tested = locate("mnist10k", _TEST, data_dir)
    images, labels = (read_idx(path) for path in trained.values())
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    cut = len(images) // 12
    parts = [(order[cut:], images, labels, train), (order[:cut], images, labels, valid)]
    tests = [read_idx(path) for path in tested.values()]
    parts.append((np.arange(len(tests[0])), tests[0], tests[1], test))
    made = [
        overlay((x[rows] / 255.0).astype("float32"), y[rows].astype("int32"), pairs, shift, rng)
        for rows, x, y, pairs in parts
    ]
    return made[0], made[1], made[2]


def read_idx(path: Any) -> np.ndarray:
    """Reads a file of the idx format of LeCun's MNIST page: unsigned bytes of any rank.

    Raises:
        ValueError: If the file is not of that format, or cut short.
    """
    path = pathlib.Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged ({error}); get it anew.") from None
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes.")
    rank = content[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:header]) if len(content) >= header else (0,)
    if len(content) != header + int(np.prod(shape)):
        raise ValueError(
            f"{path} holds {len(content) - header} bytes of data, but says it has the shape {shape}; "
            "it is cut short or damaged: get it anew."
        )
    return np.frombuffer(content, "uint8", offset=header).reshape(shape)
