"""From a recipe to a finished run folder: prepare, train the members, score, decide and judge."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from equipoise._checks import ArgumentError, DataError, RunError
from equipoise.balance import Preflight
from equipoise.decision import fit_decision, fixed_rule, write_rule
from equipoise.evidence import evaluate
from equipoise.evidence.finding import Finding, findings_of
from equipoise.labels import write_split
from equipoise.models import model_from_dict
from equipoise.runs import Run, next_run_path
from equipoise.scores import Decisions, Scores, write_scores
from equipoise.tracking import Tracker, require_tracker
from equipoise.training._conclusion import conclude
from equipoise.training.checkpoint import write_checkpoint
from equipoise.training.combine import make_scores, measured_ledger, natural_logits
from equipoise.training.distil import Teacher, check_teachers, unlike_steps
from equipoise.training.job import Job
from equipoise.training.kept import resume_position
from equipoise.training.loop import Workers
from equipoise.training.member import MemberTraining, Trained
from equipoise.training.prepare import Prepared, prepare
from equipoise.training.telemetry import Silent, Watch

if TYPE_CHECKING:
    from equipoise.recipe import Recipe


def train(
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    watch: Watch | None = None,
    teachers: Sequence[Teacher] = (),
    threads: int = 1,
    tracker: Tracker | None = None,
) -> Run:
    """Train what a recipe asks for, fit its decision rule on the validation role and judge it on the test role.

    Killed at any instant and called again with ``resume=True``, it ends with the same weights, byte for byte on the
    CPU, as if it had not been killed.

    Args:
        recipe: see `read_recipe` and `make_recipe`.
        out: the run folder; by default the next free one under ``runs/``.
        resume: go on with the unfinished run in `out`; a finished one is returned as it is.
        overwrite: replace a run in `out`.
        watch: where progress is shown; None is silent.
        teachers: callables that teach a model of images, besides the runs of `distil.teachers`: from images as it sees
            them, (b, channels, h, w), to logits at the natural prevalence, (b, outputs).
        threads: of PyTorch, where `training.threads` is auto.
        tracker: sends the run where its recipe says, and is finished by the caller; None: finished here.

    Returns:
        The finished run.

    Raises:
        ArgumentError: a key of the recipe cannot work with this table.
        DataError: the table cannot be used.
        RunError: the run folder exists, is of a newer version, or cannot be written; or the loss became NaN.
    """
    watch = watch or Silent()
    require_tracker(recipe.tracking.kind)
    device = _device(recipe.training.device)
    workers = _join_workers(device)
    if workers.rank == 0 and out is not None:
        Run.require_free(out, resume=resume, overwrite=overwrite)
    torch.set_num_threads(threads if recipe.training.threads == "auto" else int(recipe.training.threads))
    _set_determinism(recipe.training.deterministic, compiled=recipe.training.compile)
    job = _make_job(recipe, teachers, device)
    if workers.rank == 0:
        job.announce(watch)
    run = None
    if workers.rank == 0:
        run = Run.create(out or next_run_path(recipe.name), recipe, resume=resume, overwrite=overwrite)
    folder = _shared_folder(run, workers)
    if (folder / "DONE").exists():
        return run or Run.open(folder)
    with _released(run), _tracked(run, recipe, tracker, watch), _named_nondeterminism():
        if run is not None:
            run.truncate_events(resume_position(run.path / "checkpoint", job.members) if resume else 0)
            job.begin(run)
        members = _train_members(job, folder, run, watch if workers.rank == 0 else Silent(), workers, device)
        if run is not None:
            job.finish(run, members, watch)
            for number in range(job.members):
                (run.path / "checkpoint" / f"member-{number}.safetensors").unlink(missing_ok=True)
            run.finish()
    _leave_workers(workers)
    return run or Run.open(folder)


@contextlib.contextmanager
def _released(run: Run | None) -> Iterator[None]:
    """Give the folder back however training ends: who stops it in a notebook goes on in the same process."""
    try:
        yield
    finally:
        if run is not None:
            run.close()


@contextlib.contextmanager
def _tracked(run: Run | None, recipe: Recipe, tracker: Tracker | None, watch: Watch) -> Iterator[None]:
    """Send the run while it is trained; a tracker of the caller's is finished by the caller."""
    sends = tracker or Tracker()
    if run is not None:
        sends.start(run.path, recipe.tracking.kind)
    try:
        yield
    finally:
        for sentence in () if tracker is not None else sends.finish():
            watch.say(sentence)


