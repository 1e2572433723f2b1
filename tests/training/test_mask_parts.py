"""The parts of segmentation fit each other: pairs, patches by plan, a U-Net, the loss, windows, scores, rule, table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equipoise.data import (
    MaskPatches,
    find_mask_pairs,
    index_locations,
    make_mask_augmenter,
    measure_scale,
    require_mask_pairs,
)
from equipoise.decision import fit_mask_rule
from equipoise.evidence import evaluate_masks
from equipoise.labels.mask_classes import MaskClasses
from equipoise.losses import make_mask_loss
from equipoise.metrics import MaskScorer
from equipoise.models import make_mask_model, prior_logits
from equipoise.samplers import PatchStream, plan_patches
from equipoise.training.sliding import sliding_logits

pytest.importorskip("monai", reason="MONAI is not installed")
CLASSES = MaskClasses.from_values({"ground": 0, "spot": 1}, ignore=9)


def write(folder, images: int) -> None:
    random = np.random.default_rng(0)
    for number in range(images):
        mask = np.zeros((48, 56), np.uint8)
        if number % 3 == 0:  # a spot in every third image only, one pixel in a hundred there
            row, column = random.integers(5, 40, 2)
            mask[row : row + 5, column : column + 5] = 1
        image = random.integers(0, 90, mask.shape) + 100 * mask
        mask[:2] = 9
        for name, array in (("images", image.astype(np.uint8)), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            np.save(folder / name / f"{number:02}.npy", array)


def test_a_rare_spot_is_learnt_found_and_judged(tmp_path):
    write(tmp_path, 30)
    pairs = find_mask_pairs(tmp_path / "images", tmp_path / "masks", CLASSES)
    assert require_mask_pairs(pairs, patch_size=(32, 32)) == []
    parts = [pairs.take(range(start, start + 10)) for start in (0, 10, 20)]
    train = parts[0]
    index, scale = index_locations(train), measure_scale(train)
    plan = plan_patches(index.counts, index.classes, exclusive=True, directed=0.5, draws=160)
    patches = MaskPatches(
        train, index, patch_size=(32, 32), scale=scale,
        augmenter=make_mask_augmenter("light", modality="general", seed=0),
    )  # fmt: skip
    pixels = index.counts.sum(axis=0)
    prior = prior_logits(pixels, np.full(2, pixels.sum()), multiclass=True)
    model = make_mask_model("unet", channels=1, n_outputs=2, patch_size=(32, 32), prior=prior, width=6, stages=3)
    loss = make_mask_loss("auto", overlapping=False, batch=True)
    optimiser = torch.optim.AdamW(model.parameter_groups(1e-4), lr=3e-3)
    stream = PatchStream(plan)
    for step in range(20):
        batch = patches.load(stream.patches(0, 8 * step, 8 * step + 8))
        optimiser.zero_grad()
        loss.of_heads(model.heads(batch.images), batch.labels).backward()
        optimiser.step()
    model.eval()
    scores = []
    for role, chosen in (("validation", parts[1]), ("test", parts[2])):
        scorer = MaskScorer(CLASSES.names, exclusive=True, role=role)
        for place, name in enumerate(chosen.ids):
            logits = sliding_logits(model, scale.apply(chosen.read_image(place), place), (32, 32))
            scorer.add(name, chosen.read_mask(place), torch.softmax(torch.from_numpy(logits), 0).numpy())
        scores.append(scorer.scores())
    rule = fit_mask_rule(scores[0], replicates=50)
    table = evaluate_masks(scores[1], rule, replicates=100)
    row = table.row("dice", "spot")
    assert row.value > 0.6
    assert row.low <= row.value <= row.high
    assert table.row("predicted_share", "spot").value > 0
