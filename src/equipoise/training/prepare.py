"""Everything that is decided before the first step: labels, split, census, weights, ledger and members."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._arrays import ClassFloats
from equipoise._checks import ArgumentError, DataError, listed
from equipoise._tasks import is_exclusive
from equipoise.balance import (
    HEURISTICS,
    ClassWeights,
    Deferred,
    Ledger,
    Preflight,
    SamplingPlan,
    class_weights,
    plan_heuristic,
    plan_sampling,
    preflight,
)
from equipoise.data import epoch_order, stable_seed
from equipoise.decision.objectives import check_objective, parse_objective
from equipoise.labels import Census, Labels, Split, count_labels, read_labels, read_split, split_labels
from equipoise.losses import ClassLoss, make_loss
from equipoise.models import prior_logits
from equipoise.samplers import IndexStream
from equipoise.samplers.stream import RankStream
from equipoise.scores.record import sigmoid, softmax
from equipoise.training.inputs import Inputs, read_table_inputs
from equipoise.training.loop import resolve_batch_size

if TYPE_CHECKING:
    from equipoise.recipe import Recipe, SamplingSettings

Index = NDArray[np.int64]

# Up to so many rows besides the test role, that many members take turns at validation: every row then teaches most
# members, and has a validation score of one that never saw it. With more rows, one member and a validation role do.
_CLASSES_SHOWN = 12  # with more, their counts are left to the census
_MEMBERS_UP_TO_ROWS = {2_000: 10, 20_000: 5}
_ROWS_AT_ONCE, _IMAGES_AT_ONCE = 256, 32  # at most in a batch whose size nobody gave


@dataclass(frozen=True, eq=False)
class Member:
    """Rows that one member learns from, and rows that it is watched on and scored for."""

    train: Index
    validation: Index


class _InTurn:
    """The rows of an epoch without a plan, each once, as a sampler that a pre-flight can look at."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._seed, self._epoch = rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._rows, seed=self._seed, epoch=self._epoch).tolist())


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a training is about to do, computed from the recipe and the table alone.

    Attributes:
        recipe: as it was given.
        labels: of all rows of the table that have one. inputs: what models are given of them.
        split: role of each id; with cross-fitting also the fold.
        census: of all rows. training_census: of the rows that are learned from.
        weights: class weights of the loss, or None.
        plan: how often each of the `learned` rows is drawn, or None: each once an epoch.
        learned: rows that some member learns from, ascending.
        ledger: every correction in force.
        members: one or several divisions into rows to learn from and rows to watch.
        test: rows that nothing is fitted on.
        notes: sentences worth showing before the training starts.
    """

    recipe: Recipe
    labels: Labels
    inputs: Inputs
    split: Split
    census: Census
    training_census: Census
    weights: ClassWeights | None
    plan: SamplingPlan | None
    learned: Index
    ledger: Ledger
    members: tuple[Member, ...]
    test: Index
    notes: tuple[str, ...]

    @property
    def development(self) -> Index:
        """Rows of the train and validation roles."""
        return np.flatnonzero(self.split.roles != "test")

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true of each row (softmax), or each class is a question of its own (sigmoid)."""
        return is_exclusive(self.labels.task)

    def sentences(self) -> list[str]:
        """Say what is used as features, and how rows are shared out."""
        told = self.inputs.sentences()
        if len(self.members) > 1:
            rows = len(self.development)
            told.append(
                f"{rows:,} rows in {len(self.members)} parts: each part is scored by a member that learns from the "
                f"others; {len(self.test):,} rows are kept for the test."
            )
        else:
            learned, watched = len(self.members[0].train), len(self.members[0].validation)
            told.append(f"{learned:,} rows to learn from, {watched:,} for validation, {len(self.test):,} for the test.")
        if self.exclusive and len(self.labels.classes) <= _CLASSES_SHOWN:
            told.append(self._distribution())
        if empty := self.training_census.empty_classes:
            which, they = ("which has", "it") if len(empty) == 1 else ("which have", "they")
            told.append(
                f"Nothing can be learned of {listed(empty)}, {which} no positive among the rows to learn from: "
                f"{they} will hardly ever be predicted."
            )
        return told

    def _distribution(self) -> str:
        """How many rows of each class there are to learn from, and what one weighs in the loss."""
        weight = np.broadcast_to(self.make_loss().side_weights()[0], len(self.labels.classes))
        counted = zip(self.labels.classes, self.training_census.positives.tolist(), weight.tolist(), strict=True)
        plain = "" if np.any(weight != 1.0) else "; each weighs 1 in the loss"
        shown = [f"{rows:,} of {name}" + ("" if plain else f" (weight {one:.3g})") for name, rows, one in counted]
        return f"Rows to learn from, by class: {', '.join(shown)}{plain}."

    def make_loss(self) -> ClassLoss:
        """Return the loss that the recipe asks for."""
        return _make_loss(self.recipe, self.labels, self.training_census, self.weights, self.plan)

    def make_plain_loss(self) -> ClassLoss:
        """Return the loss of the epochs before `balance.schedule.from_epoch`: without class weights."""
        return _make_loss(self.recipe, self.labels, self.training_census, None, None)

    def loss_at(self, epoch: int) -> tuple[ClassLoss, ClassWeights | None]:
        """Return the loss of an epoch (from 1), and its class weights."""
        schedule = self.recipe.balance.schedule
        if schedule is not None and epoch < schedule.from_epoch:
            return self.make_plain_loss(), None
        return self.make_loss(), self.weights

    def member_plan(self, member: Member) -> SamplingPlan | None:
        """Return the plan for the rows that a member learns from, or None: each once an epoch."""
        return None if self.plan is None else self.plan.for_rows(np.searchsorted(self.learned, member.train))

    def stream(self, member: Member, seed: int) -> IndexStream | None:
        """Return the rows of `member.train` that each epoch draws, as positions in it; None: each once an epoch.

        The member's rows keep the weights that they have in the plan of all learned rows, so that one shift of the
        log-odds, the ledger's, holds for all members.
        """
        plan = self.member_plan(member)
        if plan is None:
            return None
        return IndexStream(plan, seed=seed, replacement=self.recipe.balance.sampling.replacement)

    def batch_size(self, member: Member) -> int:
        """Return the rows of a micro-batch of a member."""
        most = _IMAGES_AT_ONCE if self.recipe.model.of_images else _ROWS_AT_ONCE
        return resolve_batch_size(self.recipe.training.batch_size, len(member.train), most=most)

    @property
    def starting_ledger(self) -> Ledger:
        """What is in force in the first epoch: the first bias knows nothing of corrections that begin later."""
        return self.ledger.at_epoch(1)

    @property
    def prior(self) -> ClassFloats:
        """(classes,) the log-odds (of one-of-many tasks: log-probabilities) that the model is first trained towards."""
        census = self.training_census
        known = census.positives + census.negatives
        shift = self.starting_ledger.log_odds_shift
        found = prior_logits(census.positives, known, multiclass=self.exclusive, log_odds_shift=shift)
        return np.asarray(found)

    @property
    def starting_probabilities(self) -> ClassFloats | None:
        """(classes,) what a new model says, features apart; None where `model.initial_bias` is zero."""
        if self.recipe.model.initial_bias == "zero":
            return None
        ledger = self.starting_ledger
        scores = ledger.starting_scores(self.prior) if ledger.one_a_class else self.prior
        return np.asarray(softmax(scores) if self.exclusive else sigmoid(scores))

    def preflight(self) -> Preflight:
        """Look at what the first member will draw, from row numbers alone."""
        sampling, member = self.recipe.balance.sampling, self.members[0]
        loss = self.make_loss()
        seed = stable_seed(self.recipe.seed, 0)
        stream, rows = self.stream(member, seed), len(member.train)
        batch = self.batch_size(member)
        drawer = _InTurn(rows, seed) if stream is None else RankStream(stream)
        return preflight(
            drawer,
            self.labels.select(member.train),
            plan=self.member_plan(member),
            batch_size=min(batch * self.recipe.training.accumulate, rows),
            batches=1,  # no more than two epochs are drawn
            weights=self.weights,
            probabilities=self.starting_probabilities,
            gamma=getattr(loss, "gamma", 0.0),
            alpha=None if getattr(loss, "alpha", None) is None else np.asarray(loss.alpha.cpu()),
            strict=sampling.strict,
        )


