"""`equipoise check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, check_one_of
from equipoise.cli._bar import Bar
from equipoise.cli._options import (
    ClassesOption,
    GroupsOption,
    IdsOption,
    JsonOption,
    LabelsOption,
    PositiveOption,
    SeparatorOption,
    TaskOption,
    UncertainOption,
    columns,
    console,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from equipoise.data import ImageArrays, ImageCheck, ImageFiles
    from equipoise.labels import Labels


def check(  # every flag is an argument
    what: Annotated[str, typer.Argument(help='What to check: "images".', show_default=False)],
    table: Annotated[Path, typer.Argument(help="A table with a column of images, or a MedMNIST-style .npz.")],
    images: Annotated[Path | None, typer.Option("--images", help="The folder that the images lie in.")] = None,
    image: Annotated[str, typer.Option("--image", help="Column that names each row's image.")] = "image",
    labels: LabelsOption = None,
    separator: SeparatorOption = None,
    ids: IdsOption = None,
    groups: GroupsOption = None,
    task: TaskOption = None,
    uncertain: UncertainOption = None,
    positive: PositiveOption = None,
    classes: ClassesOption = None,
    also: Annotated[
        str | None, typer.Option("--also", help="More columns that one picture has one value of, comma-separated.")
    ] = None,
    split: Annotated[Path | None, typer.Option("--split", help="A split file: ids and roles.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="Column of the table with the role of each row.")] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let names and links lead out of the folder.")
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", min=1, help="Largest width times height to decode.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Threads. Default: one a processor.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 for warnings too.")] = False,
    json: JsonOption = False,
) -> None:
    """Read every image of a table: what is unreadable, truncated, blank, odd, or the same picture as another row.

    The exit status is 1 when something found is an error: an image that cannot be read, or the same picture in two
    roles or with different labels.
    """
    check_one_of(what, ("images",), argument="WHAT", function="check")
    if split is not None and role is not None:
        raise ArgumentError("`--split` and `--role` both say the roles. Give one of them.")
    from equipoise.data import check_images
    from equipoise.data._image_decode import MAX_PIXELS

    limit = max_pixels or MAX_PIXELS
    known = _labels(
        table, labels, separator=separator, ids=ids, groups=groups, task=task, uncertain=uncertain, positive=positive,
        classes=columns(classes),
    )  # fmt: skip
    files: ImageFiles | ImageArrays
    rows: dict[str, Any] = {}
    if table.suffix.casefold() == ".npz":
        files = _archive(table, limit, {"--images": images, "--split": split, "--role": role, "--also": also})
        rows["roles"] = files.roles
    else:
        files = _files(table, images, image, limit, allow_outside)
        rows["roles"] = _roles(table, split, role, image, ids)
        rows["groups"] = _column(table, groups) if known is None else None
        rows["also"] = {name: _column(table, name) for name in columns(also) or ()}
    with Bar() as watch:
        found = check_images(files, labels=known, workers=workers, watch=watch, **rows)
    if json:
        print_json(found.to_dict())
    else:
        _print(found, files, known)
    if not found.ok or (strict and found.severity == "warning"):
        raise SystemExit(1)


def _labels(table: Path, names: str | None, **settings: Any) -> Labels | None:
    """Return the labels of every row; an .npz has its own."""
    from equipoise.labels import read_labels

    if names is None and table.suffix.casefold() != ".npz":
        idle = [
            name for name in ("separator", "task", "uncertain", "positive", "classes") if settings[name] is not None
        ]
        if idle:
            raise ArgumentError(f"`--{idle[0]}` is about labels. Name their columns with --labels, or leave it out.")
        return None
    return read_labels(table, columns(names), **settings)


def _files(table: Path, images: Path | None, column: str, max_pixels: int, allow_outside: bool) -> ImageFiles:
    from equipoise.data import find_images

    names = _column(table, column)
    if images is None:
        raise ArgumentError(f"`--images` must name the folder of the images of {table.name}. Give it.")
    return find_images(
        names, images, source=table.name, column=column, allow_outside=allow_outside, max_pixels=max_pixels
    )


def _archive(table: Path, max_pixels: int, given: dict[str, object]) -> ImageArrays:
    from equipoise.data import read_npz_images

    idle = [flag for flag, value in given.items() if value is not None]
    if idle:
        raise ArgumentError(f"`{idle[0]}` is not for an .npz, which has its images and roles inside. Leave it out.")
    return read_npz_images(table, max_pixels=max_pixels)


def _column(table: Path, name: str | None) -> list[str] | None:
    """Return the cells of a column; None for no column, and for groups that are said to be none."""
    from equipoise.labels import open_table, read_table

    if name is None or (name == "none" and "none" not in open_table(table).columns):
        return None
    return list(read_table(table, [name])[name])


def _roles(table: Path, split: Path | None, role: str | None, image: str, ids: str | None) -> list[str | None] | None:
    """Return the role of each row, None for rows that the split file leaves out."""
    from equipoise.labels._split_file import read_split_rows

    if role is not None:
        return list(read_split_rows(table, image, role, None).roles)
    if split is None:
        return None
    from equipoise.labels import open_table

    written = open_table(split).columns
    key = next((name for name in ("id", ids, image) if name is not None and name in written), "id")
    placed = read_split_rows(split, key, None, None)
    role_of = dict(zip(map(str, placed.ids.tolist()), placed.roles.tolist(), strict=True))
    named = ids or (image if key == image else None)
    names = _column(table, named) or list(map(str, range(len(_column(table, image) or ()))))
    roles = [role_of.get(name) for name in names]
    if not any(roles):
        raise ArgumentError(
            f"`--split` {split} and {table.name} have no id in common. Name the column of ids with --ids."
        )
    return roles


def _print(found: ImageCheck, files: ImageFiles | ImageArrays, known: Labels | None) -> None:
    printer = console()
    for note in (*getattr(files, "notes", ()), *(known.notes if known is not None else ())):
        printer.print(note)
    head, *lines = found.sentences()
    printer.print(f"{files.source}: {head}")
    if found.shapes:
        print_table(*found.shape_rows())
    styles = {"error": "red", "warning": "yellow"}
    for line in lines:
        printer.print(line, style=styles.get(line.partition(":")[0]))
