"""Masks of whole images by a window that slides, blended by a Gaussian, in blocks of rows: any size fits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._checks import ArgumentError, RunError, check_number
from equipoise._files import write_json

Reader = Callable[[tuple[slice, ...]], NDArray[np.float32]]
_SIGMA = 0.125  # of a side of the window, as nnU-Net and MONAI have it
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Windows:
    """Where windows lie in an image.

    Attributes:
        space: size of the image along each axis.
        sides: of a window along each axis of the image; larger than the image where that is smaller than the patch.
        starts: for each axis, where windows begin.
    """

    space: tuple[int, ...]
    sides: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return math.prod(len(one) for one in self.starts)


def plan_windows(space: Sequence[int], patch_size: Sequence[int], overlap: float = 0.5) -> Windows:
    """Return where windows lie, as MONAI's sliding window has them.

    They begin every ``int(side * (1 - overlap))`` pixels, the last one at the end of the image. In 2-D patches of an
    image in 3-D each slice across the first axis is an image.

    Args:
        space: size of the image along each axis.
        patch_size: of a window.
        overlap: share of a side by which neighbours overlap, in [0, 0.95].

    Raises:
        ArgumentError: the overlap is out of range, or the patch has more axes than the image.

    Example:
        >>> plan_windows((10, 8), (4, 8), 0.5).starts
        ((0, 2, 4, 6), (0,))
    """
    check_number(overlap, argument="overlap", function="plan_windows", at_least=0.0, at_most=0.95)
    extra = len(space) - len(patch_size)
    if extra not in (0, 1) or len(patch_size) < 2:
        raise ArgumentError(f"Windows of {tuple(patch_size)} do not lie in an image of {tuple(space)}. Give its axes.")
    sides = (1,) * extra + tuple(int(side) for side in patch_size)
    starts = []
    for length, side in zip(space, sides, strict=True):
        step = side if side >= length else max(1, int(side * (1 - overlap)))
        last = max(0, length - side)
        starts.append((*range(0, last, step), last))
    return Windows(tuple(space), sides, tuple(starts))


def gaussian_window(sides: Sequence[int]) -> NDArray[np.float32]:
    """Return the weight of each pixel of a window: a Gaussian of an eighth of each side, at least 0.001."""
    weight = np.ones((), np.float32)
    for side in sides:
        place = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
        weight = weight[..., None] * np.exp(-np.square(place) / (2 * np.float32(_SIGMA * side) ** 2))
    return np.maximum(weight, _LEAST_WEIGHT).astype(np.float32)


def sliding_blocks(
    predict: Callable[[Tensor], Tensor],
    read: Reader,
    windows: Windows,
    *,
    axes: int,
    batch: int = 4,
    begin: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield (rows, logits (classes, rows, ...)) of an image, from its first row of the first axis on.

    Logits are the weighted mean over the windows that hold a pixel. A block is given as soon as no later window touches
    it: of the image only as many rows as a window has are in memory. Batches never cross windows that begin at another
    row, so that what comes out from a row on is the same to the last bit wherever the prediction began.

    Args:
        predict: takes (windows, channels, ...) on `device` and returns logits (windows, classes, ...); a model in
            `eval` mode.
        read: returns the scaled pixels of a region inside the image, (channels, ...) float32.
        windows: of `plan_windows`.
        axes: of a window as `predict` takes it, 2 or 3.
        batch: windows at once.
        begin: the first row that is wanted, one where a block begins.
        device: where `predict` works.
    """
    weight = gaussian_window(windows.sides)
    rows = windows.starts[0]
    total = count = None
    done = 0  # rows before this one are finished; the sums begin here
    for number, row in enumerate(rows):
        following = rows[number + 1] if number + 1 < len(rows) else windows.space[0]
        if row + windows.sides[0] <= begin:
            done = following
            continue
        if total is not None and row > done:
            raise AssertionError("blocks are handed out as soon as they are finished")
        for at, logits in _row_of_windows(predict, read, windows, row, axes, batch, device):
            if total is None:
                held = (min(windows.sides[0], windows.space[0]), *windows.space[1:])
                total, count = np.zeros((len(logits), *held), np.float32), np.zeros(held, np.float32)
            assert count is not None
            inside, place = _overlap(windows, at)
            moved = (slice(place[0].start - row, place[0].stop - row), *place[1:])
            total[(slice(None), *moved)] += logits[(slice(None), *inside)] * weight[inside]
            count[moved] += weight[inside]
        assert total is not None
        assert count is not None
        ready = following - row
        if following > begin:
            yield slice(row, following), total[:, :ready] / count[:ready]
        total, count = _rolled(total, ready, 1), _rolled(count, ready, 0)
        done = following


def sliding_logits(
    predict: Callable[[Tensor], Tensor],
    image: NDArray[np.float32],
    patch_size: Sequence[int],
    *,
    overlap: float = 0.5,
    batch: int = 4,
    device: torch.device | str = "cpu",
) -> NDArray[np.float32]:
    """Return the logits (classes, ...) of an image in memory, (channels, ...) float32; see `sliding_blocks`."""
    windows = plan_windows(image.shape[1:], patch_size, overlap)
    read = lambda region: image[(slice(None), *region)]
    blocks = sliding_blocks(predict, read, windows, axes=len(patch_size), batch=batch, device=device)
    return np.concatenate([block for _, block in blocks], axis=1)


