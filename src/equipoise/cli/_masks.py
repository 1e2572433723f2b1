"""The flags that say which masks there are and what their values mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, DataError

if TYPE_CHECKING:
    from equipoise.data import MaskFiles
    from equipoise.labels import MaskCensus, MaskClasses

_SUFFIXES = (
    ".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".nii", ".nii.gz", ".npy",
    ".zarr",
)  # fmt: skip
MasksOption = Annotated[
    str | None,
    typer.Option("--masks", help="Columns of the table that name masks: one, or one for each class (may overlap)."),
]
ForegroundOption = Annotated[
    str | None, typer.Option("--foreground", help='Masks: which values are foreground, such as "> 0.5".')
]
ValuesOption = Annotated[
    str | None,
    typer.Option("--values", help='Masks: the value of each class, such as "background=0,lesion=255" or "#ff0000".'),
]
IgnoreOption = Annotated[
    str | None, typer.Option("--ignore", help="Masks: values of pixels that count for nothing, comma-separated.")
]
SampleOption = Annotated[
    float | None, typer.Option("--sample", help="Masks: count so many images drawn at random; below 1: that share.")
]
ComponentsOption = Annotated[
    bool, typer.Option("--components", help="Masks: count connected parts and their sizes too.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Masks: threads. Default: one a processor.")
]


def are_masks(path: Path, masks: str | None) -> bool:
    """Return whether a command was given masks: a folder, an image, or a table with columns of masks."""
    return masks is not None or path.is_dir() or path.name.casefold().endswith(_SUFFIXES)


def refuse_idle(table: Path, **flags: Any) -> None:
    """Raise `ArgumentError` for a flag of masks where there is a table of labels, or a census of masks."""
    idle = _used(flags)
    if idle is not None and table.suffix.casefold() == ".json":
        raise ArgumentError(f"`--{idle}` has no use for {table}, whose masks are counted already. Leave it out.")
    if idle is not None and table.exists():  # what does not exist is no table of labels: its reader says that
        raise ArgumentError(
            f"`--{idle}` is for masks, and {table} is a table of labels. Leave it out, or name the columns of masks "
            "with --masks."
        )


def refuse_labels(path: Path, **flags: Any) -> None:
    """Raise `ArgumentError` for a flag of labels where masks were given, or a folder that was taken for a table."""
    idle = _used(flags)
    if idle is not None and path.is_dir():
        raise ArgumentError(f"{path} is a directory. Give the table inside it. (`--{idle}` has no use for masks.)")
    if idle is not None:
        raise ArgumentError(f"`--{idle}` has no use for masks. Leave it out.")


def _used(flags: Mapping[str, Any]) -> str | None:
    return next((name for name, value in flags.items() if value not in (None, False)), None)


def find_given_masks(path: Path, masks: str | None, sample: float | None, seed: int) -> MaskFiles:
    """Return the masks that the arguments name."""
    from equipoise.cli._options import columns
    from equipoise.data import find_mask_columns, find_masks

    files = find_masks(path) if masks is None else find_mask_columns(path, columns(masks) or [])
    return files if sample is None else files.sampled(sample, seed)


def mask_classes(
    files: MaskFiles, masks: str | None, foreground: str | None, values: str | None, ignore: str | None
) -> MaskClasses:
    """Return what the values mean, as the flags say it.

    Raises:
        ArgumentError: neither --foreground nor --values is given: what a mask holds is told, never guessed.
    """
    from equipoise.cli._options import columns
    from equipoise.labels import MaskClasses

    ignored = [_value(text, "--ignore") for text in columns(ignore) or []]
    if foreground is not None and values is not None:
        raise ArgumentError("`--foreground` and `--values` both say what is what. Give one of them.")
    names = columns(masks) or []
    if foreground is None and values is None:
        raise ArgumentError(
            f'{_met(files)} Say what they mean: --foreground "> 0.5", or --values background=0,NAME=255.'
        )
    if len(names) > 1:
        if foreground is None:
            raise ArgumentError("Several columns of masks are binary masks. Say what is foreground with --foreground.")
        return MaskClasses.from_columns(names, foreground, ignore=ignored)
    if foreground is not None:
        return MaskClasses.from_foreground(foreground, ignore=ignored)
    table: dict[str, list[float]] = {}
    for pair in columns(values) or []:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ArgumentError(
                f'`--values` must be classes and their values, "background=0,lesion=255"; got "{pair}".'
            )
        table.setdefault(name.strip(), []).extend(_value(part, "--values") for part in text.split("|"))
    return MaskClasses.from_values(table, ignore=ignored)


def count_given(
    path: Path,
    masks: str | None,
    *,
    foreground: str | None,
    values: str | None,
    ignore: str | None,
    sample: float | None = None,
    seed: int = 0,
    components: bool = False,
    workers: int | None = None,
) -> MaskCensus:
    """Return the census of the masks that the flags name, with a bar while they are counted."""
    from equipoise.cli._bar import Bar
    from equipoise.data import count_masks_of

    files = find_given_masks(path, masks, sample, seed)
    classes = mask_classes(files, masks, foreground, values, ignore)
    with Bar() as watch:
        census: MaskCensus = count_masks_of(files, classes, components=components, workers=workers, watch=watch)
        return census


def _value(text: str, flag: str) -> float:
    text = text.strip()
    try:
        return float(int(text[1:], 16)) if text.startswith("#") and len(text) == 7 else float(text)
    except ValueError as error:
        raise ArgumentError(f'`{flag}` must be numbers or colours such as "#ff0000"; got "{text}".') from error


def _met(files: MaskFiles) -> str:
    """Say which values the first mask holds."""
    import numpy as np

    from equipoise.data import open_mask

    first = next((path for paths in files.paths for path in paths if path is not None), None)
    if first is None:
        return f"{files.source} names no mask."
    try:
        found: set[float] = set()
        for _, block in open_mask(first).blocks():
            found |= set(np.unique(block).tolist())
            if len(found) > 20:
                return f"{first} holds more than 20 values, up to {max(found):g} so far."
    except DataError as error:
        return str(error)
    return f"{first} holds the values {', '.join(f'{value:g}' for value in sorted(found))}."
