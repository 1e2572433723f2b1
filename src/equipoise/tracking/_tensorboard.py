"""TensorBoard: a folder of its event files, made anew from the run folder by each process that writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError
from equipoise.runs import Run
from equipoise.tracking._send import TrackingError
from equipoise.tracking._state import Position

_SUFFIX = ".equipoise"


class TensorBoardTarget:
    """One run in a folder of TensorBoard.

    Its event files can only grow, so a process that begins removes what was written of the run before and writes all of
    it again: nothing is there twice, whatever was killed.

    Args:
        folder: the run gets a folder of its name inside.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def begin(self, position: Position, run: Run, parameters: Mapping[str, str]) -> None:
        """Begin anew; send the recipe."""
        if self._writer is not None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ArgumentError(
                "tracking: tensorboard needs the package tensorboard. Install it: pip install 'equipoise[tracking]'."
            ) from error
        place = self._folder / run.path.resolve().name
        try:
            for old in place.glob(f"events.*{_SUFFIX}"):
                old.unlink()
            self._writer = SummaryWriter(str(place), filename_suffix=_SUFFIX)
        except OSError as error:
            raise TrackingError(
                f"{place} could not be written: {error.strerror or error}. Give another --uri."
            ) from error
        position.run_id, position.events, position.pending = place.name, 0, 0
        position.files, position.final, position.ended = {}, "", False
        recipe = run.file("recipe.yaml").read_text(encoding="utf-8")
        self._writer.add_text("recipe", "\n".join(f"    {line}" for line in recipe.splitlines()))

    def tell(self, metrics: Mapping[str, float], step: int, time: int) -> None:
        """Take figures of an epoch."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step, walltime=time / 1000)

    def flush(self) -> None:
        """Bring what was told to disk."""
        try:
            self._writer.flush()
        except OSError as error:
            raise TrackingError(f"{self._folder} could not be written: {error.strerror or error}.") from error

    def file(self, name: str, path: Path) -> None:
        """Show a figure; TensorBoard takes no other files."""
        if path.suffix == ".png":
            from matplotlib.image import imread

            self._writer.add_image(name.removesuffix(".png"), imread(path)[..., :3], dataformats="HWC")

    def end(self) -> None:
        """Bring everything to disk; a next call begins anew."""
        self.flush()
