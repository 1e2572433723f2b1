"""What is sent of a run: its recipe as flat parameters, figures of every epoch, files. Never a row of the data."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.runs import Run, is_sealed

_NOT_A_NAME = re.compile(r"[^\w.\-: ]+", re.ASCII)  # what MLflow allows, but for the slash, which parts here
_SKIPPED = ("epoch", "member", "best_epoch")
_RECORDS = (
    "recipe.yaml", "census.json", "plan.json", "preflight.json", "weights.json", "ledger.json", "columns.json",
    "decision.json", "model.json", "model.safetensors",
)  # fmt: skip
_OF_TEST = ("metrics.json", "summary.md", "report.html")
_OF_DATA = ("samples.png", "mistakes.png")  # figures with pictures of patients stay where the data are
_NOT_SENT = ("log", "tracking", "arms")


def flat_recipe(recipe: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return a recipe as dotted keys with their values as text; what a person says of it is left out.

    Example:
        >>> flat_recipe({"seed": 0, "loss": {"name": "bce"}, "log": {"why": ""}})
        {'seed': '0', 'loss.name': 'bce'}
    """
    found: dict[str, str] = {}
    for key, value in recipe.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            found |= {} if name in _NOT_SENT else flat_recipe(value, name)
        elif name not in _NOT_SENT:
            found[name] = value if isinstance(value, str) else json.dumps(value)
    return found


def epoch_metrics(event: Mapping[str, Any], classes: Sequence[str]) -> dict[str, float]:
    """Return the figures of an epoch by name: ``auc/CLASS``, and of all members but the first ``member-2/auc/CLASS``.

    Args:
        event: of ``events.jsonl``; one that is no epoch has none.
        classes: names, in the order of the lists in the event. Letters that MLflow does not take become "_".

    Example:
        >>> epoch_metrics({"event": "epoch", "member": 1, "auc": [0.5, None], "monitored": 0.25}, ["a?", "b"])
        {'member-2/auc/a_': 0.5, 'member-2/monitored': 0.25}
    """
    if event.get("event") != "epoch":
        return {}
    member = int(event.get("member", 0))
    before = f"member-{member + 1}/" if member else ""
    names = safe_names(classes)
    found: dict[str, Any] = {}
    for key, value in event.items():
        if isinstance(value, list) and len(value) == len(names):
            found |= {f"{before}{key}/{name}": one for name, one in zip(names, value, strict=True)}
        elif key not in _SKIPPED:
            found[f"{before}{key}"] = value
    return {
        name: float(one) for name, one in found.items()
        if isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)
    }  # fmt: skip


def safe_names(names: Sequence[str]) -> list[str]:
    """Return names that every tracker takes, all different.

    Example:
        >>> safe_names(["a/b", "a?b", "x"])
        ['a_b', 'a_b.2', 'x']
    """
    found: list[str] = []
    for name in names:
        safe = _NOT_A_NAME.sub("_", name)[:100] or "_"
        number = 2
        while (unlike := safe if number == 2 and safe not in found else f"{safe}.{number}") in found:
            number += 1
        found.append(unlike)
    return found


def final_metrics(run: Run) -> dict[str, float]:
    """Return the figures of the test role over all classes, as ``test/RULE/METRIC``; none while that role is closed."""
    if not run.has_record("metrics") or is_sealed(run.path):
        return {}
    found = {}
    for rule, table in (run.read_record("metrics") or {}).items():
        rows = [row for row in table["rows"] if row["class_name"] is None] or table["rows"]
        for row in rows:
            name = f"{row['average']}_{row['metric']}" if row["average"] else row["metric"]
            if row["value"] is not None:
                found[f"{table['role']}/{safe_names([rule])[0]}/{name}"] = float(row["value"])
    return found


def files_to_send(run: Run) -> dict[str, Path]:
    """Return the files of a finished run that are sent, by their names: records, model, figures; no row of the data.

    Scores, the split and thumbnails stay: they hold ids, labels and pictures. What tells of the test role stays as long
    as the run is a cell of an ablation that has not opened it.
    """
    if not run.is_done:
        return {}
    names = [*_RECORDS, *([] if is_sealed(run.path) else _OF_TEST)]
    figures = [] if is_sealed(run.path) else sorted((run.path / "figures").glob("*.png"))
    found = {name: run.path / name for name in names if (run.path / name).is_file()}
    return found | {f"figures/{path.name}": path for path in figures if path.name not in _OF_DATA}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