def _make_job(recipe: Recipe, teachers: Sequence[Teacher], device: torch.device) -> Job:
    if recipe.model.of_masks:
        from equipoise.training.mask_job import MaskJob  # needs what tables do not
        from equipoise.training.mask_prepare import prepare_masks

        return MaskJob(prepare_masks(recipe), device)
    return ScoreJob(prepare(recipe), teachers)


def _train_members(
    job: Job, folder: Path, run: Run | None, watch: Watch, workers: Workers, device: torch.device
) -> list[Any]:
    trained = []
    for number in range(job.members):
        member = job.train_member(
            number, folder=folder / "checkpoint", run=run, watch=watch, workers=workers, device=device
        )
        trained.append(member)
        _wait_for_all(workers)
    return trained


@final
class ScoreJob(Job):
    """A training of rows that get scores: of a table, or of pictures.

    Args:
        prepared: what is trained on.
        teachers: callables that teach besides the runs that the recipe names.
    """

    def __init__(self, prepared: Prepared, teachers: Sequence[Teacher] = ()) -> None:
        self.prepared, self.teachers = prepared, tuple(teachers)
        self.members = len(prepared.members)
        self._found: Preflight | None = None

    def announce(self, watch: Watch) -> None:
        """Say what will be trained, build the cache of images, look for leaks, and run the pre-flight."""
        prepared = self.prepared
        recipe = prepared.recipe
        if recipe.distil.teachers:
            check_teachers(recipe.distil.teachers, prepared.labels, prepared.split)
        _announce(prepared, watch)
        prepared.inputs.make_ready(watch)
        for sentence in [*prepared.inputs.warnings(), *unlike_steps(recipe.distil.teachers, recipe.images)]:
            watch.say(f"Warning: {sentence}")
        self._found = prepared.preflight()
        _announce_preflight(prepared, self._found, watch)

    def begin(self, run: Run) -> None:
        """Write the census, the weights, the plan, the pre-flight, the ledger and the split."""
        _begin(run, self.prepared, self._found or self.prepared.preflight())

    def train_member(
        self, number: int, *, folder: Path, run: Run | None, watch: Watch, workers: Workers, device: torch.device
    ) -> Trained:
        """Train a member, or read it where it was finished before."""
        member = MemberTraining(
            self.prepared,
            number,
            folder=folder,
            run=run,
            watch=watch,
            workers=workers,
            device=device,
            teachers=self.teachers,
        )
        return member.result()

    def finish(self, run: Run, trained: Sequence[Trained], watch: Watch) -> None:
        """Write the model, the scores, the rule and the metrics."""
        _finish(run, self.prepared, trained, watch)


def _begin(run: Run, prepared: Prepared, found: Preflight) -> None:
    """Write what is known before the first step."""
    run.write_record("census", prepared.census)
    run.write_record("weights", prepared.weights.to_dict() if prepared.weights is not None else None)
    run.write_record("plan", prepared.plan.to_dict() if prepared.plan is not None else None)
    run.write_record("preflight", found)
    run.write_record("ledger", prepared.ledger)
    write_split(prepared.split, run.file("split.csv"))


