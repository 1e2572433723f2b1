"""Distillation: a student learns from what teachers say, besides the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from equipoise._checks import RunError, check_number, listed
from equipoise._tasks import is_exclusive
from equipoise.balance import Ledger
from equipoise.data import Batch
from equipoise.labels import Census, Labels, Split, read_split
from equipoise.models import combine_submodels
from equipoise.recipe import read_recipe
from equipoise.runs import Run
from equipoise.training.combine import natural_logits
from equipoise.training.predict import load_members

if TYPE_CHECKING:
    from equipoise.recipe import DistilSettings, ImageSettings

Teacher = Callable[[Tensor], Tensor]
"""From images as the student sees them, (b, channels, h, w), to logits at natural prevalence, (b, outputs)."""


def distillation_loss(student: Tensor, teacher: Tensor, *, temperature: float, exclusive: bool) -> Tensor:
    r"""Return how far a student is from what a teacher says, in nats per entry; lower is better, 0 is agreement.

    .. math:: T^2 \, KL\left(\sigma(t / T) \,\|\, \sigma(s / T)\right)

    of each class's sigmoid (mean over rows and classes), or of the softmax where classes exclude one another (mean over
    rows): soft grades of an ordinal task are that. The factor keeps the size of the gradient as T changes.

    Args:
        student: logits at natural prevalence, (rows,) or (rows, classes).
        teacher: the same of the teacher; no gradient flows into it.
        temperature: above 0; above 1 the targets are softer.
        exclusive: True for softmax.

    References:
        Hinton, Vinyals & Dean, 2015 (arXiv:1503.02531), section 2. Differs: a sigmoid a class for multilabel tasks; the
        teacher's entropy is taken off, so that agreement is 0.

    Example:
        >>> said = torch.tensor([[2.0, -1.0]])
        >>> distillation_loss(said, said, temperature=2.0, exclusive=False).item()
        0.0
    """
    check_number(temperature, argument="temperature", function="distillation_loss", above=0.0)
    s, t = student.float() / temperature, teacher.detach().float() / temperature
    if exclusive:
        ours, theirs = torch.log_softmax(s, dim=-1), torch.log_softmax(t, dim=-1)
        entries = (theirs.exp() * (theirs - ours)).sum(dim=-1)
    else:
        log = functional.logsigmoid
        entries = torch.sigmoid(t) * (log(t) - log(s)) + torch.sigmoid(-t) * (log(-t) - log(-s))
    return temperature**2 * entries.mean()


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Return how differently two models find the images of a batch alike; lower is better, 0 is the same.

    .. math:: \frac{1}{b^2} \lVert \tilde G_t - \tilde G_s \rVert_F^2, \quad \tilde G = \text{rows of } A A^\top
        \text{ at length 1}

    The models may have different widths: only likenesses between images are compared.

    Args:
        student: what its last layer is given, (b, width).
        teacher: the same of the teacher, (b, other width); no gradient flows into it.

    References:
        Tung & Mori, ICCV 2019, eqs. 2 to 4, of the pooled features.

    Example:
        >>> features = torch.eye(2)
        >>> similarity_loss(features, 3 * features).item()
        0.0
    """
    grams = [functional.normalize(a @ a.T, dim=1) for a in (student.float(), teacher.detach().float())]
    return (grams[1] - grams[0]).square().sum() / len(student) ** 2


