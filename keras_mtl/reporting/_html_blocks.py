"""Each kind of block as HTML, everything that comes from outside escaped."""

import base64
import functools
import html
import math
from typing import Any

import numpy as np

from keras_mtl.reporting._chart import COLOURS, chart_svg
from keras_mtl.reporting._content import (
    Bars,
    Cell,
    Chart,
    Drawing,
    Example,
    Examples,
    Matrix,
    Note,
    Picture,
    Source,
    Table,
    Values,
    Words,
    shown,
)

_SHORT = 18
_NAME = 22


@functools.singledispatch
def block_html(block: Any) -> str:
    """A block as HTML.

    Raises:
        TypeError: If there is no function for its kind.
    """
    raise TypeError(f"A report cannot draw {type(block).__name__} as HTML; register a function.")


@block_html.register
def _(block: Note) -> str:
    return f'<p class="wide">{html.escape(block.text)}</p>'


@block_html.register
def _(block: Table) -> str:
    numeric = [
        all(not isinstance(row[i], str) or row[i] == "" for row in block.rows)
        for i in range(len(block.columns))
    ]
    head = "".join(
        f'<th scope="col"{_side(right)}>{html.escape(name)}</th>'
        for name, right in zip(block.columns, numeric, strict=True)
    )
    rows = []
    for row in block.rows:
        first = f'<th scope="row"{_short(row[0])}>{_cell(row[0])}</th>'
        rest = "".join(
            f"<td{_side(right) or _short(cell)}>{_cell(cell)}</td>"
            for cell, right in zip(row[1:], numeric[1:], strict=True)
        )
        rows.append(f"<tr>{first}{rest}</tr>")
    caption = f"<caption>{html.escape(block.title)}</caption>" if block.title else ""
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(rows)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{caption}{body}</table></div>'


@block_html.register
def _(block: Chart) -> str:
    legend = ""
    if len(block.series) > 1:
        items = "".join(
            f'<li><svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">'
            f'<polyline class="c{i % COLOURS}" points="0,4 24,4"/></svg>{html.escape(one.name)}</li>'
            for i, one in enumerate(block.series)
        )
        legend = f'<ul class="legend">{items}</ul>'
    caption = f"<figcaption>{html.escape(block.title)}</figcaption>"
    return f'<figure class="drawn">{caption}{chart_svg(block)}{legend}</figure>'


@block_html.register
def _(block: Bars) -> str:
    top = max([*block.values, 0]) or 1
    rows = "".join(
        f'<tr><th scope="row"{_short(name, _NAME)}>{html.escape(name)}</th><td class="bar">'
        f'<span style="width:{100 * value / top:.2f}%"></span></td>'
        f'<td class="number">{shown(value)}</td></tr>'
        for name, value in zip(block.names, block.values, strict=True)
    )
    return f'<table class="bars"><caption>{html.escape(block.title)}</caption><tbody>{rows}</tbody></table>'


@block_html.register
def _(block: Matrix) -> str:
    shares = _shares(block)
    head = "".join(
        f'<th scope="col"><span>{html.escape(name)}</span></th>' for name in block.columns
    )
    rows = []
    for name, values, of in zip(block.rows, block.values, shares, strict=True):
        cells = "".join(map(_matrix_cell, values.tolist(), of.tolist()))
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    long = " upright" if max(map(len, block.columns), default=0) > 5 else ""
    title = html.escape(block.title, quote=True)
    corner = f'<th class="corner">{html.escape(block.row_label)}</th>'
    across = (
        f'<tr><td></td><th class="across" scope="colgroup" colspan="{len(block.columns)}">'
        f"{html.escape(block.column_label)}</th></tr>"
    )
    return (
        f'<figure class="scroll" tabindex="0"><figcaption>{title}</figcaption>'
        f'<table class="matrix{long}" aria-label="{title}">'
        f"<thead>{across if block.column_label else ''}<tr>{corner}{head}</tr></thead>\n"
        f"<tbody>{chr(10).join(rows)}</tbody>"
        "</table></figure>"
    )


