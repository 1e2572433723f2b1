"""Training one member of a run: build it, fit it, keep a checkpoint, and score the rows it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._checks import RunError
from equipoise.data import Rows
from equipoise.decision import higher_is_better, monitor_value
from equipoise.models import Model
from equipoise.scores import Scores
from equipoise.training._conclusion import learned_areas, learned_record, training_sample
from equipoise.training._gradient import positive_gradient
from equipoise.training.checkpoint import read_checkpoint, write_checkpoint
from equipoise.training.combine import make_scores, measured_ledger, natural_logits
from equipoise.training.guard import Guard
from equipoise.training.inputs import FittedInputs, ModelRequest
from equipoise.training.kept import KeptTraining
from equipoise.training.loop import Fit, Logits, Phase, Workers, predict_logits

if TYPE_CHECKING:
    from equipoise.runs import Run
    from equipoise.training.distil import Teacher
    from equipoise.training.prepare import Member, Prepared
    from equipoise.training.telemetry import Watch


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished member.

    Attributes:
        weights: of its best epoch, by name.
        model: what makes it again, `model_from_dict`.
        inputs: what was fitted on its training rows, `FittedInputs.to_dict`.
        validation: raw logits (submodels, rows, outputs) of its validation rows. test: of the test rows.
        best_epoch: from 1. best_value: the watched metric there.
        events: size of the event log when it was finished.
    """

    weights: Mapping[str, Tensor]
    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    validation: Logits
    test: Logits
    best_epoch: int
    best_value: float
    events: int