def write_sliding(
    predict: Callable[[Tensor], Tensor],
    read: Reader,
    windows: Windows,
    path: str | Path,
    *,
    finish: Callable[[NDArray[np.float32]], NDArray[Any]],
    dtype: Any,
    key: str,
    layers: int = 0,
    **settings: Any,
) -> Path:
    """Write a prediction as ``.npy``, block by block, and go on where an earlier call with the same key was cut off.

    The result is written to ``<name>.part`` beside `path`, which is mapped and not held in memory, and takes its name
    when it is whole; ``<name>.part.json`` says how many rows are finished.

    Args:
        predict: as in `sliding_blocks`.
        read: likewise.
        windows: likewise.
        path: of the ``.npy``.
        finish: makes of logits (classes, rows, ...) what is stored: (rows, ...), or with `layers` (layers, rows, ...).
        dtype: of what is stored.
        key: what the result depends on (model, image, settings), in a few letters.
        layers: leading axis of what is stored; 0 for none.
        **settings: axes, batch and device of `sliding_blocks`.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(path)
    part, progress = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.json")
    shape = ((layers,) if layers else ()) + windows.space
    state = {"key": key, "shape": list(shape), "dtype": np.dtype(dtype).str, "rows": 0}
    begin = _finished_rows(part, progress, state, layers)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = np.lib.format.open_memmap(
            part, "r+" if begin else "w+", None if begin else dtype, None if begin else shape
        )
        for rows, block in sliding_blocks(predict, read, windows, begin=begin, **settings):
            if rows.start < begin:
                continue
            stored[(slice(None), rows) if layers else (rows,)] = finish(block)
            stored.flush()
            write_json(progress, state | {"rows": rows.stop})
        del stored
        part.replace(path)
        progress.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{path} could not be written: {error.strerror or error}. Free some space or choose another folder; a "
            "second call goes on where this one was cut off."
        ) from error
    return path


def _finished_rows(part: Path, progress: Path, state: dict[str, Any], layers: int) -> int:
    """Return how many rows an earlier call of the same key has finished."""
    try:
        found = json.loads(progress.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    same = isinstance(found, dict) and {**found, "rows": 0} == state
    rows = found["rows"] if same else 0
    try:
        held = np.load(part, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return 0
    right = type(rows) is int and list(held.shape) == state["shape"] and held.dtype.str == state["dtype"]
    return max(0, rows) if right and rows <= state["shape"][1 if layers else 0] else 0


def _row_of_windows(
    predict: Callable[[Tensor], Tensor],
    read: Reader,
    windows: Windows,
    row: int,
    axes: int,
    batch: int,
    device: torch.device | str,
) -> Iterator[tuple[tuple[int, ...], NDArray[np.float32]]]:
    """Yield (start, logits) of every window that begins at a row."""
    places = [(row, *rest) for rest in product(*windows.starts[1:])]
    flat = len(windows.space) > axes
    for first in range(0, len(places), batch):
        chosen = places[first : first + batch]
        cut = np.stack([_cut(read, windows, at) for at in chosen])
        inputs = torch.from_numpy(cut[:, :, 0] if flat else cut).to(device)
        with torch.inference_mode():
            logits = predict(inputs).float().cpu().numpy()
        yield from zip(chosen, logits[:, :, None] if flat else logits, strict=True)


def _cut(read: Reader, windows: Windows, at: tuple[int, ...]) -> NDArray[np.float32]:
    region = tuple(
        slice(start, min(start + side, length))
        for start, side, length in zip(at, windows.sides, windows.space, strict=True)
    )
    pixels = read(region)
    pads = [_pad(side, length) for side, length in zip(windows.sides, windows.space, strict=True)]
    if any(before or after for before, after in pads):
        pixels = np.pad(pixels, [(0, 0), *pads], mode="edge")
    return np.ascontiguousarray(pixels, dtype=np.float32)


def _pad(side: int, length: int) -> tuple[int, int]:
    """Return what a window sticks out before and after an image that is smaller."""
    missing = max(0, side - length)
    return missing // 2, missing - missing // 2


def _overlap(windows: Windows, at: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return which part of a window lies in the image, and where it lies there."""
    inside, place = [], []
    for start, side, length in zip(at, windows.sides, windows.space, strict=True):
        before, _ = _pad(side, length)
        size = min(side, length)
        inside.append(slice(before, before + size))
        place.append(slice(start, start + size))
    return tuple(inside), tuple(place)


def _rolled(sums: NDArray[np.float32], rows: int, axis: int) -> NDArray[np.float32]:
    """Return sums whose first rows are dropped, with as many zeros at the end."""
    kept = np.zeros_like(sums)
    before = (slice(None),) * axis
    kept[(*before, slice(0, sums.shape[axis] - rows))] = sums[(*before, slice(rows, None))]
    return kept