@block_html.register
def _(block: Examples) -> str:
    rows = "\n".join(map(_example, block.rows))
    return (
        f'<ol class="examples wide" aria-label="{html.escape(block.title, quote=True)}">{rows}</ol>'
    )


@block_html.register
def _(block: Drawing) -> str:
    # As an image: its styles and names stay its own, and no script of it would run.
    packed = base64.b64encode(block.svg.encode("utf-8")).decode("ascii")
    title = html.escape(block.title, quote=True)
    return (
        f'<figure class="wide scroll"><figcaption>{title}</figcaption>'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{packed}"></figure>'
    )


@block_html.register
def _(block: Source) -> str:
    title, text = html.escape(block.title), html.escape(block.text)
    return (
        f'<details class="wide"><summary>{title}</summary><pre tabindex="0">{text}</pre></details>'
    )


def _side(right: bool) -> str:
    return ' class="number"' if right else ""


def _short(cell: Cell, most: int = _SHORT) -> str:
    """Keeps a few letters on one line, so that narrow screens do not break ranges and names."""
    return ' class="short"' if len(shown(cell)) <= most else ""


def _cell(cell: Cell) -> str:
    return html.escape(shown(cell))


def _shares(block: Matrix) -> np.ndarray:
    """How strong the colour of each cell is, -1 to 1."""
    values = np.nan_to_num(np.asarray(block.values, "float64"))
    if block.by_row:
        top = np.abs(values).sum(axis=1, keepdims=True)
    elif block.full is not None:
        top = np.full((len(values), 1), block.full)
    else:
        square = block.values.shape[0] == block.values.shape[1] and block.rows == block.columns
        beside = np.abs(values[~np.eye(len(values), dtype=bool)]) if square else np.abs(values)
        # A diagonal of ones would leave the rest of an affinity pale.
        top = np.full((len(values), 1), beside.max() if beside.size else 0.0)
    return np.clip(values / np.where(top > 0, top, 1.0), -1, 1)


def _matrix_cell(value: float, share: float) -> str:
    if not math.isfinite(value):
        return '<td class="unknown">?</td>'
    kind = "up" if value >= 0 else "down"
    full = " full" if abs(share) > 0.55 else ""
    told = "" if value == 0 and isinstance(value, int) else shown(value)
    return f'<td class="{kind}{full}" style="--share:{100 * abs(share):.0f}%">{told}</td>'


def _example(example: Example) -> str:
    seen = "".join(map(_looked_at, example.inputs))
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{_cell(value)}</dd>" for name, value in example.facts
    )
    return f"<li><p><b>row {example.row}</b></p>{seen}<dl>{facts}</dl></li>"


@functools.singledispatch
def _looked_at(seen: Any) -> str:
    raise TypeError(f"A report cannot draw the input {type(seen).__name__} as HTML.")


@_looked_at.register
def _(seen: Picture) -> str:
    packed = base64.b64encode(seen.png).decode("ascii")
    shape = " x ".join(map(str, seen.shape))
    return f'<img class="pixels" alt="input, {shape}" src="data:image/png;base64,{packed}">'


@_looked_at.register
def _(seen: Words) -> str:
    if not seen.said:
        return f'<p class="words">{html.escape(" ".join(seen.words))}</p>'
    words = []
    for word, said, true in zip(seen.words, seen.said, seen.true, strict=True):
        wrong = true not in ("", said)
        tag = f"{said} ≠ {true}" if wrong else said if said != "O" else ""
        kind = ' class="wrong"' if wrong else ' class="span"' if tag else ""
        told = f"<small>{html.escape(tag)}</small>" if tag else ""
        words.append(f"<span{kind}>{html.escape(word)}{told}</span>")
    return f'<p class="words tagged">{" ".join(words)}</p>'


@_looked_at.register
def _(seen: Values) -> str:
    told = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in seen.values
    )
    more = f"<div><dt>and {seen.more} more</dt></div>" if seen.more else ""
    return f'<dl class="values">{told}{more}</dl>'
