"""Small images with masks, and recipes that learn from them in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from equipoise.recipe import Recipe
from equipoise.recipe import recipe_from as make


def write_discs(folder: Path, images: int = 14, side: int = 32, *, contrast: int = 60) -> Path:
    """Bright discs on noise, a quarter of the pixels; returns the table of pairs."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True, parents=True)
    grid = np.indices((side, side))
    lines = ["image,mask,patient"]
    for number in range(images):
        centre = random.uniform(0.3 * side, 0.7 * side, 2)
        mask = ((grid - centre[:, None, None]) ** 2).sum(0) < (0.29 * side) ** 2
        np.save(folder / f"i{number}.npy", (random.normal(90, 12, (side, side)) + contrast * mask).astype(np.uint8))
        np.save(folder / f"m{number}.npy", mask.astype(np.uint8))
        lines.append(f"i{number}.npy,m{number}.npy,p{number // 2}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder / "pairs.csv"


def recipe_of(table: Path, **sections: dict[str, Any]) -> Recipe:
    values: dict[str, Any] = {
        "name": "discs",
        "data": {"table": str(table), "masks": "mask", "groups": "patient", "classes": ["ground", "disc"]},
        "masks": {"patch_size": [16, 16], "patches": 32, "overlap": 0.25},
        "model": {"name": "unet", "width": 4, "stages": 3},
        "loss": {"terms": "cross_entropy + dice"},
        "images": {"augment": "none"},
        "training": {
            "monitor": "dice", "epochs": 3, "batch_size": 8, "learning_rate": 0.01, "weight_decay": 1e-5,
            "average": 0.0, "patience": None,
        },
    }  # fmt: skip
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return make(values)


# Name of each class, radius in sides, contrast, and share of the images that hold it.
PARTS = (("big", 0.29, 60, 1.0), ("small", 0.1, -70, 0.8), ("rare", 0.08, 130, 0.5))


def write_parts(folder: Path, images: int = 16, side: int = 32) -> Path:
    """Discs of three kinds that may overlap, one mask for each kind; returns the table of pairs."""
    random = np.random.default_rng(1)
    folder.mkdir(exist_ok=True, parents=True)
    grid = np.indices((side, side))
    lines = ["image," + ",".join(f"mask_{name}" for name, *_ in PARTS)]
    for number in range(images):
        image, cells = random.normal(90, 12, (side, side)), []
        for name, radius, contrast, share in PARTS:
            if random.random() > share:
                cells.append("")
                continue
            centre = random.uniform(0.3 * side, 0.7 * side, 2)
            mask = ((grid - centre[:, None, None]) ** 2).sum(0) < (radius * side) ** 2
            image = image + contrast * mask
            np.save(folder / f"m{number}{name}.npy", mask.astype(np.uint8))
            cells.append(f"m{number}{name}.npy")
        np.save(folder / f"i{number}.npy", np.clip(image, 0, 255).astype(np.uint8))
        lines.append(f"i{number}.npy,{','.join(cells)}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder / "pairs.csv"


def parts_recipe(table: Path, **sections: dict[str, Any]) -> Recipe:
    """A recipe for `write_parts`."""
    given: dict[str, dict[str, Any]] = {
        "data": {"masks": [f"mask_{name}" for name, *_ in PARTS], "classes": None, "groups": "none"},
        "loss": {"terms": "bce + dice"},
        "split": {"fractions": [0.5, 0.25, 0.25]},
    }
    for name, section in sections.items():
        given[name] = {**given.get(name, {}), **section}
    return recipe_of(table, **given)
