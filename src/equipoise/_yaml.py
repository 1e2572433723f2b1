"""Reading YAML with the line of every key, and writing YAML that reads back to equal values.

Scalars follow the core schema of YAML 1.2, so ``1e-3`` is a number, and ``no``, ``on`` and ``007`` are words
(YAML 1.1 made them False, True and 7). Nothing is ever executed: a tag like ``!!python/object`` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from equipoise._checks import DataError

KeyPath = tuple[str | int, ...]

_MOST_BYTES = 1_000_000
_MOST_VALUES = 20_000  # what aliases may expand to: a billion laughs ends here
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_TRUE = re.compile(r"^(?:true|True|TRUE)$")
_FALSE = re.compile(r"^(?:false|False|FALSE)$")
_INTEGER = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$")
_INFINITE = re.compile(r"^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$")
_STANDARD_TAGS = "tag:yaml.org,2002:"
_PLAIN_TAGS = {
    _STANDARD_TAGS + kind
    for kind in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value")
}


@dataclass
class Document:
    """The values of a YAML text, and the line (from 1) of every key and list item by its path."""

    values: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file of at most a megabyte.

    Raises:
        DataError: the file is missing, a folder, too large, not UTF-8 or not YAML, holds a key twice, a tag,
            or aliases that expand without end. The message has the line.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file. Give the path of a YAML file.")
    try:
        with path.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror or error}. Check the path.") from error
    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} is larger than {_MOST_BYTES:,} bytes. Is it a table? A recipe names the table.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path} line {line} is not UTF-8 text. Save the file as UTF-8.") from error
    return parse_yaml(text, place=str(path))


def parse_yaml(text: str, *, place: str) -> Document:
    """Parse YAML text; `place` (a file name or a flag) begins every error message.

    Raises:
        DataError: as for `read_yaml`.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = Document(None)
        if node is not None:
            document.values = _Builder(place, document.lines).build(node, (), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
        advice = "Indent with spaces, not tabs." if "\\t" in said else "Check the indentation, colons and quotes there."
        raise DataError(f"{place}{line} is not YAML: {said}. {advice}") from error
    except yaml.YAMLError as error:
        raise DataError(f"{place} is not YAML: {' '.join(str(error).split())}. Save it as plain text.") from error
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply. A recipe needs four levels at most.") from error
    return document


def without_section(content: bytes, name: str) -> bytes:
    r"""Return the bytes of a YAML file without its top-level section `name`; all others stay as they are.

    The section ends before the next line that begins with anything but a space; empty lines before it go with it.

    Example:
        >>> without_section(b"seed: 1\n\nlog:\n  why: does it help?\nname: run\n", "log")
        b'seed: 1\nname: run\n'
    """
    key = re.escape(name.encode())
    pattern = rb"(?m)^(?:[ \t]*\r?\n)*" + key + rb":[^\n]*(?:\n(?=[ \t\r\n])[^\n]*)*(?:\n|\Z)"
    return re.sub(pattern, b"", content, count=1)


class _Builder:
    """Turns composed YAML nodes into plain values; holds the count of values and the lines."""

    def __init__(self, place: str, lines: dict[KeyPath, int]) -> None:
        self._place = place
        self._lines = lines
        self._count = 0

    def build(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        if self._count > _MOST_VALUES or id(node) in parents:
            raise DataError(f"{self._place} line {line}: aliases (*name) expand without end. Write the values out.")
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace(_STANDARD_TAGS, "!!")
            raise DataError(f"{self._place} line {line}: the tag {tag} is not allowed. Write a plain value.")
        inside = (*parents, id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self.build(value, (*path, key), inside) for key, value in self._pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), inside) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _pairs(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, yaml.Node]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise DataError(f"{self._place} line {line}: a key must be a word, not a list or mapping.")
            key = str(key_node.value)
            if key in first:
                full = ".".join(map(str, (*path, key)))
                raise DataError(
                    f"{self._place} line {line}, key {full}: given twice (first on line {first[key]}). "
                    "Remove one of the two."
                )
            first[key] = line
            self._lines[(*path, key)] = line
            yield key, value_node


def _scalar(node: yaml.Node) -> bool | int | float | str | None:
    text = str(node.value)
    quoted = getattr(node, "style", None) is not None
    if quoted or (node.tag == _STANDARD_TAGS + "str" and _tagged(node)):
        return text
    if _NULL.match(text):
        return None
    if _TRUE.match(text) or _FALSE.match(text):
        return bool(_TRUE.match(text))
    if _INTEGER.match(text) and len(text) < 400:
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITE.match(text):
        return float(text.replace(".", "").lower())
    return text


def _tagged(node: yaml.Node) -> bool:
    """Whether `!!str` stands before the value: the node then begins before its text."""
    length = node.end_mark.index - node.start_mark.index
    return bool(length > len(str(node.value)))


class _Dumper(yaml.SafeDumper):
    """Writes block YAML and quotes every word that YAML 1.1 or 1.2 would read as something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _pattern, _first in ((_FLOAT, "-+0123456789."), (_INFINITE, "-+."), (_INTEGER, "-+0123456789")):
    _Dumper.add_implicit_resolver(_STANDARD_TAGS + "float", _pattern, list(_first))


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    short = all(not isinstance(value, dict | list) for value in values) and sum(len(str(v)) + 2 for v in values) < 90
    return dumper.represent_sequence(_STANDARD_TAGS + "seq", values, flow_style=short)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # Double quotes escape what other styles fold: line breaks of any kind, and characters that do not print.
    return dumper.represent_scalar(_STANDARD_TAGS + "str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)


def yaml_text(values: Any) -> str:
    """Return `values` (mappings, lists, words, numbers, None) as YAML that `parse_yaml` reads back equal."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