def _finish(run: Run, prepared: Prepared, members: Sequence[Trained], watch: Watch) -> None:
    """Write the model, the scores, the rule and the metrics."""
    tensors = {
        f"members.{number}.{name}": tensor
        for number, member in enumerate(members)
        for name, tensor in member.weights.items()
    }
    write_checkpoint(run.file("model.safetensors"), tensors, {"members": len(members)})
    run.write_record("model", {"members": [dict(member.model) for member in members]})
    run.write_record("columns", {"members": [dict(member.inputs) for member in members]})
    prepared = measured(prepared, members)
    run.write_record("ledger", prepared.ledger)
    validation, test = _validation_scores(prepared, members), _test_scores(prepared, members)
    write_scores(validation, run.scores_file("validation"))
    decision = prepared.recipe.decision
    rule = fit_decision(
        validation,
        maximize=decision.maximize,
        method=decision.method,
        empty="never",
        calibrate=decision.calibration,
    )
    write_rule(rule, run.file("decision.json"))
    _write_findings(run, conclude(validation, rule.apply(validation), run.events(), prepared.recipe), watch)
    metrics: dict[str, Any] = {}
    if test is not None:
        write_scores(test, run.scores_file("test"))
        commonest = int(np.argmax(prepared.training_census.positives))
        metrics = judge(test, rule, commonest=commonest, seed=prepared.recipe.seed)
    run.write_record("metrics", metrics)
    if prepared.recipe.model.of_images and prepared.recipe.images.gallery:
        try:
            _write_gallery(run, prepared, members[0], rule.apply(validation if test is None else test).scores)
        except DataError as error:  # an image is gone since it was cached: no reason to lose a training
            watch.say(f"No thumbnails were kept: {error}")


def _write_gallery(run: Run, prepared: Prepared, member: Trained, scores: Scores) -> None:
    from equipoise.training.gallery import write_gallery

    fitted = prepared.inputs.restore(member.inputs)
    model = model_from_dict(dict(member.model))
    model.load_state_dict(dict(member.weights))
    write_gallery(run.file("gallery.npz"), prepared.inputs, fitted.rows(), scores, model.eval())  # type: ignore[arg-type]


def _write_findings(run: Run, found: Sequence[Finding], watch: Watch) -> None:
    """Store what the guard says of the kept models, and show what was not shown before."""
    shown = {finding.subject for finding in findings_of(run.events())}
    run.append_event({"event": "conclusion", "findings": [finding.to_dict() for finding in found]})
    for finding in found:
        if finding.subject not in shown:
            watch.say(finding.text)


def write_finished(run: Run, prepared: Prepared, members: Sequence[Trained]) -> None:
    """Write everything of a run whose members were made elsewhere, judged like any, and mark it finished."""
    run.truncate_events(0)
    _begin(run, prepared, prepared.preflight())
    _finish(run, prepared, members, Silent())
    run.finish()


def judge(test: Scores, rule: Any, *, commonest: int = 0, seed: int = 0) -> dict[str, Any]:
    """Return every metric of the test role under the rule, and beside it under the rules that cost nothing.

    Args:
        test: scores of the test role.
        rule: as fitted on the validation role.
        commonest: of classes of which one is always true, the index of the commonest among the rows learned from.
        seed: of the intervals.

    Returns:
        ``rule`` (as fitted), ``half`` (its probabilities cut at 0.5; for one-of-many tasks the most likely class) and
        ``never`` (always no, or always the commonest class).
    """
    found = {"rule": evaluate(test, rule, seed=seed).to_dict()}
    if not test.exclusive or getattr(rule, "class_offsets", None) is not None:
        plain = fixed_rule(test, thresholds=None if test.exclusive else 0.5)
        found["half"] = evaluate(rule.apply(test).scores, plain, seed=seed).to_dict()
    found["never"] = evaluate(test, Always(commonest if test.exclusive else 0), seed=seed).to_dict()
    return found


class Always:
    """The rule of one answer for everything: no (0), or, where one class is always true, the index of a class."""

    constant = True

    def __init__(self, answer: int) -> None:
        self._answer = answer

    def apply(self, scores: Scores) -> Decisions:
        """Return the same answer for every row."""
        shape = scores.labels.shape
        return Decisions(scores, np.full(shape, self._answer, dtype=np.int64 if scores.exclusive else np.int8))


