"""A report as Markdown: the same numbers, pictures told of in words."""

import functools
from collections.abc import Sequence
from typing import Any

from keras_mtl.reporting._content import (
    Bars,
    Chart,
    Drawing,
    Examples,
    Matrix,
    Note,
    Picture,
    Section,
    Source,
    Table,
    Values,
    Words,
    shown,
)


def page_markdown(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole text."""
    lines = [f"# {escaped(title)}", "", escaped(subtitle), ""]
    for section in sections:
        lines += [f"## {escaped(section.title)}", ""]
        lines += [escaped(section.intro), ""] if section.intro else []
        for part in section.parts:
            lines += [f"### {escaped(part.title)}", ""] if part.title else []
            for block in part.blocks:
                lines += [*block_markdown(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that Markdown and the HTML in it take for text, in one line.

    >>> escaped("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|#":
        text = text.replace(mark, f"\\{mark}") if mark != "_" else text
    return text


@functools.singledispatch
def block_markdown(block: Any) -> list[str]:
    """A block as lines of Markdown.

    Raises:
        TypeError: If there is no function for its kind.
    """
    raise TypeError(
        f"A report cannot tell {type(block).__name__} in Markdown; register a function."
    )


@block_markdown.register
def _(block: Note) -> list[str]:
    return [escaped(block.text)]


@block_markdown.register
def _(block: Table) -> list[str]:
    rows = [[shown(cell) for cell in row] for row in block.rows]
    numeric = [
        all(not isinstance(row[i], str) or row[i] == "" for row in block.rows)
        for i in range(len(block.columns))
    ]
    return _table(block.title, block.columns, rows, numeric)


@block_markdown.register
def _(block: Chart) -> list[str]:
    names = ", ".join(escaped(one.name) for one in block.series)
    return [
        f"*{escaped(block.title)}*: {escaped(block.y_label)} over {escaped(block.x_label)} of {names}, "
        "drawn in report.html, the numbers in report.json."
    ]


@block_markdown.register
def _(block: Bars) -> list[str]:
    rows = [[name, shown(value)] for name, value in zip(block.names, block.values, strict=True)]
    return _table("", [block.title, ""], rows, [False, True])


@block_markdown.register
def _(block: Matrix) -> list[str]:
    head = [f"{block.row_label} (below), {block.column_label} (right)", *block.columns]
    rows = [
        [name, *map(shown, values)]
        for name, values in zip(block.rows, block.values.tolist(), strict=True)
    ]
    return _table(block.title, head, rows, [False, *[True] * len(block.columns)])


@block_markdown.register
def _(block: Examples) -> list[str]:
    names = list(dict.fromkeys(name for one in block.rows for name, _ in one.facts))
    rows = []
    for one in block.rows:
        facts = dict(one.facts)
        told = [shown(facts[name]) if name in facts else "" for name in names]
        rows.append([str(one.row), *told, "; ".join(map(_looked_at, one.inputs))])
    return _table(block.title, ["row", *names, "inputs"], rows, [False] * (len(names) + 2))


@block_markdown.register
def _(block: Drawing) -> list[str]:
    return [f"*{escaped(block.title)}*: drawn in report.html."]


@block_markdown.register
def _(block: Source) -> list[str]:
    fence = "````" if "```" in block.text else "```"
    return [f"{escaped(block.title)}:", "", fence, block.text.rstrip(), fence]


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> list[str]:
    head = [f"*{escaped(title)}*", ""] if title else []
    rule = ["---:" if right else "---" for right in numeric]
    told = [" | ".join(map(escaped, row)) for row in [columns, *rows]]
    return [*head, f"| {told[0]} |", f"| {' | '.join(rule)} |", *(f"| {row} |" for row in told[1:])]


@functools.singledispatch
def _looked_at(seen: Any) -> str:
    raise TypeError(f"A report cannot tell the input {type(seen).__name__} in Markdown.")


@_looked_at.register
def _(seen: Picture) -> str:
    return f"picture, {' x '.join(map(str, seen.shape))}"


@_looked_at.register
def _(seen: Words) -> str:
    if not seen.said:
        return " ".join(seen.words)
    told = []
    for word, said, true in zip(seen.words, seen.said, seen.true, strict=True):
        wrong = true not in ("", said)
        told.append(f"{word} ({said} for {true})" if wrong else word)
    return " ".join(told)


@_looked_at.register
def _(seen: Values) -> str:
    told = ", ".join(f"{name} = {value}" for name, value in seen.values)
    return told + (f", and {seen.more} more" if seen.more else "")
