"""The page at `/`: a person fills in an input and sees every task's answer."""

import base64
import functools
import hashlib
import html
import pathlib
import string

_PARTS = pathlib.Path(__file__).parent / "page"
_SCRIPTS = ("inputs.js", "picture.js", "answers.js", "page.js")


def page(name: str) -> str:
    """The page of a model, in one piece: style and script are inside, nothing else is loaded.

    It holds nothing of the model but its name. It asks `GET /v1/models/NAME/metadata` and
    `GET /v1/models/NAME/labels` for the rest, with the token that the person gives where one is
    asked for, and so tells of the version that is served now. The address may carry an input and is
    then a link to its answer: `/?tokens=play+jazz`.

    Its own security policy lets the browser run this script and no other, and call this server and
    no other.

    Args:
        name: The name that the model is served by.
    """
    return _template().replace("\0", html.escape(name))


@functools.cache
def _template() -> str:
    style = _read("page.css")
    script = "'use strict';\n" + "\n".join(map(_read, _SCRIPTS))
    return string.Template(_read("page.html")).substitute(
        name="\0",
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def _read(file: str) -> str:
    return (_PARTS / file).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
