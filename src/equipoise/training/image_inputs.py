"""Pictures as inputs of models: found, brought to their finished form once, and read from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise._checks import DataError, RunError, listed
from equipoise.data import (
    ImageArrays,
    ImageFiles,
    ImageRows,
    Steps,
    build_cache,
    find_images,
    identical_rows,
    make_augmenter,
    parse_steps,
    pixel_statistics,
    read_npz_images,
)
from equipoise.labels import Labels, Split, read_table
from equipoise.models import check_image_model, make_image_model
from equipoise.training._warm_start import check_start, run_of_weights, start_from
from equipoise.training.inputs import FittedInputs, Index, Inputs, ModelRequest, label_tensor

if TYPE_CHECKING:
    import polars

    from equipoise.data import ImageCache
    from equipoise.models import ImageModel
    from equipoise.recipe import ImageSettings, Recipe
    from equipoise.training.telemetry import Watch

AUTO_CACHE = Path("runs") / "image-cache"
_VERSION = 1
_NAMED = 10  # pairs of identical pictures that are named


@final
class ImageInputs(Inputs):
    """The pictures of a table.

    Args:
        labels: of every row.
        files: one image a row.
        settings: the `images` part of a recipe.
        seed: of augmentation.
        split: the role of every row: identical pictures in two roles are warned of.
        channels_last: how images are laid out in memory.
    """

    def __init__(
        self,
        labels: Labels,
        files: ImageFiles | ImageArrays,
        settings: ImageSettings,
        *,
        seed: int,
        split: Split | None = None,
        channels_last: bool = False,
    ) -> None:
        self.labels, self.files, self.settings, self.seed, self.split = labels, files, settings, seed, split
        self.channels_last = channels_last
        self.steps = _steps(settings)
        self._cache: ImageCache | None = None
        self._warnings: list[str] = []

    def notes(self) -> list[str]:
        """Say where images were found that the table did not say exactly."""
        return list(self.files.notes)

    def sentences(self) -> list[str]:
        """Say what is done to every image, and what is varied."""
        settings = self.settings
        varied = make_augmenter(
            settings.augment, modality=settings.modality, seed=0, channels=settings.channel_count, flip=settings.flip
        )
        told = [f"{len(self.files):,} images. Once for each: {self.steps.describe()}", varied.describe()]
        if self.labels.groups is None:
            told.append(
                "Warning: images are taken as independent of one another (data.groups: none). If a patient has several "
                "of them, they may be in two roles and every figure too good. Name the column of patients: data.groups."
                if self.labels.groups_known
                else "Warning: nobody said which images are of one patient, so a patient's images may be in two roles "
                "and every figure too good. Name the column with data.groups."
            )
        return told

    def warnings(self) -> list[str]:
        """Name identical pictures, once the cache is built."""
        return self._warnings

    def make_ready(self, watch: Watch) -> None:
        """Build the cache where it is not there yet, and look for identical pictures."""
        self._cache = self.cache(watch)
        watch.say(self._cache.describe())
        self._warnings = identical_sentences(identical_rows(self._cache), self.labels, self.split)

    def cache(self, watch: Watch | None = None) -> ImageCache:
        """Return the cache of all images, built where it is not there yet."""
        if self._cache is None:
            self._cache = _open_cache(self.files, self.steps, self.settings, watch)
        return self._cache

    def fit(self, train: Index) -> FittedImages:
        """Measure mean and spread of the pixels of the rows `train`."""
        mean, std = pixel_statistics(self.cache(), train)
        return FittedImages(self, tuple(map(float, mean)), tuple(map(float, std)))

    def restore(self, state: Mapping[str, Any]) -> FittedImages:
        """Return the scaling that was stored, for these images."""
        kept = _checked(state)
        if kept["steps"] != self.steps.to_dict():
            raise RunError("The images of this recipe have other steps than the model was trained on. Train again.")
        return FittedImages(self, tuple(kept["mean"]), tuple(kept["std"]))


@final
@dataclass(frozen=True, eq=False)
class FittedImages(FittedInputs):
    """Pictures with the mean and spread of the pixels that a member learns from."""

    inputs: ImageInputs
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def rows(self) -> ImageRows:
        """Every image, in the order of the table."""
        inputs = self.inputs
        settings, scale = inputs.settings, {"mean": self.mean, "std": self.std}
        given: dict[str, Any] = {"modality": settings.modality, "channels": settings.channel_count, **scale}
        varied = make_augmenter(settings.augment, seed=inputs.seed, flip=settings.flip, **given)
        return ImageRows(
            inputs.cache(),
            torch.arange(len(inputs.files)),
            label_tensor(inputs.labels),
            plain=make_augmenter("none", seed=inputs.seed, **given),
            varied=None if settings.augment == "none" else varied,
            channels_last=inputs.channels_last,
        )

    def make_model(self, recipe: Recipe, request: ModelRequest) -> ImageModel:
        """Return a model of images."""
        pretrained = recipe.model.pretrained
        run = run_of_weights(pretrained)
        model: ImageModel = make_image_model(
            recipe.model.name,
            channels=recipe.images.channel_count,
            n_outputs=request.outputs,
            multiclass=request.multiclass,
            seed=request.seed,
            prior=request.prior,
            initial_bias=recipe.model.initial_bias,
            pretrained="none" if run is not None else pretrained,
            **recipe.model.settings,
        )
        if run is not None:
            start_from(model, run)
        return model

    def to_dict(self) -> dict[str, Any]:
        """Return the steps and the scaling."""
        return {
            "kind": "images",
            "version": _VERSION,
            "steps": self.inputs.steps.to_dict(),
            "mean": list(self.mean),
            "std": list(self.std),
        }


def read_image_inputs(recipe: Recipe, labels: Labels, split: Split) -> ImageInputs:
    """Return the images that a recipe asks for.

    Raises:
        DataError: the column of images is missing, or an image is; the message has the row.
        ArgumentError: the steps cannot be, or the run of `model.pretrained` has other classes.
        RunError: the run of `model.pretrained` is not finished, or learned from rows that are judged on now.
    """
    assert recipe.data.table is not None  # require_runnable has seen to it
    assert recipe.data.images is not None
    run = run_of_weights(recipe.model.pretrained)
    if run is not None:
        check_start(run, labels, split)
    of_images = {"size": recipe.images.size, "channels": recipe.images.channel_count}
    check_image_model(recipe.model.name, **of_images, **recipe.model.settings)  # before a cache is built or a run begun
    files = _files(Path(recipe.data.images), Path(recipe.data.table), recipe.data.image, labels)
    return ImageInputs(
        labels,
        files,
        recipe.images,
        seed=recipe.seed,
        split=split,
        channels_last=recipe.training.channels_last,
    )


def _files(images: Path, table: Path, column: str, labels: Labels) -> ImageFiles | ImageArrays:
    if images.suffix.casefold() == ".npz":
        return archive_images(images, table, labels)
    frame = read_table(table, [column])
    return find_images(
        [frame[column][row] for row in labels.row_numbers.tolist()],
        images,
        source=labels.source,
        column=column,
        rows=labels.row_numbers,
    )


def archive_images(images: Path, table: Path, labels: Labels) -> ImageArrays:
    """Return the images of a MedMNIST-style archive, in the order of labels that were read from it too."""
    if table.absolute() != images.absolute():
        raise DataError(f"{images.name} holds images with their labels. Give it as data.table too.")
    return read_npz_images(images).select(labels.row_numbers)


def _steps(settings: ImageSettings) -> Steps:
    return parse_steps(list(settings.steps), size=settings.size, channels=settings.channel_count)


def _open_cache(
    files: ImageFiles | ImageArrays, steps: Steps, settings: ImageSettings, watch: Watch | None
) -> ImageCache:
    folder = AUTO_CACHE.absolute() if settings.cache == "auto" else Path(settings.cache)
    return build_cache(files, steps, folder, store=settings.store, watch=watch)


def _checked(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stored state of images, or raise `RunError` where it is of another version or damaged."""
    if state.get("version", 0) > _VERSION:
        raise RunError("The images' scaling was written by a newer Equipoise. Update Equipoise.")
    if not {"steps", "mean", "std"} <= set(state):
        raise RunError("The images' scaling is damaged. Train again, or restore the file.")
    return state


