"""Pictures in folders: a class a folder, or a table of labels for many tasks."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._labels import encode_classes
from keras_mtl.data.csv_files import read_csv
from keras_mtl.data.examples import Examples
from keras_mtl.data.frames import from_frame

_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")


class ImageExamples(Examples):
    """Rows whose pictures are read and decoded as they are needed.

    Made by `from_image_folder`; batches hold `image`, `(B, h, w, c)` floats from 0 to 1.
    """

    size: tuple[int, int] = (0, 0)
    channels: int = 3

    def dataset(
        self, batch_size: int = 32, *, cache: bool = False, **kwargs: Any
    ) -> tf.data.Dataset:
        """Batches as `Examples.dataset` gives them; `cache` keeps decoded pictures in memory."""
        if not cache:
            return super().dataset(batch_size, **kwargs)
        decoded = tf.data.Dataset.from_tensor_slices(
            np.asarray(self.inputs["image"]).astype(str)
        ).map(self._decode, tf.data.AUTOTUNE)
        pictures = np.stack([picture.numpy() for picture in decoded])
        held = Examples({**self.inputs, "image": pictures}, self.labels, self.weights)
        return held.dataset(batch_size, **kwargs)

    def gather(self) -> Any:
        batch = super().gather()

        def decoded(rows: Any) -> Any:
            inputs, *rest = batch(rows)
            pictures = tf.map_fn(
                self._decode,
                inputs["image"],
                fn_output_signature=tf.TensorSpec((*self.size, self.channels), tf.float32),
            )
            return ({**inputs, "image": pictures}, *rest)

        return decoded

    def _decode(self, path: Any) -> Any:
        picture = tf.io.decode_image(
            tf.io.read_file(path), channels=self.channels, expand_animations=False
        )
        picture = tf.image.resize(tf.cast(picture, tf.float32) / 255.0, self.size)
        return tf.ensure_shape(picture, (*self.size, self.channels))


def from_image_folder(
    folder: Any,
    labels: str | Mapping[str, str | Sequence[str]],
    *,
    table: Any = None,
    file_column: str = "file",
    size: tuple[int, int] = (64, 64),
    channels: int = 3,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> ImageExamples:
    """Takes pictures and their labels from a folder.

    Args:
        folder: Holds one folder a class; or, with `table`, the pictures that it names.
        labels: The task's name; or, with `table`, the column or columns of each task.
        table: A CSV file with a row a picture.
        file_column: The column of the table that names the picture, relative to `folder`.
        size: Height and width that pictures are resized to.
        channels: 1 for grey, 3 for colour.
        classes: Class names by task; found by default.

    Raises:
        ValueError: If there is no picture, a picture that the table names is not there, or one
            cannot be decoded; names the files.
    """
    folder = pathlib.Path(folder)
    if table is None:
        if not isinstance(labels, str):
            raise ValueError(
                "`labels` names columns, but there is no table; give table='labels.csv', or the one "
                "task's name for a folder of one folder a class."
            )
        files = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in _SUFFIXES)
        found = sorted({p.parent.name for p in files})
        names = {labels: [str(c) for c in (classes or {}).get(labels, found)]}
        encoded: Any = {
            labels: encode_classes([p.parent.name for p in files], names[labels], task=labels)
        }
    else:
        if isinstance(labels, str):
            raise ValueError("`labels` must be {task: column} where a table is given.")
        rows = read_csv(table, text=[file_column])
        if file_column not in rows:
            raise ValueError(f"{table} has no column {file_column!r}, but {list(rows)}.")
        files = [folder / str(name) for name in rows[file_column]]
        told = from_frame(rows, [file_column], labels, classes=classes)
        encoded, names = told.labels, told.classes
    if not files:
        raise ValueError(f"{folder} holds no picture ({', '.join(_SUFFIXES)}) in a folder a class.")
    _check_readable(files, channels)
    examples = ImageExamples({"image": [str(p) for p in files]}, encoded)
    examples.classes, examples.size, examples.channels = names, size, channels
    return examples


def _check_readable(files: Sequence[pathlib.Path], channels: int) -> None:
    """Decodes every picture once, so that a bad one is told by name and not in mid-training."""
    bad = []
    for path in files:
        try:
            tf.io.decode_image(path.read_bytes(), channels=channels, expand_animations=False)
        except (OSError, tf.errors.InvalidArgumentError):
            bad.append(str(path))
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{len(bad)} pictures are not there or cannot be decoded: {', '.join(bad[:5])}{more}; "
            "replace or remove them."
        )
