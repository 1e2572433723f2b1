"""Images in a folder, as `find_images` gives them, without the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from equipoise._checks import DataError


@dataclass
class Folder:
    """A folder of PNG files; counts what it reads."""

    paths: tuple[Path, ...]
    reads: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(path.name for path in self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> NDArray[np.generic]:
        self.reads += 1
        image = cv2.imread(str(self.paths[row]), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise DataError(f'row {row + 1}, "{self.names[row]}" is no image. Replace the file.')
        return image

    def stamp(self, row: int) -> str:
        state = self.paths[row].stat()
        return f"{state.st_size} {state.st_mtime_ns}"

    def digest(self, row: int) -> str:
        return self.paths[row].read_bytes().hex()


def make_folder(path: Path, images: int, *, side: int = 40, seed: int = 0, colour: bool = False) -> Folder:
    """Write images of smooth blobs and noise, all different."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        write_image(path / f"{number:04d}.png", rng, side, colour=colour)
    return Folder(tuple(sorted(path.iterdir())))


def write_image(path: Path, rng: np.random.Generator, side: int = 40, *, colour: bool = False) -> None:
    shape = (side, side, 3) if colour else (side, side)
    image = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 3) * 400 + rng.normal(size=shape) * 8 + 120
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
