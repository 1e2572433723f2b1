"""A small finished ablation, trained in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from equipoise.ablation import read_matrix
from equipoise.ablation.folder import append_status, write_ablation
from equipoise.training import train

CLASSES = ("rare", "middling", "common")


def write_table(path: Path, rows: int = 500) -> Path:
    random = np.random.default_rng(0)
    labels = (random.random((rows, 3)) < [0.05, 0.15, 0.4]).astype(int)
    features = random.normal(size=(rows, 4))
    features[:, :3] += 1.3 * labels
    lines = [
        ",".join([f"p{row // 2}", *(f"{value:.4f}" for value in features[row]), *map(str, labels[row])])
        for row in range(rows)
    ]
    path.write_text("\n".join(["patient,w,x,y,z," + ",".join(CLASSES), *lines]) + "\n")
    return path


def write_matrix(folder: Path, *, arms: str, more: str = "", seeds: int = 2, members: int = 1) -> Path:
    table = write_table(folder / "table.csv")
    path = folder / "matrix.yaml"
    path.write_text(
        f"name: small\nbase: table\nseeds: {seeds}\nmetric: macro_f1\nmargin: 0.02\n{more}\n"
        f"set:\n  data.table: {table}\n  data.labels: [{', '.join(CLASSES)}]\n  data.groups: patient\n"
        "  model.name: linear\n  training.epochs: 6\n  training.members: "
        f"{members}\n  training.learning_rate: 0.05\n"
        "  split.fractions: [0.4, 0.3, 0.3]\n  images.gallery: false\n"
        f"log: {{why: 'Does weighting help?', decision: ''}}\narms:\n{arms}"
    )
    return path


def finished(folder: Path, *, arms: str, more: str = "", seeds: int = 2, members: int = 1) -> Path:
    """Return the folder of an ablation whose cells are trained."""
    matrix = read_matrix(write_matrix(folder, arms=arms, more=more, seeds=seeds, members=members))
    out = folder / "small"
    write_ablation(matrix, out)
    for cell in matrix.cells:
        append_status(out, cell.id, "started")
        train(cell.recipe, out=out / cell.folder)
        append_status(out, cell.id, "finished", seconds=1.0)
    return out
