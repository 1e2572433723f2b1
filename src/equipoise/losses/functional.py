"""Losses as pure functions of logits and labels.

What all of them keep:

- **Lower is better**, zero is perfect.
- **Unknown labels** (NaN) give a loss and a gradient of exactly zero, whatever their logits are, and are not counted.
- **Half precision**: logits in float16 or bfloat16 are raised to float32 inside; the loss is float32.
- **A weight stands outside every exponent**: weight 2 is the row written twice.
- ``reduction="mean"`` is the sum over `normaliser`. That is a number of entries times the weight expected of one, not
  the weights that happen to be in a batch: with one `normaliser` for a whole step, the gradients of its micro-batches
  add up to that of the step. By default it is the known entries of this call, weighted by `sample_weights`.
- Nothing looks at values to decide what to run, so nothing waits for a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.losses._focal_terms import sigmoid_focal_terms, softmax_focal_terms
from equipoise.losses._reduction import IGNORED, divided, masked, masked_index, reduced, weighed
from equipoise.losses._shapes import (
    ClassLogits,
    Logits,
    Loss,
    PerClass,
    Targets,
    check_sigmoid_shapes,
    check_softmax_shapes,
)


def binary_cross_entropy_loss(
    logits: Logits,
    labels: Targets,
    *,
    pos_weight: PerClass | None = None,
    smoothing: float = 0.0,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return binary cross-entropy from logits, positives weighed by `pos_weight`; lower is better.

    .. math:: \ell = -w y \ln\sigma(z) - (1 - y) \ln\sigma(-z)

    The gradient at a positive is w (sigma(z) - 1): a positive that is missed with z = -200 still pulls with its weight.

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1, a probability between them, or NaN for unknown.
        pos_weight: (classes,) weight of the positives, above 0; 1 changes nothing, larger finds more of them.
        smoothing: in [0, 1); this share of every label is spread over yes and no, so that no score grows without end.
            The weight stays that of the label as it was.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Good, J. R. Stat. Soc. B 14 (1952); weighted as `torch.nn.BCEWithLogitsLoss`, which it equals. Smoothing:
        Szegedy et al., CVPR 2016, section 7.

    Example:
        >>> logits, labels = torch.tensor([0.0, 0.0]), torch.tensor([1.0, float("nan")])
        >>> round(float(binary_cross_entropy_loss(logits, labels)), 4)  # ln 2; the unknown is not counted
        0.6931
    """
    check_sigmoid_shapes(logits, labels, "binary_cross_entropy_loss", pos_weight=pos_weight)
    scores, targets, known = masked(logits, labels, has_unknowns)
    if pos_weight is not None:
        pos_weight = pos_weight.to(scores)
    if smoothing > 0.0:
        targets, weights = _smoothed(targets, 1.0 if pos_weight is None else pos_weight, float(smoothing))
        losses = functional.binary_cross_entropy_with_logits(
            scores, targets, weight=weights if known is None else weights * known, reduction="none"
        )
        return reduced(losses, known, sample_weights, reduction, normaliser)
    if sample_weights is None and reduction != "none":  # one kernel for loss, weights and sum
        total = functional.binary_cross_entropy_with_logits(
            scores, targets, weight=known, pos_weight=pos_weight, reduction="sum"
        )
        return divided(total, scores, known, reduction, normaliser)
    losses = functional.binary_cross_entropy_with_logits(
        scores, targets, weight=known, pos_weight=pos_weight, reduction="none"
    )
    return reduced(losses, known, sample_weights, reduction, normaliser)


