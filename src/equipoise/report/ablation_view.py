"""What the folder of an ablation says, as a record. Read without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._checks import DataError, EquipoiseError, RunError, listed
from equipoise._files import read_json
from equipoise._yaml import read_yaml

if TYPE_CHECKING:
    from equipoise.report.mask_view import MaskView
    from equipoise.report.view import RunView

ABOUT = "ablation.json"
MATRIX = "matrix.yaml"
STATUS = "status.jsonl"
FORMAT = "equipoise ablation"
VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class AblationView:
    """The records of an ablation: arms x seeds (x folds), each cell a run folder.

    Attributes:
        path: the folder.
        about: ``ablation.json``: arms, what differs, seeds, folds, cells.
        views: by the id of the cell, its finished run; None while it is missing, unfinished, failed or was changed.
        status: by the id of the cell, ``finished``, ``failed``, ``dropped``, ``lost``, ``started``, ``changed`` or
            ``waiting``.
        messages: by the id of the cell, why it failed, was dropped or lost.
        events: of ``status.jsonl``, in order.
        verdict: ``verdict.json``, from rows of the validation role, or None.
        test_verdict: ``verdict-test.json``, from rows of the test role, or None while the test scores are closed.
        log: what a person says: ``why`` and ``decision``.
    """

    path: Path
    about: Mapping[str, Any]
    views: Mapping[str, RunView | MaskView | None]
    status: Mapping[str, str]
    messages: Mapping[str, str]
    events: tuple[Mapping[str, Any], ...]
    verdict: Mapping[str, Any] | None
    test_verdict: Mapping[str, Any] | None
    log: Mapping[str, str]

    @classmethod
    def read(cls, path: str | Path) -> AblationView:
        """Read an ablation, finished or not; cells that cannot be used are None, and `problems` says why.

        Args:
            path: the folder.

        Raises:
            RunError: it is no folder of an ablation, or a newer version made it.
            DataError: a file is damaged.
        """
        path = Path(path)
        about = read_about(path)
        events = tuple(read_status(path))
        views: dict[str, RunView | MaskView | None] = {}
        status, messages = _told(events)
        for cell in about["cells"]:
            name = cell["id"]
            views[name], state, said = _view(path / cell["folder"], status.get(name, "waiting"))
            status[name] = state
            if said:
                messages[name] = said
        shown = {cell["id"] for cell in about["cells"]}
        return cls(
            path=path,
            about=about,
            views=views,
            status={name: state for name, state in status.items() if name in shown},
            messages={name: text for name, text in messages.items() if name in shown},
            events=events,
            verdict=_if_there(path / "verdict.json"),
            test_verdict=_if_there(path / "verdict-test.json"),
            log=_log(path / MATRIX),
        )

    @property
    def name(self) -> str:
        """The name of the ablation."""
        return str(self.about["name"])

    @property
    def reference(self) -> str:
        """The arm that every other is compared with."""
        return str(self.about["reference"])

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in order."""
        return tuple(str(arm["name"]) for arm in self.about["arms"])

    @property
    def finished(self) -> bool:
        """Whether every cell is finished."""
        return all(view is not None for view in self.views.values())

    def cells_of(self, arm: str) -> list[Mapping[str, Any]]:
        """Return the cells of an arm, in order of seed and fold."""
        return [cell for cell in self.about["cells"] if cell["arm"] == arm]

    def runs_of(self, arm: str) -> list[RunView | MaskView]:
        """Return the finished runs of an arm, in order of seed and fold."""
        found = [self.views[cell["id"]] for cell in self.cells_of(arm)]
        return [view for view in found if view is not None]

    def versions(self) -> tuple[str, ...]:
        """Return the versions of Equipoise that the finished cells were made by, sorted."""
        folders = [self.path / cell["folder"] for cell in self.about["cells"] if self.views[cell["id"]] is not None]
        return tuple(sorted({str(read_json(folder / "run.json").get("equipoise", "?")) for folder in folders}))

    def problems(self) -> list[str]:
        """Return one sentence for each reason not to compare all arms on all cells; empty when there is none."""
        said = []
        for state, words in _SAID.items():
            names = [name for name, found in self.status.items() if found == state]
            if names:
                reason = self.messages.get(names[0], "")
                said.append(f"{_counted(len(names))} {words}: {listed(names)}.{f' {reason}' if reason else ''}")
        versions = self.versions()
        if len(versions) > 1:
            said.append(
                f"The cells were made by different versions of Equipoise ({', '.join(versions)}), whose training may "
                "differ. Run it again with --overwrite to make all by one."
            )
        return said


