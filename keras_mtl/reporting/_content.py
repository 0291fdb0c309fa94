"""What a section of a report holds: numbers with names, which each file format draws its own way.

A `Section` is made of `Part`s, mostly one a task, and a part of blocks. Blocks know nothing of HTML
or Markdown: a new kind is a class here and a function in each of `_html_blocks`, `_markdown`.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Range(NamedTuple):
    """Two ends of an interval."""

    low: float
    high: float


Cell = str | int | float | Range | None


@dataclasses.dataclass(frozen=True)
class Note:
    """A sentence or two."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of words and numbers; None where there is nothing to tell.

    Attributes:
        columns: Their names.
        rows: As many cells each; the first names the row.
        title: Of the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """One line or one cloud of points of a chart.

    Attributes:
        name: For the legend.
        x: `(n,)`.
        y: `(n,)`, NaN where there is nothing.
        points: Whether it is points without a line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    points: bool = False


@dataclasses.dataclass(frozen=True)
class Chart:
    """Lines or points over two axes.

    Attributes:
        title: Of the chart.
        x_label: What is measured to the right.
        y_label: What is measured upwards.
        series: The lines.
        x_range: Both ends of the axis; of the numbers, if None.
        y_range: Both ends of the axis; of the numbers, if None.
        diagonal: Whether the line x = y is drawn for comparison.
        whole: Whether x counts, so that only whole numbers are marked.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Bars:
    """Named amounts that are not negative."""

    title: str
    names: Sequence[str]
    values: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Matrix:
    """Numbers of each row and column, coloured by their size.

    Attributes:
        title: Of the matrix.
        rows: Their names.
        columns: Their names.
        values: `(R, C)`, NaN where nothing is known.
        row_label: What rows are.
        column_label: What columns are.
        by_row: Whether colours tell the share of the row; of `full`, if not.
        full: The number of full colour; the largest, if None.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: np.ndarray
    row_label: str
    column_label: str
    by_row: bool = False
    full: float | None = None


@dataclasses.dataclass(frozen=True)
class Picture:
    """A small picture of a row: a PNG file, and the shape of what it was made of."""

    png: bytes
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Words:
    """Tokens of a row, each with what was said of it and what is true, where they are tagged."""

    words: Sequence[str]
    said: Sequence[str] = ()
    true: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Values:
    """Named values of a row, and how many more there are."""

    values: Sequence[tuple[str, str]]
    more: int = 0


@dataclasses.dataclass(frozen=True)
class Example:
    """One row of the data, what is true of it and what the model said.

    Attributes:
        row: Its place in the data, 0 the first.
        facts: Such as ("true", "yes"); in reading order.
        inputs: What the model read.
    """

    row: int
    facts: Sequence[tuple[str, Cell]]
    inputs: Sequence[Picture | Words | Values]


@dataclasses.dataclass(frozen=True)
class Examples:
    """Rows of the data to look at."""

    title: str
    rows: Sequence[Example]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture that was drawn elsewhere, the text of an SVG file."""

    title: str
    svg: str


@dataclasses.dataclass(frozen=True)
class Source:
    """The text of a file, such as a configuration."""

    title: str
    text: str


Block = Note | Table | Chart | Bars | Matrix | Examples | Drawing | Source


@dataclasses.dataclass(frozen=True)
class Part:
    """Blocks under one heading, mostly a task's name; without a heading, if it is empty."""

    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Section:
    """What one file of this folder tells.

    Attributes:
        title: A few words.
        intro: How to read it.
        parts: What there is to read.
    """

    title: str
    intro: str
    parts: Sequence[Part]

    @property
    def anchor(self) -> str:
        """Its name in a link.

        >>> Section("Precision and recall", "", ()).anchor
        'precision-and-recall'
        """
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def shown(value: Cell) -> str:
    """A number as people read it, words as they are, and a dash for nothing.

    >>> [shown(v) for v in (1234567, 0.91234, 12.3456, 4321.5, 0.0000321, None, Range(0.9, 0.95))]
    ['1,234,567', '0.912', '12.35', '4,322', '3.2e-05', '-', '0.900 to 0.950']
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, Range):
        return f"{shown(value.low)} to {shown(value.high)}"
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    number = float(value)
    if not math.isfinite(number):
        return "-"
    size = abs(number)
    if size == 0:
        return "0"
    if size < 0.001:
        return f"{number:.1e}"
    return f"{number:,.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def plain(content: Any) -> Any:
    """The same as plain Python for JSON; what is not finite is None."""
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        named = {f.name: getattr(content, f.name) for f in dataclasses.fields(content)}
        return {"kind": type(content).__name__.lower(), **{k: plain(v) for k, v in named.items()}}
    if isinstance(content, np.ndarray):
        return plain(content.tolist())
    if isinstance(content, (list, tuple)):
        return [plain(v) for v in content]
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, bytes):
        return None
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