@final
class MemberTraining(KeptTraining):
    """Trains one member, resumably, and tells the run and the watcher about it.

    Args:
        prepared: what is trained on. number: which member, from 0.
        folder: of the checkpoints. run: where events go; None in all processes but the first.
        watch: what a person sees. workers: how many processes share the work.
        start: changes the fresh model of a member before its first step, such as to take over and freeze layers.
        teachers: callables that teach besides the runs that the recipe names.
    """

    def __init__(
        self,
        prepared: Prepared,
        number: int,
        *,
        folder: Path,
        run: Run | None,
        watch: Watch,
        workers: Workers,
        device: torch.device,
        start: Callable[[Model, int], None] | None = None,
        teachers: Sequence[Teacher] = (),
    ) -> None:
        super().__init__(
            prepared.recipe,
            number,
            len(prepared.members),
            folder=folder,
            run=run,
            watch=watch,
            workers=workers,
            device=device,
        )
        self.given_teachers = tuple(teachers)
        self.start, self.prepared = start, prepared
        self.rows: Member = prepared.members[number]
        self._scores: Scores | None = None
        self._gradient: NDArray[np.float64] | None = None
        self._watched = prepared.labels.select(self.rows.validation)
        self._truth = self._watched.table()
        self.guard = Guard(prepared.labels.classes, prepared.recipe, member=number)

    @property
    def watcher(self) -> Guard:
        """The guard."""
        return self.guard

    # -- the whole of it -------------------------------------------------------------------------------------------

    def result(self) -> Trained:
        """Return the finished member: read when it was finished before, resumed when it was cut, else trained."""
        if self.finished_file.exists():
            return self._read_finished()
        inputs = self.prepared.inputs.fit(self.rows.train)
        table = inputs.rows()
        model = self._make_model(inputs)
        if self.start is not None:
            self.start(model, self.number)
        model = model.to(self.device)
        if self.settings.channels_last:
            model = model.to(memory_format=torch.channels_last)
        fit = self._fit(model, table, self._teachers(inputs))
        self.begin(fit)
        fit.run(self._judge, self._report, self.after_step)
        self.watch.end(self.outcome(fit))
        self._conclude(fit)
        test = table.take(torch.from_numpy(self.prepared.test)).to(self.device)
        trained = Trained(
            weights={name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()},
            model=model.to_dict(),
            inputs=inputs.to_dict(),
            validation=predict_logits(model, fit.validation_rows, self.settings.precision),
            test=predict_logits(model, test, self.settings.precision),
            best_epoch=fit.progress.best_epoch,
            best_value=fit.progress.best_value,
            events=0 if self.run is None else self.run.events_position(),
        )
        if self.run is not None:
            self._write_finished(trained)
        return trained

    def _teachers(self, inputs: FittedInputs) -> list[Teacher]:
        """The teachers that the recipe names, and those that were given."""
        settings = self.prepared.recipe.distil
        if not settings.teachers:
            return list(self.given_teachers)
        from equipoise.training.distil import RunTeacher

        scale = inputs.to_dict()
        classes = self.prepared.labels.classes
        made = [
            RunTeacher(folder, mean=scale["mean"], std=scale["std"], classes=classes, device=self.device)
            for folder in settings.teachers
        ]
        return [*made, *self.given_teachers]

    def _taught(self, phases: list[Phase], model: Model, teachers: list[Teacher]) -> list[Phase]:
        if not teachers:
            return phases
        from equipoise.training.distil import Teaching

        prepared = self.prepared
        return [
            replace(
                phase,
                teaching=Teaching(
                    teachers,
                    prepared.recipe.distil,
                    task=prepared.labels.task,
                    shift=prepared.ledger.at_epoch(phase.from_epoch).log_odds_shift,
                    student=model,
                    rows=len(prepared.labels),
                ),
            )
            for phase in phases
        ]

    def _fit(self, model: Model, table: Rows, teachers: list[Teacher]) -> Fit:
        return Fit(
            model,
            self._taught(self._phases(), model, teachers),
            table.take(torch.from_numpy(self.rows.train)).to(self.device),
            table.take(torch.from_numpy(self.rows.validation)).to(self.device),
            self.settings,
            batch_size=self.prepared.batch_size(self.rows),
            seed=self.seed,
            higher_is_better=higher_is_better(self.settings.monitor),
            workers=self.workers,
        )

    def _phases(self) -> list[Phase]:
        """The corrected training; before `balance.schedule.from_epoch` a plain one."""
        prepared, schedule = self.prepared, self.prepared.recipe.balance.schedule
        stream = prepared.stream(self.rows, self.seed)
        order = None if stream is None else lambda epoch: torch.from_numpy(stream.indices(epoch))
        first = 1 if schedule is None else schedule.from_epoch
        plan = prepared.member_plan(self.rows)
        weights = None
        if plan is not None and plan.stabilised is not None:
            weights = torch.from_numpy(plan.entry_weights).to(self.device)
        corrected = Phase(prepared.make_loss().to(self.device), order, first, weights)
        return [corrected] if first == 1 else [Phase(prepared.make_plain_loss().to(self.device)), corrected]

    def _make_model(self, inputs: FittedInputs) -> Model:
        ledger = self.prepared.starting_ledger
        request = ModelRequest(
            outputs=ledger.outputs,
            multiclass=self.prepared.exclusive and ledger.one_a_class,
            prior=ledger.starting_scores(self.prepared.prior),
            seed=self.seed,
            train=self.rows.train,
        )
        return inputs.make_model(self.prepared.recipe, request)

    # -- watching --------------------------------------------------------------------------------------------------

    def _judge(self, logits: Logits, epoch: int) -> float:
        ledger = measured_ledger(self.prepared.ledger.at_epoch(epoch), [logits], [self._truth])
        values = natural_logits(ledger, self.prepared.labels.task, [logits])
        self._scores = make_scores(self.prepared, self.rows.validation, values, role="validation")
        self._gradient = positive_gradient(logits, self._watched, *self.prepared.loss_at(epoch))
        return monitor_value(self.settings.monitor, self._scores)

    def _report(self, fit: Fit, mean_loss: float) -> None:
        assert self._scores is not None
        seen = self.guard.look(
            self._scores,
            epoch=fit.progress.epoch,
            monitored=fit.progress.last_value,
            training_loss=mean_loss,
            gradient=self._gradient,
        )
        self.tell_epoch(fit, mean_loss, seen.to_dict(), f"says yes to {100 * seen.overall_rate:.1f} %")

    def _conclude(self, fit: Fit) -> None:
        """Record what is known only now: how the member does on rows it learned from, and whether it ended too soon."""
        ran_out = fit.progress.epoch >= self.settings.epochs and not fit.progress.stopped
        found = self.guard.conclude(epoch=fit.progress.epoch, ran_out=ran_out)
        self.tell(found)
        if self.run is None:
            return
        index, even = training_sample(self.prepared.labels.select(self.rows.train).table())
        logits = predict_logits(fit.model, fit.train_rows.take(torch.from_numpy(index)), self.settings.precision)
        values = natural_logits(self.prepared.ledger, self.prepared.labels.task, [logits])
        scores = make_scores(self.prepared, self.rows.train[index], values, role="train")
        self.run.append_event(
            {
                "event": "member",
                "member": self.number,
                "epochs": fit.progress.epoch,
                "best_epoch": fit.progress.best_epoch,
                "ended_by": self.ended_by(fit),
                "training": learned_record(learned_areas(scores, even)),
                "findings": [finding.to_dict() for finding in found],
            }
        )

    # -- the finished member ---------------------------------------------------------------------------------------

    def _write_finished(self, trained: Trained) -> None:
        tensors = {f"weights.{name}": tensor for name, tensor in trained.weights.items()}
        tensors["validation"] = torch.from_numpy(trained.validation)
        tensors["test"] = torch.from_numpy(trained.test)
        record = {
            "model": dict(trained.model),
            "inputs": dict(trained.inputs),
            "best_epoch": trained.best_epoch,
            "best_value": trained.best_value,
            "events": trained.events,
        }
        write_checkpoint(self.finished_file, tensors, record)

    def _read_finished(self) -> Trained:
        tensors, record = read_checkpoint(self.finished_file)
        try:
            return Trained(
                weights={n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")},
                model=record["model"],
                inputs=record["inputs"],
                validation=tensors["validation"].numpy(),
                test=tensors["test"].numpy(),
                best_epoch=record["best_epoch"],
                best_value=record["best_value"],
                events=record["events"],
            )
        except KeyError as error:
            raise RunError(f"{self.finished_file} lacks {error}. Start again with --overwrite.") from error