@final
class RunTeacher:
    """A finished run of images as a teacher: its members' mean probability at its natural prevalence.

    Args:
        run: the run folder.
        mean: (channels,) what the student's images were shifted by. std: (channels,) and divided by.
        classes: of the student.
        device: where it runs.

    Raises:
        RunError: the run is not finished, not of images, or knows other classes.
    """

    def __init__(
        self, run: str | Path, *, mean: Sequence[float], std: Sequence[float], classes: Sequence[str], device: Any
    ) -> None:
        self.run = Run.open(run)
        self.run.require_done()
        census = Census.from_dict(self.run.read_record("census"))
        _require_classes(run, census, classes)
        self.recipe = read_recipe(self.run.file("recipe.yaml"))
        if not self.recipe.model.of_images:
            raise RunError(f"The teacher {run} is a model of tables. Teach images with a run of images.")
        self._order = [census.classes.index(name) for name in classes]
        self._task, self._ledger = census.task, Ledger.from_dict(self.run.read_record("ledger"))
        self._members = [(model.to(device).eval(), _scale(state, device)) for model, state in load_members(self.run)]
        self._mean, self._std = _column(mean, device), _column(std, device)
        self._seen = [_Penultimate(model) for model, _ in self._members]
        if self.recipe.images.channel_count != len(mean):
            raise RunError(f"The teacher {run} takes images of other channels. Set images.channels alike.")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return logits at natural prevalence, (b, outputs), for images as the student sees them."""
        pixels = images.float() * self._std + self._mean
        size = self.recipe.images.size
        if pixels.shape[-1] != size:
            pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
        raw = []
        for model, (mean, std) in self._members:
            logits = model((pixels - mean) / std)
            raw.append(logits.unsqueeze(0).float().cpu().numpy().astype(np.float64))
        natural = natural_logits(self._ledger, self._task, raw)
        found = torch.from_numpy(natural.astype(np.float32)).to(images.device)
        return found.unsqueeze(1) if found.dim() == 1 else found[:, self._order]

    def features(self) -> Tensor:
        """What the last layer of the first member was given for the images of the last call, (b, width)."""
        return self._seen[0].features


class _Penultimate:
    """Remembers what the last layer of a model was given."""

    def __init__(self, model: Any) -> None:
        self.features = torch.zeros(0)
        model.output.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.features = given[0]


def _column(values: Sequence[float], device: Any) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32, device=device).view(1, -1, 1, 1)


def _scale(state: dict[str, Any], device: Any) -> tuple[Tensor, Tensor]:
    return _column(state["mean"], device), _column(state["std"], device)


@final
class Teaching:
    """What is added to a student's loss: agreement with its teachers, on the very images that it sees.

    Args:
        teachers: at least one; their probabilities are averaged.
        settings: the `distil` part of a recipe.
        task: of the labels.
        shift: (outputs,) what the corrections in force add to the student's log-odds; it is taken off before the
            student is compared, as the teachers speak at the natural prevalence.
        student: the model that learns; needed for the term of likeness.
        rows: images in the cache, for `keep_scores`.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        settings: DistilSettings,
        *,
        task: str,
        shift: NDArray[np.float64],
        student: nn.Module,
        rows: int,
    ) -> None:
        self._teachers, self._settings, self._exclusive = list(teachers), settings, is_exclusive(task)
        self._shift = torch.from_numpy(np.asarray(shift, dtype=np.float32))
        self._kept: Tensor | None = None
        self._rows = rows
        self._student = _Penultimate(student) if settings.similarity else None

    def blend(self, loss: Tensor, logits: Tensor, batch: Batch, *, share: float) -> Tensor:
        """Return the loss with the teachers' part.

        Args:
            loss: of the labels, of a micro-batch.
            logits: of the student, (b, outputs).
            batch: the micro-batch.
            share: of the rows of the step that it holds.
        """
        settings = self._settings
        natural = logits.float() - self._shift.to(logits.device)
        said = self._said(batch)
        soft = distillation_loss(natural, said, temperature=settings.temperature, exclusive=self._exclusive)
        total = (1 - settings.weight) * loss + settings.weight * share * soft
        if self._student is not None:
            terms = [similarity_loss(self._student.features, t.features()) for t in self._with_features()]
            total = total + settings.similarity * share * torch.stack(terms).mean()
        return total

    def _with_features(self) -> list[RunTeacher]:
        return [teacher for teacher in self._teachers if isinstance(teacher, RunTeacher)]

    def _said(self, batch: Batch) -> Tensor:
        if not self._settings.keep_scores or batch.rows is None:
            return self._ask(batch.inputs[0])
        rows = batch.rows
        if self._kept is None:
            self._kept = torch.full((self._rows, len(self._shift)), torch.nan)
        lacking = self._kept[rows].isnan().any(dim=1)
        if bool(lacking.any()):
            self._kept[rows[lacking]] = self._ask(batch.inputs[0][lacking.to(batch.inputs[0].device)]).cpu()
        return self._kept[rows].to(batch.inputs[0].device)

    @torch.no_grad()
    def _ask(self, images: Tensor) -> Tensor:
        answers = torch.stack([teacher(images) for teacher in self._teachers], dim=1).double()
        mean: Tensor = combine_submodels(answers, multiclass=self._exclusive).float()
        return mean


def check_teachers(folders: Sequence[str], labels: Labels, split: Split) -> None:
    """See to it that teachers speak of the same classes, and learned from no row that the student is judged on.

    Raises:
        RunError: one knows other classes, or classes that exclude one another where the student's do not; one learned
            from rows that the student is watched or judged on, which are named; or one is no finished run.
    """
    for folder in folders:
        run = Run.open(folder)
        run.require_done()
        census = Census.from_dict(run.read_record("census"))
        _require_classes(folder, census, labels.classes)
        if is_exclusive(census.task) != is_exclusive(labels.task):
            raise RunError(
                f"The teacher {folder} learned a {census.task} task; the student's is {labels.task}, where the same "
                "scores mean something else. Teach with a run of the same task."
            )
        both = rows_learned_from(run, labels, split)
        if both:
            raise RunError(
                f"The teacher {folder} learned from {len(both):,} rows that the student is watched or judged on, such "
                f"as {listed(both, limit=3)}: every figure would be too good. Train both with one split (split.seed, "
                "split.file)."
            )


def _require_classes(teacher: str | Path, census: Census, classes: Sequence[str]) -> None:
    if set(census.classes) != set(classes):
        raise RunError(
            f"The teacher {teacher} knows {listed(census.classes)}; the student learns {listed(classes)}. Teach with a "
            "run of the same labels."
        )


def unlike_steps(folders: Sequence[str], settings: ImageSettings) -> list[str]:
    """Name the teachers that were trained on images of other steps than the student's: they see the student's.

    Args:
        folders: of finished runs.
        settings: the `images` part of the student's recipe.
    """
    told = []
    for folder in folders:
        theirs = read_recipe(Run.open(folder).file("recipe.yaml")).images
        if theirs.steps != settings.steps:
            told.append(
                f"The teacher {folder} was trained on images of other steps than the student is shown, and is asked "
                "about the student's. Its word may be worth less; give both the same images.steps."
            )
    return told


def rows_learned_from(run: Run, labels: Labels, split: Split) -> list[str]:
    """Return the ids of rows outside the train role that a finished run learned from, sorted."""
    theirs = read_split(run.file("split.csv"))
    return sorted(_ids(labels.ids, split.roles != "train") & _ids(theirs.ids, theirs.roles == "train"))


def _ids(ids: NDArray[Any], chosen: NDArray[np.bool_]) -> set[str]:
    return {str(name) for name in ids[chosen].tolist()}
