"""What a model said about masks, as counts over a grid of thresholds: never as pixels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_one_of, listed
from equipoise.metrics._mask_kernel import IGNORED, count_cells, default_thresholds, rounded_thresholds
from equipoise.metrics.outcomes import divide
from equipoise.metrics.segmentation import MaskCounts
from equipoise.scores import ROLES, write_frame
from equipoise.scores.ids import digest, hash_ids

_FORMAT, _VERSION = "equipoise mask scores", 2
ARGMAX = "argmax"  # the decision of exclusive classes: the class of the highest probability


@dataclasses.dataclass(frozen=True, eq=False)
class ImageCounts:
    """Pixels of each class in each image; arrays of shape (images, classes).

    Attributes:
        overlap: of the class and predicted so.
        actual: of the class.
        predicted: predicted as the class.
        known: (images, classes) of which something is known.
    """

    overlap: NDArray[np.int64]
    actual: NDArray[np.int64]
    predicted: NDArray[np.int64]
    known: NDArray[np.int64]

    def select(self, rows: Any) -> ImageCounts:
        """Return the counts of some images, chosen by a mask or by numbers."""
        return ImageCounts(self.overlap[rows], self.actual[rows], self.predicted[rows], self.known[rows])

    def dice(self) -> Floats:
        """Return Dice of each image and class; NaN where the image does not hold the class (see `MaskCounts`)."""
        return np.where(self.actual > 0, divide(2 * self.overlap, self.actual + self.predicted), np.nan)

    def iou(self) -> Floats:
        """Return intersection over union of each image and class; NaN where the image does not hold the class."""
        union = self.actual + self.predicted - self.overlap
        return np.where(self.actual > 0, divide(self.overlap, union), np.nan)

    def predicted_share(self) -> Floats:
        """Return the share of the known pixels of each image that is predicted as each class."""
        return divide(self.predicted, self.known)

    def actual_share(self) -> Floats:
        """Return the share of the known pixels of each image that is of each class."""
        return divide(self.actual, self.known)

    def total(self) -> MaskCounts:
        """Return the counts of all images together."""
        present = self.actual > 0
        dice, iou = self.dice(), self.iou()
        return MaskCounts(
            images=len(self.overlap),
            pixels=int(self.known.max(axis=1, initial=0).sum()),
            overlap=self.overlap.sum(axis=0),
            actual=self.actual.sum(axis=0),
            predicted=self.predicted.sum(axis=0),
            dice_sum=np.where(present, dice, 0.0).sum(axis=0),
            iou_sum=np.where(present, iou, 0.0).sum(axis=0),
            present=present.sum(axis=0),
            false_alarms=(~present & (self.predicted > 0)).sum(axis=0),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class MaskScores:
    """Counts of the pixels of images over a grid of thresholds: all that figures, thresholds and calibration need.

    `a + b` joins the scores of other images. Made by `MaskScorer`; `write_mask_scores` stores them as Parquet.

    Attributes:
        ids: (images,) a name for each, unique.
        classes: names.
        role: "train", "validation" or "test".
        exclusive: whether each pixel has one class.
        thresholds: (grid,) float32, ascending. Cell k of an image holds the pixels whose probability reaches the first
            k of them and no more.
        negatives: (images, classes, grid + 1) pixels not of the class, by cell.
        positives: (images, classes, grid + 1) pixels of the class, by cell.
        sums: (images, classes, grid + 1) sums of the probabilities of both.
        chosen: (images, classes, 2) of exclusive classes: pixels whose highest probability is that of the class, and
            how many of them are of it. Zeros of overlapping classes.
        painted: (images, classes, 3, grid + 1) of three exclusive classes or more, by cell of the probability that a
            pixel is not of the first class, the background: pixels of which the class is the likeliest of the others,
            how many of them are of it, and how many of the background. No grid (a last axis of 0) of all others.
        groups: (images,) the patient of each, or None where images are independent.
    """

    ids: NDArray[Any]
    classes: tuple[str, ...]
    role: str
    exclusive: bool
    thresholds: NDArray[np.float32]
    negatives: NDArray[np.int64]
    positives: NDArray[np.int64]
    sums: NDArray[np.float64]
    chosen: NDArray[np.int64]
    painted: NDArray[np.int64]
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        check_one_of(self.role, ROLES, argument="role", function="MaskScores")
        ids = np.array([str(one) for one in self.ids], dtype=object)
        object.__setattr__(self, "ids", ids)
        if self.groups is not None:
            object.__setattr__(self, "groups", np.array([str(one) for one in self.groups], dtype=object))
        names, times = np.unique(ids.astype(str), return_counts=True)
        if (times > 1).any():
            raise DataError(
                f"Scores of masks hold {listed(names[times > 1], limit=3)} more than once. Keep one entry an image."
            )
        shape = (len(ids), len(self.classes), len(self.thresholds) + 1)
        wrong = [name for name in ("negatives", "positives", "sums") if getattr(self, name).shape != shape]
        grid = shape[2] if _parted(self.exclusive, self.classes) else 0
        if self.chosen.shape != (*shape[:2], 2) or self.painted.shape != (*shape[:2], 3, grid):
            wrong.append("chosen and painted")
        if wrong or (self.groups is not None and len(self.groups) != len(ids)):
            raise ArgumentError(
                f"MaskScores of {shape[0]} images and {shape[1]} classes do not fit themselves ({listed(wrong)}). "
                "Make them with a MaskScorer."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: MaskScores) -> MaskScores:
        if not isinstance(other, MaskScores):
            return NotImplemented
        same = (
            self.classes == other.classes
            and self.role == other.role
            and self.exclusive == other.exclusive
            and np.array_equal(self.thresholds, other.thresholds)
            and (self.groups is None) == (other.groups is None)
        )
        if not same:
            raise ArgumentError(
                "These MaskScores differ in classes, role, grid of thresholds, or in whether there are groups, and "
                "cannot be joined. Score both in the same way."
            )
        return self._rows(lambda name: np.concatenate([getattr(self, name), getattr(other, name)]))

    def select(self, rows: Any) -> MaskScores:
        """Return the scores of some images, chosen by a mask or by numbers."""
        return self._rows(lambda name: getattr(self, name)[rows])

    def _rows(self, take: Any) -> MaskScores:
        arrays = ("ids", "negatives", "positives", "sums", "chosen", "painted")
        names = (*arrays, *(() if self.groups is None else ("groups",)))
        return dataclasses.replace(self, **{name: take(name) for name in names})

    @property
    def hash(self) -> str:
        """A short name of the set of ids; order does not matter."""
        return digest(hash_ids(self.ids))

    @cached_property
    def _above(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(images, classes, grid + 2) pixels predicted from each cell on: of the class, all, and of the background."""
        hits, alarms = _from_above(self.positives), _from_above(self.negatives)
        if not self.painted.size:
            return hits, hits + alarms, alarms  # the background is used of two exclusive classes, where it is the rest
        said, right, ground = (_from_above(self.painted[:, :, place]) for place in range(3))
        said[:, 0], right[:, 0] = hits[:, 0] + alarms[:, 0], hits[:, 0]
        return right, said, ground

    def true_positives(self) -> NDArray[np.int64]:
        """Return (images, classes, grid) pixels of the class that are predicted as it from each threshold on.

        A class is predicted where its probability is at least the threshold; of three exclusive classes or more where
        the probability of all but the first is, and the class is the likeliest of them.
        """
        return self._above[0][..., 1:-1]

    def false_positives(self) -> NDArray[np.int64]:
        """Return (images, classes, grid) pixels not of the class that are predicted as it from each threshold on."""
        return (self._above[1] - self._above[0])[..., 1:-1]

    def actual(self) -> NDArray[np.int64]:
        """Return (images, classes) pixels of each class."""
        return np.asarray(self.positives.sum(axis=-1))

    def known(self) -> NDArray[np.int64]:
        """Return (images, classes) known pixels."""
        return np.asarray(self.positives.sum(axis=-1) + self.negatives.sum(axis=-1))

    def counts(self, decision: str | Sequence[float] | NDArray[np.floating[Any]]) -> ImageCounts:
        """Return the counts of each image at a decision.

        Args:
            decision: ``"argmax"`` of exclusive classes, or a threshold for each class, taken to the grid's next below.
                Thresholds above the grid's last predict nothing; 0 and what is below the first predict everything. Of
                exclusive classes the first is the rest: a pixel is of the likeliest of the others where the probability
                that it is of any of them reaches the threshold of that class. The first threshold is not used.

        Raises:
            ArgumentError: argmax of overlapping classes, or not one threshold a class.
        """
        actual, known = self.actual(), self.known()
        if isinstance(decision, str):
            check_one_of(decision, (ARGMAX,), argument="decision", function="MaskScores.counts")
            if not self.exclusive:
                raise ArgumentError("Overlapping classes have no argmax. Give a threshold for each class.")
            return ImageCounts(self.chosen[..., 1], actual, self.chosen[..., 0], known)
        places = self.places_of(decision)
        at = np.broadcast_to((places + 1)[None, :, None], (len(self), len(places), 1))
        hits, predicted, ground = (np.take_along_axis(one, at, axis=-1)[..., 0] for one in self._above)
        if self.exclusive:
            predicted[:, 0] = known[:, 0] - predicted[:, 1:].sum(axis=1)
            hits[:, 0] = actual[:, 0] - ground[:, 1:].sum(axis=1)
        return ImageCounts(hits, actual, predicted, known)

    def places_of(self, thresholds: Sequence[float] | NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Return the place in the grid of a threshold for each class; -1 is below all, ``len(grid)`` above all."""
        given = np.asarray(thresholds, np.float64)
        if given.shape != (len(self.classes),) or np.isnan(given).any():
            raise ArgumentError(
                f"MaskScores take a threshold for each of {len(self.classes)} classes; got {given.tolist()}."
            )
        places = np.searchsorted(self.thresholds, given, side="right") - 1
        return np.where(given > self.thresholds[-1], len(self.thresholds), places)


class MaskScorer:
    """Counts images, whole or in parts, into `MaskScores`.

    Args:
        classes: names.
        exclusive: whether each pixel has one class.
        role: of the images.
        thresholds: the grid; by default `default_thresholds`. Numbers are taken to the next below that bfloat16 holds.

    Raises:
        ArgumentError: thresholds outside of (0, 1), or more than 255.

    Example:
        >>> scorer = MaskScorer(("ground", "spot"), exclusive=True, role="test")
        >>> p = np.array([[0.9, 0.2], [0.6, 0.4]], np.float32)
        >>> scorer.add("a", np.array([[0, 1], [1, 255]], np.uint8), np.stack([p, 1 - p]))
        >>> counts = scorer.scores().counts("argmax")
        >>> counts.overlap.tolist(), counts.actual.tolist(), counts.predicted.tolist()
        ([[1, 1]], [[1, 2]], [[2, 1]])
    """

    def __init__(
        self, classes: Sequence[str], *, exclusive: bool, role: str, thresholds: NDArray[np.floating[Any]] | None = None
    ) -> None:
        self.classes, self.exclusive, self.role = tuple(classes), exclusive, role
        self.thresholds = default_thresholds() if thresholds is None else rounded_thresholds(np.asarray(thresholds))
        if not 0 < len(self.thresholds) <= 255 or self.thresholds[0] <= 0 or self.thresholds[-1] >= 1:
            raise ArgumentError(
                "`thresholds` of MaskScorer must be 1 to 255 numbers between 0 and 1, both left out. Correct them."
            )
        self._found: dict[str, tuple[NDArray[Any], ...]] = {}
        self._groups: dict[str, str | None] = {}

    def add(self, name: str, labels: NDArray[Any], probabilities: NDArray[Any], *, group: str | None = None) -> None:
        """Count an image, or a part of one: parts of one name are added up.

        Args:
            name: of the image.
            labels: of exclusive classes (...) class indices; of overlapping ones (classes, ...) of 0 and 1. 255, or
                below 0: unknown.
            probabilities: (classes, ...) from 0 to 1.
            group: the patient, or None.

        Raises:
            ArgumentError: the shapes do not fit.
            DataError: a probability is no number from 0 to 1.
        """
        truth, said = np.asarray(labels), np.asarray(probabilities, np.float32)
        wanted = said.shape[1:] if self.exclusive else said.shape
        if said.ndim < 2 or len(said) != len(self.classes) or truth.shape != wanted:
            raise ArgumentError(
                f"MaskScorer takes probabilities (classes, ...) of {len(self.classes)} classes and labels "
                f"{'(...)' if self.exclusive else 'of the same shape'}; got {said.shape} and {truth.shape}."
            )
        truth = np.where((truth < 0) | (truth == IGNORED), IGNORED, truth).astype(np.uint8)
        parts = [self._counted(name, truth, said, class_) for class_ in range(len(self.classes))]
        counts, sums = np.stack([one[0] for one in parts], axis=1), np.stack([one[1] for one in parts])
        made = (counts[0], counts[1], sums, self._choices(truth, said), self._painted(name, truth, said))
        before = self._found.get(name)
        self._found[name] = made if before is None else tuple(a + b for a, b in zip(before, made, strict=True))
        self._groups[name] = group

    def _counted(self, name: str, truth: NDArray[np.uint8], said: NDArray[np.float32], class_: int) -> Any:
        flat = truth if self.exclusive else truth[class_]
        return self._cells(name, flat, said[class_], class_ if self.exclusive else 1, self.classes[class_])

    def _cells(
        self, name: str, truth: NDArray[np.uint8], said: NDArray[np.float32], value: int, class_: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        try:
            return count_cells(truth.ravel(), said.ravel(), value, self.thresholds)
        except ValueError as error:
            raise DataError(f'Image "{name}", class "{class_}": {error}. Find out why the model gave none.') from error

    def _choices(self, truth: NDArray[np.uint8], said: NDArray[np.float32]) -> NDArray[np.int64]:
        found = np.zeros((len(self.classes), 2), np.int64)
        if self.exclusive:
            best, known = said.argmax(axis=0), truth != IGNORED
            found[:, 0] = np.bincount(best[known], minlength=len(self.classes))
            found[:, 1] = np.bincount(best[known & (best == truth)], minlength=len(self.classes))
        return found

    def _painted(self, name: str, truth: NDArray[np.uint8], said: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (classes, 3, cells) pixels by the likeliest class but the first, and by how likely any of them is."""
        if not _parted(self.exclusive, self.classes):
            return np.zeros((len(self.classes), 3, 0), np.int64)
        found = np.zeros((len(self.classes), 3, len(self.thresholds) + 1), np.int64)
        best, any_ = best_foreground(said)
        for place, class_ in enumerate(self.classes[1:], start=1):
            mine = np.where(best == place, truth, np.uint8(IGNORED))
            others, right = self._cells(name, mine, any_, place, class_)[0]
            found[place] = others + right, right, self._cells(name, mine, any_, 0, class_)[0][1]
        return found

    def scores(self) -> MaskScores:
        """Return the scores of all images counted so far.

        Raises:
            DataError: there is none, or only some have a group.
        """
        if not self._found:
            raise DataError("No image was scored. Give at least one.")
        groups = list(self._groups.values())
        if any(one is None for one in groups) and any(one is not None for one in groups):
            raise DataError("Some images have a group and some have none. Give all a group, or none.")
        arrays = [np.stack(one) for one in zip(*self._found.values(), strict=True)]
        negatives, positives, sums, chosen, painted = arrays
        named = None if groups[0] is None else np.array(groups, dtype=object)
        ids = np.array(list(self._found), dtype=object)
        return MaskScores(
            ids, self.classes, self.role, self.exclusive, self.thresholds, negatives, positives, sums, chosen, painted,
            named,
        )  # fmt: skip


def best_foreground(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the likeliest class of each pixel but the first, the background, and how likely it is that it is any.

    Args:
        probabilities: (classes, ...) of exclusive classes.
    """
    if len(probabilities) == 2:
        return np.ones(probabilities.shape[1:], np.intp), probabilities[1]
    return probabilities[1:].argmax(axis=0) + 1, np.maximum(1 - probabilities[0], 0)


def _parted(exclusive: bool, classes: Sequence[str]) -> bool:
    """Return whether a threshold does not say which class a pixel is of: then `painted` is counted."""
    return exclusive and len(classes) > 2


def _from_above(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (..., cells + 1) the sums of each cell and those above it, and nothing above the last."""
    ended = np.concatenate([cells, np.zeros_like(cells[..., :1])], axis=-1)
    return np.asarray(np.cumsum(ended[..., ::-1], axis=-1)[..., ::-1])


def write_mask_scores(scores: MaskScores, path: str | Path) -> None:
    """Write scores of masks as Parquet, one row an image and class, all of it or nothing.

    Columns: id, group, role, exclusive, class, thresholds (list), negatives, positives, sums (lists, one entry more),
    chosen (list of two), painted (list of three lists in one, empty where there are not three exclusive classes).

    Raises:
        ArgumentError: the name does not end in .parquet.
        RunError: the folder cannot be written to, or the disk is full.
    """
    import polars as pl

    if Path(path).suffix != ".parquet":
        raise ArgumentError(f"Scores of masks are written as .parquet; got {path}.")
    images, classes = len(scores), len(scores.classes)
    head = json.dumps({"format": _FORMAT, "version": _VERSION})
    groups = [None] * images if scores.groups is None else scores.groups.tolist()
    rows = images * classes
    frame = pl.DataFrame(
        {
            "format": pl.Series([head] * rows),
            "id": np.repeat(scores.ids, classes).tolist(),
            "group": pl.Series([one for one in groups for _ in range(classes)], dtype=pl.String),
            "role": [scores.role] * rows,
            "exclusive": [scores.exclusive] * rows,
            "class": list(scores.classes) * images,
            "thresholds": pl.Series([scores.thresholds.tolist()] * rows, dtype=pl.List(pl.Float32)),
            "negatives": pl.Series(scores.negatives.reshape(rows, -1).tolist(), dtype=pl.List(pl.Int64)),
            "positives": pl.Series(scores.positives.reshape(rows, -1).tolist(), dtype=pl.List(pl.Int64)),
            "sums": pl.Series(scores.sums.reshape(rows, -1).tolist(), dtype=pl.List(pl.Float64)),
            "chosen": pl.Series(scores.chosen.reshape(rows, 2).tolist(), dtype=pl.List(pl.Int64)),
            "painted": pl.Series(scores.painted.reshape(rows, -1).tolist(), dtype=pl.List(pl.Int64)),
        }
    )
    write_frame(frame, path)


def read_mask_scores(path: str | Path) -> MaskScores:
    """Read what `write_mask_scores` wrote; numbers survive the round trip exactly.

    Raises:
        DataError: there is no such file, or it holds no scores of masks.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        frame = pl.read_parquet(path, glob=False)  # a folder may be called [1]
        stored = json.loads(frame["format"][0])
        if stored != {"format": _FORMAT, "version": _VERSION}:
            raise DataError(f"{path} is {stored}, which this Equipoise does not read. Score the masks again.")
        classes = tuple(frame["class"].unique(maintain_order=True).to_list())
        shape = (len(frame) // len(classes), len(classes), -1)
        arrays = [
            np.array(frame[name].to_list()).reshape(shape) for name in ("negatives", "positives", "sums", "chosen")
        ]
        painted = np.array(frame["painted"].to_list(), np.int64)
        painted = painted.reshape(*shape[:2], 3, painted.shape[1] // 3)
        first = frame.gather_every(len(classes))
        groups = None if first["group"].null_count() == len(first) else np.array(first["group"].to_list(), dtype=object)
        return MaskScores(
            np.array(first["id"].to_list(), dtype=object), classes, frame["role"][0], bool(frame["exclusive"][0]),
            np.array(frame["thresholds"][0].to_list(), np.float32), arrays[0].astype(np.int64),
            arrays[1].astype(np.int64), arrays[2].astype(np.float64), arrays[3].astype(np.int64), painted, groups,
        )  # fmt: skip
    except (PolarsError, OSError, KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} holds no scores of masks: {error}. Score the masks again.") from error