def prepare(recipe: Recipe) -> Prepared:
    """Read, count, split and plan what a recipe asks for. Nothing is trained and nothing is written.

    Raises:
        ArgumentError: a key of the recipe cannot work with this table.
        DataError: the table cannot be used; the message has the place.
    """
    recipe.require_runnable()
    labels = _read_labels(recipe)
    check_objective(parse_objective(recipe.decision.maximize), labels.task, function="decision (recipe)")
    census = count_labels(labels)
    _require_learnable(labels, census)
    split = make_split(recipe, labels)
    members, test = _members(recipe, labels, split)
    if len(members) > 1:
        split = _cross_fitted(split, members)
    learned = np.flatnonzero(split.roles != "test") if len(members) > 1 else members[0].train
    training_census = count_labels(labels.select(learned))
    if len(training_census.empty_classes) == len(labels.classes):
        raise DataError(
            f"No class has a positive among the rows to learn from, {training_census.rows:,} of {len(labels):,} "
            f"rows of {labels.source}. Add data that has one, or split otherwise (split.seed, split.file)."
        )
    weights = _weights(recipe, training_census)
    plan = _plan(recipe, labels.select(learned))
    loss = _make_loss(recipe, labels, training_census, weights, plan)
    return Prepared(
        recipe=recipe,
        labels=labels,
        inputs=_inputs(recipe, labels, split, learned),
        split=split,
        census=census,
        training_census=training_census,
        weights=weights,
        plan=plan,
        learned=learned,
        ledger=_ledger(recipe, plan, weights, loss, labels.select(learned), training_census),
        members=members,
        test=test,
        notes=tuple(labels.notes),
    )