_SAID = {
    "waiting": "not trained yet",
    "started": "not finished",
    "failed": "failed",
    "lost": "lost with the machine that trained it",
    "dropped": "dropped early to save time",
    "changed": "changed after it was finished and left out",
}


def _counted(count: int) -> str:
    return "1 cell is" if count == 1 else f"{count} cells are"


def is_ablation(path: str | Path) -> bool:
    """Return whether a folder is that of an ablation."""
    return (Path(path) / ABOUT).is_file()


def read_about(path: Path) -> dict[str, Any]:
    """Return ``ablation.json`` of a folder.

    Raises:
        RunError: it is no folder of an ablation, or a newer version made it.
        DataError: the file is damaged.
    """
    if not is_ablation(path):
        raise RunError(f"{path} is no folder of an ablation: it has no {ABOUT}. Make one with: equipoise ablate.")
    about = read_json(path / ABOUT)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataError(f'{path / ABOUT} is not what Equipoise writes: its format is not "{FORMAT}". Restore the file.')
    if not isinstance(about.get("version"), int) or about["version"] > VERSION:
        raise RunError(
            f"{path} was made by Equipoise {about.get('equipoise', '?')}, whose format is newer. Upgrade to read it: "
            "pip install --upgrade equipoise."
        )
    lacking = [key for key in ("name", "reference", "metric", "arms", "seeds", "cells") if key not in about]
    if lacking:
        raise DataError(f"{path / ABOUT} lacks {listed(lacking)}. Restore the file, or run the ablation again.")
    return about


def read_status(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of ``status.jsonl``; a last line that was cut off by a kill is left out.

    Raises:
        DataError: a line in the middle is damaged.
    """
    file = path / STATUS
    lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield json.loads(line) | {}
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{file} line {number} is damaged. Remove the line.") from error


def _told(events: tuple[Mapping[str, Any], ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the last state of each cell and its message."""
    status, messages = {}, {}
    for event in events:
        name = str(event.get("cell"))
        status[name] = str(event.get("status", "waiting"))
        messages[name] = str(event.get("message") or "")
    return status, {name: text for name, text in messages.items() if text}


def _view(folder: Path, told: str) -> tuple[RunView | MaskView | None, str, str]:
    """Return the run of a cell, its state and a message; the folder knows better than what was told of it."""
    from equipoise.recipe import read_recipe
    from equipoise.report.mask_view import MaskView
    from equipoise.report.view import RunView
    from equipoise.runs import Run

    if not (folder / "DONE").is_file():
        return None, "started" if told == "finished" else told, ""
    try:
        run = Run.open(folder)
        run.require_done()
        of_masks = read_recipe(run.file("recipe.yaml")).model.of_masks
        return MaskView.read(run) if of_masks else RunView.read(run), "finished", ""
    except EquipoiseError as error:
        return None, "changed", str(error)


def _if_there(path: Path) -> Mapping[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _log(path: Path) -> dict[str, str]:
    values = read_yaml(path).values if path.is_file() else None
    said = values.get("log") if isinstance(values, dict) else None
    said = said if isinstance(said, dict) else {}
    return {key: str(said.get(key) or "") for key in ("why", "decision")}
