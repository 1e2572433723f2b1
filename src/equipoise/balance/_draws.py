"""Row numbers drawn from any sampler, rank by rank and epoch by epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import ArgumentError
from equipoise.balance._copies import copies_of

Rows = NDArray[np.int64]
_LONGEST = 1 << 22  # of an epoch that is drawn to its end, for rows seen and repeats
_COMPARED = 1 << 16  # of a second epoch, to compare it with the first


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn.

    Attributes:
        ranks: per rank, its draws in order, epochs one after the other.
        first: per rank, the draws of its first epoch (cut when it is very long).
        second: per rank, the beginning of its second epoch; empty where there is none to ask for.
        batches: per rank, where each batch ends; rows beyond the last are a batch that is not full.
        whole: whether `first` is a whole epoch.
        asked: whether samplers were asked, which say where an epoch ends; row numbers that lie there do not.
    """

    ranks: tuple[Rows, ...]
    first: tuple[Rows, ...]
    second: tuple[Rows, ...]
    batches: tuple[Rows, ...]
    whole: bool
    asked: bool

    @property
    def together(self) -> Rows:
        """All draws of all ranks."""
        return np.concatenate(self.ranks)

    @property
    def epoch(self) -> Rows:
        """The first epoch of all ranks."""
        return np.concatenate(self.first)


def draw(sampler: Any, *, batch_size: int | None, batches: int) -> Draws:
    """Draw `batches` batches, or one whole epoch if that is more, from every rank's sampler.

    The samplers stay where they stand: copies are drawn from (`copies_of`).

    Args:
        sampler: row numbers, an iterable that yields row numbers or lists of them (batches), or a list or tuple of
            arrays or samplers: one a rank.
        batch_size: rows of a batch of one rank; not needed where batches are yielded.
        batches: of all ranks together.
    """
    samplers = [_as_array(one) for one in (sampler if _is_ranks(sampler) else [sampler])]
    if not samplers:
        raise ArgumentError("preflight got no sampler. Give row numbers, a sampler, or one of them for each rank.")
    share = -(-batches // len(samplers))
    with copies_of(samplers) as copies:
        found = [_rank(one, batch_size, share) for one in copies]
    if not all(len(first) for first, *_ in found):
        raise ArgumentError("The sampler of preflight yields nothing. Check its length and the rows of its data set.")
    return Draws(
        ranks=tuple(np.concatenate([first, second]) for first, second, *_ in found),
        first=tuple(first for first, *_ in found),
        second=tuple(second for _, second, *_ in found),
        batches=tuple(ends for _, _, ends, _ in found),
        whole=all(whole for *_, whole in found),
        asked=not any(_lies_there(one) for one in samplers),
    )


def _is_ranks(sampler: Any) -> bool:
    """A list or tuple of arrays or of samplers is one a rank; of numbers it is a stream, of lists it is batches."""
    if not isinstance(sampler, list | tuple) or not sampler:
        return isinstance(sampler, list | tuple)
    first = sampler[0]
    return not (isinstance(first, int | float | str | list | tuple) or getattr(first, "ndim", None) == 0)


def _lies_there(sampler: Any) -> bool:
    return isinstance(sampler, np.ndarray | list | tuple | range)


def _as_array(sampler: Any) -> Any:
    """Return row numbers that lie there already, such as a tensor, as an array; leave a sampler as it is."""
    if isinstance(sampler, list | tuple) or not hasattr(sampler, "__array__"):
        return sampler
    return np.asarray(sampler.cpu() if hasattr(sampler, "cpu") else sampler)


def _rank(sampler: Any, batch_size: int | None, batches: int) -> tuple[Rows, Rows, Rows, bool]:
    """Return the first epoch, draws of the second, the ends of the batches of both, and whether the first is whole."""
    fixed = _lies_there(sampler)
    rows_needed = batches * (batch_size or 1)
    first, sizes, whole = _pass(sampler, 0, max(rows_needed, _LONGEST))
    if sizes is None and batch_size is None:
        raise ArgumentError("preflight needs `batch_size` for a sampler that yields rows one by one. Give it.")
    second, more = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not fixed and whole:
        per_batch = (batch_size or 1) if sizes is None else max(1, int(np.median(sizes)))
        wanted = max(batches * per_batch - len(first), min(len(first), _COMPARED))
        second, again, _ = _pass(sampler, 1, wanted)
        more = more if again is None else again
    if sizes is not None:
        return first, second, np.cumsum(np.concatenate([sizes, more])), whole
    assert batch_size is not None
    return first, second, np.arange(batch_size, len(first) + len(second) + 1, batch_size, dtype=np.int64), whole


def _pass(sampler: Any, epoch: int, most: int) -> tuple[Rows, NDArray[np.int64] | None, bool]:
    """Draw an epoch: return at most about `most` rows, the sizes of batches if it yields them, and whether it ended."""
    if isinstance(sampler, np.ndarray):
        return _whole_numbers(sampler), None, True
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    try:
        stream = iter(sampler)
    except TypeError as error:
        raise ArgumentError(
            f"`sampler` of preflight must be row numbers or a sampler; got {type(sampler).__name__}. Give what yields "
            "row numbers, or an array of them."
        ) from error
    head = next(stream, None)
    if head is None:
        return np.zeros(0, np.int64), None, True
    stream = itertools.chain([head], stream)
    if isinstance(head, Sequence | np.ndarray) or getattr(head, "ndim", 0) > 0:
        parts = [_whole_numbers(np.asarray(b)) for b in itertools.islice(stream, -(-most // max(1, len(head))))]
        return np.concatenate(parts), np.array([len(part) for part in parts], np.int64), next(stream, None) is None
    rows = _whole_numbers(_collected(itertools.islice(stream, most)))
    return rows, None, next(stream, None) is None


def _collected(stream: Iterable[Any]) -> NDArray[Any]:
    return np.array([row if isinstance(row, int) else _plain(row) for row in stream])


def _plain(row: Any) -> Any:
    return row.item() if hasattr(row, "item") else row


def _whole_numbers(rows: NDArray[Any]) -> Rows:
    fits = rows.dtype != np.uint64 or not len(rows) or rows.max() <= np.iinfo(np.int64).max
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)) or not fits:
        raise ArgumentError(
            f"A sampler must yield row numbers; got {rows.dtype} of shape {rows.shape}. Give integers from 0 (below "
            "2^63)."
        )
    return rows.astype(np.int64, copy=False)
