"""Writing a mask as its image is: type, place on Earth or in the body, and size of a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._checks import RunError
from equipoise._files import replacing, replacing_folder
from equipoise.data._opencv import opencv
from equipoise.data.volumes import PICTURES, Volume

_TIFF_TAGS = (282, 283, 296)  # resolution along both axes, and its unit
_LARGE = 2**31  # bytes from which a TIFF is written as BigTIFF


def mask_file_name(image: Path, suffix: str = "") -> str:
    """Return the name of the mask of an image: its own, but PNG for pictures that would lose values.

    Example:
        >>> mask_file_name(Path("a.nii.gz"), "_lesion"), mask_file_name(Path("b.jpg")), mask_file_name(Path("c.tif"))
        ('a_lesion.nii.gz', 'b.png', 'c.tif')
    """
    name = image.name
    ending = ".nii.gz" if name.casefold().endswith(".nii.gz") else image.suffix
    stem = name[: len(name) - len(ending)]
    return stem + suffix + (".png" if ending.casefold() in PICTURES else ending)


def write_mask(path: str | Path, mask: NDArray[np.uint8], image: Volume, *, values: Sequence[int]) -> None:
    """Write a mask as its image is: TIFF with georeference and resolution, NIfTI with its affine.

    TIFF, ``.npy`` and Zarr are written slice by slice; a NIfTI is held whole.

    Args:
        path: its ending says the format, that of the image (see `mask_file_name`).
        mask: class indices, of the size of the image; may be mapped.
        image: that it is of.
        values: value of a pixel for each class index.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(path)
    table = np.asarray(values, np.uint8)
    name = path.name.casefold()
    writers = {".png": _write_png, ".nii": _write_nifti, ".gz": _write_nifti, ".npy": _write_npy, ".zarr": _write_zarr}
    writer = writers.get(Path(name).suffix, _write_tiff)
    try:
        if writer is _write_zarr:
            with replacing_folder(path) as temporary:
                _write_zarr(temporary, mask, image, table)
            return
        with replacing(path) as temporary:
            writer(temporary, mask, image, table)
    except OSError as error:
        raise RunError(
            f"{path} could not be written: {error.strerror or error}. Free some space or choose another folder."
        ) from error


def _slices(mask: NDArray[np.uint8], table: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the planes of a mask, each with its values."""
    for plane in mask.reshape(-1, *mask.shape[-2:]):
        yield table[np.asarray(plane)]


def _write_tiff(path: Path, mask: NDArray[np.uint8], image: Volume, table: NDArray[np.uint8]) -> None:
    import tifffile

    given: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack", "metadata": None}
    resolution, tags = _tags_of(image)
    if resolution:
        given |= resolution
    with tifffile.TiffWriter(path, bigtiff=mask.nbytes > _LARGE) as file:
        first = True
        for plane in _slices(mask, table):
            file.write(plane, extratags=tags if first else (), contiguous=False, **given)
            first = False


def _tags_of(image: Volume) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """Return the resolution of an image, and its georeference as tags to write."""
    if image.kind != "tiff":
        return {}, []
    import tifffile

    with tifffile.TiffFile(image.path) as file:
        page: Any = file.pages[0]
        tags = page.tags
        found = {code: tags[code].value for code in _TIFF_TAGS if code in tags}
        geo = [
            (code, tags[code].dtype, tags[code].count, tags[code].value, True)
            for code in image.georeference
            if code in tags
        ]
    if 282 not in found or 283 not in found:
        return {}, geo
    return {"resolution": (found[282], found[283]), "resolutionunit": found.get(296, 1)}, geo


def _write_nifti(path: Path, mask: NDArray[np.uint8], image: Volume, table: NDArray[np.uint8]) -> None:
    import nibabel

    source: Any = nibabel.load(image.path)
    header = source.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    made = type(source)(table[np.asarray(mask)], image.affine, header)
    with path.open("wb") as stream:  # the ending of a temporary name says nothing
        if image.path.name.casefold().endswith(".gz"):
            import gzip

            with gzip.GzipFile("", "wb", 1, stream, mtime=0) as packed:  # the same bytes at any time
                packed.write(made.to_bytes())
        else:
            stream.write(made.to_bytes())


def _write_npy(path: Path, mask: NDArray[np.uint8], image: Volume, table: NDArray[np.uint8]) -> None:
    del image
    with path.open("wb") as stream:
        np.lib.format.write_array_header_2_0(
            stream, {"descr": "|u1", "fortran_order": False, "shape": tuple(mask.shape)}
        )
        for plane in _slices(mask, table):
            stream.write(np.ascontiguousarray(plane).tobytes())


def _write_zarr(path: Path, mask: NDArray[np.uint8], image: Volume, table: NDArray[np.uint8]) -> None:
    del image
    import zarr

    made = zarr.open_array(str(path), mode="w", shape=mask.shape, chunks=_chunks(mask.shape), dtype="uint8")
    if mask.ndim == 2:
        made[:] = table[np.asarray(mask)]
        return
    for place in range(len(mask)):
        made[place] = table[np.asarray(mask[place])]


def _chunks(shape: Sequence[int]) -> tuple[int, ...]:
    return (*(1 for _ in shape[:-2]), *(min(side, 512) for side in shape[-2:]))


def _write_png(path: Path, mask: NDArray[np.uint8], image: Volume, table: NDArray[np.uint8]) -> None:
    del image
    cv2: Any = opencv()
    done, data = cv2.imencode(".png", table[np.asarray(mask)])
    if not done:
        raise OSError("the picture could not be encoded")
    path.write_bytes(data.tobytes())
