"""Checkpoints: tensors and plain JSON in one safetensors file. Nothing in one is ever unpickled or executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from equipoise._checks import RunError
from equipoise._files import replacing

# One entry only: safetensors writes several in an order that changes from process to process.
_KEY = "equipoise"
_VERSION = 1


def write_checkpoint(path: str | Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON state to one file, all of it or nothing.

    Args:
        path: the file, by custom ending in ``.safetensors``.
        tensors: tensors by name, on any device.
        state: whatever JSON can hold. Floats keep every bit.

    Raises:
        RunError: the file cannot be written (a full disk, a read-only folder). An older checkpoint is untouched.
    """
    ready = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    metadata = {_KEY: json.dumps({"version": _VERSION, "state": dict(state)})}
    with replacing(path) as temporary:
        try:
            save_file(ready, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_checkpoint` wrote: tensors on the CPU, and the state.

    Raises:
        RunError: the file is missing, damaged, from a newer version, or not a checkpoint of Equipoise.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist. Check the path of the run folder.") from error
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"{path} is damaged or is not a checkpoint of Equipoise ({error}). Pickled checkpoints (.pt, .pth) are "
            "never opened, because opening one can run code; export the weights with safetensors instead."
        ) from error
    return tensors, _checked_state(path, metadata)


def _checked_state(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise RunError(
            f"{path} is a safetensors file, but Equipoise did not write it. Give the run folder that Equipoise made."
        )
    try:
        stored = json.loads(metadata[_KEY])
        version, state = int(stored["version"]), stored["state"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"The state inside {path} is damaged. Start the run again with --overwrite.") from error
    if version > _VERSION:
        raise RunError(
            f"{path} was written by a newer Equipoise (checkpoint version {version}; this one knows {_VERSION}). "
            "Upgrade Equipoise."
        )
    if not isinstance(state, dict):
        raise RunError(f"The state inside {path} is damaged. Start the run again with --overwrite.")
    return state
