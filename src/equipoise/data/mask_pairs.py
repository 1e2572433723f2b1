"""Images and their masks, paired from a table or from two folders, with every fault named before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError, EquipoiseError, listed
from equipoise.data.mask_files import mask_column
from equipoise.data.masks import open_mask, read_mask, read_masks
from equipoise.data.volumes import Region, Volume, is_volume, open_volume, space_of
from equipoise.labels.mask_classes import IGNORED, MaskClasses
from equipoise.labels.table import read_table

_Each = TypeVar("_Each")
INDEPENDENT = "none"
_AFFINE_AGREES = 1e-3  # millimetres


@dataclass(frozen=True, eq=False)
class MaskPairs:
    """Images with their masks, none of them opened yet.

    Attributes:
        ids: (images,) a name for each.
        images: (images,) the file of each.
        masks: (images, masks) the files of the masks: one, or one for each class, None where the image has none of it.
        classes: what the values of the masks mean.
        groups: (images,) the patient of each, or None where images are independent.
        roles: (images,) the role of each, or None where the table does not say.
    """

    ids: tuple[str, ...]
    images: tuple[Path, ...]
    masks: tuple[tuple[Path | None, ...], ...]
    classes: MaskClasses
    groups: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Sequence[int] | NDArray[np.integer]) -> MaskPairs:
        """Return the pairs at `index`, in that order."""
        chosen = [int(place) for place in index]
        return MaskPairs(
            _picked(self.ids, chosen),
            _picked(self.images, chosen),
            _picked(self.masks, chosen),
            self.classes,
            None if self.groups is None else _picked(self.groups, chosen),
            None if self.roles is None else _picked(self.roles, chosen),
        )

    def of_role(self, role: str) -> MaskPairs:
        """Return the pairs of a role ("train", "validation" or "test"), which the table must have told.

        Raises:
            ArgumentError: the pairs have no roles.
        """
        if self.roles is None:
            raise ArgumentError("These pairs have no roles. Name the column of the split, or split them first.")
        return self.take([place for place, one in enumerate(self.roles) if one == role])

    def space(self, place: int) -> tuple[int, ...]:
        """Return the size of an image along each axis of space; its header is read."""
        return space_of(open_volume(self.images[place]))

    def read_mask(self, place: int, region: Region = ()) -> NDArray[np.uint8]:
        """Read the mask of an image, or a region of it: (...) class indices, or (classes, ...) of overlapping classes.

        Pixels of which nothing is known are 255.

        Raises:
            DataError: a file cannot be read, differs in shape, or has a value that is no class.
        """
        files = self.masks[place]
        if self.classes.exclusive:
            assert files[0] is not None
            return np.asarray(read_mask(files[0], self.classes, region=region))
        if not region:
            named = dict(zip(self.classes.names, files, strict=True))
            return read_masks(named, self.classes, shape=self.space(place))
        return np.stack([self._binary(file, region) for file in files])

    def _binary(self, file: Path | None, region: Region) -> NDArray[np.uint8]:
        if file is None:
            return np.zeros(tuple(part.stop - part.start for part in region), np.uint8)
        return np.asarray(read_mask(file, self.classes, region=region))

    def read_image(self, place: int, region: Region = ()) -> NDArray[Any]:
        """Read the pixels of an image, or of a region of space: (channels, ...) in the type of the file."""
        volume = open_volume(self.images[place])
        pixels = volume.read_region(_with_channels(volume, region))
        return np.moveaxis(pixels, volume.axes.index("S"), 0) if "S" in volume.axes else pixels[None]


def _picked(values: tuple[_Each, ...], chosen: list[int]) -> tuple[_Each, ...]:
    return tuple(values[place] for place in chosen)


def _with_channels(volume: Volume, region: Region) -> Region:
    if "S" not in volume.axes or not region:
        return region
    place = volume.axes.index("S")
    return (*region[:place], slice(0, volume.shape[place]), *region[place:])


def read_mask_pairs(
    table: str | Path,
    classes: MaskClasses,
    *,
    image: str = "image",
    masks: str | Sequence[str] = "mask",
    groups: str,
    ids: str | None = None,
    split: str | None = None,
    folder: str | Path | None = None,
) -> MaskPairs:
    """Read pairs of images and masks from a table; paths in it are relative to `folder`.

    Args:
        table: CSV, TSV or Parquet.
        classes: what the values of the masks mean; of overlapping classes one for each of `masks`, in their order.
        image: column of the image.
        masks: column of the mask, or of overlapping classes one column for each; an empty cell there is an image
            without the class. ``MA`` is also found in the column ``mask_MA``.
        groups: column of the patient, or "none" where images are independent.
        ids: column that names each image; None: the name of the file without its ending.
        split: column of the role ("train", "validation", "test"); None: the table has none.
        folder: of the files; None: that of the table.

    Raises:
        DataError: a column is missing, a cell is empty, two images have one name, or a file does not exist; the message
            names the row.
        ArgumentError: not one column for each class.
    """
    columns = [masks] if isinstance(masks, str) else list(masks)
    wanted = 1 if classes.exclusive else len(classes.names)
    if len(columns) != wanted:
        raise ArgumentError(
            f"{'Exclusive' if classes.exclusive else 'Overlapping'} classes {listed(classes.names)} need {wanted} "
            f"column{'' if wanted == 1 else 's'} of masks; got {listed(columns)}. Name them in the classes' order."
        )
    grouped = None if groups == INDEPENDENT else groups
    extra = [name for name in (grouped, ids, split) if name is not None]
    columns = _held_columns(Path(table), columns)
    frame = read_table(table, list(dict.fromkeys([image, *columns, *extra])))
    home = Path(table).parent if folder is None else Path(folder)
    source = Path(table).name
    found = [[str(cell or "").strip() for cell in frame[name].to_list()] for name in (image, *columns)]
    images = [_file(home, cell, source, row, image) for row, cell in enumerate(found[0])]
    files = tuple(
        tuple(
            None if not cell and not classes.exclusive else _file(home, cell, source, row, name)
            for name, cell in zip(columns, cells, strict=True)
        )
        for row, cells in enumerate(zip(*found[1:], strict=True))
    )
    names = [_stem(path) for path in images] if ids is None else [str(cell) for cell in frame[ids].to_list()]
    _check_names(names, source)
    told = {name: tuple(str(cell) for cell in frame[name].to_list()) for name in (grouped, split) if name is not None}
    return MaskPairs(
        tuple(names), tuple(images), files, classes,
        None if grouped is None else told[grouped], None if split is None else told[split],
    )  # fmt: skip


def _held_columns(table: Path, columns: list[str]) -> list[str]:
    from equipoise.labels import open_table

    held = open_table(table).columns
    return [mask_column(column, held, table) for column in columns]


def find_mask_pairs(images: str | Path, masks: str | Path, classes: MaskClasses) -> MaskPairs:
    """Return the images of one folder with the masks of the same name (but for the ending) in another.

    Args:
        images: folder of images, not searched below.
        masks: folder of masks. Of overlapping classes the masks are named `<image>_<class>`.
        classes: what the values of the masks mean.

    Raises:
        DataError: an image has no mask, a mask no image (both named), or a folder has no image.
    """
    pictures, found = _by_stem(Path(images)), _by_stem(Path(masks))
    if not pictures:
        raise DataError(f"{images} has no image that can be read. Check the folder.")
    wanted: dict[str, tuple[str, ...]]
    if classes.exclusive:
        wanted = {name: (name,) for name in pictures}
        lacking = [name for name in pictures if name not in found]
    else:
        wanted = {name: tuple(f"{name}_{one}" for one in classes.names) for name in pictures}
        lacking = [name for name, those in wanted.items() if not any(one in found for one in those)]
    alone = sorted(set(found) - {one for those in wanted.values() for one in those})
    if lacking or alone:
        said = [f"{len(lacking)} images have no mask ({listed(lacking, limit=3)})"] if lacking else []
        said += [f"{len(alone)} masks have no image ({listed(alone, limit=3)})"] if alone else []
        raise DataError(f"{images} and {masks} do not pair up: {' and '.join(said)}. Name pairs alike, or use a table.")
    names = sorted(pictures)
    files = tuple(tuple(found.get(one) for one in wanted[name]) for name in names)
    return MaskPairs(tuple(names), tuple(pictures[name] for name in names), files, classes)


@dataclass(frozen=True)
class MaskPairProblem:
    """What is wrong with one pair: the name of the image, and a sentence."""

    name: str
    message: str


def check_mask_pairs(
    pairs: MaskPairs, *, patch_size: Sequence[int] | None = None
) -> tuple[list[MaskPairProblem], list[str]]:
    """Return what makes pairs unusable, and notes on what is merely odd; masks with channels are read whole.

    Args:
        pairs: of any role.
        patch_size: of the training, to note images that are smaller: they are padded, by their repeated edge, and the
            mask there is unknown.

    Returns:
        Problems: a file that cannot be opened, a mask of another shape than its image or of colours, an affine that
        differs, images of different numbers of axes or channels. Notes: patches larger than images.
    """
    problems: list[MaskPairProblem] = []
    notes: list[str] = []
    small: list[str] = []
    kinds: dict[tuple[int, int], list[str]] = {}
    for place, name in enumerate(pairs.ids):
        try:
            image = open_volume(pairs.images[place])
            kinds.setdefault((len(space_of(image)), image.channels), []).append(name)
            for file in pairs.masks[place]:
                if file is not None:
                    _check_fit(image, open_mask(file))
                    _check_colours(file)
        except EquipoiseError as error:
            problems.append(MaskPairProblem(name, str(error)))
            continue
        sides = space_of(image)
        if patch_size is not None and any(
            patch > side for patch, side in zip(reversed(patch_size), reversed(sides), strict=False)
        ):
            small.append(name)
    if len(kinds) > 1:
        common = max(kinds, key=lambda kind: len(kinds[kind]))
        problems += [
            MaskPairProblem(name, f"{name} has {axes} axes (channels: {channels}), most images {common[0]} ("
                            f"{common[1]}). Train on images of one kind.")
            for (axes, channels), names in kinds.items() if (axes, channels) != common for name in names
        ]  # fmt: skip
    if small:
        notes.append(
            f"{len(small)} images are smaller than the patch ({listed(small, limit=3)}): they are padded by their "
            "repeated edge, and the padding is ignored by the loss."
        )
    return problems, notes


def require_mask_pairs(pairs: MaskPairs, *, patch_size: Sequence[int] | None = None) -> list[str]:
    """Return the notes of `check_mask_pairs`.

    Raises:
        DataError: there is a problem; the message has the first few.
    """
    problems, notes = check_mask_pairs(pairs, patch_size=patch_size)
    if problems:
        shown = " ".join(problem.message for problem in problems[:3])
        more = f" {len(problems) - 3} more pairs have problems." if len(problems) > 3 else ""
        raise DataError(f"{shown}{more}")
    return notes


def _check_fit(image: Volume, mask: Volume) -> None:
    wanted, got = space_of(image), mask.shape
    if wanted != got:
        raise DataError(
            f"{mask.path} has the shape {got}, but its image {image.path.name} {wanted}. Save the mask at the image's "
            "size and in its order of axes."
        )
    if image.affine is not None and mask.affine is not None:
        apart = float(np.abs(image.affine - mask.affine).max())
        if apart > _AFFINE_AGREES:
            raise DataError(
                f"{mask.path}: its affine differs from that of {image.path.name} by up to {apart:.3g}, so that the two "
                "do not lie on each other. Resample the mask to the image, or correct the header."
            )


def _check_colours(file: Path) -> None:
    """Read a mask that has channels: whether they are equal, its header does not say."""
    if open_volume(file).channels > 1:
        for _ in open_mask(file).blocks():
            pass


def unknown_to_negative(mask: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return class indices with -1 where nothing is known, as losses take them, instead of 255."""
    found = mask.astype(np.int16)
    found[mask == IGNORED] = -1
    return found


def _file(home: Path, cell: str, source: str, row: int, column: str) -> Path:
    if not cell:
        raise DataError(f'{source} row {row + 1}, column "{column}": the cell is empty. Name the file.')
    path = home / cell
    if not path.exists():
        raise DataError(f'{source} row {row + 1}, column "{column}": {path} does not exist. Check the path.')
    return path


def _stem(path: Path) -> str:
    name = path.name
    return name[: -len(".nii.gz")] if name.casefold().endswith(".nii.gz") else path.stem


def _check_names(names: list[str], source: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{source}: several images are called {listed(twice, limit=3)}. Name a column of ids.")


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the files of pixels in a folder by their name without ending, which no two may share."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Check the path.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_volume(path) or path.name.startswith("."):
            continue
        if _stem(path) in found:
            raise DataError(
                f"{folder} holds {found[_stem(path)].name} and {path.name}, which are alike but for their ending. Keep "
                "one of the two, or use a table."
            )
        found[_stem(path)] = path
    return found
