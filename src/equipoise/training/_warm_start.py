"""Starting a model from the weights of a finished run of the same model, whatever it was weighted or drawn by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._checks import ArgumentError, RunError, listed
from equipoise._image_models import PRETRAINED
from equipoise.labels import Census
from equipoise.runs import Run
from equipoise.training.distil import rows_learned_from

if TYPE_CHECKING:
    from equipoise.labels import Labels, Split
    from equipoise.models import Model

_OF_THE_FUNCTION = ("heads", "features")  # settings that change what weights mean; dropout does not


def run_of_weights(pretrained: str) -> Path | None:
    """Return the run folder that `model.pretrained` names, or None: it is none, imagenet, or a file of weights."""
    path = Path(pretrained)
    return path if pretrained not in PRETRAINED and path.is_dir() else None


def check_start(folder: Path, labels: Labels, split: Split) -> None:
    """See to it that a run is finished, of the same classes, and did not learn from rows that are judged on now.

    Raises:
        ArgumentError: its classes are others.
        RunError: it is no finished run, or learned from rows of the validation or test role; the message names some.
    """
    run = Run.open(folder)
    run.require_done()
    theirs = Census.from_dict(run.read_record("census")).classes
    if theirs != labels.classes:
        raise ArgumentError(
            f"model.pretrained: {folder} was trained on the classes {listed(theirs)}; this recipe has "
            f"{listed(labels.classes)}. Give a run of the same classes, or the weights of a backbone as a file."
        )
    both = rows_learned_from(run, labels, split)
    if both:
        raise RunError(
            f"model.pretrained: {folder} learned from {len(both):,} rows that this run is watched or judged on, such "
            f"as {listed(both, limit=3)}: every figure would be too good. Train both with one split (split.seed, "
            "split.file)."
        )


def start_from(model: Model, folder: Path) -> None:
    """Give a new model all weights of a finished run, those of the last layer included.

    Class weights and sampling are no part of a model's state, so a run without them can start one with them and the
    other way round.

    Raises:
        ArgumentError: the run has another model, or several members.
    """
    from equipoise.training.predict import load_members

    members = load_members(Run.open(folder))
    if len(members) > 1:
        raise ArgumentError(
            f"model.pretrained: {folder} has {len(members)} members, of which none is the model. Give a run with "
            "training.members: 1."
        )
    other = members[0][0]
    ours, theirs = _described(model), _described(other)
    differing = ", ".join(
        f"{key} {theirs.get(key)} and not {ours.get(key)}" for key in ours if ours[key] != theirs.get(key)
    )
    if differing:
        raise ArgumentError(
            f"model.pretrained: {folder} is a run of another model: {differing}. Give a run of "
            "the same model and the same kind of loss, or the weights of a backbone as a file."
        )
    model.load_state_dict(other.state_dict())


def _described(model: Model) -> dict[str, Any]:
    known = model.to_dict()
    settings = {key: known["settings"].get(key) for key in _OF_THE_FUNCTION}
    return {key: known.get(key) for key in ("name", "channels", "n_outputs")} | settings
