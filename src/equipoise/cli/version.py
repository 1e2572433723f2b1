"""`equipoise version`."""

from __future__ import annotations

import importlib.metadata
import platform

import equipoise
from equipoise.cli._options import JsonOption, console, print_json

_SHOWN = ("numpy", "scipy", "polars", "pyarrow", "scikit-learn", "numba", "pydantic", "torch", "tabm", "matplotlib")


def version(json: JsonOption = False) -> None:
    """Print the version of Equipoise and of what it stands on."""
    found = {"equipoise": equipoise.__version__, "python": platform.python_version()}
    for name in _SHOWN:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    if json:
        print_json(found)
        return
    for name, number in found.items():
        console().print(f"{name:<14}{number}")
