"""A census of masks in words and columns, for `str` and for the command line."""

from __future__ import annotations

from collections.abc import Iterable

from equipoise.labels._census_text import aligned, number, percent
from equipoise.labels.mask_census import MaskCensus

_SHOWN = 3


def class_rows(census: MaskCensus) -> tuple[list[str], list[list[str]]]:
    """Return the headings and one row per class: pixels, share with its interval over images, images that hold it."""
    headings = ["class", "pixels", "share", "95 % interval", "images", "of them", "pixels where present"]
    low, high = census.prevalence_interval
    held = census.by_images()
    rows = []
    for k, name in enumerate(census.classes):
        present = int(census.present[k])
        interval = "-" if len(census.images) < 2 else f"{percent(low[k])} to {percent(high[k])}"
        where = f"{int(census.positives[k]) / present:,.0f}" if present else "-"
        rows.append(
            [name, f"{int(census.positives[k]):,}", percent(census.prevalence[k]), interval, f"{present:,}",
             percent(held.prevalence[k]), where]
        )  # fmt: skip
    return headings, rows


def component_rows(census: MaskCensus) -> tuple[list[str], list[list[str]]]:
    """Return the headings and one row per class: how many connected parts, and how large."""
    headings = ["class", "parts", "per image", "smallest", "about half below", "about 90 % below", "largest"]
    parts, rows = census.components, []
    if parts is not None:
        half, most = parts.quantile(0.5), parts.quantile(0.9)
        for k, name in enumerate(parts.classes):
            each = number(float(parts.counts[k]) / max(1, len(census.images)))
            sizes = (parts.smallest[k], half[k], most[k], parts.largest[k])
            shown = [f"{size:,.0f}" if parts.counts[k] else "-" for size in sizes]
            rows.append([name, f"{int(parts.counts[k]):,}", each, *shown])
    return headings, rows


def sentences(census: MaskCensus) -> list[str]:
    """Return what a reader should take away: the size, the rarest class, what is empty, unknown, odd or mixed."""
    images = len(census.images)
    many = f"{images:,} image{'s' if images != 1 else ''}"
    drawn = "" if census.population is None else f", a sample of {census.population:,}"
    found = [f"{many}{drawn}, {census.rows:,} pixels; {census.meaning.words()}."]
    rarest = min(
        (k for k, count in enumerate(census.positives) if count), key=lambda k: census.prevalence[k], default=None
    )
    if rarest is not None and census.prevalence[rarest] < 0.5:
        share = float(census.prevalence[rarest])
        found.append(
            f"Rarest: {census.classes[rarest]}, {percent(share)} of the pixels, in {int(census.present[rarest]):,} of "
            f"{many}. A model that never paints it is {100 * (1 - share):.4g} % accurate on it."
        )
    if census.empty_classes:
        found.append(
            f"No pixel at all: {', '.join(census.empty_classes)}. Check the values of the masks, or drop the class."
        )
    if len(census.empty_images) == images > 0:
        found.append(f"All masks are empty. Check what the values mean: {_values_met(census)}.")
    elif census.empty_images:
        found.append(f"{len(census.empty_images):,} of {many} have nothing but background{_such(census.empty_images)}.")
    return found + _oddities(census)


def _oddities(census: MaskCensus) -> list[str]:
    found = []
    for key, what in (
        ("outside", "have a value that is no class: counted as unknown"),
        ("nans", "are NaN: counted as unknown"),
        ("ignored", "are ignored, as asked"),
        ("between", "lie between the values of background and foreground: scores, or a mask that was resized or JPEG"),
    ):
        with_it = [image for image in census.images if getattr(image, key)]
        if with_it:
            pixels = sum(getattr(image, key) for image in with_it)
            odd = sorted({value for image in with_it for value in image.odd_values}) if key == "outside" else []
            shown = f" ({', '.join(f'{value:g}' for value in odd[:6])})" if odd else ""
            found.append(f"{pixels:,} pixels in {len(with_it):,} images {what}{shown}{_such(i.name for i in with_it)}.")
    kinds = value_sets(census)
    if len(kinds) > 1:
        said = "; ".join(
            f"{'/'.join(f'{value:g}' for value in values)} in {len(names):,}{_such(names)}"
            for values, names in list(kinds.items())[:5]
        )
        found.append(f"Masks differ in their values: {said}. Make sure that each value means the same in all of them.")
    return found


def value_sets(census: MaskCensus) -> dict[tuple[float, ...], list[str]]:
    """Return which sets of values masks hold, the commonest first: one that another contains is joined with it."""
    met: dict[tuple[float, ...], list[str]] = {}
    for image in census.images:
        if image.values:
            met.setdefault(image.values, []).append(image.name)
    largest = [values for values in met if not any(set(values) < set(other) for other in met)]
    joined: dict[tuple[float, ...], list[str]] = {values: [] for values in largest}
    for values, names in met.items():
        joined[next(other for other in largest if set(values) <= set(other))] += names
    return dict(sorted(joined.items(), key=lambda item: -len(item[1])))


def _values_met(census: MaskCensus) -> str:
    kinds = value_sets(census)
    return "; ".join("/".join(f"{value:g}" for value in values) for values in list(kinds)[:3]) or "they hold none"


def _such(names: Iterable[str]) -> str:
    every = list(names)
    return f" ({', '.join(every[:_SHOWN])}{', ...' if len(every) > _SHOWN else ''})"


def census_text(census: MaskCensus) -> str:
    """Return the whole census as text."""
    lines = sentences(census)
    parts = [aligned(*component_rows(census))] if census.components is not None else []
    return "\n".join([lines[0], aligned(*class_rows(census)), *parts, *lines[1:], *census.notes])
