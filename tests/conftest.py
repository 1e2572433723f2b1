"""Shared set-up: shapes in annotations are checked at run time, and real data is found or skipped with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest

import typecheck

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two torch threads collapse when anything else runs beside the tests
os.environ.setdefault("MPLBACKEND", "Agg")

# The hook must be in place before the first import of the package.
jaxtyping.jaxtyped = typecheck.jaxtyped
_HOOK = jaxtyping.install_import_hook("equipoise", "typecheck.checked")

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Return a function from the name of a data set to its path; the test is skipped where it is not at hand."""

    def find(name: str) -> Path:
        path = _SHARED / name
        if not path.exists():
            pytest.skip(f"real data {name} is not at {path}")
        return path

    return find
