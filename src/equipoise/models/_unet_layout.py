"""How nnU-Net lays out a U-Net: kernels, strides and filters from the size of a patch and the spacing of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from equipoise._checks import ArgumentError

LEAST_SIDE = 4  # pixels of the smallest map, along each axis that is halved
MOST_FILTERS = {2: 512, 3: 320}


@dataclass(frozen=True)
class UNetLayout:
    """The shape of a U-Net, stage by stage from the top.

    Attributes:
        kernels: (stages, axes) sizes of the convolutions.
        strides: (stages, axes); those of the first stage are 1.
        filters: (stages,) widths.
    """

    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    filters: tuple[int, ...]

    @property
    def divisor(self) -> tuple[int, ...]:
        """(axes,) what the sides of a patch must be multiples of."""
        return tuple(math.prod(column) for column in zip(*self.strides, strict=True))


def plan_unet(
    patch_size: tuple[int, ...], spacing: tuple[float, ...], *, width: int = 32, stages: int | None = None
) -> UNetLayout:
    """Return the U-Net that nnU-Net would lay out.

    An axis is halved while its map has at least 8 pixels and its spacing is less than twice the smallest, so that
    thick slices are halved later; a kernel is 3 along an axis from the stage on where its spacing is within a factor
    of two of the smallest, and 1 before; the bottleneck is 3 everywhere. Filters double from `width` on, up to 512 in
    2-D and 320 in 3-D.

    Args:
        patch_size: pixels along each axis, 2 or 3 of them.
        spacing: size of a pixel along each axis, in any one unit.
        width: filters of the first stage.
        stages: at most as many; None for no limit.

    Raises:
        ArgumentError: the patch is too small to be halved twice.

    References:
        Isensee et al., Nature Methods 18 (2021), supplement note 2; `get_pool_and_conv_props` of nnU-Net 2.

    Example:
        Thick slices: the first axis is halved once the others are as coarse.

        >>> layout = plan_unet((16, 64, 64), (4.0, 1.0, 1.0))
        >>> layout.strides
        ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
        >>> layout.kernels[0], layout.filters, layout.divisor
        ((1, 3, 3), (32, 64, 128, 256, 320), (4, 16, 16))
    """
    sides, spaces = list(patch_size), list(spacing)
    kernel = [1] * len(sides)
    kernels, strides = list[tuple[int, ...]](), [(1,) * len(sides)]
    while stages is None or len(strides) < stages:
        halved = _axes_to_halve(sides, spaces)
        if not halved:
            break
        kernel = [3 if k == 3 or space / min(spaces) < 2 else 1 for k, space in zip(kernel, spaces, strict=True)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(sides))))
        for axis in halved:
            sides[axis], spaces[axis] = math.ceil(sides[axis] / 2), spaces[axis] * 2
    kernels.append((3,) * len(sides))
    if len(strides) < 3:
        raise ArgumentError(
            f"The model unet halves a patch at least twice, down to {LEAST_SIDE} pixels; a patch of "
            f"{' x '.join(map(str, patch_size))} cannot be. Give patches of at least {4 * LEAST_SIDE} pixels a side."
        )
    most = MOST_FILTERS[len(sides)]
    filters = tuple(min(width * 2**stage, max(most, width)) for stage in range(len(strides)))
    return UNetLayout(tuple(kernels), tuple(strides), filters)


def _axes_to_halve(sides: list[int], spaces: list[float]) -> list[int]:
    large = [axis for axis, side in enumerate(sides) if side >= 2 * LEAST_SIDE]
    if not large:
        return []
    finest = min(spaces[axis] for axis in large)
    fitting = [axis for axis in large if spaces[axis] / finest < 2]
    if len(fitting) == 1 and sides[fitting[0]] < 3 * LEAST_SIDE:
        return []
    return fitting
