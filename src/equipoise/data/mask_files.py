"""Which masks there are: in a folder, in a table of pairs, or one big file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equipoise._checks import ArgumentError, DataError, check_number, listed, nearest
from equipoise.data._image_decode import file_stamp
from equipoise.data.volumes import is_volume
from equipoise.labels import read_table


@dataclass(frozen=True)
class MaskFiles:
    """The masks of some images.

    Attributes:
        names: of the images.
        paths: for each image its mask, or one for each class of overlapping ones: None where it has none of the class.
        source: the folder, table or file.
        images: for each image its file, which says how large it is where it has no mask; empty where no file is known.
        population: images there were before a sample was drawn; None without one.
    """

    names: tuple[str, ...]
    paths: tuple[tuple[Path | None, ...], ...]
    source: str
    population: int | None = None
    images: tuple[Path | None, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def sampled(self, size: float, seed: int = 0) -> MaskFiles:
        """Return some of the images, drawn at random without replacement.

        Args:
            size: how many; below 1 the share of all.
            seed: of the draw.

        Raises:
            ArgumentError: the size is not above 0.
        """
        check_number(size, argument="sample", function="MaskFiles.sampled", above=0.0)
        count = min(len(self), max(2, math.ceil(size * len(self)) if size < 1 else int(size)))
        if count == len(self):
            return self
        kept = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        names, paths = tuple(self.names[k] for k in kept), tuple(self.paths[k] for k in kept)
        images = tuple(self.images[k] for k in kept) if self.images else ()
        return MaskFiles(names, paths, self.source, len(self), images)


def find_masks(path: str | Path) -> MaskFiles:
    """Return the masks in a folder and the folders in it, or the one mask that `path` is.

    Raises:
        DataError: there is no mask.
    """
    path = Path(path)
    if path.suffix.casefold() == ".zarr" or path.is_file():
        return MaskFiles((path.name,), ((path,),), str(path))
    if not path.is_dir():
        raise DataError(f"{path} does not exist. Check the path.")
    found: list[Path] = []
    for folder, folders, files in os.walk(path):
        arrays = [name for name in folders if name.casefold().endswith(".zarr")]
        folders[:] = sorted(name for name in folders if name not in arrays and not name.startswith("."))
        found += [Path(folder, name) for name in (*files, *arrays) if is_volume(Path(name)) and name[0] != "."]
    if not found:
        raise DataError(f"{path} holds no mask (TIFF, PNG, NIfTI, .npy or Zarr). Give the folder of the masks.")
    found.sort()
    return MaskFiles(
        tuple(one.relative_to(path).as_posix() for one in found), tuple((one,) for one in found), str(path)
    )


def mask_column(column: str, held: Sequence[str], table: Path) -> str:
    """Return the column of masks that a name means: a class ``MA`` is also found in the column ``mask_MA``.

    Raises:
        DataError: the table has neither.
    """
    found = next((name for name in (column, f"mask_{column}") if name in held), None)
    if found is None:
        raise DataError(
            f'{table} has no column "{column}" or "mask_{column}".{nearest(column, held)} '
            f"Its columns are {listed(held, 30)}."
        )
    return found


def find_mask_columns(
    table: str | Path, columns: Mapping[str, str] | Sequence[str], *, image: str = "image"
) -> MaskFiles:
    """Return the masks that columns of a table name, one column for each class; an empty cell is an empty mask.

    Args:
        table: CSV or Parquet with one row for each image; paths in it start from its folder.
        columns: class name -> column, or the columns. A class ``MA`` is also found in the column ``mask_MA``.
        image: the column that names the image.

    Raises:
        DataError: a column or a mask is missing.
        ArgumentError: no column is named.
    """
    table = Path(table)
    from equipoise.labels import open_table

    held = open_table(table).columns
    wanted = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    if not wanted:
        raise ArgumentError("`columns` must name a column for each class. Give them.")
    for name, column in wanted.items():
        wanted[name] = mask_column(column, held, table)
    cells = read_table(table, [*dict.fromkeys([*wanted.values(), *([image] if image in held else [])])])
    rows = [
        tuple(_resolve(table.parent, cell) for cell in row)
        for row in zip(*(cells[column] for column in wanted.values()), strict=True)
    ]
    names = list(cells[image]) if image in held else [str(number) for number in range(len(rows))]
    if len(set(names)) < len(names):
        raise DataError(f'{table}, column "{image}": an image stands twice. Keep one row for each image.')
    for name, row in zip(names, rows, strict=True):
        for path in row:
            if path is not None and not path.exists():
                raise DataError(f"{table}: {path}, a mask of {name}, does not exist. Correct the cell, or empty it.")
    images = tuple(_image(table.parent, name) for name in names) if image in held else ()
    return MaskFiles(tuple(names), tuple(rows), str(table), images=images)


def stamp_of(paths: Sequence[Path | None]) -> str:
    """Return what changes when one of the files is replaced: their sizes and times."""
    return " ".join("-" if path is None else file_stamp(path) for path in paths)


def _image(folder: Path, name: str | None) -> Path | None:
    """Return the file of an image, None where the cell names none: it need not be there to count masks."""
    path = _resolve(folder, name)
    return path if path is not None and is_volume(path) and path.exists() else None


def _resolve(folder: Path, cell: str | None) -> Path | None:
    return folder / cell.strip() if cell is not None and cell.strip() else None
