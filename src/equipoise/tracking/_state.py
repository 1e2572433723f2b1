"""How far a run was sent: ``tracking.json`` in its folder, written before and after everything that is sent."""

from __future__ import annotations

import dataclasses
import uuid
from pathlib import Path
from typing import Any

from equipoise._checks import DataError
from equipoise._files import read_json, write_json


@dataclasses.dataclass
class Position:
    """How far one tracker at one address was told of a run.

    Attributes:
        token: what the run is recognised by at the tracker, so that it is made once.
        run_id: its name there; "" until it is known.
        events: lines of events.jsonl that were sent.
        pending: lines up to which something may have been sent when the process died: it is sent again, with the same
            time, which the tracker takes as the same.
        time: of what is pending, in milliseconds.
        parameters: whether the recipe was sent. files: name to SHA-256 of what was sent.
        final: SHA-256 of what was sent of the test figures; "" before. ended: whether the end of the run was told.
    """

    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    run_id: str = ""
    events: int = 0
    pending: int = 0
    time: int = 0
    parameters: bool = False
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    final: str = ""
    ended: bool = False


class State:
    """The positions of a run, by kind and address."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tracking.json"
        self._stored: dict[str, Any] = {}
        if self._path.is_file():
            found = read_json(self._path)
            if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
                raise DataError(f"{self._path} is damaged. Remove it: all is sent again, as another run.")
            self._stored = found

    def position(self, target: str) -> Position:
        """Return how far a target was told; a new position for one that was told nothing."""
        known = {field.name for field in dataclasses.fields(Position)}
        stored = self._stored.get(target, {})
        return Position(**{name: value for name, value in stored.items() if name in known})

    def write(self, target: str, position: Position) -> None:
        """Keep a position on disk."""
        self._stored[target] = dataclasses.asdict(position)
        write_json(self._path, self._stored)
