"""Trainings and predictions of masks that are killed, and go on: one program that forks before any thread exists.

Run as a program with a folder: MONAI is imported once, and each command is a child forked from here. Prints "fine" at
the end.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import monai.metrics
import monai.networks.nets.dynunet  # noqa: F401 (loaded before the forks)
import nibabel
import numpy as np
import tifffile
import zarr

import processes
from equipoise.recipe import recipe_from
from equipoise.report import mask_report  # noqa: F401
from equipoise.training import mask_job, mask_predict  # noqa: F401

COMPARED = (
    "model.safetensors", "model.json", "columns.json", "metrics.json", "decision.json", "events.jsonl", "split.csv",
    "census.json", "ledger.json", "plan.json", "scores/validation.parquet", "scores/test.parquet",
    "scores/test-counts.json", "gallery.npz",
)  # fmt: skip


def make_data(folder: Path) -> Path:
    """Write images, their masks, and the recipe of a short training; return the recipe."""
    data = folder / "data"
    data.mkdir(parents=True)
    rng, grid = np.random.default_rng(0), np.indices((32, 32))
    lines = ["image,mask"]
    for number in range(10):
        mask = ((grid - rng.uniform(10, 22, 2)[:, None, None]) ** 2).sum(0) < 80
        np.save(data / f"i{number}.npy", (rng.normal(90, 12, (32, 32)) + 60 * mask).astype(np.uint8))
        np.save(data / f"m{number}.npy", mask.astype(np.uint8))
        lines.append(f"i{number}.npy,m{number}.npy")
    (data / "pairs.csv").write_text("\n".join(lines) + "\n")
    recipe = recipe_from({
        "name": "discs",
        "data": {"table": str(data / "pairs.csv"), "masks": "mask", "groups": "none"},
        "split": {"fractions": [0.5, 0.3, 0.2]},
        "masks": {"patch_size": [16, 16], "patches": 24, "overlap": 0.25},
        "model": {"name": "unet", "width": 4, "stages": 3},
        "loss": {"terms": "cross_entropy + dice"},
        "training": {"monitor": "dice", "epochs": 5, "batch_size": 4, "learning_rate": 0.01, "patience": None,
                     "checkpoint_seconds": 0},
    })  # fmt: skip
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    return folder / "recipe.yaml"


def make_images(folder: Path) -> Path:
    """Write an image of every format to predict; return their folder."""
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(1)
    volume = rng.normal(90, 30, (5, 40, 44)).astype(np.uint8)
    tifffile.imwrite(images / "a.tif", volume, compression="zlib")
    nibabel.save(nibabel.Nifti1Image(volume.transpose(1, 2, 0), np.eye(4)), images / "b.nii.gz")
    np.save(images / "c.npy", volume)
    np.save(images / "d.npy", volume[0])
    zarr.create_array(images / "e.zarr", shape=volume.shape, chunks=(1, 20, 20), dtype="u1")[:] = volume
    return images


def fork(arguments: list[object], out: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Start a command and return its process."""
    child = os.fork()
    if child == 0:
        prepare()
        processes._command(
            [str(one) for one in arguments], f"{out}.out", f"{out}.err", str(out.parent), dict(os.environ)
        )
        os._exit(0)
    return child


def finished(child: int, out: Path) -> None:
    _, status = os.waitpid(child, 0)
    assert status == 0, Path(f"{out}.err").read_text()[-3000:]


def kill_training(recipe: Path, cut: Path, draw: random.Random) -> None:
    """Kill a training at random instants, of which every one is under way, until it comes to its end."""
    arguments, kills = ["train", recipe, "--out", cut], 0
    while True:
        child = fork([*arguments, *(["--resume"] if cut.exists() else [])], cut)
        if kills >= 2:
            finished(child, cut)
            break
        log, before = cut / "events.jsonl", time.monotonic()
        size = log.stat().st_size if log.exists() else -1
        while time.monotonic() - before < 30 and (not log.exists() or log.stat().st_size == size):
            if os.waitpid(child, os.WNOHANG)[0]:
                raise AssertionError(f"ended before it could be killed {kills + 1} times")
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)


def die_at(number: int) -> None:
    """Kill this process at the `number`-th instant at which something is about to be written, renamed or removed."""
    left = iter(range(number, -1, -1))

    def deadly(original):
        def called(*given, **named):
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*given, **named)

        return called

    for place, name in ((os, "replace"), (os, "unlink"), (os, "fsync"), (np.memmap, "flush"),
                        (tifffile.TiffWriter, "write"), (zarr.Array, "__setitem__")):  # fmt: skip
        setattr(place, name, deadly(getattr(place, name)))


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def kill_predictions(run: Path, images: Path, whole: Path, cut: Path, draw: random.Random) -> None:
    """Kill a prediction again and again; at no instant does a final name stand for half a mask."""
    wanted, kills = content(whole), 0
    while True:
        number = draw.randrange(2, 24) + 8 * kills  # what is written at one go must fit at last
        child = fork(["predict", run, images, "--out", cut], cut, lambda number=number: die_at(number))
        _, status = os.waitpid(child, 0)
        for name, found in content(cut).items():
            if not any(part.startswith(".") for part in Path(name).parts):
                assert found == wanted[name], f"{name} is half a mask"
        if not os.WIFSIGNALED(status):
            assert status == 0, Path(f"{cut}.err").read_text()[-3000:]
            break
        kills += 1
        assert kills < 100, "it never comes to an end"
    assert kills >= 4, kills
    left = {name: found for name, found in content(cut).items() if not name.endswith("lock")}
    assert left == {name: found for name, found in wanted.items() if not name.endswith("lock")}


def main(folder: Path) -> None:
    draw = random.Random(os.environ.get("EQUIPOISE_KILL_SEED", "1"))
    recipe, images = make_data(folder), make_images(folder)
    whole, cut = folder / "one" / "whole", folder / "two" / "cut"  # each with a cache of places of its own
    for run in (whole, cut):
        run.parent.mkdir()
    finished(fork(["train", recipe, "--out", whole], whole), whole)
    kill_training(recipe, cut, draw)
    for name in COMPARED:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    finished(fork(["predict", whole, images, "--out", folder / "masks"], folder / "masks"), folder / "masks")
    kill_predictions(whole, images, folder / "masks", folder / "masks-cut", draw)
    sys.stdout.write("fine")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
