"""One key written into the text of a recipe: its comments and other keys stay as they are."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from equipoise._yaml import parse_yaml, yaml_text


def with_key_text(text: str, section: str, key: str, given: Any) -> str:
    r"""Return the text of a recipe with another value of ``section.key``, every other line as it was.

    Where the section is written in braces, that section is written anew.

    Args:
        text: YAML.
        section: the outer key.
        key: in it.
        given: what the key is to hold.

    Example:
        >>> text = "name: a  # mine\nbalance:\n  weights: {scheme: sqrt}\n"
        >>> print(with_key_text(text, "balance", "weights", {"values": {"x": 2.0}}))
        name: a  # mine
        balance:
          weights:
            values:
              x: 2.0
        <BLANKLINE>
    """
    root, lines = yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines()
    found = _pair(root, section)
    if found is None:
        return "\n".join([*lines, _block(section, {key: given}, 0), ""])
    name, value = found
    if not isinstance(value, yaml.MappingNode) or value.flow_style or not value.value:
        held = (parse_yaml(text, place="recipe").values or {}).get(section)
        whole = {**(held if isinstance(held, dict) else {}), key: given}
        return _replaced(lines, name, value, _block(section, whole, 0))
    inner = _pair(value, key)
    first = value.value[0][0].start_mark
    if inner is None:
        return "\n".join([*lines[: first.line], _block(key, given, first.column), *lines[first.line :], ""])
    return _replaced(lines, *inner, _block(key, given, first.column))


def _pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _replaced(lines: list[str], key: yaml.Node, value: yaml.Node, block: str) -> str:
    first, last = key.start_mark.line, max(key.start_mark.line, _last_line(value))
    return "\n".join([*lines[:first], block, *lines[last + 1 :], ""])


def _last_line(node: yaml.Node) -> int:
    """Return the last line of a value; the end that YAML tells of a block lies behind the comments after it."""
    if isinstance(node, yaml.ScalarNode) or getattr(node, "flow_style", False):
        return int(node.end_mark.line) - (node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line)
    parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return max((_last_line(part) for part in parts), default=int(node.start_mark.line))


def _block(key: str, value: Any, indent: int) -> str:
    return textwrap.indent(yaml_text({key: value}).rstrip("\n"), " " * indent)
