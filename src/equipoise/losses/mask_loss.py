"""The loss of masks that a recipe asks for: a weighted sum of pixel losses and of losses of whole masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, check_number, listed, nearest
from equipoise.balance import ClassWeights
from equipoise.balance._words import WHOLE_MASK_TERMS, no_prior_sentence
from equipoise.losses._base import ClassLoss
from equipoise.losses._focal import Alpha
from equipoise.losses._overlap import (
    check_mask_shapes,
    dice_loss,
    generalised_dice_loss,
    ignored_pixels,
    soft_cldice_loss,
    tversky_loss,
)
from equipoise.losses.registry import make_loss

OVERLAPPING, EXCLUSIVE = "multilabel", "multiclass"


@dataclass(frozen=True)
class MaskTermEntry:
    """One term that the loss of masks can have. The laws in the tests run over every entry.

    Attributes:
        name: in a recipe.
        whole_mask: whether it judges whole masks (Dice and its kin), or each pixel by itself.
        overlapping: whether it is for overlapping classes.
        exclusive: whether it is for classes that exclude one another.
        function: of a loss of whole masks; None for a pixel loss, which `make_loss` makes.
        settings: that it takes besides those that all have.
        said: what it is, in a few words.
    """

    name: str
    whole_mask: bool
    overlapping: bool = True
    exclusive: bool = True
    function: Callable[..., Tensor] | None = None
    settings: tuple[str, ...] = ()
    said: str = ""


MASK_LOSSES: tuple[MaskTermEntry, ...] = (
    MaskTermEntry("cross_entropy", False, overlapping=False, settings=("smoothing",)),
    MaskTermEntry("bce", False, exclusive=False, settings=("smoothing",)),
    MaskTermEntry("focal", False, settings=("gamma", "alpha")),
    MaskTermEntry("dice", True, function=dice_loss, said=WHOLE_MASK_TERMS["dice"]),
    MaskTermEntry("generalised_dice", True, function=generalised_dice_loss, said=WHOLE_MASK_TERMS["generalised_dice"]),
    MaskTermEntry(
        "tversky",
        True,
        function=tversky_loss,
        settings=("false_positives", "false_negatives"),
        said=WHOLE_MASK_TERMS["tversky"],
    ),
    MaskTermEntry("cldice", True, function=soft_cldice_loss, settings=("iterations",), said=WHOLE_MASK_TERMS["cldice"]),
)

_TERM = re.compile(r"\s*(?:([0-9.]+(?:e-?[0-9]+)?)\s*\*?\s*)?([a-z_]+)\s*")


def read_mask_terms(text: str | Mapping[str, float], *, overlapping: bool) -> dict[str, float]:
    """Return the terms of a loss of masks with their weights.

    Args:
        text: ``"cross_entropy + dice"``, ``"focal + 0.5 tversky"``, a mapping of names to weights, or ``"auto"``: the
            cross-entropy of the form, and Dice.
        overlapping: whether classes may share a pixel.

    Raises:
        ArgumentError: no such term (the nearest is named), one that is not for this form or comes twice, or a weight
            that is not above 0.

    Example:
        >>> read_mask_terms("focal + 0.5 tversky", overlapping=False)
        {'focal': 1.0, 'tversky': 0.5}
        >>> read_mask_terms("auto", overlapping=True)
        {'bce': 1.0, 'dice': 1.0}
    """
    if isinstance(text, str) and text.strip() == "auto":
        text = {"bce" if overlapping else "cross_entropy": 1.0, "dice": 1.0}
    if isinstance(text, str):
        terms: dict[str, float] = {}
        for part in text.split("+"):
            found = _TERM.fullmatch(part)
            if found is None:
                raise ArgumentError(
                    f"The loss {text!r} has a part {part.strip()!r} that is no term. Write names with weights before "
                    'them, such as "cross_entropy + 0.5 dice".'
                )
            if found[2] in terms:
                raise ArgumentError(f'The loss {text!r} names "{found[2]}" twice. Add their weights.')
            terms[found[2]] = _weight_of(found[1] or "1", found[2])
        text = terms
    for name, weight in text.items():
        _entry(name, overlapping)
        check_number(weight, argument=name, function="make_mask_loss", above=0.0)
    if not text:
        raise ArgumentError('A loss of masks needs a term, such as "dice". Name one, or use "auto".')
    return {name: float(weight) for name, weight in text.items()}


def _weight_of(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ArgumentError(f'The weight of "{name}" must be a number; got {text!r}.') from error


def _entry(name: str, overlapping: bool) -> MaskTermEntry:
    fitting = {entry.name: entry for entry in MASK_LOSSES if (entry.overlapping if overlapping else entry.exclusive)}
    if name in fitting:
        return fitting[name]
    form = "overlapping classes" if overlapping else "classes that exclude one another"
    raise ArgumentError(
        f'There is no loss "{name}" for masks of {form}.{nearest(name, fitting)} There is {listed(fitting)}.'
    )


@final
class MaskLoss(nn.Module):
    """A weighted sum of pixel losses (cross-entropy, focal) and of losses of whole masks (Dice and its kin).

    Make it with `make_mask_loss`. Its `state_dict` is empty: weights are buffers that are not saved. `forward` changes
    nothing, and takes masks of 2 and of 3 axes.

    Attributes:
        terms: name and weight of every term.
        overlapping: whether classes may share a pixel (a sigmoid each) or exclude one another (softmax).
        batch: whether losses of whole masks pool the pixels of all images of a call.
        background: whether class 0 of exclusive classes counts as a class in losses of whole masks.
        has_prior: whether the loss implies a training prior, so that the `Ledger` has a way back to probabilities:
            only where every term is a pixel loss.
    """

    def __init__(
        self,
        terms: Mapping[str, float],
        pixel_losses: Mapping[str, ClassLoss],
        settings: Mapping[str, Mapping[str, Any]],
        *,
        overlapping: bool,
        batch: bool,
        background: bool,
    ) -> None:
        super().__init__()
        self.terms, self.overlapping = dict(terms), overlapping
        self.batch, self.background = batch, background
        self.pixel_losses = nn.ModuleDict(pixel_losses)
        self._settings = {name: dict(found) for name, found in settings.items()}
        self.has_prior = set(self.terms) == set(pixel_losses)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        *,
        normaliser: Tensor | float | None = None,
        sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a number; lower is better.

        Args:
            logits: (images, classes, ...) before the sigmoid or softmax.
            labels: of exclusive classes (images, ...) class indices; of overlapping ones the shape of the logits, 0
                and 1. Below 0 or NaN: the pixel is ignored.
            normaliser: images of the whole step, where this call is a part of it: the loss is then multiplied by the
                images of this call over them. The parts add up to the whole exactly where images have the same number
                of known pixels and `batch` is off, and nearly so otherwise.
            sample_weights: (images,) weights; 2 is the image given twice, 0 the image left out.
        """
        parts = self.parts(logits, labels, sample_weights=sample_weights)
        total = torch.stack([weight * parts[name] for name, weight in self.terms.items()]).sum()
        return total if normaliser is None else total * (len(logits) / normaliser)

    def parts(self, logits: Tensor, labels: Tensor, *, sample_weights: Tensor | None = None) -> dict[str, Tensor]:
        """Return the loss of each term by name, before its weight: for telemetry."""
        check_mask_shapes(logits, labels, overlapping=self.overlapping, function="MaskLoss")
        found: dict[str, Tensor] = {}
        for name in self.terms:
            if name in self.pixel_losses:
                found[name] = self._of_pixels(name, logits, labels, sample_weights)
                continue
            function = _entry(name, self.overlapping).function
            assert function is not None
            found[name] = function(
                logits, labels, overlapping=self.overlapping, batch=self.batch, sample_weights=sample_weights,
                **self._settings[name],
            )  # fmt: skip
        return found

    def of_heads(self, logits: Tensor, labels: Tensor, *, normaliser: Tensor | float | None = None) -> Tensor:
        """Return the loss of deep supervision: each head's loss, weighed by 1, 1/2, 1/4, ... over their sum.

        Args:
            logits: (images, heads, classes, ...), the output first, all at the size of the mask: `MaskModel.heads`.
            labels: as in `forward`.
            normaliser: as in `forward`.

        References:
            Isensee et al., Nature Methods 2021, supplement: deep supervision.
        """
        weights = [0.5**number for number in range(logits.shape[1])]
        losses = [
            weight * self(logits[:, number], labels, normaliser=normaliser) for number, weight in enumerate(weights)
        ]
        return torch.stack(losses).sum() / sum(weights)

    def _of_pixels(self, name: str, logits: Tensor, labels: Tensor, sample_weights: Tensor | None) -> Tensor:
        ignored = ignored_pixels(labels)
        known = labels.to(logits.dtype if logits.dtype == torch.float64 else torch.float32)
        known = known.masked_fill(ignored, torch.nan)
        if self.overlapping:  # sigmoid losses have the class last
            logits, known = logits.movedim(1, -1), known.movedim(1, -1)
        found: Tensor = self.pixel_losses[name](logits, known, sample_weights=sample_weights)
        return found

    def _pixel_loss(self, name: str) -> ClassLoss:
        loss = self.pixel_losses[name]
        assert isinstance(loss, ClassLoss)
        return loss

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, where weights of pixels have told them."""
        return next((loss.classes for loss in self._pixel_list() if loss.classes), None)

    def correction(self) -> Any:
        """Return the entry of the `Ledger` besides the weights, or None: bent scores of focal loss or smoothing.

        None as well where a term judges whole masks (see `has_prior`): their scores are bent by no formula.
        """
        return next((loss.correction() for loss in self._pixel_list()), None) if self.has_prior else None

    def _pixel_list(self) -> list[ClassLoss]:
        return [self._pixel_loss(name) for name in self.pixel_losses]

    def sentences(self) -> tuple[str, ...]:
        """Say what the loss implies for probabilities."""
        whole = [entry.said for entry in MASK_LOSSES if entry.name in self.terms and entry.whole_mask]
        if not whole:
            return ()
        return (no_prior_sentence(whole),)

    def describe(self) -> str:
        """Say in words what this loss is made of: its terms, and once what the pixels weigh in them."""
        said = []
        for name, weight in self.terms.items():
            entry = _entry(name, self.overlapping)
            times = "" if weight == 1.0 else f"{weight:g} x "
            if not entry.whole_mask:
                said.append(times + self._pixel_loss(name).headline())
                continue
            given = self._settings[name]
            settings = [f"{key.replace('_', ' ')} {given[key]:g}" for key in entry.settings if key in given]
            settings += [] if self.overlapping or given.get("background", True) else ["without background"]
            said.append(times + entry.said + (f" ({', '.join(settings)})" if settings else ""))
        pooled = " over all images of a batch together" if self.batch and not self.has_prior else ""
        return " ".join([f"{' + '.join(said)}{pooled}.", *self._weighing()])

    def _weighing(self) -> list[str]:
        """Say what the pixels weigh, once for all terms that weigh them alike."""
        clauses: dict[str, list[str]] = {}
        for loss in self._pixel_list():
            clauses.setdefault(loss.describe().removeprefix(f"{loss.headline()}: "), []).append(loss.headline())
        several = len(clauses) > 1
        return [f"Of the pixels{f' in {terms[0]}' if several else ''} {clause}" for clause, terms in clauses.items()]


def make_mask_loss(
    terms: str | Mapping[str, float] = "auto",
    *,
    overlapping: bool,
    weights: ClassWeights | None = None,
    gamma: float = 2.0,
    alpha: Alpha = None,
    batch: bool = False,
    background: bool = False,
    prevalence: ClassFloats | None = None,
    **settings: Any,
) -> MaskLoss:
    """Return the loss of masks.

    Args:
        terms: as in `read_mask_terms`: ``"cross_entropy + dice"`` and the like; ``"auto"``.
        overlapping: whether classes may share a pixel (several masks an image), or exclude one another.
        weights: class weights of pixels, `class_weight` for exclusive classes, `pos_weight` for overlapping ones. They
            weigh the pixel losses only, and stand outside of focal's exponent.
        gamma: of focal.
        alpha: of focal: one number, one a class, ``"balanced"``, or None. Multiplies `weights`.
        batch: whether losses of whole masks pool the images of a batch.
        background: whether class 0 of exclusive classes counts as a class in losses of whole masks. Generalised Dice,
            whose weights are meant for all classes, always counts it.
        prevalence: (classes,) share of the pixels of each class; by default that of the weights.
        settings: of the terms: smoothing, false_positives, false_negatives, iterations, smooth.

    Raises:
        ArgumentError: no such term or setting, weights of the other kind or without a pixel loss to weigh.

    Example:
        >>> loss = make_mask_loss("cross_entropy + 0.5 dice", overlapping=False)
        >>> loss.describe().partition(". ")[0]
        'Cross-entropy + 0.5 x Dice (without background)'
        >>> loss.has_prior
        False
    """
    found = read_mask_terms(terms, overlapping=overlapping)
    entries = [_entry(name, overlapping) for name in found]
    _check_settings(entries, settings, weights, alpha)
    pixel: dict[str, ClassLoss] = {}
    task = OVERLAPPING if overlapping else EXCLUSIVE
    for entry in (entry for entry in entries if not entry.whole_mask):
        own: dict[str, Any] = {key: value for key, value in settings.items() if key in entry.settings}
        own |= {"gamma": gamma, "alpha": alpha} if entry.name == "focal" else {}
        pixel[entry.name] = make_loss(entry.name, task, weights=weights, prevalence=prevalence, **own)
    of_masks = {
        entry.name: {key: value for key, value in settings.items() if key in (*entry.settings, "smooth")}
        | ({} if entry.name == "generalised_dice" else {"background": background})
        for entry in entries
        if entry.whole_mask
    }
    return MaskLoss(found, pixel, of_masks, overlapping=overlapping, batch=batch, background=background)


def _check_settings(
    entries: list[MaskTermEntry], settings: Mapping[str, Any], weights: ClassWeights | None, alpha: Alpha
) -> None:
    taken = [key for entry in entries for key in entry.settings]
    taken += ["smooth"] if any(entry.whole_mask for entry in entries) else []
    for key in settings:
        if key not in taken or key in ("gamma", "alpha"):
            names = " + ".join(entry.name for entry in entries)
            raise ArgumentError(
                f'The loss "{names}" has no setting "{key}".{nearest(key, taken)} It has {listed(taken) or "none"}.'
            )
    if alpha is not None and not any(entry.name == "focal" for entry in entries):
        raise ArgumentError('`alpha` belongs to focal loss; this loss has no such term. Leave it out, or add "focal".')
    if weights is not None and all(entry.whole_mask for entry in entries):
        names = " + ".join(entry.name for entry in entries)
        raise ArgumentError(
            f'Class weights weigh pixels, and "{names}" judges whole masks. Add a pixel loss such as cross_entropy or '
            "focal, or leave the weights out."
        )
