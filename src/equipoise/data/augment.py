"""Augmentation of whole batches, the same for a row whatever batch, worker or resumed run it comes in."""

from __future__ import annotations

import dataclasses
import numbers
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
from equipoise.data._augment_draws import NOISE_PLACES, Draws, Ranges, draw
from equipoise.data._opencv import opencv

STRENGTHS = ("none", "light", "medium", "strong")
MODALITIES = ("xray", "fundus", "general")

_RANGES: dict[str, dict[str, Ranges]] = {
    # A mirrored chest has its heart on the right: dextrocardia, which is a finding.
    "xray": {
        "light": Ranges(rotation=5, shift=0.02, scale=0.05, brightness=0.04, contrast=0.1, noise=0.01),
        "medium": Ranges(rotation=10, shift=0.05, scale=0.1, brightness=0.08, contrast=0.2, noise=0.02),
        "strong": Ranges(rotation=15, shift=0.08, scale=0.15, brightness=0.12, contrast=0.3, noise=0.03, erase=0.5),
    },
    # A fundus has no upright: eyes are left and right, and the camera is turned.
    "fundus": {
        "light": Ranges(180, 0.02, 0.05, 0.5, 0.5, brightness=0.03, contrast=0.08, colour=0.05),
        "medium": Ranges(180, 0.05, 0.1, 0.5, 0.5, brightness=0.07, contrast=0.2, colour=0.12, noise=0.01),
        "strong": Ranges(180, 0.08, 0.15, 0.5, 0.5, brightness=0.12, contrast=0.35, colour=0.2, noise=0.02, erase=0.5),
    },
    "general": {
        "light": Ranges(5, 0.02, 0.05, 0.5, brightness=0.04, contrast=0.1, colour=0.05),
        "medium": Ranges(15, 0.06, 0.12, 0.5, brightness=0.08, contrast=0.2, colour=0.12, noise=0.01),
        "strong": Ranges(30, 0.1, 0.2, 0.5, brightness=0.12, contrast=0.35, colour=0.2, noise=0.02, erase=0.5),
    },
}


