"""Augmentation of patches with their masks, in 2-D and 3-D: what moves the image moves the mask."""

from __future__ import annotations

import numbers as numeric
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from equipoise._checks import ArgumentError, check_one_of
from equipoise._counter import key_of, random_units
from equipoise.data._augment_draws import Ranges
from equipoise.data.augment import MODALITIES, STRENGTHS, ranges_of

_SPREADS = 4.0  # standard deviations from black to white: ranges are of that, patches are scaled
_GAMMA = 0.5  # of the range of contrast


@dataclass(frozen=True)
class MaskAugmenter:
    """Turns patches and their masks into varied ones. Make it with `make_mask_augmenter`.

    Attributes:
        strength: "none", "light", "medium" or "strong". modality: "xray", "fundus" or "general".
        ranges: how far each change goes; None changes nothing.
        seed: of the run.
    """

    strength: str
    modality: str
    ranges: Ranges | None
    seed: int

    def __call__(
        self, images: Tensor, masks: Tensor, *, epoch: int, draws: NDArray[np.integer[Any]] | Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Return images and masks, each moved alike, images in their greys as well.

        What is done to a patch is a pure function of (seed, epoch, draw). What comes from outside of the patch is its
        repeated edge in the image, and unknown (-1) in the mask. Masks are never interpolated.

        Args:
            images: (patches, channels, ...) float32, about zero mean and unit spread.
            masks: (patches, ...) or (patches, classes, ...) whole numbers, below 0 where unknown.
            epoch: which epoch.
            draws: (patches,) number of each draw in the epoch.

        Raises:
            ArgumentError: images and masks do not fit, or there is not one draw a patch.
        """
        _check(images, masks, len(draws))
        if self.ranges is None:
            return images, masks
        key = key_of(self.seed, epoch, "augment masks")
        counters = np.asarray(draws, np.int64)[:, None] * 16 + np.arange(12)
        units = torch.from_numpy(random_units(key, counters)).to(images.device)
        images, masks = self._moved(images, masks, units)
        return self._toned(images, units, key, draws), masks

    def describe(self) -> str:
        """Return what is done, in one sentence."""
        if self.ranges is None:
            return "No augmentation."
        return (
            f"Augmentation {self.strength} for {self.modality}, of images and masks alike: {self.ranges.describe(1)}."
        )

    def _moved(self, images: Tensor, masks: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        ranges, axes = self.ranges, images.dim() - 2
        assert ranges is not None
        signs = torch.ones(len(images), axes, dtype=torch.float64, device=images.device)
        # Axes as torch counts them in a grid: the last of the array first. Depth is mirrored as rows are.
        shares = (ranges.flip, ranges.flip_vertical, ranges.flip_vertical)[:axes]
        for axis, share in enumerate(shares):
            signs[:, axis] = torch.where(units[:, axis] < share, -1.0, 1.0)
        angle = np.deg2rad(ranges.rotation) * (2 * units[:, 3] - 1)
        zoom = (1 + ranges.scale) ** (2 * units[:, 4] - 1)
        sides = torch.tensor(images.shape[:1:-1], dtype=torch.float64, device=images.device)
        turn = torch.eye(axes, dtype=torch.float64, device=images.device).repeat(len(images), 1, 1)
        turn[:, 0, 0], turn[:, 0, 1] = torch.cos(angle), -torch.sin(angle)
        turn[:, 1, 0], turn[:, 1, 1] = torch.sin(angle), torch.cos(angle)
        # Grids reach from -1 to 1 along every side: turned in pixels, not in shares of unequal sides.
        turn = turn * sides[None, None, :] / sides[None, :, None]
        matrix = torch.cat([turn * signs[:, None, :] / zoom[:, None, None], _shifts(ranges, units, axes)], dim=2)
        grid = functional.affine_grid(matrix.float(), list(images.shape), align_corners=False)
        moved = functional.grid_sample(images, grid, "bilinear", "border", align_corners=False)
        layered = masks.unsqueeze(1) if masks.dim() == images.dim() - 1 else masks
        turned = functional.grid_sample(layered.float(), grid, "nearest", "border", align_corners=False)
        outside = (grid.abs() > 1.0).any(-1).unsqueeze(1)
        return moved, turned.masked_fill(outside, -1.0).to(masks.dtype).reshape(masks.shape)

    def _toned(self, images: Tensor, units: Tensor, key: int, draws: Any) -> Tensor:
        ranges = self.ranges
        assert ranges is not None
        wide = (-1, *(1,) * (images.dim() - 1))
        contrast = ((1 + ranges.contrast) ** (2 * units[:, 8] - 1)).float().reshape(wide)
        brightness = (_SPREADS * ranges.brightness * (2 * units[:, 9] - 1)).float().reshape(wide)
        gamma = ((1 + _GAMMA * ranges.contrast) ** (2 * units[:, 10] - 1)).float().reshape(wide)
        low, high = images.flatten(1).amin(1).reshape(wide), images.flatten(1).amax(1).reshape(wide)
        reach = (high - low).clamp_min(1e-6)
        toned = ((images - low) / reach).clamp(0, 1) ** gamma * reach + low
        toned = toned * contrast + brightness
        if not ranges.noise:
            return toned
        amounts = (_SPREADS * ranges.noise * units[:, 11]).float().reshape(wide)
        fields = [_noise(key, int(draw), images[0].shape) for draw in draws]
        return toned + torch.stack(fields).to(images.device) * amounts


def make_mask_augmenter(
    strength: str = "light", *, modality: str, seed: int, flip: bool | None = None
) -> MaskAugmenter:
    """Return what varies patches and their masks.

    Args:
        strength: "none", "light", "medium" or "strong", in the ranges that `make_augmenter` has.
        modality: "xray" (never mirrored), "fundus" (any rotation, mirrored both ways) or "general". In 3-D rotations
            are around the first axis, and what is mirrored up and down is mirrored in depth as well.
        seed: of the run.
        flip: whether left and right are swapped in half of the patches, whatever the modality; None leaves it to the
            modality.

    Raises:
        ArgumentError: a name is not known, or the seed is no whole number.

    Example:
        >>> make_mask_augmenter("none", modality="xray", seed=0).describe()
        'No augmentation.'
    """
    check_one_of(strength, STRENGTHS, argument="strength", function="make_mask_augmenter")
    check_one_of(modality, MODALITIES, argument="modality", function="make_mask_augmenter")
    if isinstance(seed, bool) or not isinstance(seed, numeric.Integral):
        raise ArgumentError(f"`seed` of make_mask_augmenter must be a whole number; got {seed!r}.")
    return MaskAugmenter(strength, modality, ranges_of(strength, modality, flip, erase=False), int(seed))


def _shifts(ranges: Ranges, units: Tensor, axes: int) -> Tensor:
    """Return (patches, axes, 1) shifts in halves of the side."""
    return (2 * ranges.shift * (2 * units[:, 5 : 5 + axes] - 1)).unsqueeze(2)


def _noise(key: int, draw: int, shape: tuple[int, ...]) -> Tensor:
    random = np.random.default_rng([key & 0xFFFFFFFF, key >> 32, draw])
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))


def _check(images: Tensor, masks: Tensor, draws: int) -> None:
    space = images.shape[2:]
    fits = masks.shape[:1] + masks.shape[masks.dim() - len(space) :] == images.shape[:1] + space
    if images.dim() not in (4, 5) or masks.dim() not in (images.dim() - 1, images.dim()) or not fits:
        raise ArgumentError(
            f"An augmenter of masks needs images (patches, channels, ...) and masks of the same size; got "
            f"{tuple(images.shape)} and {tuple(masks.shape)}."
        )
    if draws != len(images):
        raise ArgumentError(f"An augmenter of masks needs one draw a patch; got {draws} for {len(images)} patches.")
