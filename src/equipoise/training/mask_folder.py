"""The folder that predicted masks are written to: one run and one process at a time, going on where it was cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise._checks import ArgumentError, DataError, RunError, listed
from equipoise._files import FolderLock, read_json, write_json

_ABOUT = "masks.json"
_STATE = ".equipoise"  # what is half done, and what is known of finished masks


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks of one run.

    Attributes:
        path: of the folder.
        key: of the run, which changes when it is trained again.
    """

    path: Path
    key: str

    def part(self, image: Path) -> Path:
        """Return where the mask of an image grows; another file when the image or the run is another."""
        return self.path / _STATE / f"{self._name(image)}-{_digest(self.key + stamp_of_image(image))}.npy"

    def shares(self, image: Path, targets: Sequence[Path]) -> dict[str, float] | None:
        """Return the shares of the classes in the finished masks of an image, None where they are to be made."""
        try:
            found = read_json(self._record(image))
            right = found["key"] == self.key and found["image"] == stamp_of_image(image)
            shares = {str(name): float(share) for name, share in found["shares"].items()}
        except (DataError, KeyError, TypeError, ValueError, AttributeError):
            return None
        return shares if right and all(target.exists() for target in targets) else None

    def finish(self, image: Path, shares: dict[str, float]) -> None:
        """Keep that the masks of an image are finished, and drop what it took to make them."""
        write_json(self._record(image), {"key": self.key, "image": stamp_of_image(image), "shares": shares})
        self.drop(image)

    def drop(self, image: Path) -> None:
        """Remove the parts of an image, those of an earlier state of it too."""
        for leftover in (self.path / _STATE).glob(f"{self._name(image)}-*"):
            leftover.unlink(missing_ok=True)

    def _record(self, image: Path) -> Path:
        return self.path / _STATE / f"{self._name(image)}.json"

    @staticmethod
    def _name(image: Path) -> str:
        return _digest(image.name)  # a name may be as long as a name can be


@contextlib.contextmanager
def claimed_folder(
    path: Path, key: str, names: Sequence[str], *, overwrite: bool, meaning: Mapping[str, Any] | None = None
) -> Iterator[MaskFolder]:
    """Yield the folder of the masks of a run, kept apart from those of other runs, for this process alone.

    Args:
        path: of the folder, made where it is missing.
        key: of the run.
        names: of the masks that will be in it.
        overwrite: take a folder that holds masks of another run, or other files.
        meaning: what is kept in ``masks.json`` of the values of pixels.

    Raises:
        RunError: the folder holds masks of another run or other files, is in use, or cannot be made.
    """
    about = path / _ABOUT
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file. Give a folder as --out.")
    if about.is_file():
        if not overwrite and _key_in(about) != key:
            raise RunError(f"{path} holds masks of another run. Give another --out, or --overwrite to replace them.")
    elif (
        path.is_dir() and not overwrite and (there := sorted(one.name for one in path.iterdir() if one.name != _STATE))
    ):
        raise RunError(f"{path} holds other files already ({listed(there[:3])}). Give another --out, or --overwrite.")
    state = path / _STATE
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} could not be made: {error.strerror or error}. Choose another folder.") from error
    lock = FolderLock(state)
    try:
        for leftover in state.glob(".*.part"):
            leftover.unlink(missing_ok=True)
        write_json(about, {"format": "equipoise masks", "version": 1, "run": key, **(meaning or {})})
        _sweep(path, set(names))
        yield MaskFolder(path, key)
    finally:
        lock.release()


def require_apart(images: Sequence[Path], targets: Sequence[Sequence[Path]]) -> None:
    """Raise where two images would give one mask, or a mask would take the place of an image.

    Raises:
        ArgumentError: the message names the images.
    """
    first: dict[str, Path] = {}
    for image, masks in zip(images, targets, strict=True):
        for mask in masks:
            if mask.name in first:
                raise ArgumentError(
                    f"{first[mask.name].name} and {image.name} would both give the mask {mask.name}. "
                    "Predict them apart."
                )
            first[mask.name] = image
    given = {_place(image): image for image in images}
    for mask in (mask for masks in targets for mask in masks):
        replaced = given.get(_place(mask)) if mask.exists() else None
        if replaced is not None:
            raise ArgumentError(f"{mask} is the image {replaced}, which its mask would replace. Give another --out.")


def stamp_of_image(image: Path) -> str:
    """Return what changes when an image is replaced: size and time, of a folder those of all that is in it."""
    try:
        files = [image] if image.is_file() else [one for one in sorted(image.rglob("*")) if one.is_file()]
        found = [one.stat() for one in files]
    except OSError as error:
        raise DataError(f"{image} could not be read: {error.strerror or error}. Check the path.") from error
    return f"{len(found)}-{sum(one.st_size for one in found)}-{max((one.st_mtime_ns for one in found), default=0)}"


def _place(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 (device and number of a file or a folder)
    return found.st_dev, found.st_ino


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _key_in(about: Path) -> Any:
    try:
        found = read_json(about)
    except DataError:
        return None
    return found.get("run") if isinstance(found, dict) else None


def _sweep(path: Path, names: set[str]) -> None:
    """Remove what killed calls left beside the masks, before it had its final name."""
    for one in path.iterdir():
        found = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.part", one.name, re.DOTALL)
        if found is None or found[1] not in {*names, _ABOUT}:
            continue
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one, ignore_errors=True)
        else:
            one.unlink(missing_ok=True)
