"""Training one model of masks: patches to learn from, whole images to watch, a checkpoint to go on from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._checks import RunError
from equipoise.data import MaskPatches, PixelScale, index_locations, make_mask_augmenter
from equipoise.losses import MaskLoss
from equipoise.models import MaskModel, make_mask_model
from equipoise.training.checkpoint import read_checkpoint, write_checkpoint
from equipoise.training.kept import KeptTraining
from equipoise.training.loop import Fit, Phase, Workers
from equipoise.training.mask_guard import MaskGuard
from equipoise.training.mask_prepare import CACHE, MaskPrepared
from equipoise.training.mask_rows import PatchRows
from equipoise.training.mask_validation import MaskValidation, Validated

if TYPE_CHECKING:
    from equipoise.data import Rows
    from equipoise.runs import Run
    from equipoise.training.telemetry import Watch


@dataclass(frozen=True, eq=False)
class TrainedMasks:
    """A finished model of masks.

    Attributes:
        weights: of its best epoch, by name.
        model: what makes it again, `model_from_dict`.
        scale: of the pixels, `PixelScale.to_dict`.
        best_epoch: from 1. best_value: the watched metric there.
        events: size of the event log when it was finished.
        guard: what the guard remembers, `MaskGuard.state`.
    """

    weights: Mapping[str, Tensor]
    model: Mapping[str, Any]
    scale: Mapping[str, Any]
    best_epoch: int
    best_value: float
    events: int
    guard: Mapping[str, Any]


@final
class MaskTraining(KeptTraining):
    """Trains the model of a run of masks, resumably, and tells the run and the watcher about it.

    Args:
        prepared: what is trained on.
        folder: of the checkpoints.
        run: where events go; None in all processes but the first.
        watch: what a person sees.
        workers: how many processes share the work.
        device: where it is trained.
    """

    def __init__(
        self,
        prepared: MaskPrepared,
        *,
        folder: Path,
        run: Run | None,
        watch: Watch,
        workers: Workers,
        device: torch.device,
    ) -> None:
        super().__init__(prepared.recipe, 0, 1, folder=folder, run=run, watch=watch, workers=workers, device=device)
        self.prepared = prepared
        self.guard = make_guard(prepared)
        self.loss: MaskLoss = prepared.loss.to(device)
        self._weights_hash = weights_hash(self.loss)
        self._seen: Validated | None = None

    @property
    def watcher(self) -> MaskGuard:
        """The guard of masks."""
        return self.guard

    def result(self) -> TrainedMasks:
        """Return the finished model: read when it was finished before, resumed when it was cut, else trained."""
        if self.finished_file.exists():
            return self._read_finished()
        prepared = self.prepared
        scale = prepared.scale
        model = make_model(prepared, self.seed).to(self.device)
        if self.settings.channels_last:
            model = model.to(memory_format=torch.channels_last)
        fit = self._fit(model, self._rows(scale).to(self.device))
        validation = MaskValidation(prepared, scale, prepared.validation, role="validation", device=self.device)
        self.begin(fit)
        fit.run(self._judge, self._report, self.after_step, validate=validation)
        self.watch.end(self.outcome(fit))
        self._conclude(fit)
        trained = TrainedMasks(
            weights={name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()},
            model=model.to_dict(),
            scale=scale.to_dict(),
            best_epoch=fit.progress.best_epoch,
            best_value=fit.progress.best_value,
            events=0 if self.run is None else self.run.events_position(),
            guard=self.guard.state(),
        )
        if self.run is not None:
            self._write_finished(trained)
        return trained

    def _rows(self, scale: PixelScale) -> PatchRows:
        prepared, images = self.prepared, self.prepared.recipe.images
        pairs = prepared.pairs.take(prepared.train)
        augmenter = make_mask_augmenter(images.augment, modality=images.modality, seed=self.seed, flip=images.flip)
        patches = MaskPatches(
            pairs,
            index_locations(pairs, cache=CACHE, seed=prepared.recipe.seed),
            patch_size=prepared.patch_size,
            scale=scale,
            seed=self.seed,
            augmenter=None if images.augment == "none" else augmenter,
        )
        return PatchRows.of_epoch(patches, prepared.stream(self.seed))

    def _fit(self, model: MaskModel, rows: Rows) -> Fit:
        draws = torch.arange(len(rows))
        supervised = bool(self.prepared.recipe.model.deep_supervision)
        return Fit(
            model,
            [Phase(_LossOfHeads(self.loss) if supervised else self.loss, lambda _: draws)],
            rows,
            rows,
            self.settings,
            batch_size=self.prepared.batch_size,
            seed=self.seed,
            higher_is_better=True,
            workers=self.workers,
            trained=_AllHeads(model) if supervised else None,
        )

    # -- watching --------------------------------------------------------------------------------------------------

    def _judge(self, seen: Validated, epoch: int) -> float:
        """Return the mean over the classes of the pooled Dice (or IoU), each at its best threshold on these images."""
        del epoch
        self._seen = seen
        values = seen.best_dice(self.prepared.watched)
        if self.settings.monitor == "iou":
            values = values / (2.0 - values)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")

    def _report(self, fit: Fit, mean_loss: float) -> None:
        assert self._seen is not None
        self._check_weights(fit)
        prepared = self.prepared
        best = np.full(len(prepared.classes), np.nan)
        best[list(prepared.watched)] = self._seen.best_dice(prepared.watched)
        seen = self.guard.look(
            self._seen.tally,
            epoch=fit.progress.epoch,
            best_dice=best,
            monitored=fit.progress.last_value,
            training_loss=mean_loss,
        )
        shares = [
            f"{prepared.classes[place]} {100 * seen.tally.predicted_share[place]:.3g} % of "
            f"{100 * seen.tally.true_share[place]:.3g} %"
            for place in prepared.watched[:3]
        ]
        self.tell_epoch(fit, mean_loss, seen.to_dict() | {"weights_hash": self._weights_hash}, ", ".join(shares))

    def _check_weights(self, fit: Fit) -> None:
        """Raise where the class weights are no longer those that the training began with."""
        now = weights_hash(self.loss)
        if now != self._weights_hash:
            raise RunError(
                f"The class weights changed in epoch {fit.progress.epoch} (hash {now}, before {self._weights_hash}). "
                "Nothing may touch them while a model trains: take out what did, and train again."
            )

    def _conclude(self, fit: Fit) -> None:
        ran_out = fit.progress.epoch >= self.settings.epochs and not fit.progress.stopped
        found = self.guard.end(epoch=fit.progress.epoch, ran_out=ran_out)
        self.tell(found)
        if self.run is not None:
            self.run.append_event(
                {
                    "event": "member",
                    "member": 0,
                    "epochs": fit.progress.epoch,
                    "best_epoch": fit.progress.best_epoch,
                    "ended_by": self.ended_by(fit),
                    "findings": [finding.to_dict() for finding in found],
                }
            )

    # -- the finished model ----------------------------------------------------------------------------------------

    def _write_finished(self, trained: TrainedMasks) -> None:
        record = {name: value for name, value in vars(trained).items() if name != "weights"}
        write_checkpoint(self.finished_file, trained.weights, record)

    def _read_finished(self) -> TrainedMasks:
        tensors, record = read_checkpoint(self.finished_file)
        try:
            return TrainedMasks(weights=tensors, **record)
        except TypeError as error:
            raise RunError(f"{self.finished_file} is damaged ({error}). Start again with --overwrite.") from error


@final
class _AllHeads(nn.Module):
    """A model that answers with its coarser outputs too, for deep supervision."""

    def __init__(self, model: MaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return (images, heads, outputs, ...)."""
        found: Tensor = self.model.heads(images)
        return found


