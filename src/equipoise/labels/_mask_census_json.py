"""One image of a census of masks, to JSON and back."""

from __future__ import annotations

from typing import Any

from equipoise.labels.mask_census import MaskImage

_NUMBERS = ("ignored", "nans", "outside", "between")


def image_to_dict(image: MaskImage) -> dict[str, Any]:
    """Return plain JSON types; what is zero or empty is left out."""
    value: dict[str, Any] = {"name": image.name, "shape": list(image.shape), "pixels": list(image.pixels)}
    if image.known != (image.size,) * len(image.pixels):
        value["known"] = list(image.known)
    value |= {key: found for key in _NUMBERS if (found := getattr(image, key))}
    value |= {key: list(found) for key in ("odd_values", "values") if (found := getattr(image, key))}
    return value | ({"stamp": image.stamp} if image.stamp else {})


def image_from_dict(value: dict[str, Any], classes: int) -> MaskImage:
    """Return the image; contradictions are a `ValueError`."""
    shape = _counts(value["shape"])
    size = 1
    for length in shape:
        size *= length
    pixels, known = _counts(value["pixels"]), _counts(value.get("known", [size] * classes))
    if len(pixels) != classes or len(known) != classes or any(map(int.__gt__, pixels, known)) or max(known) > size:
        raise ValueError(f"the counts of {str(value['name'])!r:.80} contradict each other")
    ignored, nans, outside, between = _counts([value.get(key, 0) for key in _NUMBERS])
    odd, values = (tuple(map(float, value.get(key, []))) for key in ("odd_values", "values"))
    return MaskImage(
        str(value["name"]), shape, pixels, known, ignored, nans, outside, odd, values, between,
        str(value.get("stamp", "")),
    )  # fmt: skip


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(count) is int and 0 <= count < 2**62 for count in values):
        raise ValueError(f"{values!r:.80} should be counts")
    return tuple(values)
