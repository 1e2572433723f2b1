"""The verdict of an ablation: its cells gathered by arm and seed, judged, and written down; the test opened once."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise import __version__
from equipoise._checks import DataError, EquipoiseError, RunError, listed
from equipoise._files import read_json, write_json
from equipoise.ablation._kinds import CellKind, JudgedCell, kind_of_run
from equipoise.evidence import ArmScores, Verdicts, judge_arms
from equipoise.evidence.verdict import FREE_FIX
from equipoise.labels import read_split
from equipoise.report.ablation_view import read_about, read_status
from equipoise.runs import Run
from equipoise.scores.ids import digest, hash_ids

_NO_TEST = "There is no test role to open."
VERDICT, TEST_VERDICT, TEST_OPENED = "verdict.json", "verdict-test.json", "test-opened.json"


def write_verdict(
    path: str | Path,
    *,
    metric: str | None = None,
    margin: float | None = None,
    against: str = FREE_FIX,
    test: bool = False,
    replicates: int = 1000,
    seed: int = 0,
) -> Verdicts:
    """Judge every arm of an ablation, write ``verdict.json`` (``verdict-test.json``), and return the verdicts.

    Rows of the validation role (of masks: images) are judged, at thresholds fitted on other parts of them
    (`fit_by_parts`, with the decision settings of each arm; `fit_masks_by_parts`). With `test`, those of the test role,
    at the decision rule of each run; that the test was opened is written to ``test-opened.json`` before any of its
    scores are read. With folds, rows of all folds are pooled by id; a row that several folds have in their validation
    role is taken from the first.

    Cells that are missing, unfinished, failed or changed are left out and named; an arm is compared over the seeds that
    it shares with the reference.

    Args:
        path: the folder of the ablation.
        metric: as in `compare`; None: that of the matrix.
        margin: a loss that does not matter; None: that of the matrix, which may have none.
        against: "free fix" or "plain".
        test: open the test role.
        replicates: of the bootstrap.
        seed: of the replicates.

    Raises:
        RunError: it is no ablation, no cell of the reference is finished, or there is no test role.
        DataError: a file is damaged, or the cells are not of the same rows.
        ArgumentError: an unknown metric, or a margin not above 0.
    """
    path = Path(path)
    about = read_about(path)
    runs, said = _finished_runs(path, about)
    if not runs:
        _require_reference(path, about, {})
    run = next(iter(runs.values()))[0]
    kind, role = kind_of_run(run), "test" if test else "validation"
    metric = metric or about["metric"] or kind.usual_metric(run)
    opened = [_open_test(path, runs, str(metric))] if test else [_tell_test(path, runs)]
    cells = {name: kind.read(run, cell, role) for name, (run, cell) in runs.items()}
    arms, lacking = _gathered(about, cells, kind, metric, test=test)
    _require_reference(path, about, arms)
    found = judge_arms(
        arms, str(about["reference"]), metric, margin=margin or about.get("margin"), against=against,
        replicates=replicates, seed=seed,
    )  # fmt: skip
    notes = (*opened, *said, *_versions(cells), *lacking, *found.notes)
    found = dataclasses.replace(found, notes=notes)
    write_json(path / (TEST_VERDICT if test else VERDICT), found.to_dict())
    return found


def read_verdict(path: str | Path, *, test: bool = False) -> Verdicts | None:
    """Return the verdict that is written in the folder of an ablation, or None where there is none.

    Raises:
        DataError: the file is damaged.
    """
    file = Path(path) / (TEST_VERDICT if test else VERDICT)
    return Verdicts.from_dict(read_json(file)) if file.is_file() else None


def read_openings(path: str | Path) -> list[dict[str, Any]]:
    """Return when the test role of an ablation was opened, in order; empty while it is closed.

    Raises:
        DataError: the file is damaged.
    """
    file = Path(path) / TEST_OPENED
    found = read_json(file) if file.is_file() else []
    if not isinstance(found, list) or not all(isinstance(one, dict) and "time" in one for one in found):
        raise DataError(f"{file} is damaged. Restore it: it says how often the test role was looked at.")
    return found


def opened_sentence(openings: Sequence[Mapping[str, Any]]) -> str:
    """Return how often the test role was looked at.

    Example:
        >>> opened_sentence([{"time": "2026-01-02T03:04:05+00:00"}])
        'The test role was opened once, on 2026-01-02.'
        >>> opened_sentence([{"time": "2026-01-02T03:04:05+00:00"}, {"time": "2026-02-01T00:00:00+00:00"}])
        'The test role was opened 2 times, first on 2026-01-02: what was chosen after that day is not judged by it.'
    """
    first = str(openings[0]["time"])[:10]
    if len(openings) == 1:
        return f"The test role was opened once, on {first}."
    return (
        f"The test role was opened {len(openings)} times, first on {first}: what was chosen after that day is not "
        "judged by it."
    )


# --- what is there


def _finished_runs(path: Path, about: Mapping[str, Any]) -> tuple[dict[str, tuple[Run, Mapping[str, Any]]], list[str]]:
    """Return the finished runs by the id of their cell, and what is said of the others."""
    told = {str(event.get("cell")): event for event in read_status(path)}
    found, unusable = {}, {}
    for cell in about["cells"]:
        name, folder = str(cell["id"]), path / str(cell["folder"])
        try:
            run = Run.open(folder)
            run.require_done()
            found[name] = (run, cell)
        except EquipoiseError as error:
            event = told.get(name, {})
            state, message = str(event.get("status", "missing")), str(event.get("message") or "")
            if (folder / "DONE").is_file():
                unusable[name] = str(error)
            elif state in ("failed", "dropped", "lost"):
                unusable[name] = f"{state}: {message}" if message else state
            else:
                unusable[name] = "not finished" if (folder / "run.json").is_file() else "not trained yet"
    return found, [f"Left out: {name} ({reason.rstrip('.')})." for name, reason in unusable.items()]


def _require_reference(path: Path, about: Mapping[str, Any], arms: Mapping[str, ArmScores]) -> None:
    reference = str(about["reference"])
    there = [name for name, arm in arms.items() if arm.scores]
    if reference not in there or len(there) < 2:
        lacking = reference if reference not in there else "any other arm"
        failed = any(event.get("status") == "failed" for event in read_status(path))
        first = "Mend what cells failed of, in the data or by the first command corrected; else go" if failed else "Go"
        raise RunError(
            f"{path} has no finished cell of {lacking}, so nothing can be compared. "
            f"{first} on with: equipoise ablate {shlex.quote(str(path))}"
        )


def _versions(cells: Mapping[str, JudgedCell]) -> Iterator[str]:
    by_version: dict[str, list[str]] = {}
    for name, cell in cells.items():
        by_version.setdefault(cell.version, []).append(name)
    if len(by_version) > 1:
        told = "; ".join(f"{version}: {listed(names, limit=3)}" for version, names in sorted(by_version.items()))
        yield (
            f"Cells were made by different versions of Equipoise, whose training may differ ({told}). Train all by one "
            "version before you rely on this."
        )


def _open_test(path: Path, runs: Mapping[str, tuple[Run, Mapping[str, Any]]], metric: str) -> str:
    """Write that the test role is opened, before any of its scores are read; return how often it was."""
    if not _has_test(runs):
        raise RunError(f"The cells of {path} have no test role. Give the split of the base a test share, or folds.")
    ids = [split.ids[split.rows("test")] for split in _splits(runs)]
    keys = np.unique(hash_ids(np.concatenate([one.astype(str) for one in ids]).astype(object)))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    openings = [*read_openings(path), {"time": now, "equipoise": __version__, "metric": metric, "hash": digest(keys)}]
    write_json(path / TEST_OPENED, openings)
    return opened_sentence(openings)


def _tell_test(path: Path, runs: Mapping[str, tuple[Run, Mapping[str, Any]]]) -> str:
    """Return whether the test role was opened, and how often, without opening it."""
    openings = read_openings(path)
    if openings:
        return opened_sentence(openings)
    return "The test role is closed: `equipoise verdict --test` opens it, once." if _has_test(runs) else _NO_TEST


def _has_test(runs: Mapping[str, tuple[Run, Mapping[str, Any]]]) -> bool:
    return bool(runs) and all(run.scores_file("test").is_file() for run, _ in runs.values())


def _splits(runs: Mapping[str, tuple[Run, Mapping[str, Any]]]) -> list[Any]:
    """Return one split for each fold, or one."""
    by_fold = {cell.get("fold"): run for run, cell in runs.values()}
    return [read_split(run.file("split.csv")) for run in by_fold.values()]


# --- arms


def _gathered(
    about: Mapping[str, Any], cells: Mapping[str, JudgedCell], kind: CellKind, metric: str, *, test: bool
) -> tuple[dict[str, ArmScores], list[str]]:
    """Return the scores and rules of each arm by seed, and which seeds lack a fold."""
    arms: dict[str, ArmScores] = {}
    said = []
    for arm in (str(one["name"]) for one in about["arms"]):
        scores, raw, fixed = {}, {}, {}
        for seed in about["seeds"]:
            wanted = [one for one in about["cells"] if one["arm"] == arm and one["seed"] == seed]
            there = [cells[str(one["id"])] for one in wanted if str(one["id"]) in cells]
            if not there:
                continue
            if len(there) < len(wanted):
                said.append(f"{arm}, seed {seed}, lacks {len(wanted) - len(there)} of its folds and is left out.")
                continue
            scores[seed], raw[seed], fixed[seed] = kind.arm(there, metric, test=test)
        arms[arm] = ArmScores(scores, raw, fixed)
    return {name: arm for name, arm in arms.items() if arm.scores}, said
