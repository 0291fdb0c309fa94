"""Tables of text that are published plain, and may be kept under another name or gzipped."""

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._labels import MISSING
from keras_mtl.datasets._source import VARIABLE, File, locate


def located(
    dataset: str, files: Mapping[str, File], kept_as: Mapping[str, str], data_dir: Any = None
) -> dict[str, Any]:
    """The path of each file by the name that it is published under.

    Args:
        dataset: The data set's name.
        files: Its files by the names that they are published under.
        kept_as: What each of them is called in a folder; the published name does as well.
        data_dir: A local folder.

    Raises:
        ValueError: If a folder was named and does not hold the files, or a download fails.
    """
    if data_dir is None and not os.environ.get(VARIABLE):
        return dict(locate(dataset, files))
    try:
        return dict(locate(dataset, files, data_dir))
    except ValueError:
        found = locate(dataset, {kept_as[name]: file for name, file in files.items()}, data_dir)
    return {name: found[kept_as[name]] for name in files}


def rows_of(path: Any) -> list[list[str]]:
    """The cells of each row without blanks around them; empty lines and those of "|" are no rows.

    Args:
        path: A comma-separated file, gzipped if its name ends in `.gz`.

    Raises:
        ValueError: If the file is damaged, or a row has not as many cells as the first.
    """
    rows: list[list[str]] = []
    try:
        with _opened(path) as file:
            reader = csv.reader(file, skipinitialspace=True)
            for cells in reader:
                if not cells or cells[0].startswith("|"):
                    continue
                rows.append([cell.strip() for cell in cells])
                if len(cells) != len(rows[0]):
                    raise ValueError(
                        f"{path}, line {reader.line_num} has {len(cells)} columns, expected "
                        f"{len(rows[0])}; get the file anew."
                    )
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); get it anew.") from None
    return rows


def numbers(path: Any, name: str, cells: Sequence[str]) -> np.ndarray:
    """A column of numbers, `(n,)`.

    Raises:
        ValueError: If a cell is not a number.
    """
    try:
        return np.array(cells, "float32")
    except ValueError as error:
        raise ValueError(
            f"{path}, column {name!r} is not all numbers ({error}); get the file anew."
        ) from None


def codes(path: Any, name: str, cells: Sequence[str], values: Sequence[str]) -> np.ndarray:
    """The place of each cell in `values`, `(n,)`; -1 where there is nothing.

    Raises:
        ValueError: If a cell is none of the values.
    """
    place = {"": MISSING, **{value: i for i, value in enumerate(values)}}
    strange = sorted(set(cells) - set(place))
    if strange:
        raise ValueError(
            f"{path}, column {name!r} has {strange[0]!r}, expected one of {list(values)}; get the file "
            "anew."
        )
    return np.array([place[cell] for cell in cells], "int32")


def _opened(path: Any) -> Any:
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")
