"""Writing files so that a reader never sees half of one, and folders in which one process works at a time."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equipoise._checks import DataError, RunError

try:
    import fcntl
except ImportError:  # Windows: a folder is then not locked
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`, else it is removed.

    Raises:
        RunError: the folder cannot be written to, or the disk is full. The old file, if any, is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path} could not be written: {error.strerror or error}. "
            "Free some space or choose another folder; nothing was changed."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield the path of a temporary folder beside `path`; on success it takes that name, else it is removed.

    What `path` was before is removed just before the renaming: killed in between, `path` is missing and never half.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.is_dir() and not path.is_symlink():
            before = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
            path.replace(before)
            shutil.rmtree(before, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to `path`, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, all of it or nothing. NaN is refused: use None."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing, is not UTF-8 or is not JSON; the message has the line.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror or error}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text. Write it again with Equipoise.") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} line {error.lineno} is not JSON: {error.msg}. Write it again with Equipoise."
        ) from error
    except (RecursionError, ValueError) as error:  # nested a thousand deep, or a number of thousands of digits
        raise DataError(
            f"{path} is JSON that Equipoise never writes: too deeply nested, or a number of thousands of digits. "
            "Write it again with Equipoise."
        ) from error


class FolderLock:
    """One process at a time works in a folder. The kernel gives the lock back when the process dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"{self._path} could not be written: {error.strerror or error}. Choose another folder."
            ) from error
        if self._taken(descriptor):
            owner = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise RunError(f"{folder} is in use by {owner}. Wait for it, or choose another folder.")
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
        self._close = weakref.finalize(self, os.close, descriptor)
        # A forked worker must not keep the folder locked after its parent is killed.
        if hasattr(os, "register_at_fork"):
            itself = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _release(itself))

    @staticmethod
    def _taken(descriptor: int) -> bool:
        if fcntl is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
        return False

    def release(self) -> None:
        """Give the folder back."""
        self._close()


def _release(lock: weakref.ref[FolderLock]) -> None:
    alive = lock()
    if alive is not None:
        alive.release()