def _require_learnable(labels: Labels, census: Census) -> None:
    """Raise for a class that cannot be learned, or not both learned and judged, however the rows are shared out."""
    census.require_positives(function="train")
    groups = census.groups_per_class
    if groups is None:
        return
    alone = [name for name, count in zip(labels.classes, groups.tolist(), strict=True) if count == 1]
    if alone:
        column = labels.table()[:, labels.classes.index(alone[0])]
        assert labels.groups is not None
        where = labels.groups[int(np.flatnonzero(column == 1)[0])]
        raise DataError(
            f"{labels.source}: every positive of {listed(alone)} is in one group ({where}), which cannot be both "
            "learned from and judged on. Leave the class out of the labels, add data of other groups, or check "
            "data.groups."
        )


def _table(recipe: Recipe) -> str:
    assert recipe.data.table is not None  # require_runnable has seen to it
    return recipe.data.table


def _read_labels(recipe: Recipe) -> Labels:
    data = recipe.data
    return read_labels(
        _table(recipe),
        columns=list(data.labels),
        separator=data.separator,
        ids=data.ids,
        groups=data.groups,
        task=data.task,
        uncertain=data.uncertain,
        unknown=data.unknown,
        positive=data.positive,
        classes=data.classes,
    )


def _inputs(recipe: Recipe, labels: Labels, split: Split, learned: Index) -> Inputs:
    if not recipe.model.of_images:
        return read_table_inputs(recipe, labels, learned)
    from equipoise.training.image_inputs import read_image_inputs  # needs OpenCV, which tables do not

    return read_image_inputs(recipe, labels, split)


def make_split(recipe: Recipe, labels: Labels) -> Split:
    """Return the roles that a recipe asks for: from its file, one fold as the test role, or by its fractions."""
    settings = recipe.split
    if settings.file is not None:
        return _from_file(settings.file, labels)
    if settings.folds is not None:
        return _from_fold(recipe, labels)
    return split_labels(labels, fractions=settings.fractions, seed=recipe.split_seed)


def _from_fold(recipe: Recipe, labels: Labels) -> Split:
    """One fold is the test role; the other groups are shared among train and validation as the fractions say."""
    settings, seed = recipe.split, recipe.split_seed
    folds = split_labels(labels, folds=settings.folds, seed=seed).folds
    assert folds is not None
    rest = np.flatnonzero(folds != settings.fold)
    train, validation, _ = settings.fractions
    shares = (train / (train + validation), validation / (train + validation), 0.0)
    roles = np.full(len(labels), "test", dtype=object)
    roles[rest] = split_labels(labels.select(rest), fractions=shares, seed=seed).roles
    return Split(labels.ids, roles)


def _members(recipe: Recipe, labels: Labels, split: Split) -> tuple[tuple[Member, ...], Index]:
    """Cross-fitting on small tables: each row outside the test role is watched by one member, taught to the others."""
    test = np.flatnonzero(split.roles == "test")
    development = np.flatnonzero(split.roles != "test")
    asked = recipe.training.members
    fitting = (members for rows, members in _MEMBERS_UP_TO_ROWS.items() if len(development) <= rows)
    automatic = 1 if recipe.model.of_images else next(fitting, 1)  # a model of images takes too long for several
    count = automatic if asked == "auto" else int(asked)
    if count == 1:
        member = Member(np.flatnonzero(split.roles == "train"), np.flatnonzero(split.roles == "validation"))
        for name, rows in (("train", member.train), ("validation", member.validation)):
            if not len(rows):
                raise ArgumentError(
                    f"The {name} role is empty. Give it a share in split.fractions, or rows in split.file."
                )
        return (member,), test
    folds = split_labels(labels.select(development), folds=count, seed=recipe.split_seed).folds
    parts = [(development[folds != fold], development[folds == fold]) for fold in range(count)]
    return tuple(Member(train, validation) for train, validation in parts), test


