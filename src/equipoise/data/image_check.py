"""Looking at every image of a table before anything is trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equipoise._checks import ArgumentError
from equipoise.data._cache_build import Unwatched, Watch
from equipoise.data._image_facts import Images, gather_facts

if TYPE_CHECKING:
    from equipoise.labels import Labels, Split

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class ImageProblem:
    """One thing that was found.

    Attributes:
        kind: ``unreadable``, ``truncated``, ``other_role``, ``other_labels``, ``other_group``, ``same_picture``,
            ``same_file``, ``blank``, ``mode``, ``size``, ``case`` or ``orphans``.
        severity: ``"error"`` when a result from these images would be wrong, ``"warning"`` when it may be, ``"note"``.
        message: what was found, with examples, and what to do.
        count: how many images, or sets of identical ones.
        rows: the rows of each image or set, from 0; empty for files that no row names.
        names: their names.
    """

    kind: str
    severity: str
    message: str
    count: int
    rows: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "count": self.count,
            "rows": [list(rows) for rows in self.rows],
            "names": [list(names) for names in self.names],
        }


@dataclass(frozen=True)
class ImageCheck:
    """What `check_images` found.

    Attributes:
        images: how many rows there are.
        readable: how many of them have an image that can be read.
        pictures: how many different pictures these are.
        shapes: (kind, mode, width, height, images) of each combination, the commonest first.
        problems: errors first.
    """

    images: int
    readable: int
    pictures: int
    shapes: tuple[tuple[str, str, int, int, int], ...]
    problems: tuple[ImageProblem, ...]

    @property
    def severity(self) -> str:
        """The gravest severity of a problem; ``"none"`` without any."""
        return next((grade for grade in SEVERITIES if any(p.severity == grade for p in self.problems)), "none")

    @property
    def ok(self) -> bool:
        """Whether no problem is an error."""
        return self.severity != "error"

    def of(self, kind: str) -> ImageProblem | None:
        """Return the problem of a kind, or None."""
        return next((problem for problem in self.problems if problem.kind == kind), None)

    def sentences(self) -> list[str]:
        """Return what was read, then each problem."""
        read = "all can be read" if self.readable == self.images else f"{self.readable:,} can be read"
        head = f"{self.images:,} images: {read}, {self.pictures:,} different pictures."
        found = [f"{problem.severity}: {problem.message}" for problem in self.problems]
        return [head, *(found or ["Nothing wrong was found."])]

    def shape_rows(self, limit: int = 8) -> tuple[list[str], list[list[str]]]:
        """Return headings and one row for each of the commonest combinations of file, mode and size."""
        headings = ["file", "mode", "width x height", "images", "share"]
        rows = [
            [kind, mode, f"{width:,} x {height:,}", f"{count:,}", f"{count / max(1, self.readable):.1%}"]
            for kind, mode, width, height, count in self.shapes[:limit]
        ]
        if left := self.shapes[limit:]:
            count = sum(shape[-1] for shape in left)
            rows.append([f"{len(left):,} others", "", "", f"{count:,}", f"{count / max(1, self.readable):.1%}"])
        return headings, rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        keys = ("kind", "mode", "width", "height", "images")
        return {
            "ok": self.ok,
            "severity": self.severity,
            "images": self.images,
            "readable": self.readable,
            "pictures": self.pictures,
            "shapes": [dict(zip(keys, shape, strict=True)) for shape in self.shapes],
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def __str__(self) -> str:
        return "\n".join(self.sentences())


def check_images(
    files: Images,
    *,
    labels: Labels | None = None,
    roles: Split | Iterable[str | None] | None = None,
    groups: Iterable[Any] | None = None,
    also: Mapping[str, Iterable[Any]] | None = None,
    workers: int | None = None,
    watch: Watch | None = None,
) -> ImageCheck:
    """Return what is wrong with the images of a table: every file is read once, in threads.

    Errors: an image that cannot be read or is truncated; the same picture in two roles (the test would be of what was
    trained on); the same picture with different labels (one of them is wrong). Warnings: the same picture in different
    groups, or under two names, or on several rows; a blank image (one value throughout); another mode than most; file
    names that differ only in capital letters. Notes: other sizes than most; image files that no row names.

    Two images are the same picture when every pixel is equal after decoding, whatever the files are; a grey picture
    saved as colour equals itself. Memory grows by about 200 bytes a row; pixels are not kept.

    Args:
        files: from `find_images` or `read_npz_images`.
        labels: of the same rows, in the same order.
        roles: (rows,) the role of each row, None for rows in no role; or a `Split`, matched by the ids of `labels`, or
            without labels by the names of the images.
        groups: (rows,) the patient of each row. Default: those of `labels`.
        also: other columns that say what a picture shows, by their names, each (rows,): they count as labels. An empty
            cell or None is unknown.
        workers: threads. Default: one for each processor.
        watch: where progress is shown.

    Raises:
        ArgumentError: `labels`, `roles`, `groups` or `also` are not of these rows, or `workers` is below 1.

    Example:
        >>> import cv2, numpy as np, tempfile, pathlib
        >>> from equipoise.data import find_images
        >>> folder = tempfile.TemporaryDirectory()
        >>> picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
        >>> for name in ("a.png", "b.png"):
        ...     _ = cv2.imwrite(str(pathlib.Path(folder.name, name)), picture)
        >>> found = check_images(find_images(["a.png", "b.png"], folder.name), roles=["train", "test"])
        >>> found.pictures, found.severity, found.of("other_role").rows
        (1, 'error', ((0, 1),))
        >>> folder.cleanup()
    """
    from equipoise.data._image_problems import Table, find_problems, shapes_of

    table = Table.of(files, labels, roles, groups, also or {})
    facts = gather_facts(files, workers, watch or Unwatched())
    readable = [fact for fact in facts if not fact.fault]
    problems = sorted(find_problems(files, facts, table), key=lambda problem: SEVERITIES.index(problem.severity))
    return ImageCheck(
        len(files), len(readable), len({fact.digest for fact in readable}), shapes_of(readable), tuple(problems)
    )


def check_rows(values: Any, files: Images, name: str) -> list[Any] | None:
    """Return one value a row as a list.

    Raises:
        ArgumentError: their number is not that of the rows.
    """
    if values is None:
        return None
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(found) != len(files):
        raise ArgumentError(
            f"`{name}` of check_images must have one entry for each of {len(files):,} images; got {len(found):,}. "
            "Read both from the same table."
        )
    return found
