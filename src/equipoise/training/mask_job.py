"""The training of masks as a job: what is said before it, what is written, how it is decided and judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._files import write_json
from equipoise.balance import Preflight
from equipoise.data import PixelScale
from equipoise.decision.masks import MaskRule, fit_least_sizes, fit_mask_rule
from equipoise.evidence.finding import findings_of
from equipoise.evidence.mask_table import evaluate_masks, trivial_counts
from equipoise.labels import write_split
from equipoise.metrics.components import Components, measure_components
from equipoise.metrics.mask_scores import ImageCounts, MaskScores, write_mask_scores
from equipoise.models import MaskModel, model_from_dict
from equipoise.training.checkpoint import write_checkpoint
from equipoise.training.job import Job
from equipoise.training.mask_distances import measure_distances
from equipoise.training.mask_gallery import chosen_images, thumbnails, write_mask_gallery
from equipoise.training.mask_member import MaskTraining, TrainedMasks, make_guard, make_model
from equipoise.training.mask_prepare import MaskPrepared, mask_census, split_sentences
from equipoise.training.mask_validation import MaskValidation, Validated, plain_rule, tally_of

if TYPE_CHECKING:
    from equipoise.runs import Run
    from equipoise.training.loop import Workers
    from equipoise.training.telemetry import Watch

_WHOLE = 2**28  # pixels of an image whose mask is held whole, for its connected parts and its boundary


@final
class MaskJob(Job):
    """A training of masks.

    Args:
        prepared: what is trained on.
        device: where the kept model judges images.
    """

    members = 1

    def __init__(self, prepared: MaskPrepared, device: torch.device) -> None:
        self.prepared, self.device = prepared, device
        self._found: Preflight | None = None

    def announce(self, watch: Watch) -> None:
        """Say what is learned from what, by which loss and which patches, and what is doubtful about it."""
        prepared = self.prepared
        make_model(prepared, prepared.recipe.seed)  # what it cannot take is said before a run folder is made
        for sentence in (*prepared.notes, *prepared.sentences(), *split_sentences(prepared)):
            watch.say(sentence)
        watch.say(f"Loss: {prepared.loss.describe()}")
        ledger = prepared.ledger.sentences() if prepared.loss.has_prior else ()
        for sentence in (*prepared.loss.sentences(), *ledger):
            watch.say(sentence)
        for sentence in (*prepared.ledger.warnings(), *prepared.warnings()):
            watch.say(f"Warning: {sentence}")
        self._found = prepared.preflight()
        for failure in self._found.failures:
            watch.say(f"Warning: {failure}")

    def begin(self, run: Run) -> None:
        """Write both censuses of pixels, the weights, the plan of patches, the pre-flight, the ledger and the split."""
        prepared = self.prepared
        run.write_record("census", prepared.census)
        run.write_record("mask_census", mask_census(prepared.pairs, prepared.index))
        run.write_record("weights", prepared.weights.to_dict() if prepared.weights is not None else None)
        run.write_record("plan", prepared.plan.plan.to_dict())
        run.write_record("preflight", self._found or prepared.preflight())
        run.write_record("ledger", prepared.ledger)
        write_split(prepared.split, run.file("split.csv"))
        if not run.events():  # a run that is taken up again has said it
            run.append_event({"event": "warnings", "sentences": prepared.warnings()})

    def train_member(
        self, number: int, *, folder: Path, run: Run | None, watch: Watch, workers: Workers, device: torch.device
    ) -> TrainedMasks:
        """Train the model, or read it where it was finished before."""
        del number
        return MaskTraining(self.prepared, folder=folder, run=run, watch=watch, workers=workers, device=device).result()

    def finish(self, run: Run, trained: Sequence[TrainedMasks], watch: Watch) -> None:
        """Write the model, the counts of its masks, the rule and the metrics."""
        kept = trained[0]
        self._write_model(run, kept)
        model = model_from_dict(dict(kept.model))
        assert isinstance(model, MaskModel)
        model.load_state_dict(dict(kept.weights))
        judged = _Judged(self.prepared, model.to(self.device).eval(), PixelScale.from_dict(kept.scale), self.device)
        validation = judged.scores("validation")
        write_mask_scores(validation.scores, run.scores_file("validation"))
        rule = judged.fit_rule(validation.scores)
        run.write_record("decision", rule.to_dict())
        watch.say(rule.describe())
        self._write_findings(run, kept, judged, rule, validation, watch)
        metrics: dict[str, Any] = {}
        if len(self.prepared.test):
            test = judged.scores("test")
            write_mask_scores(test.scores, run.scores_file("test"))
            metrics = judged.metrics(test.scores, rule)
            write_json(run.file("scores/test-counts.json"), judged.stored_counts(test.scores, rule))
        run.write_record("metrics", metrics)
        if self.prepared.recipe.images.gallery:
            last = test if len(self.prepared.test) else validation
            judged.write_gallery(run.file("gallery.npz"), rule, last.scores)

    def _write_model(self, run: Run, kept: TrainedMasks) -> None:
        prepared = self.prepared
        tensors = {f"members.0.{name}": tensor for name, tensor in kept.weights.items()}
        write_checkpoint(run.file("model.safetensors"), tensors, {"members": 1})
        run.write_record("model", {"members": [dict(kept.model)]})
        state = {
            "kind": "masks",
            "version": 1,
            "classes": prepared.pairs.classes.to_dict(),
            "scale": dict(kept.scale),
            "resize": prepared.recipe.masks.resize,
            "patch_size": list(prepared.patch_size),
            "overlap": prepared.recipe.masks.overlap,
            "channels": prepared.channels(),
        }
        run.write_record("columns", {"members": [state]})

    def _write_findings(
        self, run: Run, kept: TrainedMasks, judged: _Judged, rule: MaskRule, validation: Validated, watch: Watch
    ) -> None:
        """Store what the guard says of the masks of the kept model, and show what was not shown before."""
        guard = make_guard(self.prepared)
        guard.load(kept.guard)
        counts = judged.counts(validation.scores, rule)
        found = guard.conclude(tally_of(counts), counts.total().dice())
        shown = {finding.subject for finding in findings_of(run.events())}
        run.append_event({"event": "conclusion", "findings": [finding.to_dict() for finding in found]})
        for finding in found:
            if finding.subject not in shown:
                watch.say(finding.text)


class _Judged:
    """The kept model, on the images of each role."""

    def __init__(self, prepared: MaskPrepared, model: MaskModel, scale: PixelScale, device: torch.device) -> None:
        self.prepared, self.model = prepared, model
        rows = {"validation": prepared.validation, "test": prepared.test}
        self.of = {
            role: MaskValidation(prepared, scale, places, role=role, device=device) for role, places in rows.items()
        }
        self._parts: dict[str, tuple[MaskRule, Components]] = {}

    def scores(self, role: str) -> Validated:
        """Return the counts of the images of a role."""
        judge = self.of[role]
        return judge(self.model, None, "32")

    def fit_rule(self, scores: MaskScores) -> MaskRule:
        """Return the rule that is best on the validation images."""
        settings, seed = self.prepared.recipe.masks, self.prepared.recipe.seed
        rule = fit_mask_rule(scores, seed=seed)
        if settings.least_component == "none":
            return rule
        if settings.least_component != "auto":
            sizes = tuple(
                int(settings.least_component) if place in self.prepared.watched else 0
                for place in range(len(rule.classes))
            )
            return _with_sizes(rule, sizes)
        if not self._held("validation"):
            return rule
        return fit_least_sizes(rule, scores, self.components("validation", rule), seed=seed)

    def _held(self, role: str) -> bool:
        """Whether the mask of every image of a role can be held whole."""
        pairs = self.of[role].pairs
        return all(math.prod(pairs.space(place)) <= _WHOLE for place in range(len(pairs)))

    def components(self, role: str, rule: MaskRule) -> Components:
        """Return the connected parts of the masks of a role, before any are removed."""
        if role not in self._parts:
            judge = self.of[role]
            looker = judge.looker(self.model)
            found = None
            for place, name in enumerate(judge.pairs.ids):
                truth, mask = judge.whole(looker, place, rule)
                one = measure_components(name, mask, truth, exclusive=rule.exclusive, classes=len(rule.classes))
                found = one if found is None else found + one
            assert found is not None
            self._parts[role] = (rule, found)
        return self._parts[role][1]

    def counts(self, scores: MaskScores, rule: MaskRule) -> ImageCounts:
        """Return the counts of the images of the scores by the rule, small parts removed."""
        small = any(least > 1 for least in rule.least_sizes)
        return rule.counts(scores, self.components(scores.role, rule) if small else None)

    def metrics(self, scores: MaskScores, rule: MaskRule) -> dict[str, Any]:
        """Return every figure of the test role under the rule, and beside it under rules that cost nothing."""
        seed = self.prepared.recipe.seed
        plain = plain_rule(self.prepared)
        distances = self.distances(scores, rule) if self._held(scores.role) else None
        found = {
            "rule": evaluate_masks(scores, rule, counts=self.counts(scores, rule), distances=distances, seed=seed),
            "half": evaluate_masks(scores, plain.decision, seed=seed),
        }
        for name, counts in trivial_counts(scores).items():
            found[name] = evaluate_masks(scores, plain.decision, counts=counts, trivial=True, seed=seed)
        return {name: table.to_dict() for name, table in found.items()}

    def stored_counts(self, scores: MaskScores, rule: MaskRule) -> dict[str, Any]:
        """Return the counts of every image by the rule, as plain JSON: folds are pooled of them."""
        counts = self.counts(scores, rule)
        names = ("overlap", "actual", "predicted", "known")
        return {
            "ids": scores.ids.tolist(),
            "classes": list(scores.classes),
            **{name: getattr(counts, name).tolist() for name in names},
        }

    def distances(self, scores: MaskScores, rule: MaskRule) -> dict[str, NDArray[np.float64]]:
        """Return how far the boundaries of the masks are from the true ones, (images, classes) by figure."""
        judge = self.of[scores.role]
        looker = judge.looker(self.model)
        found = []
        for place in range(len(judge.pairs)):
            truth, mask = judge.whole(looker, place, rule)
            found.append(
                measure_distances(rule.clean(mask), truth, exclusive=rule.exclusive, classes=len(rule.classes))
            )
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    def write_gallery(self, path: Path, rule: MaskRule, scores: MaskScores) -> None:
        """Write thumbnails of the worst and the best images of a role, with their truth and their masks."""
        if not self._held(scores.role):
            return
        judge = self.of[scores.role]
        looker = judge.looker(self.model)
        shown = []
        for place, rank, dice in chosen_images(self.counts(scores, rule), self.prepared.watched):
            truth, mask = judge.whole(looker, place, rule)
            pixels = judge.pairs.read_image(place)
            small = thumbnails(pixels, truth, rule.clean(mask), len(rule.classes), exclusive=rule.exclusive)
            shown.append({"id": judge.pairs.ids[place], "rank": rank, "dice": dice, **small})
        write_mask_gallery(path, shown, rule.classes, exclusive=rule.exclusive)


def _with_sizes(rule: MaskRule, sizes: tuple[int, ...]) -> MaskRule:
    return dataclasses.replace(rule, least_sizes=sizes)
