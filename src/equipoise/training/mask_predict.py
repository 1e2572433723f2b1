"""Applying a finished run to images: masks of the type of their image, block by block, going on where it was cut."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._checks import ArgumentError, DataError
from equipoise._files import replacing
from equipoise.balance import Ledger
from equipoise.data import PixelScale
from equipoise.data.mask_resize import resize_planes, scaled_size
from equipoise.data.mask_write import mask_file_name, write_mask
from equipoise.data.volumes import Region, Volume, is_volume, open_volume, space_of
from equipoise.decision.masks import MaskRule
from equipoise.labels.mask_classes import MaskClasses
from equipoise.models import MaskModel
from equipoise.recipe import read_recipe
from equipoise.runs import Run
from equipoise.training.mask_folder import MaskFolder, claimed_folder, require_apart
from equipoise.training.mask_windows import Looker
from equipoise.training.predict import load_members
from equipoise.training.sliding import write_sliding
from equipoise.training.telemetry import Silent

if TYPE_CHECKING:
    from equipoise.training.telemetry import Watch

_FAR = 5.0  # spreads of the training
_WHOLE = 2**29  # pixels of a mask that is held whole, for its connected parts


@dataclasses.dataclass(frozen=True)
class PredictedMasks:
    """What was written for one image.

    Attributes:
        image: the file of the image. files: those of its masks, one, or one for each class.
        shares: class to the share of the pixels that is predicted as it.
        there: whether the masks were finished before, and nothing was done.
    """

    image: Path
    files: tuple[Path, ...]
    shares: dict[str, float]
    there: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"image": self.image.name, "files": [file.name for file in self.files], "shares": self.shares,
                "there": self.there}  # fmt: skip


def predict_masks(
    run: Run | str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> list[PredictedMasks]:
    """Write the masks that a finished run gives of images: of the type, the georeference or affine of the image.

    TIFF, NIfTI, ``.npy`` and Zarr keep their type, other pictures become PNG. Of classes that exclude one another there
    is one mask, with the values that `data.mask_values` gives its classes (the first of several), or 0 and 255 where a
    rule says what foreground is; of others a mask of 0 and 255 for each class, named ``<image>_<class>``. Which value
    means what is in ``masks.json`` beside them. Images are read in windows and masks written block by block, so that
    volumes larger than memory can be predicted. Called again with the same folder, finished images are kept and a cut
    one goes on where it was; where all are finished, no model is loaded.

    Args:
        run: a run folder, or what `train` returned.
        images: a folder, a file, or several files.
        out: the folder of the masks.
        overwrite: begin again where `out` holds masks of another run.
        watch: where progress is shown; None is silent.

    Raises:
        RunError: the run is not finished, or is damaged; `out` holds masks of another run.
        DataError: there is no image, or one cannot be read or has other channels than those of the training.
        ArgumentError: the run has no model of masks, or two images would give one mask.
    """
    run, watch = run if isinstance(run, Run) else Run.open(run), watch or Silent()
    run.require_done()
    applied = _Applied.of(run)
    files, out = _image_files(images), Path(out)
    targets = [tuple(out / name for name in applied.names(file)) for file in files]
    applied.require_fit(files)
    require_apart(files, targets)
    names = [target.name for masks in targets for target in masks]
    found = []
    seen = MaskFolder(out, applied.key)
    if any(seen.shares(file, masks) is None for file, masks in zip(files, targets, strict=True)):
        applied.require_model()
    meaning = applied.meaning()
    with claimed_folder(out, applied.key, names, overwrite=overwrite, meaning=meaning) as folder:
        watch.begin("masks", len(files))
        for number, (file, masks) in enumerate(zip(files, targets, strict=True)):
            found.append(applied.write(file, masks, folder, watch))
            watch.move(number + 1, file.name)
        watch.end(f"{len(found)} images")
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Applied:
    """A finished run, ready to make masks."""

    run: Run
    state: Mapping[str, Any]
    threads: int
    rule: MaskRule
    classes: MaskClasses
    key: str

    @classmethod
    def of(cls, run: Run) -> _Applied:
        recipe = read_recipe(run.file("recipe.yaml"))
        if not recipe.model.of_masks:
            raise ArgumentError(f"{run.path} has a model of rows ({recipe.model.name}), not of masks. Give it a table.")
        state = run.read_record("columns")["members"][0]
        threads = 1 if recipe.training.threads == "auto" else int(recipe.training.threads)
        key = hashlib.blake2b((run.path / "DONE").read_bytes(), digest_size=8).hexdigest()
        rule = MaskRule.from_dict(run.read_record("decision"))
        return cls(run, state, threads, rule, MaskClasses.from_dict(state["classes"]), key)

    @property
    def channels(self) -> int:
        return int(self.state["channels"])

    @property
    def resize(self) -> int | None:
        return None if self.state["resize"] is None else int(self.state["resize"])

    @cached_property
    def looker(self) -> Looker:
        """The model, loaded when it is first asked for."""
        model, state = load_members(self.run)[0]
        assert isinstance(model, MaskModel)
        torch.set_num_threads(self.threads)
        return Looker(
            model,
            Ledger.from_dict(self.run.read_record("ledger")),
            PixelScale.from_dict(state["scale"]),
            tuple(state["patch_size"]),
            float(state["overlap"]),
            torch.device("cpu"),
            self.classes.exclusive,
        )

    def require_model(self) -> None:
        """Load the model, or raise where it is damaged, before anything is written."""
        assert self.looker

    def meaning(self) -> dict[str, Any]:
        """Return which value of a pixel means what."""
        values = self._values()
        if self.classes.exclusive:
            return {"values": dict(zip(self.classes.names, values, strict=True))}
        return {"values": {name: {"in": values[1], "out": values[0]} for name in self.classes.names}}

    def names(self, file: Path) -> tuple[str, ...]:
        """Return the names of the masks of an image."""
        if self.classes.exclusive:
            return (mask_file_name(file),)
        safe = [re.sub(r"[\x00-\x1f/\\\x7f]", "-", name) for name in self.classes.names]  # no other folder, no line
        return tuple(mask_file_name(file, suffix=f"_{name}") for name in safe)

    def require_fit(self, files: Sequence[Path]) -> None:
        """Raise where an image cannot be opened or is no image of the model's; none is predicted then."""
        wrong = [said for file in files if (said := self._misfit(file))]
        if wrong:
            more = f" {len(wrong) - 3} more images have problems." if len(wrong) > 3 else ""
            raise DataError(f"{' '.join(wrong[:3])}{more}")

    def _misfit(self, file: Path) -> str | None:
        try:
            volume = open_volume(file)
        except DataError as error:
            return str(error)
        space, axes = space_of(volume), len(self.state["patch_size"])
        if volume.channels != self.channels:
            many = "s" * (volume.channels != 1)
            return (
                f"{file} has {volume.channels} channel{many}, and the model was trained on {self.channels}. Convert it."
            )
        if len(space) - axes not in (0, 1) or (self.resize is not None and len(space) != axes):
            also = "" if self.resize is not None else f" or {axes + 1}"
            return f"{file} has the shape {space}; the model takes images of {axes}{also} axes. Give those."
        return None if 0 not in space else f"{file} has no pixel: its shape is {space}. Leave it out."

    def write(self, file: Path, targets: tuple[Path, ...], folder: MaskFolder, watch: Watch) -> PredictedMasks:
        shares = folder.shares(file, targets)
        there = shares is not None
        if shares is None:
            volume, part = open_volume(file), folder.part(file)
            self._predict(volume, part, watch)
            mask = np.load(part, mmap_mode="r", allow_pickle=False)
            mask = self._cleaned(mask, watch, file)
            layers = [mask] if self.classes.exclusive else list(mask)
            for layer, target in zip(layers, targets, strict=True):
                write_mask(target, layer, volume, values=self._values())
            shares = self._shares(mask)
            folder.finish(file, shares)
        folder.drop(file)
        return PredictedMasks(file, targets, shares, there)

    def _predict(self, volume: Volume, part: Path, watch: Watch) -> None:
        layers = 0 if self.classes.exclusive else len(self.classes.names)
        if part.exists():
            return
        met = _Scaled()
        if self.resize is not None:
            mask = self._resized(volume, met)
            with replacing(part) as temporary, temporary.open("wb") as stream:
                np.save(stream, mask)
            met.tell(volume, watch)
            return
        write_sliding(
            self.looker.model,
            met.seen(self.looker.scaled(volume, lambda region: _read(volume, region))),
            self.looker.windows(volume),
            part,
            finish=lambda logits: self.rule.apply(self.looker.natural(logits), small_parts=False),
            dtype=np.uint8,
            key=part.name,
            layers=layers,
            axes=len(self.looker.patch_size),
        )
        met.tell(volume, watch)

    def _resized(self, volume: Volume, met: _Scaled) -> NDArray[np.uint8]:
        """Return the mask of a picture that is looked at in another size: probabilities are brought back to its own."""
        assert self.resize is not None
        space = space_of(volume)
        whole = tuple(slice(0, side) for side in space)
        pixels = _read(volume, whole)
        small = resize_planes(pixels, scaled_size(space, self.resize))
        if pixels.dtype.kind in "ui":
            small = np.rint(small)
        scale = self.looker.scale.for_image(volume)
        scaled = met.seen(lambda _: scale.apply(small, 0))(whole)
        said = self.looker.in_memory(scaled)
        return self.rule.apply(resize_planes(said, (space[0], space[1])), small_parts=False)

    def _cleaned(self, mask: NDArray[np.uint8], watch: Watch, file: Path) -> NDArray[np.uint8]:
        if not any(least > 1 for least in self.rule.least_sizes):
            return mask
        if mask.size > _WHOLE:
            watch.say(f"{file.name} is too large to look for its connected parts: small ones are kept.")
            return mask
        return self.rule.clean(np.asarray(mask))

    def _values(self) -> tuple[int, ...]:
        """Return the value of a pixel for each class index: those of the training's masks where they fit a byte."""
        classes = self.classes
        if not classes.exclusive or classes.rule is not None:
            return (0, 255)
        values = [row[0] for row in classes.values]
        fit = all(value == int(value) and 0 <= value <= 255 for value in values)
        return tuple(int(value) for value in values) if fit else tuple(range(len(values)))

    def _shares(self, mask: NDArray[np.uint8]) -> dict[str, float]:
        names = self.classes.names
        if not self.classes.exclusive:
            return {name: float(np.mean(mask[place] == 1)) for place, name in enumerate(names)}
        totals = np.zeros(len(names), np.int64)
        for row in mask:
            totals += np.bincount(row.ravel(), minlength=len(names))
        return dict(zip(names, (totals / mask.size).tolist(), strict=True))


