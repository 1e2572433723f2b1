"""What pydantic found wrong, said with the place, what is allowed and the nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from equipoise._checks import listed, nearest
from equipoise._yaml import KeyPath
from equipoise.recipe._schema import Recipe


class Places:
    """Where a key was given: a line of the file, or a flag."""

    def __init__(self, source: str, lines: dict[KeyPath, int], flags: dict[KeyPath, str]) -> None:
        self._source, self._lines, self._flags = source, lines, flags

    def of(self, path: KeyPath) -> str:
        key = ".".join(str(part) for part in path)
        for flag_path, flag in self._flags.items():
            if flag_path[: len(path)] == path or path[: len(flag_path)] == flag_path:
                return f"{flag}: key {key}"
        at = path
        if path[:2] == ("data", "labels") and path not in self._lines:
            at = ("data", "targets", *path[2:])
        while at and at not in self._lines:
            at = at[:-1]
        line = f" line {self._lines[at]}" if at else ""
        return f"{self._source}{line}, key {key}" if key else f"{self._source}{line}"


def explain(details: ErrorDetails, places: Places) -> list[str]:
    """Return the sentences of one pydantic error."""
    path: KeyPath = tuple(details["loc"])
    context = details.get("ctx", {})
    got = f"got {_shown(details['input'])}."
    if details["type"] == "disagreement":
        return [f"{places.of(tuple(key.split('.')))}: {text}." for key, text in context["issues"]]
    if details["type"] == "extra_forbidden":
        allowed = _allowed_keys(path[:-1])
        said = f"unknown key. Allowed: {listed(allowed, limit=40)}.{nearest(path[-1], allowed)}"
    elif details["type"] == "literal_error":
        options = _options(path)
        said = f"must be one of {listed(options, limit=40)}; {got}{nearest(details['input'], options)}"
    elif details["type"] == "same_key":
        said = f"{details['msg']}."
    elif details["type"] == "missing":
        said = "is missing. Add it."
    else:
        said = f"{_requirement(details['type'], context, details['msg'])}; {got}"
    return [f"{places.of(path)}: {said}"]


_KINDS = {
    "string": "must be a word or text (put quotes around it)",
    "tuple": "must be a list",
    "dict": "must hold keys with values",
    "model": "must hold keys with values",
    "mapping": "must hold keys with values",
    "bool": "must be true or false",
    "float": "must be a number",
    "finite": "must be a finite number",
    "int": "must be a whole number",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def _requirement(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return f"must be {word} {context[key]:g}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    return message if kind == "kind" else _KINDS.get(kind.split("_", maxsplit=1)[0], message)


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Recipe
    for part in path:
        found = model.model_fields.get(str(part)) if model else None
        kinds = [found.annotation, *getattr(found.annotation, "__args__", ())] if found else []
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return model


def _allowed_keys(path: KeyPath) -> list[str]:
    model = _model_at(path)
    return list(model.model_fields) if model else []


def _options(path: KeyPath) -> list[str]:
    model = _model_at(path[:-1])
    found = model.model_fields.get(str(path[-1])) if model else None
    if found is None:
        return []
    kinds = [found.annotation, *getattr(found.annotation, "__args__", ())]
    return [str(x) for kind in kinds for x in getattr(kind, "__args__", ()) if isinstance(x, str)] or [
        str(x) for x in getattr(found.annotation, "__args__", ()) if isinstance(x, str)
    ]


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "..."
