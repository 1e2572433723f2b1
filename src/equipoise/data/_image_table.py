"""Where the images of a table lie: one listing a directory, not a question to the disk a row."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from equipoise._checks import DataError, listed, nearest

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".dicom", ".ima"}
)
_COMPARED = 5_000  # names that a misspelt one is compared with: enough to help, and done in a moment
_REMEDY = "Correct the cell, add the file, or remove the row."


@dataclass
class Folder:
    """A folder of images. Each directory in it is listed once.

    Attributes:
        path: the folder as it was given.
        root: the folder with every link followed.
        allow_outside: whether names and links may lead out of it.
    """

    path: Path
    allow_outside: bool = False
    root: str = field(init=False)
    _listed: dict[str, dict[str, str]] = field(init=False, default_factory=dict)
    _leaving: set[str] = field(init=False, default_factory=set)
    _homes: dict[str, list[str]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.root = os.path.realpath(self.path)
        if not os.path.isdir(self.root):  # noqa: PTH112
            beside = [one.name for one in self.path.parent.iterdir()] if self.path.parent.is_dir() else []
            what = "is a file" if os.path.lexists(self.path) else "does not exist"
            raise DataError(
                f"The folder of images {self.path} {what}. Give the folder.{nearest(self.path.name, beside)}"
            )

    def find(self, name: str) -> str:
        """Return the path of the file that a table calls `name`; see `equipoise.data.images.find_images`.

        Raises:
            LookupError: there is none; the text says why and what to do.
        """
        directory, _, base = name.rpartition("/")
        if (known := self._listed.get(directory)) is not None and (path := known.get(base)) is not None:
            return path  # what is listed was looked at: it needs no second look, and this is asked a row
        relative = self._relative(name)
        candidates = [relative]
        own = os.path.basename(self.root) + "/"  # noqa: PTH119
        while relative.startswith(own):
            relative = relative[len(own) :]
            candidates.append(relative)
        for candidate in candidates:
            directory, _, base = candidate.rpartition("/")
            if (path := self.files(directory).get(base)) is not None:
                return path
        if leaving := next((one for one in candidates if one in self._leaving), None):
            raise LookupError(self._outside(f'"{leaving}" is a link that leads out of', name))
        homes = self.homes.get(relative, []) if "/" not in relative else []
        if len(homes) == 1:
            return self.files(homes[0])[relative]
        if homes:
            places = listed([f"{home}/{relative}" for home in homes], limit=3)
            raise LookupError(f'"{name}" stands in {len(homes)} folders: {places}. Write the folder in the cell.')
        raise LookupError(self._missing(name, candidates))

    def _relative(self, name: str) -> str:
        if not name.strip():
            raise LookupError("the cell is empty. Name a file, or remove the row.")
        for start in (self.root, os.path.abspath(self.path)):  # noqa: PTH100
            if name.startswith(start + "/"):
                name = name[len(start) + 1 :]
        relative = posixpath.normpath(name)
        if (relative.startswith(("../", "/")) or relative == "..") and not self.allow_outside:
            raise LookupError(self._outside(f'"{name}" leaves', name))
        return relative

    def _outside(self, what: str, name: str) -> str:
        return f"{what} the folder {self.path}. Put the file inside, or allow it: allow_outside (--allow-outside)."

    def files(self, directory: str) -> dict[str, str]:
        """Return the files of one directory, written as seen from the folder: name to path."""
        if directory not in self._listed:
            self._listed[directory] = dict(self._scan(directory))
        return self._listed[directory]

    def _scan(self, directory: str) -> Iterator[tuple[str, str]]:
        place = os.path.join(self.root, directory)  # noqa: PTH118
        try:
            inside = self._holds(place)
            with os.scandir(place) as entries:
                for entry in entries:
                    link = entry.is_symlink()
                    if not _is_file(entry):
                        continue
                    if inside and (not link or self._holds(entry.path)):
                        yield entry.name, entry.path
                    else:
                        self._leaving.add(f"{directory}/{entry.name}" if directory else entry.name)
        except (OSError, ValueError):  # no such directory, or not to be read: its names are then missing
            return

    def _holds(self, path: str) -> bool:
        real = os.path.realpath(path)
        return self.allow_outside or real == self.root or real.startswith(self.root.rstrip("/") + "/")

    @property
    def homes(self) -> dict[str, list[str]]:
        """File name to the subfolders that have it, looked through when a name without a folder is not found."""
        if self._homes is None:
            self._homes = {}
            for relative in self.walk():
                directory, _, base = relative.rpartition("/")
                if directory:
                    self._homes.setdefault(base, []).append(directory)
        return self._homes

    def walk(self) -> Iterator[str]:
        """Yield every file below the folder as seen from it, in the order of their names; links to folders are left."""
        for place, folders, _ in os.walk(self.root):
            folders.sort()
            directory = "" if place == self.root else os.path.relpath(place, self.root)
            for name in sorted(self.files(directory)):
                yield f"{directory}/{name}" if directory else name

    def _missing(self, name: str, candidates: Sequence[str]) -> str:
        start = f'there is no file "{name}" in {self.path}.'
        for candidate in candidates:
            directory, _, base = candidate.rpartition("/")
            there = self.files(directory)
            same = [other for other in there if other.casefold() == base.casefold()]
            if same:
                return f'{start} "{same[0]}" differs only in capital letters. Write it as the file is called.'
            stem = base.rpartition(".")[0] or base
            twins = [other for other in there if other.rpartition(".")[0] == stem]
            close = f' Did you mean "{twins[0]}"?' if twins else nearest(base, list(there)[:_COMPARED])
            if close:
                return f"{start}{close} {_REMEDY}"
        slash = " Write / between folders." if "\\" in name else ""
        return f"{start}{slash} {_REMEDY}"


def locate(
    names: Sequence[str], folder: Folder, *, source: str, column: str, rows: Sequence[int]
) -> tuple[tuple[str, ...], int]:
    """Return the path of each name, and how many were found in a subfolder that the table does not name.

    Raises:
        DataError: a name cannot be found; the message has the first place and how many more.
    """
    paths: list[str] = []
    first: tuple[int, str] | None = None
    faults = 0
    for index, name in enumerate(names):
        try:
            paths.append(folder.find(name))
        except LookupError as error:
            faults += 1
            first = first or (index, str(error.args[0]))
    if first is not None:
        index, why = first
        raise DataError(
            f'{source} row {rows[index] + 1}, column "{column}": {why}{_others(faults, len(names), folder)}'
        )
    by_name = sum("/" not in name and os.path.dirname(path) != folder.root for name, path in zip(names, paths))  # noqa: PTH120, B905
    return tuple(paths), by_name


def _others(faults: int, total: int, folder: Folder) -> str:
    if faults == total > 1:
        example = next((name for name in folder.walk() if Path(name).suffix.casefold() in IMAGE_SUFFIXES), None)
        has = f'the first image in it is "{example}"' if example else "there is no image in it"
        return f" (None of the {total:,} images was found: is the folder the right one? {has[0].upper()}{has[1:]}.)"
    return f" ({faults - 1:,} more {'row has' if faults == 2 else 'rows have'} no image.)" if faults > 1 else ""


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one; a link that leads to itself is none, and hides no other."""
    try:
        return entry.is_file()
    except OSError:
        return False
