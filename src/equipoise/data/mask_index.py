"""Where each class lies in each image: counted once, a sample of places kept, and stored beside the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError
from equipoise._counter import key_of, random_words
from equipoise._files import replacing
from equipoise.data.mask_pairs import MaskPairs
from equipoise.data.masks import open_mask
from equipoise.data.volumes import Region, extent
from equipoise.labels.mask_classes import IGNORED, MaskClasses

_PLACES = 4096  # of one class in one image, at most
_LEAST_PLACES = 16
_MEMORY = 64 << 20  # bytes of all places together
_VERSION = 1


@dataclass(frozen=True, eq=False)
class LocationIndex:
    """Where each class lies in each image.

    Attributes:
        classes: names.
        counts: (images, classes) pixels of each class.
        known: (images,) pixels of which something is known (of the first class, where classes overlap).
        starts: (images * classes + 1,) where the places of image i, class c begin: at entry i * classes + c.
        places: flat numbers of pixels in the image (C order), a uniform sample without replacement of those of each
            class, or all of them where they are few. Of class 0 of exclusive classes, the background, for which no
            patch is drawn, there are none.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    known: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]

    def places_of(self, image: int, class_: int) -> NDArray[np.int64]:
        """Return the kept places of a class in an image."""
        entry = image * len(self.classes) + class_
        return self.places[self.starts[entry] : self.starts[entry + 1]]

    @property
    def images_with(self) -> NDArray[np.int64]:
        """(classes,) in how many images each class lies."""
        return np.asarray((self.counts > 0).sum(axis=0))


