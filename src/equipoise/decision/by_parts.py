"""A rule that judges every row without having seen it: thresholds fitted on the other parts of the same rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import Floats
from equipoise._checks import ArgumentError, DataError, check_number
from equipoise.balance import Ledger
from equipoise.decision.fit import fit_decision
from equipoise.decision.resampling import Groups
from equipoise.decision.rule import DecisionRule, fixed_rule
from equipoise.scores import Decisions, Scores
from equipoise.scores.ids import hash_ids
from equipoise.scores.record import sigmoid

PARTS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class RuleByParts:
    """Several rules, each for some rows: no row is judged by a rule that was fitted on it.

    Args:
        keys: of the rows, as `Scores.id_keys` gives them, ascending, shape (rows,).
        parts: number of the rule of each, shape (rows,).
        rules: by number.
    """

    keys: NDArray[np.uint64]
    parts: NDArray[np.int64]
    rules: tuple[DecisionRule, ...]

    @classmethod
    def of(cls, scores: Scores, parts: NDArray[np.int64], rules: Sequence[DecisionRule]) -> RuleByParts:
        """Return it for the rows of some scores: `parts` has the number of the rule of each, shape (rows,)."""
        keys = scores.id_keys()
        order = np.argsort(keys)
        return cls(keys[order], np.asarray(parts, dtype=np.int64)[order], tuple(rules))

    def apply(self, scores: Scores) -> Decisions:
        """Return predictions and probabilities, each row by the rule of its part.

        Raises:
            ArgumentError: a row that belongs to no part.
        """
        own = self._part_of(scores)
        values, predictions = np.array(scores.values), np.zeros(scores.labels.shape, dtype=np.int64)
        kinds = set()
        for number, rule in enumerate(self.rules):
            rows = np.flatnonzero(own == number)
            if len(rows):
                decided = rule.apply(scores.select(rows))
                values[rows], predictions[rows] = decided.scores.values, decided.predictions
                kinds.add(decided.scores.kind)
        if len(kinds) > 1:
            raise DataError("The rules of the parts give scores of different kinds. Fit them with the same settings.")
        natural = dataclasses.replace(scores, kind=kinds.pop()) if kinds != {scores.kind} else scores
        cast = predictions if scores.exclusive else predictions.astype(np.int8)
        return Decisions(natural.with_values(values), cast)

    def check_unseen(self, scores: Scores) -> None:
        """Raise `ArgumentError` when a row would be judged by a rule that was fitted on it."""
        own = self._part_of(scores)
        for number, rule in enumerate(self.rules):
            rows = np.flatnonzero(own == number)
            if len(rows):
                rule.check_unseen(scores.select(rows))

    def _part_of(self, scores: Scores) -> NDArray[np.int64]:
        keys = scores.id_keys()
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        if (self.keys[place] != keys).any():
            raise ArgumentError(
                "A rule by parts is for the rows that it was made for; some of these are others. Fit it on these rows."
            )
        return np.asarray(self.parts[place])


def fit_by_parts(scores: Scores, maximize: Any = "f1", *, parts: int = PARTS, **settings: Any) -> RuleByParts:
    """Return a rule that may be judged on the very rows it was fitted on: each part by what the other parts say.

    Thresholds that are judged on the rows they were fitted on look better than they are. So groups are dealt to parts,
    whole, the rarest class first, and each part gets the rule that `fit_decision` fits on the others.

    Args:
        scores: of the validation role.
        maximize: as in `fit_decision`.
        parts: how many, at least 2; fewer where there are fewer groups.
        settings: of `fit_decision`; `empty` is "never" and `intervals` False unless given.

    Raises:
        ArgumentError: as `fit_decision`, or fewer than two parts.
        DataError: all rows are of one group.

    Example:
        >>> rows = [f"row {n}" for n in range(40)]
        >>> scores = Scores(labels=[0, 1] * 20, values=[0.2, 0.8] * 20, kind="probabilities", ids=rows,
        ...                 role="validation", classes=["Mass"])
        >>> rule = fit_by_parts(scores, method="exact")
        >>> len(rule.rules), bool((rule.apply(scores).predictions == scores.labels).all())
        (5, True)
    """
    check_number(parts, argument="parts", function="fit_by_parts", at_least=2)
    own = deal_parts(scores, int(parts))
    how: dict[str, Any] = {"empty": "never", "intervals": False} | settings
    rules = [fit_decision(scores.select(own != number), maximize, **how) for number in range(int(own.max()) + 1)]
    return RuleByParts.of(scores, own, rules)


def deal_parts(scores: Scores, parts: int = PARTS) -> NDArray[np.int64]:
    """Return the number of a part for each row, shape (rows,): groups whole, positives of every class spread evenly.

    Groups are dealt in turn, those with the rarest class first, as many to each part; the order of rows changes
    nothing, and other scores of the same rows are dealt alike.

    Raises:
        DataError: all rows are of one group.
    """
    keys = scores.id_keys() if scores.groups is None else hash_ids(scores.groups)
    groups = Groups.of(keys)
    if groups.count < 2:
        raise DataError(
            "All rows are of one group, so no thresholds can be fitted on other rows. Judge them on the test role."
        )
    return deal_groups(groups, scores.table() == 1, parts)


def deal_groups(groups: Groups, truth: NDArray[np.bool_], parts: int = PARTS) -> NDArray[np.int64]:
    """Return the number of a part for each row, shape (rows,): see `deal_parts`.

    Args:
        groups: of the rows, two or more.
        truth: (rows, classes) whether each row has each class.
        parts: how many; fewer where there are fewer groups.
    """
    rarity = np.argsort(truth.sum(axis=0), kind="stable")
    rank = np.full(groups.count, truth.shape[1], dtype=np.int64)
    for place, column in reversed(list(enumerate(rarity.tolist()))):
        rank[groups.member[truth[:, column]]] = place
    shuffled = np.random.default_rng(0).permutation(groups.count)
    order = shuffled[np.argsort(rank[shuffled], kind="stable")]
    part = np.empty(groups.count, dtype=np.int64)
    part[order] = np.arange(groups.count) % min(parts, groups.count)
    return np.asarray(part[groups.member])


def raw_rule(scores: Scores, ledger: Ledger) -> DecisionRule:
    """Return the rule of a model alone: its own output cut at 0.5, or its most likely class.

    Stored scores are at the natural prevalence: what training added to the log-odds is added again, and its probability
    is then the model's own. Where a loss bends scores besides (focal), an output of 0 stands elsewhere than at 0.5, and
    the threshold of each class is where the ledger maps it to.

    Args:
        scores: of the task and classes.
        ledger: of the run that they are from.

    Example:
        >>> from equipoise.balance import ClassWeights
        >>> scores = Scores(labels=[0, 1], values=[-1.2, -1.0], kind="logits", ids=[1, 2], role="test", classes=["a"])
        >>> weights = ClassWeights(("a",), np.array([3.0]), "inverse", {}, "pos_weight")
        >>> raw_rule(scores, Ledger([weights])).apply(scores).predictions  # log-odds of -ln 3 = -1.1 were 0 in training
        array([0, 1], dtype=int8)
    """
    shift = np.asarray(ledger.log_odds_shift, dtype=np.float64)
    if scores.exclusive:
        return fixed_rule(scores, None, log_odds_shift=-shift)
    cut: Floats = np.asarray(ledger.to_natural(np.zeros((1, len(scores.classes)))), dtype=np.float64)[0]
    return fixed_rule(scores, sigmoid(cut + shift), log_odds_shift=-shift)