@dataclass(frozen=True)
class Augmenter:
    """Turns cached pixels into what a model sees. Make it with `make_augmenter`.

    Attributes:
        strength: "none", "light", "medium" or "strong". modality: "xray", "fundus" or "general".
        ranges: how far each change goes; None changes nothing.
        seed: the seed of the run.
        mean: (channels,) of the training pixels in [0, 1]. std: (channels,) likewise.
    """

    strength: str
    modality: str
    ranges: Ranges | None
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self,
        pixels: Tensor,
        *,
        rows: Tensor | NDArray[np.integer],
        epoch: int,
        draws: Tensor | NDArray[np.integer] | int = 0,
    ) -> Tensor:
        """Return the batch as float32 (images, channels, height, width): changed, then ``(x / 255 - mean) / std``.

        On a CPU the geometry is OpenCV's, on 8 bits and one image at a time: a tenth of the time of `grid_sample`.
        On any other device the whole batch goes through `grid_sample`; the two differ by rounding, within a grey level
        or so. Greys are cut at black and white before they are normalised. With three channels the result lies in
        memory with its channels last.

        Args:
            pixels: uint8 (images, channels, height, width), in any order in memory. Not changed.
            rows: (images,) which rows of the table they are.
            epoch: which epoch.
            draws: which drawing of the row within the epoch, for samplers that draw a row several times: (images,),
                or one number for all.

        Raises:
            ArgumentError: the pixels are of another type or number of channels, or there is not one row an image.
        """
        numbers_of_rows, numbers_of_draws = self._checked(pixels, rows, draws)
        if self.ranges is None:
            return self._normalised(pixels)
        drawn = draw(
            self.ranges, numbers_of_rows, numbers_of_draws, seed=self.seed, epoch=epoch, mean=np.array(self.mean)
        )
        if pixels.device.type == "cpu":
            return self._by_image(pixels, drawn)
        return self._by_batch(pixels, drawn)

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (self.mean, self.std))
        if pixels.device.type != "cpu":
            return pixels.float().div_(255).sub_(mean).div_(std)
        # The same numbers, looked up: 256 divisions instead of one for each pixel.
        every = torch.arange(256).view(-1, 1, 1, 1).float().div(255).sub(mean).div(std)
        table = every.reshape(1, 256, -1).numpy()
        sources = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
        result = np.empty(sources.shape, np.float32)
        for source, target in zip(sources, result, strict=True):
            opencv().LUT(source, table, dst=target)
        return torch.from_numpy(result).permute(0, 3, 1, 2)

    def describe(self) -> str:
        """Return what is done, in one sentence."""
        if self.ranges is None:
            return "No augmentation: pixels are only normalised."
        return f"Augmentation {self.strength} for {self.modality}: {self.ranges.describe(len(self.mean))}."

    def _checked(
        self, pixels: Tensor, rows: Tensor | NDArray[np.integer], draws: Tensor | NDArray[np.integer] | int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != len(self.mean):
            raise ArgumentError(
                f"`pixels` of an augmenter must be uint8 (images, {len(self.mean)}, height, width); got "
                f"{tuple(pixels.shape)} of {pixels.dtype}. Give it what the cache reads, channels second."
            )
        found = np.asarray(rows.cpu() if isinstance(rows, Tensor) else rows).astype(np.int64)
        times = np.asarray(draws.cpu() if isinstance(draws, Tensor) else draws).astype(np.int64)
        times = np.broadcast_to(times, found.shape) if times.ndim == 0 else times
        if found.shape != (len(pixels),) or times.shape != found.shape:
            raise ArgumentError(
                f"An augmenter needs one row and one draw an image; got {found.shape} rows and {times.shape} draws for "
                f"{len(pixels)} images."
            )
        return found, times

    @property
    def _edge(self) -> str:
        return "reflect" if self.modality == "general" else "black"

    # -- one image at a time, in OpenCV ----------------------------------------------------------------------------

    def _by_image(self, pixels: Tensor, drawn: Draws) -> Tensor:
        sources = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
        images, height, width, channels = sources.shape
        result = np.empty((images, height, width, channels), np.float32)
        noise = self._noise(height * width * channels)
        matrices = _pixel_matrices(drawn.matrices, height, width)
        boxes = _pixel_boxes(drawn.boxes, height, width)
        normalise = self._normalising()
        colours = drawn.colours / np.array([255.0] * channels + [1.0], dtype=np.float32)
        moved = np.empty((height, width, channels), np.uint8)
        for number in range(images):
            image = result[number]
            image[:] = self._moved(sources[number], matrices[number], moved)
            _transform(image, colours[number])
            if drawn.noise[number] > 0:
                place = int(drawn.noise_places[number])
                field = noise[place : place + image.size].reshape(image.shape)
                opencv().scaleAdd(field, float(drawn.noise[number]), image, dst=image)
            np.clip(image, 0, 1, out=image)
            _transform(image, normalise)
            left, top, right, bottom = boxes[number]
            image[top:bottom, left:right] = 0
        return torch.from_numpy(result).permute(0, 3, 1, 2)

    def _moved(self, image: NDArray[np.uint8], matrix: NDArray[np.float64], out: NDArray[np.uint8]) -> NDArray[Any]:
        cv2 = opencv()
        edge = cv2.BORDER_REFLECT if self._edge == "reflect" else cv2.BORDER_CONSTANT
        height, width = image.shape[:2]
        cv2.warpAffine(
            image, matrix, (width, height), dst=out, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=edge
        )
        return out

    def _normalising(self) -> NDArray[np.float32]:
        mean, std = np.array(self.mean), np.array(self.std)
        return np.concatenate([np.diag(1 / std), (-mean / std)[:, None]], axis=1).astype(np.float32)

    # -- the whole batch, on any device ----------------------------------------------------------------------------

    def _by_batch(self, pixels: Tensor, drawn: Draws) -> Tensor:
        images, channels, height, width = pixels.shape
        device = pixels.device
        matrices = torch.from_numpy(_square_matrices(drawn.matrices, height, width)).to(device)
        grid = functional.affine_grid(matrices, [images, channels, height, width], align_corners=False)
        edge = "reflection" if self._edge == "reflect" else "zeros"
        moved = functional.grid_sample(pixels.float(), grid, padding_mode=edge, align_corners=False).round_()
        colours = torch.from_numpy(drawn.colours).to(device)
        flat = torch.baddbmm(colours[:, :, -1:], colours[:, :, :-1], moved.div_(255).reshape(images, channels, -1))
        flat = flat.reshape(images, channels, height, width)
        size = channels * height * width
        places = torch.from_numpy(drawn.noise_places).to(device)[:, None] + torch.arange(size, device=device)
        noise = torch.from_numpy(self._noise(size)).to(device)[places].reshape(images, height, width, channels)
        flat = flat + noise.permute(0, 3, 1, 2) * torch.from_numpy(drawn.noise).to(device)[:, None, None, None]
        mean, std = (torch.tensor(values, device=device)[None, :, None, None] for values in (self.mean, self.std))
        result = (flat.clamp_(0, 1) - mean) / std
        boxes = _pixel_boxes(drawn.boxes, height, width)
        for number in np.flatnonzero(drawn.boxes.any(axis=1)).tolist():
            left, top, right, bottom = boxes[number]
            result[number, :, top:bottom, left:right] = 0
        return result

    def _noise(self, size: int) -> NDArray[np.float32]:
        """Return a fixed field of normal noise; an image reads it from a place of its own."""
        made = _NOISE.get((self.seed, size))
        if made is None:
            count = size + NOISE_PLACES
            units = random_units(key_of(self.seed, "noise"), np.arange(2 * count)).reshape(2, count)
            made = (np.sqrt(-2 * np.log1p(-units[0])) * np.cos(2 * np.pi * units[1])).astype(np.float32)
            _NOISE.clear()
            _NOISE[self.seed, size] = made
        return made


_NOISE: dict[tuple[int, int], NDArray[np.float32]] = {}  # the last field: the same for all augmenters of a run


def make_augmenter(
    strength: str = "light",
    *,
    modality: str,
    seed: int,
    mean: Sequence[float] | NDArray[np.float64] | float = 0.5,
    std: Sequence[float] | NDArray[np.float64] | float = 0.25,
    channels: int = 1,
    flip: bool | None = None,
) -> Augmenter:
    """Return what turns cached pixels into the batches of a training.

    What is done to an image is a pure function of (seed, epoch, row, draw): not of the batch it is in, the number of
    workers, or where a run was resumed.

    Args:
        strength: "none" only normalises; "light", "medium" and "strong" change more and more, and "strong" erases a
            rectangle in half of the images.
        modality: "xray" (small rotations, shifts and scalings, brightness, contrast and noise; never mirrored, which
            would move the heart), "fundus" (any rotation, mirrored both ways, colours) or "general" (mirrored left to
            right, colours, edges reflected).
        seed: the seed of the run.
        mean: of the training pixels in [0, 1], one number or one a channel; `pixel_statistics` measures it.
        std: likewise, above 0.
        channels: 1 or 3.
        flip: whether left and right are swapped in half of the images, whatever the modality; None leaves it to the
            modality.

    Raises:
        ArgumentError: a name is not known, or a number is out of range.

    Example:
        >>> make_augmenter("light", modality="xray", seed=0).describe()
        'Augmentation light for xray: rotation up to 5 degrees, shift up to 2%, scale up to 5%, brightness up to 4%,
        contrast up to 10%, noise up to 1.0%, left and right never swapped.'
    """
    check_one_of(strength, STRENGTHS, argument="strength", function="make_augmenter")
    check_one_of(modality, MODALITIES, argument="modality", function="make_augmenter")
    if channels not in (1, 3):
        raise ArgumentError(f"`channels` of make_augmenter must be 1 or 3; got {channels!r}.")
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ArgumentError(f"`seed` of make_augmenter must be a whole number; got {seed!r}.")
    ranges = ranges_of(strength, modality, flip)
    means = _by_channel("mean", mean, channels, 0.0)
    stds = _by_channel("std", std, channels, 1e-6)
    return Augmenter(strength, modality, ranges, int(seed), means, stds)


def ranges_of(strength: str, modality: str, flip: bool | None = None, *, erase: bool = True) -> Ranges | None:
    """Return how far each change goes, or None where nothing is changed.

    Args:
        strength: one of `STRENGTHS`.
        modality: one of `MODALITIES`.
        flip: as in `make_augmenter`.
        erase: whether rectangles may be erased.
    """
    if strength == "none":
        return None
    ranges = _RANGES[modality][strength]
    ranges = ranges if flip is None else dataclasses.replace(ranges, flip=0.5 if flip else 0.0)
    return ranges if erase else dataclasses.replace(ranges, erase=0.0)


def _by_channel(name: str, value: Any, channels: int, least: float) -> tuple[float, ...]:
    try:
        found = np.broadcast_to(np.asarray(value, dtype=np.float64), (channels,))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if not (np.isfinite(found).all() and (found >= least).all() and (found <= 1).all()):
        raise ArgumentError(
            f"`{name}` of make_augmenter must be one number or {channels}, from {least:g} to 1 (pixels in [0, 1]); got "
            f"{value!r}."
        )
    return tuple(found.tolist())


def _transform(image: NDArray[np.float32], matrix: NDArray[np.float32]) -> None:
    """Multiply the channels of every pixel by a matrix (channels, channels + 1) and add its last column, in place."""
    if len(matrix) == 1:
        image *= matrix[0, 0]
        image += matrix[0, 1]
    else:
        opencv().transform(image, matrix, dst=image)


def _pixel_matrices(matrices: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Return (images, 2, 3) from finished pixels to source pixels, as OpenCV counts them: the first centre is 0."""
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    result = matrices.copy()
    result[:, :, 2] = matrices[:, :, 2] * (np.array([width, height]) / 2) + middle - matrices[:, :, :2] @ middle
    return result


def _square_matrices(matrices: NDArray[np.float64], height: int, width: int) -> NDArray[np.float32]:
    """Return (images, 2, 3) as `affine_grid` takes them, where both sides reach from -1 to 1."""
    result = matrices.copy()
    result[:, 0, 1] *= height / width
    result[:, 1, 0] *= width / height
    return result.astype(np.float32)


def _pixel_boxes(boxes: NDArray[np.float64], height: int, width: int) -> list[list[int]]:
    return np.rint(boxes * [width, height, width, height]).astype(np.int64).tolist()  # type: ignore[no-any-return]
