"""CSV files, with every bad row named by file and line."""

import csv
import logging
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl.data._opened import opened
from keras_mtl.data.examples import Examples
from keras_mtl.data.frames import from_frame

logger = logging.getLogger("keras_mtl")

_LARGEST = float(np.finfo("float32").max)
_MISSING = ("", "?", "NA", "N/A", "nan", "NaN", "None")


def from_csv(
    path: Any,
    inputs: Sequence[str] | None = None,
    labels: Mapping[str, str | Sequence[str]] | None = None,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    text: Sequence[str] = (),
    on_bad_row: str = "error",
    **reading: Any,
) -> Examples:
    """Reads a CSV file, gzipped or not, as inputs and labels.

    Args:
        path: The file.
        inputs: Columns to learn from; all that are not labels by default.
        labels: The column, or columns, of each task.
        classes: Class names of tasks; found in the file by default.
        text: Columns to take as text though they look like numbers.
        on_bad_row: "error" stops at the first bad row; "skip" leaves them out and tells how many.
        **reading: `delimiter`, `header` and `missing`, as of `read_csv`.

    Raises:
        TypeError: If labels are not what a task can learn from.
        ValueError: If the file has a bad row, no row, or not the columns that are asked for.
    """
    table = read_csv(path, text=text, on_bad_row=on_bad_row, **reading)
    labels = labels or {}
    taken = {c for v in labels.values() for c in ([v] if isinstance(v, str) else v)}
    chosen = list(inputs) if inputs is not None else [n for n in table if n not in taken]
    try:
        return from_frame(table, chosen, labels, classes=classes)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None


def read_csv(
    path: Any,
    *,
    delimiter: str = ",",
    header: Sequence[str] | None = None,
    missing: Sequence[str] = _MISSING,
    text: Sequence[str] = (),
    on_bad_row: str = "error",
) -> dict[str, np.ndarray]:
    """The columns of a CSV file: float32 where every value is a number or missing, else text.

    Args:
        path: The file; `.gz` is unpacked on the way.
        delimiter: Between fields; blanks around fields are dropped.
        header: Column names of a file that has none in its first line.
        missing: Fields that stand for "not known": NaN in numbers, "" in text.
        text: Columns to take as text though they look like numbers.
        on_bad_row: "error" or "skip".

    Raises:
        ValueError: If a row has another number of fields than the header, a column that is nearly
            all numbers holds something else, or there is no row.
    """
    if on_bad_row not in ("error", "skip"):
        raise ValueError(f"`on_bad_row` is {on_bad_row!r}; expected 'error' or 'skip'.")
    path = pathlib.Path(path)
    bad: list[tuple[int, str]] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with opened(path, "a CSV file", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            names = list(header) if header else [name.strip() for name in next(reader, [])]
            for fields in reader:
                if not fields or fields == [""]:
                    continue
                if len(fields) != len(names):
                    bad.append(
                        (reader.line_num, f"has {len(fields)} fields, expected {len(names)}")
                    )
                    continue
                rows.append([field.strip() for field in fields])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a CSV file: {error}.") from None
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"{path} has several columns named {twice!r}; expected each name once: correct the first "
            "line, or give the names as `header`."
        )
    columns: dict[str, Any] = {}
    dropped: set[int] = set()
    for i, name in enumerate(names):
        values = ["" if row[i] in missing else row[i] for row in rows]
        columns[name], wrong = _typed(values, name in text)
        for row in wrong:
            bad.append((lines[row], f"has {values[row]!r} in the column {name!r} of numbers"))
            dropped.add(row)
    if bad:
        told = "; ".join(f"{path}:{line} {why}" for line, why in sorted(bad)[:5])
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        if on_bad_row == "error":
            raise ValueError(
                f"Bad rows: {told}{more}; correct them, or leave them out with on_bad_row='skip'."
            )
        logger.warning("left out %d bad rows: %s%s", len(bad), told, more)
    keep = np.array([i for i in range(len(rows)) if i not in dropped], "int64")
    if not len(keep):
        raise ValueError(f"{path} holds no row of data.")
    return {name: values[keep] for name, values in columns.items()}


def _typed(values: list[str], text: bool) -> tuple[np.ndarray, list[int]]:
    """A column as numbers if nearly all of it is, with the rows that are not; else as text."""
    if not text:
        numbers = np.full(len(values), np.nan, "float32")
        wrong = []
        for row, value in enumerate(values):
            if value:
                try:
                    number = float(value)
                except ValueError:
                    number = math.inf
                if abs(number) > _LARGEST:
                    wrong.append(row)
                else:
                    numbers[row] = number
        there = sum(1 for value in values if value)
        if there and len(wrong) <= 0.05 * there:
            return numbers, wrong
    return np.array(values, dtype=object), []