@final
class OtherImages:
    """The images of another table as the members of a finished run take them: found once and brought to form once.

    Args:
        recipe: of the finished run.
        frame: the other table; None where it is a MedMNIST-style archive, which holds its images.
        table: where it lies.
        images: the folder of its images; None: that of the training.
        watch: where progress is shown.
    """

    def __init__(
        self,
        recipe: Recipe,
        frame: polars.DataFrame | None,
        table: Path,
        images: str | Path | None,
        watch: Watch | None = None,
    ) -> None:
        self.files = _files_of(recipe, frame, table, images)
        self._recipe, self._watch, self._steps = recipe, watch, _steps(recipe.images)
        self._cache: ImageCache | None = None

    def rows(self, state: Mapping[str, Any]) -> ImageRows:
        """Return every image as a member takes it, given its `FittedImages.to_dict`."""
        kept, settings = _checked(state), self._recipe.images
        if self._steps.to_dict() != kept["steps"]:
            raise RunError(
                "The steps in the recipe are not those that the model was trained on. Restore the run folder."
            )
        if self._cache is None:
            self._cache = _open_cache(self.files, self._steps, settings, self._watch)
        scale = {"mean": tuple(kept["mean"]), "std": tuple(kept["std"]), "channels": settings.channel_count}
        plain = make_augmenter("none", modality=settings.modality, seed=0, **scale)
        numbers, answers = torch.arange(len(self.files)), torch.zeros(len(self.files))
        return ImageRows(self._cache, numbers, answers, plain, channels_last=self._recipe.training.channels_last)


