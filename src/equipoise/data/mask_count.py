"""Counting masks: every pixel once, block by block in threads, in memory that does not grow with the volume."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from equipoise._checks import ArgumentError, DataError
from equipoise.data._ahead import done_ahead
from equipoise.data._cache_build import Unwatched, Watch
from equipoise.data._mask_values import ValueCounts, plain_enough
from equipoise.data.mask_files import MaskFiles, find_masks, stamp_of
from equipoise.data.masks import open_mask
from equipoise.data.volumes import Piece, Volume, open_volume, space_of
from equipoise.labels.mask_census import MaskCensus, MaskImage
from equipoise.labels.mask_classes import OUTSIDE, UNKNOWN, MaskClasses
from equipoise.labels.mask_components import Components

_T = TypeVar("_T")
_BLOCK = 2 << 20  # bytes: smaller ones cost calls, larger ones leave the caches
_HANDFUL = 8  # blocks that a thread is given at most
_KEPT = 16  # distinct values of a mask that are kept


def count_masks_of(
    files: MaskFiles | str | Path,
    classes: MaskClasses,
    *,
    components: bool = False,
    workers: int | None = None,
    block: int = _BLOCK,
    watch: Watch | None = None,
) -> MaskCensus:
    """Return the census of masks: pixels and images of each class, image by image.

    Memory holds a few blocks for each thread, whatever the size of a volume; what a file stores as one (a strip or tile
    of a compressed TIFF, a chunk of Zarr, a PNG) is decoded as one. NaN and ignored values are unknown, and values that
    are no class are counted as such and named, never as background.

    Args:
        files: from `find_masks` or `find_mask_columns`, or a folder, or one file.
        classes: what values mean.
        components: count connected parts too (all neighbours touch, corners included), which takes longer.
        workers: threads. Default: one for each processor.
        block: bytes of one block.
        watch: where progress is shown.

    Raises:
        DataError: a mask cannot be read, or two masks of one image differ in shape.
        ArgumentError: `workers` is below 1, or overlapping classes and single masks do not go together.

    Example:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> np.save(pathlib.Path(folder.name, "a.npy"), np.array([[0, 0, 255], [0, 0, 0]], np.uint8))
        >>> np.save(pathlib.Path(folder.name, "b.npy"), np.zeros((2, 3), np.uint8))
        >>> census = count_masks_of(folder.name, MaskClasses.from_foreground("> 0.5"))
        >>> census.positives.tolist(), census.present.tolist(), census.empty_images
        ([11, 1], [2, 1], ('b.npy',))
        >>> folder.cleanup()
    """
    files = files if isinstance(files, MaskFiles) else find_masks(files)
    threads = workers if workers is not None else os.cpu_count() or 1
    if threads < 1:
        raise ArgumentError(f"`workers` of count_masks_of must be at least 1; got {workers!r}.")
    wrong = next(
        (paths for paths in files.paths if len(paths) != (1 if classes.exclusive else len(classes.names))), None
    )
    if wrong is not None:
        raise ArgumentError(
            f"{files.source}: an image has {len(wrong)} masks, which does not go with {classes.words()}. Overlapping "
            "classes need one mask for each class, others one mask for each image."
        )
    from equipoise.data._mask_parts import add_parts, no_parts

    watch = watch or Unwatched()
    watch.begin("counting", len(files))
    parts: Components | None = no_parts(classes) if components else None
    images: list[MaskImage] = []
    notes: list[str] = []
    for number, (image, said) in enumerate(_counted(files, classes, threads, block)):
        images.append(image)
        notes += said
        if parts is not None:
            parts = add_parts(parts, files.paths[number], classes)
        watch.move(number + 1, image.name)
    watch.end("")
    kept = tuple(dict.fromkeys(notes))
    few = (*kept[:6], *((f"and {len(kept) - 6:,} more such notes.",) if len(kept) > 6 else ()))
    ordered = tuple(sorted(images, key=lambda image: image.name))
    return MaskCensus(classes, ordered, parts, files.population, files.source, few)


def _counted(
    files: MaskFiles, classes: MaskClasses, threads: int, block: int
) -> Iterator[tuple[MaskImage, tuple[str, ...]]]:
    """Yield each image's counts: many images in parallel, or the blocks of few."""
    fast = not plain_enough(_expected_pixels(files))
    rows = list(zip(files.names, files.paths, files.images or [None] * len(files), strict=True))
    if threads > 1 and len(rows) >= 2 * threads:
        yield from in_order(rows, lambda row: _count_image(*row, classes, 1, block, fast), threads)
        return
    for row in rows:
        yield _count_image(*row, classes, threads, block, fast)


def in_order(items: Sequence[_T] | Iterator[_T], work: Callable[[_T], Any], threads: int) -> Iterator[Any]:
    """Yield ``work(item)`` of each item in order, with at most three for each thread begun and not yet taken."""
    if threads == 1:
        yield from map(work, items)
        return
    yield from done_ahead(items, work, threads=threads, begun=3 * threads)