def measured(prepared: Prepared, members: Sequence[Trained]) -> Prepared:
    """Return what was prepared, with the ledger as measured on the rows that members were watched on."""
    truth = [prepared.labels.select(member.validation).table() for member in prepared.members]
    ledger = measured_ledger(prepared.ledger, [member.validation for member in members], truth)
    return dataclasses.replace(prepared, ledger=ledger)


def _validation_scores(prepared: Prepared, members: Sequence[Trained]) -> Scores:
    """Every row that some member was watched on, scored by that member."""
    rows = np.concatenate([member.validation for member in prepared.members])
    task, ledger = prepared.labels.task, prepared.ledger
    values = np.concatenate([natural_logits(ledger, task, [member.validation]) for member in members])
    order = np.argsort(rows, kind="stable")
    return make_scores(prepared, rows[order], values[order], role="validation")


def _test_scores(prepared: Prepared, members: Sequence[Trained]) -> Scores | None:
    if not len(prepared.test):
        return None
    values = natural_logits(prepared.ledger, prepared.labels.task, [member.test for member in members])
    return make_scores(prepared, prepared.test, values, role="test")


def _announce(prepared: Prepared, watch: Watch) -> None:
    """Say what will be trained, on what, and what is doubtful about it."""
    for sentence in (*prepared.notes, *prepared.inputs.notes(), *prepared.sentences()):
        watch.say(sentence)
    watch.say(prepared.make_loss().describe())
    said = prepared.ledger.sentences()
    for sentence in said if prepared.ledger.corrections else said[-1:]:
        watch.say(sentence)
    for sentence in prepared.ledger.warnings():
        watch.say(f"Warning: {sentence}")


def _announce_preflight(prepared: Prepared, found: Preflight, watch: Watch) -> None:
    for failure in found.failures:
        watch.say(f"Warning: {failure}")
    if prepared.plan is not None:
        for sentence in (*prepared.plan.notes, *found.sentences()):
            watch.say(sentence)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("training.device is cuda, but PyTorch sees no GPU here. Set training.device: auto.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if here > gpus:
        raise ArgumentError(
            f"torchrun started {here} processes on a machine with {gpus} GPU{'' if gpus == 1 else 's'}, and each needs "
            f"one of its own. Use --nproc-per-node {gpus}, or set training.device: cpu."
        )
    return torch.device(name, int(os.environ.get("LOCAL_RANK", "0")))


def _set_determinism(wanted: bool, *, compiled: bool) -> None:
    """Let PyTorch use algorithms only that give the same bytes every time, or any.

    `use_deterministic_algorithms` says it to the compiler as well, whose import takes seconds.
    """
    if compiled:
        torch.use_deterministic_algorithms(wanted)
    else:
        torch.set_deterministic_debug_mode("error" if wanted else "default")
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when the first GPU is used


@contextlib.contextmanager
def _named_nondeterminism() -> Iterator[None]:
    """Say which key to set where a model needs what PyTorch has no deterministic algorithm for."""
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"(\w+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise RunError(
            f"PyTorch has no algorithm for {found[1]} on this device that gives the same bytes every time. Set "
            "training.deterministic: false; the run is then repeated only nearly."
        ) from error


# -- several processes under torchrun --------------------------------------------------------------------------------


def _join_workers(device: torch.device) -> Workers:
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Workers()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Workers(torch.distributed.get_rank(), torch.distributed.get_world_size())


def _shared_folder(run: Run | None, workers: Workers) -> Path:
    if workers.count == 1:
        assert run is not None
        return run.path
    shared: list[Any] = [str(run.path) if run is not None else None]
    torch.distributed.broadcast_object_list(shared, src=0)
    if shared[0] is None:
        raise RunError("The first process could not make the run folder. See its message.")
    return Path(shared[0])


def _wait_for_all(workers: Workers) -> None:
    if workers.count > 1:
        torch.distributed.barrier()


def _leave_workers(workers: Workers) -> None:
    if workers.count > 1:
        torch.distributed.destroy_process_group()
