"""The census of masks: pixels and images of each class, image by image, which merges exactly."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassCounts, ClassFloats
from equipoise._checks import ArgumentError, DataError
from equipoise.labels._rates import ratio_interval
from equipoise.labels.census import Census
from equipoise.labels.mask_classes import MaskClasses
from equipoise.labels.mask_components import Components

FORMAT = "equipoise mask census"
_VERSION = 1


@dataclass(frozen=True)
class MaskImage:
    """What one image's mask (or masks, one for each class) holds.

    Attributes:
        name: of the image.
        shape: of its masks.
        pixels: (classes,) pixels of each class.
        known: (classes,) pixels of which it is known whether they are of the class.
        ignored: pixels that have an ignored value, over its masks.
        nans: pixels that are NaN, over its masks.
        outside: pixels whose value is no class, over its masks.
        odd_values: some of these values.
        values: the distinct values it holds, up to 16; empty where there are more.
        between: pixels of a mask with a foreground rule that are neither its lowest nor its highest value.
        stamp: size and time of the file or files, which change when it is replaced.
    """

    name: str
    shape: tuple[int, ...]
    pixels: tuple[int, ...]
    known: tuple[int, ...]
    ignored: int = 0
    nans: int = 0
    outside: int = 0
    odd_values: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    between: int = 0
    stamp: str = ""

    @property
    def size(self) -> int:
        """Pixels of the image."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class MaskCensus:
    """How many pixels and how many images each class has.

    ``a + b`` equals counting the masks of both at once. It has what class weights need (`task`, `classes`,
    `positives`, `negatives`, in pixels); `by_images` gives the same in images.

    Attributes:
        meaning: the classes and which values mean them.
        images: one for each image, sorted by name.
        components: connected parts of each class, or None when they were not counted.
        population: images there are, of which `images` may be a sample; None: all were counted.
        source: where the masks are.
        notes: sentences about what looks odd in the files.
    """

    meaning: MaskClasses
    images: tuple[MaskImage, ...]
    components: Components | None = None
    population: int | None = None
    source: str = "masks"
    notes: tuple[str, ...] = field(default=())

    unit = "pixels"

    @property
    def task(self) -> str:
        """``"multiclass"``, or ``"multilabel"`` where classes may overlap."""
        return self.meaning.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.meaning.names

    @property
    def rows(self) -> int:
        """Pixels of all images."""
        return sum(image.size for image in self.images)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(images, classes) pixels of each class in each image."""
        return np.array([image.pixels for image in self.images], np.int64).reshape(-1, len(self.classes))

    @property
    def known(self) -> NDArray[np.int64]:
        """(images, classes) pixels of which it is known whether they are of the class."""
        return np.array([image.known for image in self.images], np.int64).reshape(-1, len(self.classes))

    @property
    def positives(self) -> ClassCounts:
        """(classes,) pixels of each class."""
        return np.asarray(self.pixels.sum(axis=0), np.int64)

    @property
    def negatives(self) -> ClassCounts:
        """(classes,) known pixels that are not of the class."""
        return np.asarray((self.known - self.pixels).sum(axis=0), np.int64)

    @property
    def unknowns(self) -> ClassCounts:
        """(classes,) pixels of which nothing is known: ignored, NaN or of no class."""
        return np.asarray(self.rows - self.known.sum(axis=0), np.int64)

    @property
    def prevalence(self) -> ClassFloats:
        """(classes,) share of the class in the known pixels; NaN where nothing is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.positives / (self.positives + self.negatives), np.float64)

    @property
    def prevalence_interval(self) -> tuple[ClassFloats, ClassFloats]:
        """The ends of the 95 % interval of `prevalence` over images, each (classes,); see `ratio_interval`."""
        return ratio_interval(self.pixels, self.known, population=self.population)

    @property
    def present(self) -> ClassCounts:
        """(classes,) images that hold the class."""
        return np.asarray((self.pixels > 0).sum(axis=0), np.int64)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """The classes without a pixel."""
        return tuple(name for name, count in zip(self.classes, self.positives, strict=True) if count == 0)

    @property
    def empty_images(self) -> tuple[str, ...]:
        """The images that hold a single class, or none: of binary masks those without foreground."""
        first = 1 if self.meaning.exclusive else 0
        return tuple(image.name for image in self.images if not any(image.pixels[first:]))

    @property
    def fingerprint(self) -> str:
        """What changes when a file is added, removed or replaced: of names, sizes and times of the files."""
        stamps = sorted((image.name, image.stamp) for image in self.images)
        text = json.dumps([stamps, self.meaning.to_dict()])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def by_images(self) -> Census:
        """Return the census of images: of each class, how many images hold it."""
        held, known = self.present, np.count_nonzero(self.known > 0, axis=0)
        counts = {name: (int(p), int(k - p)) for name, p, k in zip(self.classes, held, known, strict=True)}
        return Census.from_counts(counts, task="multilabel", source=self.source)

    def by_pixels(self, *, holding: bool = False) -> Census:
        """Return the census of pixels as a plain `Census`.

        Args:
            holding: count the negatives of a class only in the images that hold it, as median frequency balancing does.
        """
        if not holding and self.meaning.exclusive:
            counts = dict(zip(self.classes, self.positives.tolist(), strict=True))
            return Census.from_counts(counts, unit="pixels", source=self.source)
        pixels, known = self.pixels, self.known * (self.pixels > 0) if holding else self.known
        negatives = (known - pixels).sum(axis=0)
        pairs = zip(self.classes, pixels.sum(axis=0).tolist(), negatives.tolist(), strict=True)
        return Census.from_counts(
            {name: (p, n) for name, p, n in pairs}, task="multilabel", unit="pixels", source=self.source
        )

    def __eq__(self, other: object) -> bool:
        """Return whether the counts are equal; where they came from (`source`, `notes`) does not matter."""
        if not isinstance(other, MaskCensus):
            return NotImplemented
        mine, theirs = self.to_dict(), other.to_dict()
        return all(mine[key] == theirs[key] for key in mine if key not in ("source", "notes"))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: MaskCensus) -> MaskCensus:
        """Return the census of the masks of both.

        Raises:
            ArgumentError: they mean different classes, an image is in both, or only one counts components.
        """
        if not isinstance(other, MaskCensus):
            return NotImplemented
        if self.meaning != other.meaning:
            raise ArgumentError(
                f"Two censuses of masks can be added when their classes are the same; got {self.meaning.words()} and "
                f"{other.meaning.words()}. Count both with the same classes."
            )
        twice = {image.name for image in self.images} & {image.name for image in other.images}
        if twice:
            raise ArgumentError(f'The image "{min(twice)}" is in both censuses of masks. Count each image once.')
        if (self.components is None) != (other.components is None):
            raise ArgumentError("Only one of the two censuses counts components. Count both with components.")
        joined = None if self.components is None or other.components is None else self.components + other.components
        sampled = self.population is not None or other.population is not None
        whole = (self.population or len(self.images)) + (other.population or len(other.images))
        return MaskCensus(
            self.meaning, tuple(sorted((*self.images, *other.images), key=lambda image: image.name)), joined,
            whole if sampled else None,
            self.source if self.source == other.source else f"{self.source} + {other.source}",
            tuple(dict.fromkeys(self.notes + other.notes)),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal census."""
        from equipoise.labels._mask_census_json import image_to_dict

        return {
            "format": FORMAT,
            "version": _VERSION,
            "source": self.source,
            "meaning": self.meaning.to_dict(),
            "classes": list(self.classes),
            "pixels": self.positives.tolist(),
            "present": self.present.tolist(),
            "population": self.population,
            "fingerprint": self.fingerprint,
            "images": [image_to_dict(image) for image in self.images],
            "components": None if self.components is None else self.components.to_dict(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, stored: Any) -> MaskCensus:
        """Return the census that `to_dict` wrote.

        Raises:
            DataError: the value is no census of masks, contradicts itself, or is from a newer version.
        """
        from equipoise.labels._mask_census_json import image_from_dict

        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError("This is not a census of masks. Count the masks with `equipoise census`.")
        if type(stored.get("version")) is not int or not 1 <= stored["version"] <= _VERSION:
            raise DataError(f"This census of masks is not of a version up to {_VERSION}. Update Equipoise.")
        try:
            meaning = MaskClasses.from_dict(stored["meaning"])
            images = tuple(image_from_dict(image, len(meaning.names)) for image in stored["images"])
            parts, there = stored["components"], stored["population"]
            if there is not None and (type(there) is not int or there < len(images)):
                raise ValueError(f"{there!r:.80} is no number of images of which {len(images)} are a sample")
            census = cls(
                meaning, images, None if parts is None else Components.from_dict(parts, meaning.names),
                there, str(stored["source"]), tuple(map(str, stored["notes"])),
            )  # fmt: skip
            if stored["pixels"] != census.positives.tolist():
                raise ValueError("its sums are not those of its images")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"This census of masks is damaged: {error}. Count the masks again.") from error
        return census

    def __str__(self) -> str:
        from equipoise.labels._mask_census_text import census_text

        return census_text(self)