def _files_of(
    recipe: Recipe, frame: polars.DataFrame | None, table: Path, images: str | Path | None
) -> ImageFiles | ImageArrays:
    if frame is None:
        return read_npz_images(table)
    column = recipe.data.image
    if column not in frame.columns:
        raise DataError(f'{table.name} has no column "{column}" of images. Add it, named as in the training.')
    return find_images(frame[column].to_list(), images or str(recipe.data.images), source=table.name, column=column)


def identical_sentences(groups: list[NDArray[np.int64]], labels: Labels, split: Split | None) -> list[str]:
    """Say which pictures are the same, which of them have other labels, and which are in two roles."""
    if not groups:
        return []
    ids = labels.ids.tolist()
    table = labels.table()

    def names(rows: NDArray[np.int64]) -> str:
        return " and ".join(str(ids[row]) for row in rows.tolist())

    torn = [rows for rows in groups if _differ(table[rows])]
    told = [
        f"{len(groups)} {'pictures stand' if len(groups) > 1 else 'picture stands'} in more than one row, pixel for "
        f"pixel: {listed((names(rows) for rows in groups), limit=_NAMED)}."
    ]
    if torn:
        told.append(
            f"{len(torn)} of them with different labels: {listed((names(rows) for rows in torn), limit=_NAMED)}. "
            "At most one can be right."
        )
    if split is not None:
        crossing = [rows for rows in groups if "test" in _roles(split, rows) and len(_roles(split, rows)) > 1]
        if crossing:
            told.append(
                f"{len(crossing)} of them both learned from and judged on: "
                f"{listed((names(rows) for rows in crossing), limit=_NAMED)}. The test figures are too good by them; "
                "remove one row of each, or give both one group (data.groups)."
            )
    return told


def _differ(rows: NDArray[Any]) -> bool:
    return not all(np.array_equal(row, rows[0], equal_nan=True) for row in rows)


def _roles(split: Split, rows: NDArray[np.int64]) -> set[str]:
    return {str(role) for role in split.roles[rows]}
