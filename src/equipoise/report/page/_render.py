"""From parts to the text of a page: everything from data is escaped, and the page may not reach the network."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from equipoise.report.page._parts import Section

if TYPE_CHECKING:
    import jinja2

# Characters that could end a script, begin a tag, or end a line of JavaScript, as JSON can write them.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render(title: str, kicker: str, sentence: str, sections: list[Section | None], **context: Any) -> str:
    """Return a page.

    Args:
        title: of the window.
        kicker: small line above the sentence.
        sentence: the one that matters first.
        sections: in order; None where there is nothing to show.
        context: ``summary`` and ``notices`` (sentences), ``explorer`` (see `_explorer`) and ``data`` (for the script).
    """
    script = _file("page.js")
    return _environment().get_template("page.html").render(
        title=title, kicker=kicker, sentence=sentence, sections=[one for one in sections if one is not None],
        style=_file("page.css"), script=script, policy=_policy(script),
        **{"summary": "", "notices": [], "explorer": None, "data": None} | context,
    )  # fmt: skip


def _policy(script: str) -> str:
    """Nothing is loaded and nothing is sent; the one script and the pictures are those that are written here."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def safe_json(value: Any) -> str:
    r"""Return JSON that can stand inside a ``<script>`` element, whatever names it holds.

    Example:
        >>> safe_json({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign, written in _UNSAFE.items():
        text = text.replace(sign, written)
    return text


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    # What is drawn or written by this package itself; nothing else is ever marked as safe.
    environment.filters["svg"] = markupsafe.Markup
    environment.filters["own"] = markupsafe.Markup
    environment.filters["json"] = lambda value: markupsafe.Markup(safe_json(value))
    return environment


@functools.cache
def _file(name: str) -> str:
    return (resources.files("equipoise.report.page") / "templates" / name).read_text(encoding="utf-8")
