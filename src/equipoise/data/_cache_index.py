"""The index of an image cache: one record of fixed length for each image that is whole, only ever appended.

A record is written after the pixels that it speaks of, carries their checksum and its own, and is never changed. So a
process killed at any instant leaves at worst a torn last record, which is no record; and a reader needs no lock.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import RunError

Records = NDArray[Any]  # (records,) of RECORD

RECORD = np.dtype(
    [
        ("source", "V16"),  # digest of the source image: which it is, and its state
        ("offset", "<u8"),  # where its bytes begin in the file of pixels
        ("length", "<u4"),  # how many there are
        ("file", "<u4"),  # which file of pixels
        ("checksum", "<u4"),  # CRC-32 of these bytes
        ("micros", "<u4"),  # processor time that they cost, in microseconds
        ("spare", "<u4"),
        ("own", "<u4"),  # CRC-32 of this record up to here
    ]
)
_OWN_FROM = RECORD.itemsize - 4


def source_digest(identity: str, stamp: str) -> bytes:
    """Return 16 bytes that stand for one state of one source image."""
    return hashlib.blake2b(f"{identity}\0{stamp}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


def make_record(source: bytes, *, file: int, offset: int, length: int, checksum: int, micros: int) -> Records:
    """Return one record, (1,), with its own checksum."""
    record = np.zeros(1, RECORD)
    record["source"] = np.frombuffer(source, "V16")
    record["file"], record["offset"], record["length"] = file, offset, length
    record["checksum"], record["micros"] = checksum, min(micros, 2**32 - 1)
    record["own"] = zlib.crc32(record.tobytes()[:_OWN_FROM])
    return record


def read_index(path: Path) -> tuple[Records, int]:
    """Return the records that are whole, in the order in which they were written, and how many are damaged.

    A last record that is torn is left out and not counted: that is what a kill leaves. No file is no records.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise RunError(
            f"{path} could not be read: {error.strerror or error}. Delete {path.parent}, or choose another folder for "
            "the cache."
        ) from error
    records = np.frombuffer(content[: len(content) // RECORD.itemsize * RECORD.itemsize], RECORD)
    lines = records.view(np.uint8).reshape(-1, RECORD.itemsize)[:, :_OWN_FROM]
    whole = np.array([zlib.crc32(line.tobytes()) for line in lines], dtype=np.uint32) == records["own"]
    return records[whole], int((~whole).sum())


def last_of_each(records: Records) -> dict[bytes, int]:
    """Return, for each source, where its last record is: the one that counts."""
    return {source: number for number, source in enumerate(records["source"].tolist())}


def cut_torn_end(path: Path) -> None:
    """Cut a torn last record off, so that the next one begins where a record begins. Needs the lock of the builder."""
    if path.exists() and path.stat().st_size % RECORD.itemsize:
        os.truncate(path, path.stat().st_size // RECORD.itemsize * RECORD.itemsize)
