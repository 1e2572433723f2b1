"""Kernels compiled by Numba, which takes half a second to load: only when the first of them is needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any]) -> Any:
    """Compile for any thread; keep the result on disk where there is a place for it."""
    from numba import njit

    plain = inspect.unwrap(function)
    try:
        return njit(nogil=True, cache=True)(plain)
    except RuntimeError:  # no folder can be written: neither the package's nor the user's
        return njit(nogil=True)(plain)
