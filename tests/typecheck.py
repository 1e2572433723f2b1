"""The run-time type checker of the tests: beartype, with an int taken where a float is asked for, as Python does.

jaxtyping's hook puts `jaxtyped` around every function, which there binds the arguments of each call to say which shapes
did not go together. It is taken only where there are shapes: around every function it doubles the time of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

# What is wrong is a TypeError, as jaxtyping's is: that is what reading damaged files expects of a wrong type.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
_jaxtyped = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Return the decorator that jaxtyping's hook asks for: its own for classes and where a shape is annotated."""
    with_shapes = _jaxtyped(typechecker=typechecker)

    def decorate(one: Any) -> Any:
        if not isinstance(one, FunctionType):
            return with_shapes(one)
        hints = {name: _hint(text, one) for name, text in one.__annotations__.items()}
        if any(map(_is_shape, hints.values())):
            return with_shapes(one)
        one.__annotations__ = hints
        return typechecker(one)

    return decorate


def _hint(text: Any, function: FunctionType) -> Any:
    """Return what an annotation means, and Any, as jaxtyping does, where a name is not there at run time."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"it": text}), function.__globals__, None, True)["it"]
    except Exception:  # noqa: BLE001 - annotations may hold any expression
        return Any


def _is_shape(hint: Any) -> bool:
    return any(isinstance(part, type) and issubclass(part, jaxtyping.AbstractArray) for part in (hint, *get_args(hint)))
