"""Judging a model of masks on whole images: counts over a grid of thresholds, image by image; pixels are never kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise.data import MaskPairs, PixelScale
from equipoise.data.volumes import Region, open_volume
from equipoise.decision.masks import MaskRule
from equipoise.metrics.mask_figures import objective_grid
from equipoise.metrics.mask_scores import ImageCounts, MaskScorer, MaskScores
from equipoise.training.mask_tally import MaskTally, count_border
from equipoise.training.mask_windows import Looker

if TYPE_CHECKING:
    from equipoise.data import Rows
    from equipoise.models import MaskModel
    from equipoise.training.mask_prepare import MaskPrepared


@dataclass(frozen=True, eq=False)
class Validated:
    """What a model says of some images.

    Attributes:
        scores: counts over the grid of thresholds.
        tally: at the decision that nobody fitted: the class of the highest probability, or 0.5.
    """

    scores: MaskScores
    tally: MaskTally

    def best_dice(self, classes: Sequence[int]) -> Floats:
        """Return the pooled Dice of some classes, each at its best threshold on these images; NaN without the class."""
        found = [objective_grid(self.scores, place, "dice") for place in classes]
        return np.array([np.nan if np.isnan(one).all() else float(np.nanmax(one)) for one in found])


class MaskValidation:
    """Scores some images of a training with a model; `Fit.run` calls it after each epoch.

    Args:
        prepared: what is trained on.
        scale: of the pixels.
        rows: numbers of the images.
        role: theirs.
        device: where the model is.
    """

    def __init__(
        self, prepared: MaskPrepared, scale: PixelScale, rows: NDArray[np.int64], *, role: str, device: torch.device
    ) -> None:
        self.prepared, self.scale, self.role, self.device = prepared, scale, role, device
        self.pairs: MaskPairs = prepared.pairs.take(rows)

    def __call__(self, model: MaskModel, rows: Rows | None, precision: str) -> Validated:
        """Return what the model says of every image."""
        del rows, precision
        scorer = MaskScorer(self.prepared.classes, exclusive=self.prepared.exclusive, role=self.role)
        borders = [np.zeros((2, len(self.prepared.classes)), np.int64) for _ in range(len(self.pairs))]
        plain = plain_rule(self.prepared)
        was_training = model.training
        model.eval()
        looker = self.looker(model)
        for place, name in enumerate(self.pairs.ids):
            group = None if self.pairs.groups is None else self.pairs.groups[place]
            for region, truth, said in self.parts(looker, place):
                scorer.add(name, truth, said, group=group)
                borders[place] += self._border(truth, plain.apply(said, small_parts=False), place, region)
        model.train(was_training)
        scores = scorer.scores()
        edge = np.stack(borders)
        return Validated(scores, MaskTally(scores.counts(plain.decision), edge[:, 0], edge[:, 1]))

    def looker(self, model: MaskModel) -> Looker:
        """Return the model with all that makes probabilities of an image."""
        prepared = self.prepared
        return Looker(
            model,
            prepared.ledger,
            self.scale,
            prepared.patch_size,
            prepared.recipe.masks.overlap,
            self.device,
            prepared.exclusive,
        )

    def parts(self, looker: Looker, place: int) -> Iterator[tuple[Region, NDArray[np.uint8], NDArray[np.float32]]]:
        """Yield (region, truth, probabilities) of an image, which together are the whole."""
        pairs = self.pairs
        volume = open_volume(pairs.images[place])
        for region, said in looker.parts(volume, lambda where: pairs.read_image(place, where)):
            yield region, pairs.read_mask(place, region), said

    def _border(
        self, truth: NDArray[np.uint8], mask: NDArray[np.uint8], place: int, region: Region
    ) -> NDArray[np.int64]:
        return np.stack(
            count_border(
                truth,
                mask,
                len(self.prepared.classes),
                exclusive=self.prepared.exclusive,
                space=self.pairs.space(place),
                start=tuple(part.start for part in region),
            )
        )

    def whole(self, looker: Looker, place: int, rule: MaskRule) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the truth of an image and the mask by a rule, before small parts are removed, both whole."""
        pieces: dict[str, Any] = {}
        for region, truth, said in self.parts(looker, place):
            mask = rule.apply(said, small_parts=False)
            if not pieces:
                lead = truth.shape[: truth.ndim - len(region)]
                shape = (*lead, *self.pairs.space(place))
                pieces = {"truth": np.empty(shape, np.uint8), "mask": np.empty(shape, np.uint8)}
            pieces["truth"][(..., *region)], pieces["mask"][(..., *region)] = truth, mask
        return pieces["truth"], pieces["mask"]


def plain_rule(prepared: MaskPrepared) -> MaskRule:
    """Return the rule that nobody fitted: the class of the highest probability, or 0.5 for each of overlapping ones."""
    count = len(prepared.classes)
    blank = (float("nan"),) * count
    half = None if prepared.exclusive else (0.5,) * count
    return MaskRule(prepared.classes, prepared.exclusive, half, blank, blank, blank, (0,) * count)


def tally_of(counts: ImageCounts) -> MaskTally:
    """Return a tally of counts whose place in the images is not known: nothing lies in a border."""
    none = np.zeros_like(counts.actual)
    return MaskTally(counts, none, none)
