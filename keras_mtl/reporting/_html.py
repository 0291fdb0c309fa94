"""A report as one HTML page that needs no network and no script."""

import functools
import html
import pathlib
from collections.abc import Sequence

from keras_mtl.reporting._content import Part, Section
from keras_mtl.reporting._html_blocks import block_html

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_STYLE = pathlib.Path(__file__).parent / "page" / "report.css"


def page_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page.

    Its own security policy forbids scripts and all that would come from elsewhere.
    """
    links = "\n".join(
        f'<li><a href="#{one.anchor}">{html.escape(one.title)}</a></li>' for one in sections
    )
    name = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{name}</title>
<link rel="icon" href="data:,">
<style>
{_style()}</style>
</head>
<body>
<header><h1>{name}</h1><p>{html.escape(subtitle)}</p></header>
<nav aria-label="Contents"><ol>
{links}
</ol></nav>
<main>
{chr(10).join(map(_section, sections))}
</main>
</body>
</html>
"""


def _section(section: Section) -> str:
    intro = f'<p class="intro">{html.escape(section.intro)}</p>' if section.intro else ""
    parts = "\n".join(map(_part, section.parts))
    return (
        f'<section id="{section.anchor}"><h2>{html.escape(section.title)}</h2>{intro}\n{parts}\n'
        "</section>"
    )


def _part(part: Part) -> str:
    head = f"<h3>{html.escape(part.title)}</h3>" if part.title else ""
    blocks = "\n".join(map(block_html, part.blocks))
    return f'{head}<div class="blocks">{blocks}</div>'


@functools.cache
def _style() -> str:
    return _STYLE.read_text(encoding="utf-8")
