"""Losses of whole masks: Dice, generalised Dice, Tversky and soft-clDice, of exclusive and of overlapping classes.

What all of them keep:

- **Lower is better**, 0 is perfect.
- **Ignored pixels** (a label below 0, or NaN) give a loss and a gradient of exactly zero, whatever their logits are.
- **Half precision**: logits in float16 or bfloat16 are raised to float32 inside; the loss is float32.
- **Any number of axes**: (images, classes, height, width) and (images, classes, depth, height, width) alike.
- A mask in which nothing is known is left out of the mean, not counted as perfect.
- Nothing looks at values to decide what to run, so nothing waits for a GPU.

They have no training prior: what minimises them is a mask and not a probability, so that nothing can be taken off
their scores. The `Ledger` therefore holds no entry of them; calibrate on validation pixels before reading a number.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from equipoise._checks import ArgumentError, check_number
from equipoise.losses._reduction import full_precision

SMOOTH = 1e-5  # pixels, as nnU-Net and MONAI have it


@dataclass(frozen=True)
class PixelTargets:
    """What a mask says, in the form of the losses.

    Attributes:
        probabilities: (images, classes, ...), with 0 where the pixel is ignored.
        targets: of the same shape, 1 where the pixel is of the class; 0 where it is ignored.
        known: (images, 1 or classes, ...) of the same type, 1 where the pixel counts.
    """

    probabilities: Tensor
    targets: Tensor
    known: Tensor


def pixel_targets(
    logits: Tensor, labels: Tensor, *, overlapping: bool, background: bool, function: str
) -> PixelTargets:
    """Return probabilities and targets of the classes that count.

    Args:
        logits: (images, classes, ...).
        labels: of exclusive classes (images, ...) class indices; of overlapping ones the shape of the logits.
        overlapping: a sigmoid a class; else the softmax over the classes.
        background: whether class 0 of exclusive classes counts as a class.
        function: for messages.

    Raises:
        ArgumentError: shapes that do not fit.
    """
    check_mask_shapes(logits, labels, overlapping=overlapping, function=function)
    scores = full_precision(logits)
    ignored = ignored_pixels(labels)
    if overlapping:
        known = (~ignored).to(scores.dtype)
        probabilities = torch.sigmoid(scores.masked_fill(ignored, 0.0)) * known
        return PixelTargets(probabilities, labels.masked_fill(ignored, 0).to(scores.dtype), known)
    ignored = ignored.unsqueeze(1)
    known = (~ignored).to(scores.dtype)
    probabilities = torch.softmax(scores.masked_fill(ignored, 0.0), dim=1) * known
    index = labels.unsqueeze(1).masked_fill(ignored, 0).long()
    targets = torch.zeros_like(probabilities).scatter_(1, index, known)
    first = 0 if background else 1
    return PixelTargets(probabilities[:, first:], targets[:, first:], known)


def ignored_pixels(labels: Tensor) -> Tensor:
    """Return where a label says that the pixel is unknown: below 0, or NaN."""
    return ~(labels >= 0)


def check_mask_shapes(logits: Tensor, labels: Tensor, *, overlapping: bool, function: str) -> None:
    """Refuse shapes that would broadcast into a wrong loss without an error."""
    if logits.dim() < 3:
        raise ArgumentError(
            f"{function} needs logits of shape (images, classes, height, width) or (images, classes, depth, height, "
            f"width); got {tuple(logits.shape)}. Keep the axes of the mask."
        )
    if not overlapping and logits.shape[1] < 2:
        raise ArgumentError(
            f"{function} needs two classes or more where they exclude one another; got logits {tuple(logits.shape)}. "
            "Give background and foreground a class each, or pass overlapping=True."
        )
    wanted = logits.shape if overlapping else logits.shape[:1] + logits.shape[2:]
    if labels.shape != wanted:
        what = "one mask a class" if overlapping else "the class index of each pixel"
        raise ArgumentError(
            f"{function} needs {what}, shape {tuple(wanted)}, for logits {tuple(logits.shape)}; got "
            f"{tuple(labels.shape)}. overlapping= says whether classes may share a pixel."
        )


@dataclass(frozen=True)
class OverlapSums:
    """Sums over the pixels of each image and class, (images, classes): what overlap losses are made of.

    Attributes:
        overlap: sum of p y.
        predicted: sum of p.
        actual: sum of y.
        known: number of pixels that count.
        weights: (images, 1) weight of each image.
    """

    overlap: Tensor
    predicted: Tensor
    actual: Tensor
    known: Tensor
    weights: Tensor

    def pooled(self) -> OverlapSums:
        """Return the sums over all images together, as if they were one: batch Dice."""
        overlap, predicted, actual, known = (
            (self.weights * one).sum(0, keepdim=True) for one in (self.overlap, self.predicted, self.actual, self.known)
        )
        return OverlapSums(overlap, predicted, actual, known, torch.ones_like(self.weights[:1]))

    def mean(self, losses: Tensor) -> Tensor:
        """Return the mean loss over images and classes in which a pixel is known, images by their weights."""
        counted = (self.known > 0).to(losses.dtype) * self.weights
        counted = counted.amax(1, keepdim=True) if losses.shape[1] == 1 else counted
        total = counted.sum()
        # A batch in which nothing is known has loss 0, not 0/0; what is safe to divide by is chosen without a branch.
        return (losses * counted).sum() / torch.where(total > 0, total, torch.ones_like(total))


def overlap_sums(pixels: PixelTargets, *, batch: bool, sample_weights: Tensor | None) -> OverlapSums:
    """Return the sums of each image and class, or with `batch` those of all images pooled."""
    axes = tuple(range(2, pixels.probabilities.dim()))
    overlap = (pixels.probabilities * pixels.targets).sum(axes)
    known = pixels.known.sum(axes).expand_as(overlap)
    weights = overlap.new_ones(len(overlap)) if sample_weights is None else sample_weights.to(overlap)
    found = OverlapSums(
        overlap, pixels.probabilities.sum(axes), pixels.targets.sum(axes), known, weights.reshape(-1, 1)
    )
    return found.pooled() if batch else found


def dice_of(sums: OverlapSums, smooth: float) -> Tensor:
    """Return 1 - Dice, (images, classes)."""
    return 1.0 - (2.0 * sums.overlap + smooth) / (sums.predicted + sums.actual + smooth)


def tversky_of(sums: OverlapSums, smooth: float, false_positives: float, false_negatives: float) -> Tensor:
    """Return 1 - Tversky index, (images, classes)."""
    missed, extra = sums.actual - sums.overlap, sums.predicted - sums.overlap
    below = sums.overlap + false_positives * extra + false_negatives * missed
    return 1.0 - (sums.overlap + smooth) / (below + smooth)


def generalised_dice_of(sums: OverlapSums, smooth: float) -> Tensor:
    """Return 1 - generalised Dice, (images, 1)."""
    area = torch.where(sums.actual > 0, sums.actual, torch.inf)
    smallest = area.amin(1, keepdim=True)
    # (smallest / area)^2 instead of 1 / area^2: the same ratio, and `smooth` keeps its meaning at every size of image.
    # A class that is absent weighs as much as the smallest that is there, as in MONAI: painting it must cost.
    weights = torch.where(sums.actual > 0, (smallest / area).square(), torch.ones_like(area))
    above = 2.0 * (weights * sums.overlap).sum(1, keepdim=True)
    below = (weights * (sums.predicted + sums.actual)).sum(1, keepdim=True)
    return 1.0 - (above + smooth) / (below + smooth)


def dice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    overlapping: bool = False,
    background: bool = False,
    batch: bool = False,
    smooth: float = SMOOTH,
    sample_weights: Tensor | None = None,
) -> Tensor:
    r"""Return the mean of 1 - Dice over images and classes, in [0, 1]; lower is better.

    .. math:: \ell = 1 - \frac{2 \sum p y + s}{\sum p + \sum y + s}

    Args:
        logits: (images, classes, ...) before the sigmoid or softmax.
        labels: of exclusive classes (images, ...) class indices; of overlapping ones the shape of the logits, 0 and 1.
            Below 0 or NaN: the pixel is ignored.
        overlapping: whether classes may share a pixel (a sigmoid each), or exclude one another (softmax).
        background: whether class 0 of exclusive classes counts as a class.
        batch: pool the pixels of all images first (batch Dice), so that an image without the class, where any painted
            pixel makes Dice 0, only adds its false pixels. Its gradient then depends on which images are together.
        smooth: pixels added above and below; makes an empty mask that is predicted empty perfect.
        sample_weights: (images,) weights; 2 is the image given twice, 0 the image left out.

    Raises:
        ArgumentError: the shapes do not fit.

    References:
        Milletari et al., 3DV 2016, section 3, without their squares, as nnU-Net (Isensee et al. 2021) has it; Kodym et
        al., GCPR 2018, for batch Dice.

    Example:
        All four pixels at p = 1/2, two of them of the class: 1 - 2 x 1 / (2 + 2).

        >>> labels = torch.tensor([[[0, 0], [1, 1]]])
        >>> round(float(dice_loss(torch.zeros(1, 2, 2, 2), labels)), 4)
        0.5
    """
    pixels = pixel_targets(logits, labels, overlapping=overlapping, background=background, function="dice_loss")
    sums = overlap_sums(pixels, batch=batch, sample_weights=sample_weights)
    return sums.mean(dice_of(sums, smooth))


def generalised_dice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    overlapping: bool = False,
    background: bool = True,
    batch: bool = False,
    smooth: float = SMOOTH,
    sample_weights: Tensor | None = None,
) -> Tensor:
    r"""Return 1 - generalised Dice, classes weighed by 1 / (their pixels)^2 of the image; lower is better.

    .. math:: \ell = 1 - 2 \frac{\sum_c w_c \sum p_c y_c}{\sum_c w_c \sum (p_c + y_c)}, \quad w_c = (\sum y_c)^{-2}

    A class that an image does not hold weighs as much there as the smallest that it holds. Arguments as in `dice_loss`;
    the weights of the paper are meant for all classes, the background included.

    Raises:
        ArgumentError: the shapes do not fit.

    References:
        Sudre et al., DLMIA 2017, eq. 4. An absent class as in MONAI's `GeneralizedDiceLoss`, with which this agrees.

    Example:
        >>> labels = torch.tensor([[[0, 0], [1, 1]]])
        >>> round(float(generalised_dice_loss(torch.zeros(1, 2, 2, 2), labels)), 4)
        0.5
    """
    name = "generalised_dice_loss"
    pixels = pixel_targets(logits, labels, overlapping=overlapping, background=background, function=name)
    sums = overlap_sums(pixels, batch=batch, sample_weights=sample_weights)
    return sums.mean(generalised_dice_of(sums, smooth))


def tversky_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    false_positives: float = 0.3,
    false_negatives: float = 0.7,
    overlapping: bool = False,
    background: bool = False,
    batch: bool = False,
    smooth: float = SMOOTH,
    sample_weights: Tensor | None = None,
) -> Tensor:
    r"""Return the mean of 1 - Tversky index over images and classes, in [0, 1]; lower is better.

    .. math:: \ell = 1 - \frac{\sum p y + s}{\sum p y + \alpha \sum p (1 - y) + \beta \sum (1 - p) y + s}

    With both at 1/2 it is `dice_loss` of twice the `smooth`; with both at 1 it is 1 - intersection over union.

    Args:
        logits: as in `dice_loss`, and so are the other arguments.
        labels: likewise.
        false_positives: alpha, at least 0: what a painted pixel outside of the class costs.
        false_negatives: beta, at least 0: what a missed pixel costs. Larger finds more pixels of rare classes.
        overlapping: likewise.
        background: likewise.
        batch: likewise.
        smooth: likewise.
        sample_weights: likewise.

    Raises:
        ArgumentError: the shapes do not fit, or a cost is negative.

    References:
        Salehi et al., MLMI 2017, eq. 3, whose best were alpha 0.3 and beta 0.7.

    Example:
        p = 1/2 everywhere, two pixels of four of the class: 1 - 1 / (1 + 0.3 + 0.7).

        >>> labels = torch.tensor([[[0, 0], [1, 1]]])
        >>> round(float(tversky_loss(torch.zeros(1, 2, 2, 2), labels)), 4)
        0.5
    """
    check_number(false_positives, argument="false_positives", function="tversky_loss", at_least=0.0)
    check_number(false_negatives, argument="false_negatives", function="tversky_loss", at_least=0.0)
    pixels = pixel_targets(logits, labels, overlapping=overlapping, background=background, function="tversky_loss")
    sums = overlap_sums(pixels, batch=batch, sample_weights=sample_weights)
    return sums.mean(tversky_of(sums, smooth, false_positives, false_negatives))


def soft_skeleton(probabilities: Tensor, iterations: int) -> Tensor:
    """Return the soft skeleton of masks (images, classes, ...), by erosions and openings of 3 pixels.

    Args:
        probabilities: in [0, 1].
        iterations: at least the largest half width of what is to be kept, in pixels.

    References:
        Shit et al., CVPR 2021, algorithm 1.
    """
    skeleton = functional.relu(probabilities - _opened(probabilities))
    for _ in range(iterations):
        probabilities = _eroded(probabilities)
        found = functional.relu(probabilities - _opened(probabilities))
        skeleton = skeleton + functional.relu(found - skeleton * found)
    return skeleton


def soft_cldice_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    iterations: int = 3,
    overlapping: bool = False,
    background: bool = False,
    batch: bool = False,
    smooth: float = SMOOTH,
    sample_weights: Tensor | None = None,
) -> Tensor:
    r"""Return the mean of 1 - soft-clDice over images and classes, in [0, 1]; lower is better.

    With S(.) the soft skeleton, topology precision T_p = sum S(p) y / sum S(p) and sensitivity T_s = sum S(y) p / sum
    S(y), it is 1 - 2 T_p T_s / (T_p + T_s): a vessel that is cut costs as much as a vessel that is missed. Thin
    structures only, and beside `dice_loss`: on its own it does not say how wide they are.

    Args:
        logits: as in `dice_loss`, and so are the other arguments.
        labels: likewise.
        iterations: of the skeleton: the largest half width in pixels, at least 1. Costs that many poolings.
        overlapping: likewise.
        background: likewise.
        batch: likewise.
        smooth: likewise.
        sample_weights: likewise.

    Raises:
        ArgumentError: the shapes do not fit, or `iterations` is below 1.

    References:
        Shit et al., CVPR 2021, eqs. 1-3 and algorithm 1. Differs: each image and class has its own precision and
        sensitivity, where their code pools those of the batch; `batch` does that.
    """
    check_number(iterations, argument="iterations", function="soft_cldice_loss", at_least=1)
    pixels = pixel_targets(logits, labels, overlapping=overlapping, background=background, function="soft_cldice_loss")
    sums = overlap_sums(pixels, batch=batch, sample_weights=sample_weights)
    return sums.mean(cldice_of(pixels, int(iterations), smooth, batch=batch, sample_weights=sample_weights))


def cldice_of(
    pixels: PixelTargets, iterations: int, smooth: float, *, batch: bool, sample_weights: Tensor | None
) -> Tensor:
    """Return 1 - soft-clDice, (images, classes); with `batch` (1, classes)."""
    axes = tuple(range(2, pixels.probabilities.dim()))
    lines, wanted = soft_skeleton(pixels.probabilities, iterations), soft_skeleton(pixels.targets, iterations)
    sums = [one.sum(axes) for one in (lines * pixels.targets, lines, wanted * pixels.probabilities, wanted)]
    if batch:
        weights = 1.0 if sample_weights is None else sample_weights.to(lines).reshape(-1, 1)
        sums = [(weights * one).sum(0, keepdim=True) for one in sums]
    precision = (sums[0] + smooth) / (sums[1] + smooth)
    sensitivity = (sums[2] + smooth) / (sums[3] + smooth)
    return 1.0 - 2.0 * precision * sensitivity / (precision + sensitivity)


def _pool(values: Tensor, size: tuple[int, ...]) -> Tensor:
    pool = functional.max_pool3d if values.dim() == 5 else functional.max_pool2d
    return pool(values, size, stride=1, padding=tuple(side // 2 for side in size))


def _eroded(values: Tensor) -> Tensor:
    """Return the least of each pixel and its neighbours along one axis or plane, as the paper's code has it."""
    axes = values.dim() - 2
    sizes = [tuple(3 if axis == along else 1 for axis in range(axes)) for along in range(axes)]
    eroded = [-_pool(-values, size) for size in sizes]
    least = eroded[0]
    for one in eroded[1:]:
        least = torch.minimum(least, one)
    return least


def _opened(values: Tensor) -> Tensor:
    return _pool(_eroded(values), (3,) * (values.dim() - 2))