@final
class _LossOfHeads(nn.Module):
    """The loss of all outputs of deep supervision: `MaskLoss.of_heads`."""

    def __init__(self, loss: MaskLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, labels: Tensor, *, normaliser: float) -> Tensor:
        """Return the loss; logits are (images, heads, outputs, ...)."""
        found: Tensor = self.loss.of_heads(logits, labels, normaliser=normaliser)
        return found


def make_model(prepared: MaskPrepared, seed: int) -> MaskModel:
    """Return the model of a training of masks, with its first weights.

    Raises:
        ArgumentError: the model cannot take patches of this size.
    """
    settings = prepared.recipe.model
    return make_mask_model(
        settings.name,
        channels=prepared.channels(),
        n_outputs=len(prepared.classes),
        patch_size=prepared.patch_size,
        spacing=prepared.spacing,
        multiclass=prepared.exclusive,
        seed=seed,
        prior=prepared.prior,
        initial_bias=settings.initial_bias,
        pretrained=settings.pretrained,
        **({"deep_supervision": False} if settings.name == "unet" else {}) | settings.settings,
    )


def make_guard(prepared: MaskPrepared) -> MaskGuard:
    """Return the guard of a training of masks."""
    return MaskGuard(
        prepared.classes,
        prepared.watched,
        np.asarray(prepared.training_census.prevalence),
        np.asarray(prepared.weighted_shares),
        prepared.recipe,
        ids=[prepared.pairs.ids[int(place)] for place in prepared.validation],
    )


def weights_hash(loss: MaskLoss) -> str:
    """Return a short hash of every number that the loss weighs classes with."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in sorted(loss.named_buffers()):
        digest.update(name.encode() + tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()