def index_locations(pairs: MaskPairs, *, cache: str | Path | None = None, seed: int = 0) -> LocationIndex:
    """Return where each class lies, reading every mask once, in blocks.

    The places kept are those with the smallest hashes of (seed, image, class, place): a uniform sample that depends on
    neither blocks nor order, of bounded size however large the images are.

    Args:
        pairs: with their masks.
        cache: a folder; an index of the same files (by path, size and time), classes and seed is taken from there, and
            a new one is written there, all of it or nothing.
        seed: of the sample.

    Raises:
        DataError: a mask cannot be read, or has a value that is no class.
        RunError: the cache cannot be written to.
    """
    limit = int(np.clip(_MEMORY // 8 // max(1, len(pairs) * len(pairs.classes.names)), _LEAST_PLACES, _PLACES))
    file = None if cache is None else Path(cache) / f"locations-{_key(pairs, seed, limit)}.npz"
    if file is not None and file.is_file():
        found = _read(file)
        if found is not None:
            return found
    made = _build(pairs, seed, limit)
    if file is not None:
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream, classes=np.array(json.dumps(made.classes)), counts=made.counts, known=made.known,
                starts=made.starts, places=made.places,
            )  # fmt: skip
    return made


def masks_of_other_values(pairs: MaskPairs, index: LocationIndex) -> list[str]:
    """Return a note on masks that hold more than one value, none of which a foreground rule takes: 0/1 under "> 127".

    Only masks without foreground are read again; of classes that are said by values every other value is an error.

    Args:
        pairs: with their masks, as they were saved.
        index: of the same images, from `index_locations`.

    Raises:
        DataError: a mask cannot be read.
    """
    rule = pairs.classes.rule
    if rule is None:
        return []
    found = []
    for image, files in enumerate(pairs.masks):
        for layer, file in enumerate(files):
            if file is None or index.counts[image, 1 if pairs.classes.exclusive else layer]:
                continue
            low, high = _ends(file, pairs.classes)
            if low < high:
                found.append(f"{file.name} from {low:g} to {high:g}")
    if not found:
        return []
    masks = "1 mask holds" if len(found) == 1 else f"{len(found)} masks hold"
    shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return [
        f"Warning: {masks} different values of which none is foreground ({rule}): {shown}. Masks may have "
        "been saved with other values; correct them, or data.foreground."
    ]


def _ends(file: Path, classes: MaskClasses) -> tuple[float, float]:
    """Return the smallest and the largest known value of a mask without foreground; of one that has some, nothing."""
    assert classes.rule is not None
    low, high = np.inf, -np.inf
    for _, block in open_mask(file).blocks():
        known = block[~(np.isnan(block) | np.isin(block, classes.ignore))]
        if classes.rule.holds(known).any():
            return np.inf, -np.inf
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    return low, high


def _read(file: Path) -> LocationIndex | None:
    """Return a stored index, or None where the file is damaged: it is then made again."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            names = tuple(json.loads(str(stored["classes"])))
            return LocationIndex(names, *(stored[name] for name in ("counts", "known", "starts", "places")))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _key(pairs: MaskPairs, seed: int, limit: int) -> str:
    digest = blake2b(digest_size=8)
    digest.update(json.dumps([_VERSION, seed, limit, pairs.classes.to_dict()]).encode())
    for files in pairs.masks:
        for file in files:
            facts = file.stat() if file is not None else None
            digest.update(f"{file}|{facts and (facts.st_size, facts.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


def _build(pairs: MaskPairs, seed: int, limit: int) -> LocationIndex:
    classes = len(pairs.classes.names)
    counts, known = np.zeros((len(pairs), classes), np.int64), np.zeros(len(pairs), np.int64)
    kept: list[NDArray[np.int64]] = []
    for image, name in enumerate(pairs.ids):
        samples = [_Sample(key_of(seed, name, class_, "places"), limit) for class_ in range(classes)]
        shape = pairs.space(image)
        for layer, region, block in _blocks(pairs, image):
            flat = block.ravel()
            tally = np.bincount(flat, minlength=IGNORED + 1)
            known[image] += int(len(flat) - tally[IGNORED]) if layer == 0 else 0
            for class_ in range(classes) if pairs.classes.exclusive else (layer,):
                value = class_ if pairs.classes.exclusive else 1
                counts[image, class_] += tally[value]
                if tally[value] and (value or not pairs.classes.exclusive):
                    samples[class_].add(_numbers(np.flatnonzero(flat == value), region, shape))
        kept += [sample.places for sample in samples]
    sizes = [len(places) for places in kept]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return LocationIndex(pairs.classes.names, counts, known, starts, places)


class _Sample:
    """The places with the smallest hashes so far."""

    def __init__(self, key: int, limit: int) -> None:
        self._key, self._limit = key, limit
        self._places, self._words = np.zeros(0, np.int64), np.zeros(0, np.uint64)

    def add(self, places: NDArray[np.int64]) -> None:
        if not len(places):
            return
        words = random_words(self._key, places)
        if len(self._words) == self._limit:
            small = words < self._words.max()
            places, words = places[small], words[small]
        self._places, self._words = np.concatenate([self._places, places]), np.concatenate([self._words, words])
        if len(self._words) > self._limit:
            least = np.argpartition(self._words, self._limit)[: self._limit]
            self._places, self._words = self._places[least], self._words[least]

    @property
    def places(self) -> NDArray[np.int64]:
        return np.sort(self._places)


def _blocks(pairs: MaskPairs, image: int) -> Iterator[tuple[int, Region, NDArray[np.uint8]]]:
    """Yield (which mask, region, class indices) of every block."""
    for layer, file in enumerate(pairs.masks[image]):
        if file is None:
            continue
        mask = open_mask(file)
        if mask.shape != pairs.space(image):
            raise DataError(
                f"{file} has the shape {mask.shape}, but its image {pairs.images[image].name} {pairs.space(image)}. "
                "Save the mask at the image's size."
            )
        for region, values in mask.blocks():
            yield layer, region, pairs.classes.indices(values, source=str(file))


def _numbers(hits: NDArray[np.int64], region: Region, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the flat numbers in the image of pixels of a region, given by their flat numbers there."""
    places = np.unravel_index(hits, extent(region))
    moved = [place + part.start for place, part in zip(places, region, strict=True)]
    return np.asarray(np.ravel_multi_index(moved, shape), np.int64)