def _from_file(path: str, labels: Labels) -> Split:
    """The roles that a file gives the rows, in the order of the rows; rows that it does not name are an error."""
    given = read_split(path)
    role_of = dict(zip(map(str, given.ids.tolist()), given.roles.tolist(), strict=True))
    names = [str(name) for name in labels.ids.tolist()]
    lacking = [name for name in names if name not in role_of]
    if lacking:
        raise DataError(
            f"{path} gives no role to {len(lacking):,} of {len(names):,} rows of {labels.source}, such as id "
            f"{lacking[0]}. Name the column that the split was made with as data.ids, or make the split again."
        )
    roles = np.array([role_of[name] for name in names], dtype=object)
    _require_whole_groups(path, labels, roles)
    return Split(labels.ids, roles)


def _require_whole_groups(path: str, labels: Labels, roles: NDArray[Any]) -> None:
    """Raise where rows of one group have several roles: what is learned of a patient in one would be judged there."""
    if labels.groups is None:
        return
    first: dict[Any, Any] = {}
    torn = [
        (group, role)
        for group, role in zip(labels.groups.tolist(), roles.tolist(), strict=True)
        if first.setdefault(group, role) != role
    ]
    if torn:
        group, role = torn[0]
        count = len({group for group, _ in torn})
        raise DataError(
            f"{path} puts rows of {count:,} group{'s' if count > 1 else ''} of {labels.source} into more than one "
            f'role, such as "{group}" in {first[group]} and {role}. Keep each group in one role, make the split again '
            "with its groups, or declare that rows are independent with data.groups: none."
        )


def _cross_fitted(split: Split, members: Sequence[Member]) -> Split:
    """Say of each row which member watches it (-1: none, the test role); all others learn from it."""
    folds = np.full(len(split), -1, dtype=np.int64)
    for number, member in enumerate(members):
        folds[member.validation] = number
    return dataclasses.replace(split, roles=np.where(folds < 0, "test", "train").astype(object), folds=folds)


def _weights(recipe: Recipe, census: Census) -> ClassWeights | None:
    settings = recipe.balance.weights
    if settings.scheme == "none" and settings.values is None and settings.multiplier == 1.0:
        return None
    return class_weights(census, **settings.model_dump(exclude_none=True, exclude={"counts_from"}))


def _plan(recipe: Recipe, learned: Labels) -> SamplingPlan | None:
    settings = recipe.balance.sampling
    if settings.method == "none":
        return None
    plan = _drawn_plan(settings, learned)
    return plan.stabilise() if settings.stabilise else plan


def _drawn_plan(settings: SamplingSettings, learned: Labels) -> SamplingPlan:
    if settings.method in HEURISTICS:
        return plan_heuristic(learned, settings.method)
    given = settings.model_dump(include={"strength", "max_repeats", "negatives_share"}, exclude_none=True)
    if settings.max_repeats == "none":
        given["max_repeats"] = None
    target = settings.target if settings.target is not None else settings.method
    return plan_sampling(learned, target, **given)


def _make_loss(
    recipe: Recipe, labels: Labels, census: Census, weights: ClassWeights | None, plan: SamplingPlan | None
) -> ClassLoss:
    settings = recipe.loss
    if weights is not None and plan is not None:  # the mean weight of an entry is that of the rows that are drawn
        weights = dataclasses.replace(weights, prevalence=plan.expected_prevalence)
    loss = make_loss(
        settings.name,
        labels.task,
        weights=weights,
        gamma=settings.gamma,
        alpha=settings.alpha if settings.name == "focal" else None,
        has_unknowns=bool(np.isnan(labels.values).any()),
        prevalence=census.prevalence,
        **settings.settings,
    )
    loss.classes = labels.classes
    loss.drawn_prevalence = None if plan is None else plan.expected_prevalence
    return loss


def _ledger(
    recipe: Recipe,
    plan: SamplingPlan | None,
    weights: ClassWeights | None,
    loss: ClassLoss,
    learned: Labels,
    census: Census,
) -> Ledger:
    entries: list[Any] = [entry for entry in (plan, weights) if entry is not None]
    schedule = recipe.balance.schedule
    if schedule is not None:
        entries = [Deferred(entry, schedule.from_epoch) for entry in entries]
    correction = loss.correction(learned.table())
    if correction is not None:
        entries.append(correction)
    return Ledger(entries, census=census)
