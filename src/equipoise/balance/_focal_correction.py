"""Focal loss as an entry of the ledger: its inverse map, and the shift of its alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise._arrays import ClassFloats, TableFloats
from equipoise._checks import ArgumentError, DataError, check_number, listed
from equipoise.balance._focal import focal_to_log_odds, focal_to_log_probabilities
from equipoise.balance._schemes import POS_WEIGHT


@dataclass(frozen=True, eq=False)
class FocalCorrection:
    """Focal loss as an entry of the ledger.

    Attributes:
        gamma: focusing exponent, at least 0; 0 is plain cross-entropy.
        alpha: the weights of the classes, one number or (classes,), or None for no weights. In a sigmoid loss alpha in
            (0, 1) weighs the positives of a class and 1 - alpha its negatives; in a softmax loss it weighs the class.
    """

    gamma: float = 2.0
    alpha: ClassFloats | float | None = None

    def __post_init__(self) -> None:
        check_number(self.gamma, argument="gamma", function="FocalCorrection", at_least=0.0)
        if self.alpha is not None:
            alpha = np.atleast_1d(np.array(self.alpha, dtype=np.float64))
            if alpha.ndim != 1 or not np.all(np.isfinite(alpha) & (alpha > 0)):
                raise ArgumentError(f"`alpha` of FocalCorrection must be above 0; got {self.alpha}. Give one a class.")
            alpha.setflags(write=False)
            object.__setattr__(self, "alpha", alpha)

    def log_odds_shift_for(self, kind: str) -> ClassFloats:
        """Return what alpha adds to the log-odds: ln(alpha / (1 - alpha)) in a sigmoid loss, ln(alpha) in a softmax."""
        if self.alpha is None:
            return np.zeros(1)
        alpha = np.asarray(self.alpha)
        if kind != POS_WEIGHT:
            return np.asarray(np.log(alpha))
        if np.any(alpha >= 1.0):
            raise ArgumentError(
                f"`alpha` of a sigmoid focal loss must be below 1, as negatives weigh 1 - alpha; got {alpha.max()}. "
                "For a weight above 1 use pos_weight."
            )
        return np.asarray(np.log(alpha) - np.log1p(-alpha))

    def unbend(self, scores: TableFloats, kind: str) -> TableFloats:
        """Return the scores that a loss without focus would have been minimised for."""
        if self.gamma == 0.0:
            return scores
        unfocus = focal_to_log_odds if kind == POS_WEIGHT else focal_to_log_probabilities
        return unfocus(scores, self.gamma)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"gamma": self.gamma, "alpha": None if self.alpha is None else np.asarray(self.alpha).tolist()}

    @classmethod
    def from_dict(cls, stored: Any) -> FocalCorrection:
        """Make the correction again that `to_dict` described.

        Raises:
            DataError: it is not such a record.
        """
        try:
            if set(stored) != {"gamma", "alpha"}:
                raise ArgumentError(f"A focal entry has gamma and alpha; got {listed(stored)}.")
            alpha = stored["alpha"]
            gamma = check_number(stored["gamma"], argument="gamma", function="FocalCorrection")
            return cls(gamma, None if alpha is None else np.asarray(alpha, dtype=np.float64))
        except (ArgumentError, TypeError, ValueError) as error:
            raise DataError(f"Stored focal correction cannot be used: {error} Write the ledger again.") from error