def sigmoid_focal_loss(
    logits: Logits,
    labels: Targets,
    *,
    gamma: float = 2.0,
    alpha: PerClass | float | None = None,
    pos_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return focal loss for yes-or-no labels, computed in log space; lower is better.

    .. math:: \ell = -w \alpha\, y\, (1-p)^\gamma \ln p - (1-\alpha)(1-y)\, p^\gamma \ln(1-p), \quad p = \sigma(z)

    `alpha` None means weight 1 on both sides: with gamma 0 the loss then is binary cross-entropy, while alpha 0.5 is
    half of it. The modulating factor is exp(gamma ln(1-p)), whose gradient is finite for every gamma and logit.

    Args:
        logits: (rows,) or (rows, classes), scores before the sigmoid.
        labels: same shape; 0, 1, a probability between them, or NaN for unknown.
        gamma: at least 0. Larger gives less to rows that are already right; 0 is cross-entropy.
        alpha: weight of the positives in (0, 1), one number or (classes,); negatives weigh 1 - alpha. Larger finds more
            positives. The 0.25 of the paper weighs a positive a third of a negative.
        pos_weight: (classes,) further weight of the positives, above 0, outside the exponent.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the logits).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known entries of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Lin et al., ICCV 2017, eq. 5. Differs: `pos_weight`; the paper divides by the number of positives.

    Example:
        >>> loss = sigmoid_focal_loss(torch.tensor([0.0]), torch.tensor([1.0]), gamma=2.0, alpha=0.25)
        >>> round(float(loss), 4)  # 1/4 * (1/2)^2 * ln 2
        0.0433
    """
    check_sigmoid_shapes(logits, labels, "sigmoid_focal_loss", pos_weight=pos_weight, alpha=alpha)
    scores, targets, known = masked(logits, labels, has_unknowns)
    # An unknown entry has target 0 and known 0: no weight on either side.
    positive_weights, negative_weights = targets, (1.0 if known is None else known) - targets
    if alpha is not None:
        alpha = alpha.to(scores) if isinstance(alpha, Tensor) else alpha
        positive_weights, negative_weights = alpha * positive_weights, (1.0 - alpha) * negative_weights
    if pos_weight is not None:
        positive_weights = pos_weight.to(scores) * positive_weights
    losses = sigmoid_focal_terms(scores, positive_weights, negative_weights, (float(gamma), float(gamma)))
    return reduced(losses, known, sample_weights, reduction, normaliser)


def cross_entropy_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    class_weight: PerClass | None = None,
    smoothing: float = 0.0,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return cross-entropy of a one-of-many label, rows weighed by the weight of their class; lower is better.

    .. math:: \ell = -w_y \ln \mathrm{softmax}(z)_y

    Unlike `torch.nn.functional.cross_entropy`, the mean divides by the number of rows (or by `normaliser`), not by the
    weights that fell into this batch: there, a batch of one rare row counts as much as a batch of a hundred.

    Args:
        logits: (rows, classes, ...), scores before the softmax.
        labels: (rows, ...) class index, integer or float; NaN for unknown.
        class_weight: (classes,) weight of each class, above 0; 1 changes nothing, larger finds more of that class.
        smoothing: in [0, 1); this share of every label is spread over all classes. The weight stays that of the class
            of the row, where torch weighs each spread share by its own class.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        King & Zeng, Political Analysis 9 (2001), eq. 15, for the weighting. Smoothing: Szegedy et al., CVPR 2016,
        section 7.

    Example:
        >>> loss = cross_entropy_loss(torch.zeros(1, 4), torch.tensor([2.0]))
        >>> round(float(loss), 4)  # ln 4
        1.3863
    """
    check_softmax_shapes(logits, labels, "cross_entropy_loss", class_weight=class_weight)
    scores, index, known = masked_index(logits, labels, has_unknowns)
    if sample_weights is None and reduction != "none" and smoothing == 0.0:  # one kernel for loss, weights and sum
        weight = None if class_weight is None else class_weight.to(scores).expand(scores.shape[1])
        index = index if known is None else torch.where(known > 0, index, IGNORED)
        total = functional.cross_entropy(*_as_rows(scores, index), weight=weight, ignore_index=IGNORED, reduction="sum")
        return divided(total, index, known, reduction, normaliser)
    rows = functional.cross_entropy(*_as_rows(scores, index), reduction="none", label_smoothing=float(smoothing))
    losses = rows.reshape(index.shape)
    return weighed(losses, index, known, (class_weight,), sample_weights, reduction, normaliser)


def softmax_focal_loss(
    logits: ClassLogits,
    labels: Targets,
    *,
    gamma: float = 2.0,
    alpha: PerClass | float | None = None,
    class_weight: PerClass | None = None,
    sample_weights: Tensor | None = None,
    reduction: str = "mean",
    normaliser: Tensor | float | None = None,
    has_unknowns: bool = True,
) -> Loss:
    r"""Return focal loss of a one-of-many label, computed in log space; lower is better.

    .. math:: \ell = -w_y \alpha_y (1 - p_y)^\gamma \ln p_y, \quad p = \mathrm{softmax}(z)

    Both weights stand outside the exponent. 1 - p_y is -expm1(ln p_y). The slope is written out in closed form, so
    it cannot be differentiated a second time.

    Args:
        logits: (rows, classes, ...), scores before the softmax.
        labels: (rows, ...) class index, integer or float; NaN for unknown.
        gamma: at least 0. Larger gives less to rows that are already right; 0 is cross-entropy.
        alpha: weight of each class, above 0, one number or (classes,). Larger finds more of that class.
        class_weight: (classes,) further weight of each class; alpha and class_weight multiply.
        sample_weights: (rows,) or the shape of the labels; weight 2 is the row written twice, 0 is the row left out.
        reduction: ``"mean"`` (sum over `normaliser`), ``"sum"``, or ``"none"`` (the shape of the labels).
        normaliser: what ``"mean"`` divides by; by default the (weighted) number of known rows of this call.
        has_unknowns: False when the labels hold no NaN: skips the masking.

    Raises:
        ArgumentError: the shapes do not fit, or `reduction` is none of the three.

    References:
        Lin et al., ICCV 2017, eq. 5, for more than two classes as in Charoenphakdee et al., CVPR 2021, eq. 3.

    Example:
        >>> loss = softmax_focal_loss(torch.zeros(1, 2), torch.tensor([1.0]), gamma=2.0)
        >>> round(float(loss), 4)  # (1/2)^2 * ln 2
        0.1733
    """
    check_softmax_shapes(logits, labels, "softmax_focal_loss", class_weight=class_weight, alpha=alpha)
    scores, index, known = masked_index(logits, labels, has_unknowns)
    losses = softmax_focal_terms(scores, index.unsqueeze(1), float(gamma))
    if alpha is not None and not isinstance(alpha, Tensor):
        losses, alpha = losses * alpha, None
    return weighed(losses, index, known, (alpha, class_weight), sample_weights, reduction, normaliser)


def _as_rows(scores: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixels as rows on a GPU, where PyTorch has no deterministic kernel for images of class indices."""
    if scores.dim() == 2 or scores.device.type == "cpu":
        return scores, index
    return scores.movedim(1, -1).flatten(0, -2), index.flatten()


def _smoothed(targets: Tensor, pos_weight: Tensor | float, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return the soft label and the weight that together weigh ln p and ln (1 - p) as smoothed labels do."""
    positive, negative = pos_weight * targets, 1.0 - targets
    weight = positive + negative
    return ((1.0 - smoothing / 2) * positive + smoothing / 2 * negative) / weight, weight
