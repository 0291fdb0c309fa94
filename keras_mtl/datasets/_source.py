"""Where known data come from: a local folder, or a download that is checked by its sum."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

VARIABLE = "KERAS_MTL_DATA"


class File(NamedTuple):
    """A file of a data set.

    Attributes:
        url: Where it is published.
        sha256: Of its bytes.
    """

    url: str
    sha256: str


def locate(
    dataset: str, files: Mapping[str, File], data_dir: Any = None, *, folder: str | None = None
) -> dict[str, pathlib.Path]:
    """The local path of each file of a data set.

    Looked for in `data_dir`, then in the folder that the environment variable `KERAS_MTL_DATA`
    names: as the data set's own folder, or as the folder that holds it. Without either the files
    are downloaded to the Keras cache.

    Args:
        dataset: The data set's name.
        files: Its files by relative path.
        data_dir: A local folder.
        folder: The folder's name where it is not the data set's.

    Raises:
        ValueError: If a folder was named and does not hold the files, or a download has another
            checksum.
    """
    given = data_dir or os.environ.get(VARIABLE)
    if given is None:
        return {name: _download(dataset, name, file) for name, file in files.items()}
    root = pathlib.Path(given)
    folder = folder or dataset
    for place in (root, root / folder, root.parent / folder):
        if all((place / name).is_file() for name in files):
            # What somebody put there is taken as it is; loaders check what they read.
            return {name: place / name for name in files}
    told = "`data_dir`" if data_dir else f"The environment variable {VARIABLE}"
    raise ValueError(
        f"{told} is {str(root)!r}, but neither it nor {str(root / folder)!r} holds the files "
        f"{list(files)} of the data set {dataset!r}; name the right folder, or none for a download."
    )


def _download(dataset: str, name: str, file: File) -> pathlib.Path:
    try:
        return pathlib.Path(
            keras.utils.get_file(
                fname=pathlib.PurePath(name).name,
                origin=file.url,
                file_hash=file.sha256,
                hash_algorithm="sha256",
                cache_subdir=str(pathlib.PurePath("keras_mtl", dataset, name).parent),
            )
        )
    except Exception as error:  # `get_file` raises bare exceptions for every failure
        raise ValueError(
            f"The file {name!r} of the data set {dataset!r} cannot be had from {file.url}: {error}; "
            f"give data_dir=..., or set {VARIABLE} to a folder that holds it."
        ) from error
