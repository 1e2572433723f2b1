"""Which columns of a table hold what: told by their names, or by the user; never by the numbers in them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from equipoise._checks import ArgumentError, DataError, check_one_of, listed, nearest
from equipoise._tasks import is_exclusive
from equipoise.labels._cells import canonical, pair_of
from equipoise.labels.table import TableSource

PREFIXES = {"p_": "probabilities", "z_": "logits"}
KINDS = ("logits", "probabilities")
NONE = "none"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The columns of labels and of scores.

    Attributes:
        labels: label columns: one per score column, or the one that holds the name of the class; none where the labels
            are declared unknown.
        values: score columns.
        kind: "logits" or "probabilities".
        exclusive: whether one column holds the name of each row's class.
        names: candidates for the names of the classes, in the order of `values`; the first that the labels fit is
            taken.
    """

    labels: tuple[str, ...]
    values: tuple[str, ...]
    kind: str
    exclusive: bool
    names: tuple[tuple[str, ...], ...]


def find_layout(
    source: TableSource,
    *,
    labels: str | Sequence[str] | None,
    values: str | Sequence[str] | None,
    kind: str | None,
    classes: Sequence[str] | None,
    task: str | None,
    positive: str | None,
) -> Layout:
    """Return the layout of a table; the arguments are those of `read_scores`."""
    if kind is not None:
        check_one_of(kind, KINDS, argument="kind", function="read_scores")
    score_columns = _score_columns(source, _listed(values, "values"))
    resolved = _kind(source, score_columns, kind, given=values is not None)
    label_columns, exclusive = _label_columns(source, labels, score_columns, task)
    if set(label_columns) & set(score_columns):
        both = listed(sorted(set(label_columns) & set(score_columns)))
        raise ArgumentError(f"{source.name}: {both} cannot hold both labels and scores. Name different columns.")
    names = _names(label_columns, score_columns, exclusive=exclusive)
    if positive is not None and exclusive:
        raise ArgumentError(
            f"{source.name}: `positive` is for labels of two kinds, and {listed(label_columns)} names one of "
            f"{len(score_columns)} classes. Leave it out, or give the one score column of the positive class."
        )
    if positive is not None and len(label_columns) == 1 and _is_word(positive):
        names = [(canonical(positive),)]
    if classes is not None:
        if len(classes) != len(score_columns):
            raise ArgumentError(
                f"`classes` of read_scores must name each of the {len(score_columns)} score columns, in their order "
                f"({listed(score_columns)}); got {listed(classes)}."
            )
        names = [tuple(map(str, classes))]
    return Layout(tuple(label_columns), tuple(score_columns), resolved, exclusive, tuple(names))


def _listed(given: str | Sequence[str] | None, argument: str) -> list[str] | None:
    if given is None:
        return None
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    if not names:
        raise ArgumentError(f"`{argument}` of read_scores names no column. Name one, or leave it out.")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ArgumentError(f"`{argument}` of read_scores has {listed(twice)} twice. Name each column once.")
    return names


def _score_columns(source: TableSource, given: list[str] | None) -> list[str]:
    if given is not None:
        return [source.require_column(name) for name in given]
    found = {prefix: [name for name in source.columns if name.startswith(prefix)] for prefix in PREFIXES}
    if bool(found["p_"]) == bool(found["z_"]):
        if {"chosen", "negatives", "positives", "sums"} <= set(source.columns):
            raise DataError(
                f"{source.name} holds counts of masks, not scores of rows: its run has a rule of its own. Give the run "
                "folder to `equipoise evaluate RUN` or `equipoise compare RUN OTHER`."
            )
        both = "both p_* and z_* columns" if found["p_"] else "no score columns"
        raise DataError(
            f"{source.name} has {both} (columns: {listed(source.columns)}). "
            f"Name probabilities p_<class>, or logits z_<class>, one kind only; or name the score columns with values= "
            f"(command line: --scores COLUMN,COLUMN).{_one_column(source)}"
        )
    return [source.require_column(name) for name in (found["p_"] or found["z_"])]


def _one_column(source: TableSource) -> str:
    if len(source.columns) > 1 or source.kind != "text":
        return ""
    return " The table has a single column: its cells must be parted by commas, tabs or semicolons."


def _kind(source: TableSource, columns: list[str], kind: str | None, *, given: bool) -> str:
    """Return what the names of the columns say, unless the user says it."""
    said = {PREFIXES.get(name[:2]) for name in columns}
    by_name = said.pop() if len(said) == 1 else None
    if kind is None and by_name is None:
        raise ArgumentError(
            f"{source.name}: whether {listed(columns)} hold probabilities or logits is never guessed from the numbers. "
            'Say kind="probabilities" or kind="logits" (command line: --kind).'
        )
    if kind is not None and by_name is not None and kind != by_name and not given:
        raise ArgumentError(
            f"{source.name}: the columns {listed(columns)} are {by_name} by their names; kind says {kind}. Drop kind, "
            f"or name the columns with values= (command line: --scores) if it is right."
        )
    return kind or str(by_name)