class _Scaled:
    """What the pixels of an image look like on the scale of the training: about zero mean and unit spread."""

    def __init__(self) -> None:
        self._sums = np.zeros(3)

    def seen(self, read: Callable[[Region], NDArray[np.float32]]) -> Callable[[Region], NDArray[np.float32]]:
        """Return `read`, whose pixels are looked at on their way."""

        def reading(region: Region) -> NDArray[np.float32]:
            pixels = read(region)
            self._sums += [pixels.size, pixels.sum(dtype=np.float64), np.square(pixels, dtype=np.float64).sum()]
            return pixels

        return reading

    def tell(self, volume: Volume, watch: Watch) -> None:
        """Say where the pixels are far from those that the model was trained on."""
        count, total, squares = self._sums
        if not count:
            return
        mean = total / count
        spread = math.sqrt(max(squares / count - mean**2, 0.0))
        if abs(mean) > _FAR or not 1 / _FAR**2 <= spread <= _FAR:
            watch.say(
                f"Warning: the pixels of {volume.path.name} ({volume.dtype}) are far from those of the training: on "
                f"its scale their mean is {mean:.3g} and their spread {spread:.3g}, where they were 0 and 1. Bring the "
                "image to the type and range of the training, or its mask means nothing."
            )


def _read(volume: Volume, region: Region) -> NDArray[Any]:
    """Return the pixels of a region of space, (channels, ...)."""
    if "S" not in volume.axes:
        return volume.read_region(region)[None]
    place = volume.axes.index("S")
    full = (*region[:place], slice(0, volume.shape[place]), *region[place:])
    return np.moveaxis(volume.read_region(full), place, 0)


def _image_files(images: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(images, str | Path):
        path = Path(images)
        if path.is_dir() and not is_volume(path):
            found = sorted(one for one in path.iterdir() if is_volume(one) and not one.name.startswith("."))
            if not found:
                raise DataError(f"{path} has no image that can be read. Check the folder.")
            return found
        return [path]
    return [Path(one) for one in images]
