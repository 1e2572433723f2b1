"""Connected parts of a mask of any size: labelled slab by slab, joined where slabs touch."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.masks import open_mask
from equipoise.data.volumes import Volume
from equipoise.labels.mask_classes import MaskClasses
from equipoise.labels.mask_components import Components

SLAB_PIXELS = 1 << 24


def no_parts(classes: MaskClasses) -> Components:
    """Return the record of no parts at all."""
    return Components.of_sizes({name: np.zeros(0, np.int64) for name in _counted(classes)})


def add_parts(parts: Components, paths: tuple[Path | None, ...], classes: MaskClasses) -> Components:
    """Return `parts` with those of one image."""
    sizes = {name: np.zeros(0, np.int64) for name in _counted(classes)}
    if classes.exclusive:
        from equipoise.data.mask_count import _coloured

        volume = open_mask(paths[0] or "", colours=_coloured(classes))
        for place, name in enumerate(classes.names):
            if name in sizes:
                sizes[name] = part_sizes(volume, classes, place)
    else:
        for name, path in zip(classes.names, paths, strict=True):
            if path is not None:
                sizes[name] = part_sizes(open_mask(path), classes, 1)
    return parts + Components.of_sizes(sizes)


def part_sizes(volume: Volume, classes: MaskClasses, place: int, slab: int = SLAB_PIXELS) -> NDArray[np.int64]:
    """Return the sizes in pixels of the connected parts of a class, with neighbours at corners connected.

    Args:
        volume: an opened mask.
        classes: what its values mean.
        place: of the class, as `MaskClasses.places` says it.
        slab: pixels that are labelled at once.
    """
    from scipy.ndimage import label

    shape = tuple(length for length in volume.shape if length > 1) or (1,)
    plane = max(1, int(np.prod(shape[1:], dtype=np.int64)))
    axis = next((k for k, length in enumerate(volume.shape) if length > 1), 0)
    step = max(1, slab // plane)
    sizes: list[NDArray[np.int64]] = []
    joins: list[NDArray[np.int64]] = []
    edge: NDArray[np.int64] | None = None
    count = 0
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        region = tuple(slice(start, stop) if k == axis else slice(0, n) for k, n in enumerate(volume.shape))
        values = volume.read_region(region)
        mask = _of_class(values, classes, place).reshape(stop - start, *shape[1:])
        labels, parts = label(mask, np.ones((3,) * mask.ndim))
        sizes.append(np.bincount(labels.ravel(), minlength=parts + 1)[1:].astype(np.int64))
        first = np.where(labels[0] > 0, labels[0].astype(np.int64) + count, 0)
        if edge is not None:
            joins.append(_touching(edge, first))
        edge = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + count, 0)
        count += parts
    return _joined_sizes(np.concatenate(sizes), joins)


def _of_class(values: NDArray[Any], classes: MaskClasses, place: int) -> NDArray[np.bool_]:
    if values.dtype.itemsize > 1:
        return np.asarray(classes.places(values) == place)
    every = np.arange(256, dtype=np.uint8)
    table = classes.places(every if values.dtype == np.bool_ else every.view(values.dtype)) == place
    return np.asarray(table[values.view(np.uint8)])


def _counted(classes: MaskClasses) -> tuple[str, ...]:
    """Return the classes whose parts are worth counting: not the background, the first of exclusive ones."""
    return classes.names[1:] if classes.exclusive else classes.names


def _touching(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (pairs, 2) labels of parts that touch across two planes, straight or at a corner."""
    pairs = []
    for steps in itertools.product((-1, 0, 1), repeat=before.ndim):
        one = tuple(
            slice(max(0, step), length + min(0, step)) for step, length in zip(steps, before.shape, strict=True)
        )
        two = tuple(slice(max(0, -s), length + min(0, -s)) for s, length in zip(steps, before.shape, strict=True))
        both = (before[one] > 0) & (after[two] > 0)
        pairs.append(np.unique(np.stack([before[one][both], after[two][both]], axis=1), axis=0))
    return np.concatenate(pairs)


def _joined_sizes(sizes: NDArray[np.int64], joins: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    pairs = np.concatenate(joins) - 1 if joins else np.zeros((0, 2), np.int64)
    if not len(pairs):
        return sizes
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(sizes), len(sizes)))
    count, group = connected_components(graph, directed=False)
    return np.bincount(group, weights=sizes, minlength=count).astype(np.int64)
