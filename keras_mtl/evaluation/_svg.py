"""Pictures as SVG files that need nothing else."""

import html
import pathlib
from collections.abc import Sequence
from typing import Any

LETTER = 7


def text(x: int, y: int, content: str, anchor: str, more: str = "") -> str:
    """Words at a place: `anchor` is "start", "middle" or "end", `more` further attributes."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {more}>{html.escape(content)}</text>'


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """The file's content: a white ground, a title and the parts."""
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect class="ground" width="{width}" height="{height}" fill="white"/>',
        text(12, 20, title, "start", 'font-weight="bold"'),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def write_svg(path: Any, content: str) -> pathlib.Path:
    """Writes a picture, and the folders that lead to it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path