def _label_columns(
    source: TableSource, given: str | Sequence[str] | None, values: list[str], task: str | None
) -> tuple[list[str], bool]:
    """Return the label columns, and whether there is one that holds the name of the class."""
    if given == NONE and NONE not in source.columns:
        return [], _unlabelled_exclusive(source, values, task)
    names = _listed(given, "labels")
    if names is None:
        return _named_labels(source, values)
    names = [source.require_column(name) for name in names]
    if len(names) == 1 and len(values) > 1:
        if task is not None and not is_exclusive(task):
            raise ArgumentError(
                f"{source.name}: task {task} with {len(values)} score columns needs as many label columns; got "
                f"{listed(names)}. Name the others, or say which of the score columns belongs to it."
            )
        return names, True
    if len(names) != len(values):
        raise ArgumentError(
            f"{source.name}: {len(names)} label columns ({listed(names)}) and {len(values)} score columns "
            f"({listed(values)}). Name one score column per label column in the same order, or one label column that "
            f"holds the name of the class."
        )
    _check_pairs(source, names, values)
    return names, False


def _unlabelled_exclusive(source: TableSource, values: list[str], task: str | None) -> bool:
    if len(values) > 1 and task is None:
        raise ArgumentError(
            f"{source.name}: without labels, {len(values)} score columns may be findings that occur together or "
            'classes that exclude each other. Say task="multilabel", "multiclass" or "ordinal" (command line: --task).'
        )
    return task is not None and is_exclusive(task)


def _check_pairs(source: TableSource, labels: list[str], values: list[str]) -> None:
    """Raise `ArgumentError` when the names say that a label column belongs to another score column."""
    place = {_bare(name): index for index, name in enumerate(values)}
    for index, name in enumerate(labels):
        other = place.get(_bare(name), index)
        if other != index:
            raise ArgumentError(
                f'{source.name}: label column "{name}" is paired with "{values[index]}", but by its name it belongs '
                f'to "{values[other]}". Give both lists in the same order.'
            )


def _named_labels(source: TableSource, values: list[str]) -> tuple[list[str], bool]:
    """Return the label columns that the names say: y, or y_<class> for each score column."""
    labelled = [name for name in source.columns if name.startswith("y_")]
    if "y" in source.columns and labelled:
        raise DataError(
            f"{source.name} has a column y and columns y_*. Keep y for exclusive classes, or y_<class> for findings; "
            f"or name the label columns with labels= (command line: --labels)."
        )
    if "y" in source.columns:
        return [source.require_column("y")], True
    wanted = [f"y_{_bare(name)}" for name in values]
    for name in wanted:
        if name not in labelled:
            raise DataError(
                f'{source.name} has no column "{name}".{nearest(name, source.columns)} '
                "Each class needs a column of labels and a column of scores; name the label columns with labels= "
                "(command line: --labels COLUMN) where they are called otherwise."
            )
    for name in labelled:
        if name not in wanted:
            missing = values[0][:2] + name[2:] if values[0][:2] in PREFIXES else name[2:]
            raise DataError(
                f'{source.name} has no column "{missing}".{nearest(missing, source.columns)} '
                "Each class needs a column of labels and a column of scores."
            )
    return [source.require_column(name) for name in wanted], False


def _is_word(positive: str) -> bool:
    """Return whether the positive label names the class better than its column does: neither yes nor a number."""
    return pair_of(canonical(positive)) is None and not re.fullmatch(r"[-+.\deE]+", positive.strip())


def _bare(name: str) -> str:
    """Return the name of the class in the name of a column."""
    return name[2:] if name[:2] in ("p_", "z_", "y_") and len(name) > 2 else name


def _names(labels: list[str], values: list[str], *, exclusive: bool) -> list[tuple[str, ...]]:
    """Return candidates for the names of the classes."""
    if not exclusive:
        chosen = labels or values
        bare = tuple(map(_bare, chosen))
        return [bare if len(set(bare)) == len(bare) else tuple(chosen)]
    if len({PREFIXES.get(name[:2]) for name in values}) == 1 and values[0][:2] in PREFIXES:
        return [tuple(map(_bare, values))]
    return list(dict.fromkeys([tuple(values), _unshared(values)]))


def _unshared(values: list[str]) -> tuple[str, ...]:
    """Return the names without the words that all of them begin and end with: ``prob_cat``, ``prob_dog`` -> cat, dog.

    Example:
        >>> _unshared(["P(cat) %", "P(cart) %"])
        ('cat', 'cart')
    """
    start, stop = _shared(values), _shared([name[::-1] for name in values])
    bare = tuple(name[start : len(name) - stop] for name in values)
    return bare if all(bare) and len(set(bare)) == len(bare) else tuple(values)


def _shared(names: list[str]) -> int:
    """Return how many letters all names begin with, up to the last that is neither letter nor digit."""
    shortest, longest = min(names), max(names)  # in the order of the alphabet: all others lie between these two
    same = next((place for place, pair in enumerate(zip(shortest, longest)) if len(set(pair)) > 1), len(shortest))  # noqa: B905
    return len(re.sub(r"[^\W_]+$", "", shortest[:same]))
