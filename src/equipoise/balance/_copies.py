"""Samplers to look at: copies, so that the samplers themselves and every source of random numbers stay as they are."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from equipoise._checks import ArgumentError

_DATA = ("dataset", "data_source")  # what samplers call the data set that they draw from


@contextmanager
def copies_of(samplers: list[Any]) -> Iterator[list[Any]]:
    """Give samplers to draw from; afterwards those in `samplers` and the global random states are as they were.

    They are copied together, so that what they share is shared by the copies; data sets are not copied. Samplers that
    cannot be copied but have a state are drawn from, and their state is put back.

    Raises:
        ArgumentError: a sampler can neither be copied nor put back, such as a generator.
    """
    with _random_states_kept():
        try:
            copied = copy.deepcopy(samplers, _data_sets(samplers))
        except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
            if not all(hasattr(one, "state_dict") and hasattr(one, "load_state_dict") for one in samplers):
                raise ArgumentError(
                    f"preflight cannot copy the sampler, a {type(samplers[0]).__name__} ({error}), and looking at it "
                    "would use it up. Give the sampler that makes it, or row numbers: list(itertools.islice(it, n))."
                ) from error
            states = [one.state_dict() for one in samplers]
            try:
                yield samplers
            finally:
                for one, state in zip(samplers, states, strict=True):
                    one.load_state_dict(state)
        else:
            yield copied


@contextmanager
def _random_states_kept() -> Iterator[None]:
    kept: list[tuple[Any, Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002 - what others draw from it stays theirs
    ]
    torch = sys.modules.get("torch")  # a sampler can only use it where it is loaded
    if torch is not None:
        kept.append((torch.set_rng_state, torch.get_rng_state()))
    try:
        yield
    finally:
        for restore, state in kept:
            restore(state)


def _data_sets(samplers: list[Any]) -> dict[int, Any]:
    """Return what `deepcopy` is to leave alone, by its id: the data sets that samplers hold."""
    left: dict[int, Any] = {}
    seen: set[int] = set()
    stack = [(one, True) for one in samplers]
    while stack:
        one, outermost = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, list | tuple):
            stack += [(part, False) for part in one if not isinstance(part, int | float | str)]
        elif isinstance(one, Mapping):
            stack += [(part, False) for part in one.values()]
        elif not hasattr(one, "__dict__") or isinstance(one, type | ModuleType | FunctionType):
            continue
        elif not outermost and hasattr(one, "__getitem__") and not hasattr(one, "__array__"):
            left[id(one)] = one
        else:
            for name, part in vars(one).items():
                if name in _DATA:
                    left[id(part)] = part
                else:
                    stack.append((part, False))
    return left