def _expected_pixels(files: MaskFiles) -> int:
    """Return about how many pixels there are, from the first image and the sizes of its files."""
    first = next((path for path in files.paths[0] if path is not None), None)
    if first is None:
        return 0
    try:
        return open_mask(first, colours=True).size * len(files) * len(files.paths[0])
    except DataError:
        return 0


def _count_image(
    name: str,
    paths: tuple[Path | None, ...],
    image: Path | None,
    classes: MaskClasses,
    threads: int,
    block: int,
    fast: bool,
) -> tuple[MaskImage, tuple[str, ...]]:
    """Return the counts of one image's mask or masks."""
    found: list[MaskImage] = []
    notes: list[str] = []
    stamp = stamp_of(paths)
    for path in paths:
        if path is None:
            continue
        volume = open_mask(path, colours=_coloured(classes))
        counts = ValueCounts(classes, fast)
        for _ in in_order(_handfuls(volume, block, threads), partial(_add, counts=counts), threads):
            pass
        found.append(_image_of(name, volume, counts))
        notes += [text for text in volume.notes if not text.endswith("is read.") or "holds" in text]
        if found[-1].shape != found[0].shape:
            raise DataError(
                f"{path} has the shape {found[-1].shape}, but another mask of {name} {found[0].shape}. "
                "Save the masks of an image at one size."
            )
    if classes.exclusive and not found:
        raise DataError(f"{name} has no mask. Give each image one, or leave its row out.")
    if classes.exclusive:
        return replace(found[0], stamp=stamp), tuple(notes)
    shape = found[0].shape if found else _shape_without_masks(name, image)
    return replace(_joined(name, paths, found, shape), stamp=stamp), tuple(notes)


def _shape_without_masks(name: str, image: Path | None) -> tuple[int, ...]:
    if image is None:
        raise DataError(
            f"{name} has a mask of no class, and how many pixels it has is unknown. Put its file where the table "
            "says, or leave its row out."
        )
    return space_of(open_volume(image))


def _handfuls(volume: Volume, block: int, threads: int) -> Iterator[list[Piece]]:
    """Yield the pieces of a volume, several at a time where there are many: to hand one over costs time too."""
    pieces = volume.pieces(block)
    size = min(_HANDFUL, max(1, volume.size * volume.dtype.itemsize // (block * 8 * threads)))
    while few := list(islice(pieces, size)):
        yield few


def _add(pieces: list[Piece], counts: ValueCounts) -> None:
    for piece in pieces:
        counts.add(piece.read())


def _coloured(classes: MaskClasses) -> bool:
    """Return whether the values of the classes are colours: beyond what a byte holds, as only 0xRRGGBB are."""
    return classes.rule is None and max(classes.declared) >= 1 << 16


def _image_of(name: str, volume: Volume, counts: ValueCounts) -> MaskImage:
    """Return what the counted values of one mask mean."""
    classes, table = counts.classes, +counts.total()
    values = np.array(sorted(table), np.float64)
    times = np.array([table[value] for value in values.tolist()], np.int64)
    places = classes.places(values) if len(values) else np.zeros(0, np.int64)
    per_place: Counter[int] = Counter(counts.scale)
    for place in np.unique(places).tolist():
        per_place[place] += int(times[places == place].sum())
    pixels = tuple(per_place[place] for place in range(max(2, len(classes.names)) if classes.exclusive else 2))
    between = counts.between
    if classes.rule is not None and len(values) > 2:
        between += int(times[1:-1][places[1:-1] >= 0].sum())
    odd = (*values[places == OUTSIDE][:3].tolist(), *sorted(counts.examples))[:3]
    return MaskImage(
        name, volume.shape, pixels[: len(classes.names)] if classes.exclusive else pixels, (sum(pixels),) * len(pixels),
        per_place[UNKNOWN], counts.nans, per_place[OUTSIDE], tuple(odd),
        tuple(values.tolist()) if len(values) <= _KEPT and not counts.scale else (), between,
    )  # fmt: skip


def _joined(name: str, paths: tuple[Path | None, ...], found: list[MaskImage], shape: tuple[int, ...]) -> MaskImage:
    """Return the image whose classes have a mask each; of a class without a mask it has no pixel."""
    size = int(np.prod(shape, dtype=np.int64))
    masks = iter(found)
    rows = [None if path is None else next(masks) for path in paths]
    pixels = tuple(0 if mask is None else mask.pixels[1] for mask in rows)
    known = tuple(size if mask is None else mask.known[0] for mask in rows)
    total = {key: sum(getattr(mask, key) for mask in found) for key in ("ignored", "nans", "outside", "between")}
    values = sorted({value for mask in found for value in mask.values})[:_KEPT]
    odd = tuple(value for mask in found for value in mask.odd_values)[:3]
    return MaskImage(name, shape, pixels, known, odd_values=odd, values=tuple(values), **total)
