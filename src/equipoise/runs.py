"""The run folder: everything needed to explain, resume, rebuild and use a run, in plain formats.

It is laid out, locked, read and finished here only. A run folder holds::

    run.json           format version, version of Equipoise, when it was made
    recipe.yaml        the recipe the run used
    census.json        split.csv  weights.json  ledger.json  columns.json  decision.json  metrics.json
    events.jsonl       one line for each thing that happened
    scores/            one Parquet file a role
    model.safetensors  model.json
    checkpoint/        what a resume needs
    gallery.npz        thumbnails that figures are drawn from, of a model of images
    figures/           summary.md  report.html
    DONE               written last: the SHA-256 of every file that later work relies on
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from equipoise import __version__
from equipoise._checks import ArgumentError, DataError, RunError, listed, nearest
from equipoise._files import FolderLock, read_json, write_json, write_text
from equipoise._yaml import parse_yaml, read_yaml, without_section

FORMAT = 1
RECORDS = (
    "census", "mask_census", "weights", "plan", "preflight", "ledger", "columns", "decision", "metrics", "model",
    "posthoc",
)  # fmt: skip
_FILES = (
    "run.json", "recipe.yaml", "split.csv", "events.jsonl", "model.safetensors", "gallery.npz", "summary.md", "DONE",
    "lock", "report.html", "tracking.json",
    *(f"{name}.json" for name in RECORDS),
)  # fmt: skip
_FOLDERS = ("scores", "checkpoint", "figures")
_STANDS_ON = ("torch", "numpy", "scipy", "polars", "scikit-learn", "numba", "timm", "monai")
_SILENT = ("log ", "log.", "tracking ", "tracking.")  # keys that may change when a run is resumed
# Not part of what DONE vouches for.
_REBUILT = ("figures/", "checkpoint/", "summary.md", "report.html", "tracking.json", "gallery.npz", "DONE", "lock")


@runtime_checkable
class _Writable(Protocol):
    """What a run needs of a recipe."""

    @property
    def name(self) -> str: ...
    def to_yaml(self) -> str: ...


def next_run_path(name: str, root: str | Path = "runs") -> Path:
    """Return ``root/name-n`` with the first number n above every folder that is there already.

    Example:
        >>> next_run_path("comorbidity", root="no such folder").name
        'comorbidity-1'
    """
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    root = Path(root)
    there = root.iterdir() if root.is_dir() else ()
    numbers = [int(found[1]) for path in there if (found := re.fullmatch(re.escape(safe) + r"-(\d+)", path.name))]
    return root / f"{safe}-{max(numbers, default=0) + 1}"


class Run:
    """One run folder. `Run.create` makes or resumes one and locks it; `Run.open` reads one that is there.

    Use a created run as a context manager, or call `close`, so that its lock is given back.
    """

    def __init__(self, path: Path, about: dict[str, Any], lock: FolderLock | None) -> None:
        self.path = path
        self.about = about
        self._lock = lock
        self._events: IO[bytes] | None = None

    @classmethod
    def create(
        cls, path: str | Path, recipe: _Writable | None = None, *, resume: bool = False, overwrite: bool = False
    ) -> Run:
        """Make the run folder `path` for `recipe` and lock it, or resume the one that is there.

        Args:
            path: the folder; it must not exist, or be empty, unless `resume` or `overwrite` says what to do.
            recipe: what the run is told; may be left out when an existing run is resumed.
            resume: go on with an unfinished run, whose recipe must be equal; a finished one is opened as it is.
                Where nothing is there yet, a new run begins.
            overwrite: set a run that is there aside as ``<path>.previous`` and begin again. The finished old one is
                removed only when the new one is finished too.

        Raises:
            RunError: there is a run already, its recipe differs, another process works in it, it was made by a
                newer version, the folder is something else, or the disk is full.
        """
        path = Path(path)
        cls.require_free(path, resume=resume, overwrite=overwrite)
        replaces = None
        if (path / "run.json").exists():
            if resume:
                return cls._resume(path, recipe)
            replaces = _set_aside(path)
        if recipe is None:
            raise RunError(f"{path} holds no run to resume. Give a recipe to begin one.")
        return cls._begin(path, recipe, replaces)

    @staticmethod
    def require_free(path: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
        """Raise what `create` would raise about a folder that is there, before any work is done for it."""
        if resume and overwrite:
            raise ArgumentError("`resume` and `overwrite` of Run.create cannot both be asked for. Choose one.")
        path = Path(path)
        _require_run_or_nothing(path)
        if (path / "run.json").exists() and not (resume or overwrite):
            raise RunError(_already_there(path))

    @classmethod
    def _begin(cls, path: Path, recipe: _Writable, replaces: str | None) -> Run:
        try:
            path.mkdir(parents=True, exist_ok=True)
            for folder in _FOLDERS:
                (path / folder).mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} could not be made: {error.strerror or error}. Choose another folder.") from error
        lock = FolderLock(path)
        about = {
            "format": FORMAT,
            "equipoise": __version__,
            "recipe": recipe.name,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
            "replaces": replaces,
        }
        write_text(path / "recipe.yaml", recipe.to_yaml())
        write_json(path / "run.json", about)  # last: a folder without it is not a run yet
        return cls(path, about, lock)

    @classmethod
    def _resume(cls, path: Path, recipe: _Writable | None) -> Run:
        about = _read_about(path)
        if recipe is not None:
            told, now = read_yaml(path / "recipe.yaml"), parse_yaml(recipe.to_yaml(), place="recipe")
            changed = [text for text in _changed_keys(told.values, now.values) if not text.startswith(_SILENT)]
            if changed:
                raise RunError(
                    f"{path} began with another recipe: {'; '.join(changed[:6])}. "
                    "Resume with the recipe of the run, or choose another folder."
                )
        run = cls(path, about, FolderLock(path))
        if not run.is_done:
            run._drop_half_event()
            for leftover in path.rglob(".*.part"):
                leftover.unlink(missing_ok=True)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open the run folder at `path` for reading, finished or not.

        Raises:
            RunError: it is no run folder, or a newer version made it.
        """
        path = Path(path)
        if not (path / "run.json").is_file():
            inside = sorted(p.parent.name for p in path.glob("*/run.json")) if path.is_dir() else []
            hint = f" Did you mean {path / inside[-1]}?" if inside else " Train first, or check the path."
            if len(inside) > 1:
                also = f" {path / 'folds.md'} has them together." if (path / "folds.md").is_file() else ""
                hint = f" It holds the runs {listed(inside, limit=6)}. Give one, such as {path / inside[-1]}.{also}"
            raise RunError(f"{path} is not a run folder: it has no run.json.{hint}")
        return cls(path, _read_about(path), None)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the events file and give the lock back. Reading still works afterwards."""
        if self._events is not None:
            self._events.close()
            self._events = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- files

    def file(self, name: str) -> Path:
        """Return the path of `name` inside the folder, such as ``"split.csv"`` or ``"figures/run.png"``.

        Raises:
            ArgumentError: the layout has no such file.
        """
        folder, _, rest = name.partition("/")
        if name not in _FILES and not (folder in _FOLDERS and rest and ".." not in rest):
            raise ArgumentError(f'a run folder has no file "{name}".{nearest(name, _FILES)}')
        return self.path / name

    def scores_file(self, role: str) -> Path:
        """Return the path of the scores of `role`, such as ``scores/test.parquet``."""
        return self.file(f"scores/{role}.parquet")

    def scores_roles(self) -> list[str]:
        """Return the roles whose scores are there, sorted."""
        return sorted(path.stem for path in (self.path / "scores").glob("*.parquet") if not path.name.startswith("."))

    def write_record(self, name: str, record: Any) -> None:
        """Write a record as ``<name>.json``; `record` is plain JSON data or has `to_dict`. NaN becomes null.

        Raises:
            ArgumentError: `name` is not one of the records of a run.
            RunError: the disk is full; the old file is untouched.
        """
        write_json(self._record_file(name), plain(record.to_dict() if hasattr(record, "to_dict") else record))

    def read_record(self, name: str) -> Any:
        """Return the JSON data of the record `name`.

        Raises:
            RunError: the run has not come so far.
            DataError: the file is damaged.
        """
        path = self._record_file(name)
        if not path.exists():
            raise RunError(f"{path} is not there: the run has not come so far. {self._how_to_resume()}")
        return read_json(path)

    def has_record(self, name: str) -> bool:
        """Return whether the record `name` has been written."""
        return self._record_file(name).is_file()

    def _record_file(self, name: str) -> Path:
        if name not in RECORDS:
            raise ArgumentError(f'a run has no record "{name}". Allowed: {listed(RECORDS)}.{nearest(name, RECORDS)}')
        return self.path / f"{name}.json"

    # --- events

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Append one line to events.jsonl and flush it; NaN and infinities become null.

        Raises:
            RunError: the disk is full; the events before this one are untouched.
        """
        line = (json.dumps(plain(event), ensure_ascii=False, allow_nan=False) + "\n").encode()
        path = self.path / "events.jsonl"
        try:
            if self._events is None:
                self._drop_half_event()
                self._events = path.open("ab", buffering=0)
            begin = path.stat().st_size
            if self._events.write(line) != len(line):
                os.truncate(path, begin)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RunError(
                f"{path} could not be written: {error.strerror or error}. Free some space. {self._how_to_resume()}"
            ) from error

    def events(self, damaged: list[int] | None = None) -> list[dict[str, Any]]:
        """Return all events in order; a last line that was cut off by a kill is left out.

        Raises:
            DataError: a line in the middle is damaged; with a list `damaged`, its number is put there instead.
        """
        path, events = self.path / "events.jsonl", []
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for number, line in enumerate(lines[:-1], start=1):
            try:
                events.append(json.loads(line) | {})  # a TypeError for what is no mapping
            except (ValueError, TypeError, RecursionError) as error:
                if damaged is None:
                    raise DataError(f"{path} line {number} is damaged. Restore the file, or train again.") from error
                damaged.append(number)
        return events

    def events_position(self) -> int:
        """Return the size of events.jsonl in bytes after bringing it to disk: what a checkpoint remembers."""
        path = self.path / "events.jsonl"
        if self._events is not None:
            os.fsync(self._events.fileno())
        return path.stat().st_size if path.exists() else 0

    def truncate_events(self, position: int) -> None:
        """Cut events.jsonl back to `position` bytes, so that a resumed run repeats no line.

        Raises:
            RunError: the file is shorter than that, or `position` is in the middle of a line.
        """
        path = self.path / "events.jsonl"
        content = path.read_bytes() if path.exists() else b""
        if position > len(content) or (position > 0 and content[position - 1 : position] != b"\n"):
            raise RunError(
                f"{path} does not reach to the checkpoint ({len(content)} of {position} bytes). "
                "Train again with --overwrite."
            )
        if position < len(content):
            os.truncate(path, position)

    def _drop_half_event(self) -> None:
        path = self.path / "events.jsonl"
        if path.exists():
            content = path.read_bytes()
            if content and not content.endswith(b"\n"):
                os.truncate(path, content.rfind(b"\n") + 1)

    # --- the end

    @property
    def is_done(self) -> bool:
        """Whether the run is finished."""
        return (self.path / "DONE").is_file()

    def finish(self) -> None:
        """Write DONE with the hash of every file, and remove the run that this one replaces.

        Raises:
            RunError: the disk is full.
        """
        self.events_position()
        write_json(self.path / "DONE", {"files": self._hashes()})
        replaced = self.about.get("replaces")
        if replaced:
            shutil.rmtree(self.path.with_name(replaced), ignore_errors=True)

    def require_done(self) -> None:
        """Raise `RunError` when the run is unfinished, or a file that DONE vouches for was changed or lost."""
        if not self.is_done:
            raise RunError(f"{self.path} is not finished. {self._how_to_resume()}")
        changed = self.changed_files()
        if changed:
            raise RunError(
                f"{self.path} was changed after it was finished: {listed(changed)}. Restore the files, or train again."
            )

    def changed_files(self) -> list[str]:
        """Return the files that are not what they were when DONE was written: changed or missing, sorted."""
        done = read_json(self.path / "DONE")
        recorded = done.get("files") if isinstance(done, dict) else None
        if not isinstance(recorded, dict):
            raise RunError(f"{self.path / 'DONE'} is damaged: it names no files. Restore it, or train again.")
        now = self._hashes()
        return sorted(name for name, digest in recorded.items() if now.get(name) != digest)

    def _hashes(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and not name.startswith(_REBUILT) and not path.name.startswith("."):
                try:
                    found[name] = _digest(path)
                except OSError as error:
                    raise RunError(
                        f"{path} could not be read: {error.strerror or error}. Give yourself the right to read it."
                    ) from error
        return found

    def _how_to_resume(self) -> str:
        recipe, folder = (shlex.quote(str(path)) for path in (self.path / "recipe.yaml", self.path))
        return f"Go on with: equipoise train {recipe} --out {folder} --resume"


def _versions() -> dict[str, str]:
    """The versions of what a run stands on, without importing any of it."""
    found = {"python": platform.python_version()}
    for name in _STANDS_ON:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a recipe without its log, which a person may change in a finished run."""
    with path.open("rb") as opened:
        if path.name == "recipe.yaml":
            return hashlib.sha256(without_section(opened.read(), "log")).hexdigest()
        return hashlib.file_digest(opened, "sha256").hexdigest()


def is_sealed(path: str | Path) -> bool:
    """Return whether a run is a cell of an ablation whose test role nobody has opened yet."""
    for folder in Path(path).resolve().parents[:4]:
        if (folder / "ablation.json").is_file():
            return not (folder / "test-opened.json").is_file()
    return False


def plain(value: Any) -> Any:
    """Return `value` as plain JSON data: arrays as lists, NumPy numbers as numbers, NaN and infinities as None.

    Example:
        >>> plain({"loss": float("nan"), "classes": ("a", "b")})
        {'loss': None, 'classes': ['a', 'b']}
    """
    if hasattr(value, "tolist"):  # NumPy arrays and numbers, and tensors, without importing either
        value = value.tolist()
    if isinstance(value, float):
        return value if value - value == 0 else None  # inf - inf and nan - nan are nan
    if isinstance(value, Mapping):
        return {str(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inside) for inside in value]
    return str(value) if isinstance(value, Path) else value


def _read_about(path: Path) -> dict[str, Any]:
    about = read_json(path / "run.json")
    number = about.get("format") if isinstance(about, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise RunError(f"{path / 'run.json'} has no format version. Restore the file, or choose another folder.")
    if number > FORMAT:
        raise RunError(
            f"{path} was made by Equipoise {about.get('equipoise', '?')} (run format {number}); this is {__version__} "
            f"(format {FORMAT}). Upgrade to read it: pip install --upgrade equipoise."
        )
    return dict(about)


def _require_run_or_nothing(path: Path) -> None:
    """A new run begins in a folder that is new, empty, or was left by a run killed while it began."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is a file. Choose another folder for the run.")
    if (path / "run.json").exists():
        return
    strange = sorted(
        p.name for p in path.iterdir()
        if p.name not in ("lock", "recipe.yaml") and not p.name.endswith(".part")
        and not (p.name in _FOLDERS and p.is_dir() and not any(p.iterdir()))
    )  # fmt: skip
    if strange:
        raise RunError(f"{path} holds other files ({listed(strange, limit=3)}). Choose another folder for the run.")


def _already_there(path: Path) -> str:
    if (path / "DONE").exists():
        return f"{path} holds a finished run. Choose another folder with --out, or replace it with --overwrite."
    return f"{path} holds an unfinished run. Go on with --resume, or choose another folder with --out."


def _set_aside(path: Path) -> str | None:
    """Move a finished run beside itself, delete an unfinished one; return the name of the finished one, if any."""
    about = _read_about(path)
    lock = FolderLock(path)
    try:
        if not (path / "DONE").exists():
            shutil.rmtree(path)
            return about.get("replaces")
        aside = path.with_name(f"{path.name}.previous")
        if aside.exists():
            shutil.rmtree(aside)
        path.rename(aside)
        return aside.name
    except OSError as error:
        raise RunError(f"{path} could not be set aside: {error.strerror or error}. Choose another folder.") from error
    finally:
        lock.release()


def _changed_keys(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        inside = (_changed_keys(old.get(k), new.get(k), f"{path}.{k}" if path else str(k)) for k in keys)
        return [text for found in inside for text in found]
    return [] if old == new else [f"{path} was {json.dumps(old)}, now {json.dumps(new)}"]
