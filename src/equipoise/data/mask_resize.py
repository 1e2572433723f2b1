"""Pictures and their masks brought to a smaller size once, and kept beside the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError
from equipoise._files import replacing
from equipoise.data._opencv import opencv
from equipoise.data.mask_pairs import MaskPairs
from equipoise.labels.mask_classes import IGNORED, MaskClasses

_VERSION = 1
_HALF = 0.5


def resized_pairs(pairs: MaskPairs, longer: int | None, folder: str | Path) -> MaskPairs:
    """Return the same pairs with the longer side of each picture at most so many pixels; the proportions stay.

    Pixels are averaged over areas. So is the mask of each class, and cut at one half; where classes exclude one
    another, a pixel is of the class with the largest share of it. A pixel is unknown where half of it is. The pictures
    are written to `folder` once, as ``.npy``, under a name that holds file, size, time and classes.

    Args:
        pairs: of pictures in 2-D.
        longer: pixels; None, and pictures that are no larger: as they are.
        folder: where they are kept.

    Raises:
        ArgumentError: an image has three axes.
        DataError: a file cannot be read.
        RunError: the folder cannot be written to.
    """
    if longer is None:
        return pairs
    names = pairs.classes.names
    if pairs.classes.exclusive:
        classes = MaskClasses.from_values({name: place for place, name in enumerate(names)}, ignore=IGNORED)
    else:
        classes = MaskClasses.from_columns(names, "== 1", ignore=IGNORED)
    folder = Path(folder).absolute()
    images, masks = [], []
    for place in range(len(pairs)):
        space = pairs.space(place)
        if len(space) != 2:
            raise ArgumentError(
                f"masks.resize is for pictures in 2-D; {pairs.images[place].name} has the size {space}. Remove it."
            )
        stem = folder / f"{_key(pairs, place, longer)}"
        files = [Path(f"{stem}-image.npy"), *(Path(f"{stem}-mask-{layer}.npy") for layer in range(_layers(pairs)))]
        if not all(file.is_file() for file in files):
            _write(pairs, place, scaled_size(space, longer), files)
        images.append(files[0])
        masks.append(tuple(files[1:]))
    return MaskPairs(pairs.ids, tuple(images), tuple(masks), classes, pairs.groups, pairs.roles)


def scaled_size(space: Sequence[int], longer: int) -> tuple[int, int]:
    """Return the size of a picture whose longer side becomes at most `longer` pixels.

    Example:
        >>> scaled_size((512, 771), 128), scaled_size((60, 80), 128)
        ((85, 128), (60, 80))
    """
    scale = min(1.0, longer / max(space))
    height, width = (max(1, round(side * scale)) for side in space)
    return height, width


def resize_planes(planes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return planes (n, h, w) at another size: averaged over areas when smaller, linear between pixels when larger.

    Args:
        planes: of any type; computed as float32.
        size: height and width.
    """
    cv2: Any = opencv()
    shrinks = size[0] < planes.shape[1] or size[1] < planes.shape[2]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    found = [cv2.resize(plane.astype(np.float32), size[::-1], interpolation=way) for plane in planes]
    return np.stack(found)


def _write(pairs: MaskPairs, place: int, size: tuple[int, int], files: Sequence[Path]) -> None:
    pixels = pairs.read_image(place)
    image = resize_planes(pixels, size)
    if pixels.dtype.kind in "ui":
        image = np.rint(image).astype(pixels.dtype)
    mask = pairs.read_mask(place)
    layers = _exclusive(mask, len(pairs.classes.names), size)[None] if pairs.classes.exclusive else _each(mask, size)
    shown = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    for file, array in zip(files, (shown, *layers), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(array), allow_pickle=False)


def _exclusive(mask: NDArray[np.uint8], classes: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    shares = resize_planes(np.stack([mask == place for place in (*range(classes), IGNORED)]), size)
    found: NDArray[np.uint8] = shares[:-1].argmax(axis=0).astype(np.uint8)
    found[shares[-1] >= _HALF] = IGNORED
    return found


def _each(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    unknown = resize_planes(mask == IGNORED, size) >= _HALF
    found = (resize_planes(mask == 1, size) >= _HALF).astype(np.uint8)
    found[unknown] = IGNORED
    return np.asarray(found)


def _layers(pairs: MaskPairs) -> int:
    return 1 if pairs.classes.exclusive else len(pairs.classes.names)


def _key(pairs: MaskPairs, place: int, longer: int) -> str:
    digest = blake2b(digest_size=12)
    digest.update(json.dumps([_VERSION, longer, pairs.classes.to_dict()]).encode())
    for file in (pairs.images[place], *pairs.masks[place]):
        facts = file.stat() if file is not None else None
        digest.update(f"{file and file.absolute()}|{facts and (facts.st_size, facts.st_mtime_ns)}\n".encode())
    return digest.hexdigest()
