"""Pictures that a report shows: what the steps do to an image, what the model got most wrong, and where it looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._files import replacing
from equipoise.data import ImageRows, step_by_step, thumbnail
from equipoise.training.image_inputs import ImageInputs

if TYPE_CHECKING:
    from equipoise.models import ImageModel
    from equipoise.scores import Scores

SAMPLES = 4  # images shown after every step
MISTAKES = 12
LOOKS = 4  # mistakes of which it is shown where the model looked; of many nothing spoke for the class, which is why
_SIDE = 128  # pixels of a thumbnail


def write_gallery(path: Path, inputs: ImageInputs, rows: ImageRows, scores: Scores, model: ImageModel) -> None:
    """Write thumbnails to one ``.npz`` of plain arrays, from which figures are drawn without images or torch.

    Args:
        path: where it is written, all of it or nothing.
        inputs: of the run.
        rows: all of its rows, as the model takes them.
        scores: of rows that the model never learned from, at natural prevalence.
        model: whose attention to regions is shown.
    """
    arrays: dict[str, Any] = {}
    about = {"samples": _samples(inputs, rows, arrays), "mistakes": _mistakes(inputs, rows, scores, model, arrays)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _samples(inputs: ImageInputs, rows: ImageRows, arrays: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows spread over the table, as they are, after each step, and varied twice."""
    chosen = np.unique(np.linspace(0, len(inputs.files) - 1, SAMPLES).round().astype(int)).tolist()
    told = []
    for place, row in enumerate(chosen):
        stages = [(name, thumbnail(image, _SIDE)) for name, image in step_by_step(inputs.steps, inputs.files.read(row))]
        varied = rows.take(torch.tensor([row, row])).in_epoch(0) if rows.varied is not None else None
        if varied is not None:
            stages += [("varied", image) for image in _as_pixels(varied.load().inputs[0], rows)]
        for number, (_, image) in enumerate(stages):
            arrays[f"sample-{place}-{number}"] = image
        told.append({"id": inputs.files.names[row], "stages": [name for name, _ in stages]})
    return told


def _as_pixels(images: Tensor, rows: ImageRows) -> list[NDArray[np.uint8]]:
    """Undo the scaling of what a model takes, for eyes."""
    shape = (1, -1, 1, 1)
    mean, std = (torch.tensor(values).view(shape) for values in (rows.plain.mean, rows.plain.std))
    pixels = (images.cpu() * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    return [thumbnail(image, _SIDE) for image in pixels.permute(0, 2, 3, 1).numpy()]


def confident_mistakes(scores: Scores, most: int = MISTAKES) -> list[tuple[int, int]]:
    """Return (row, class) of the entries whose probability is farthest from the known label, farthest first.

    A row is listed once, with its worst class; of exclusive classes it is the class that was wrongly thought likely.

    Args:
        scores: at natural prevalence.
        most: how many.
    """
    truth, probabilities = scores.table(), scores.probability_table()
    wrong = np.where(np.isnan(truth), 0.0, np.abs(probabilities - truth))
    if scores.exclusive:
        wrong = np.where(truth == 1, 0.0, wrong)
    worst = wrong.argmax(axis=1)
    amount = wrong[np.arange(len(wrong)), worst]
    order = np.argsort(-amount, kind="stable")[:most]
    return [(int(row), int(worst[row])) for row in order if amount[row] > 0]


def _mistakes(
    inputs: ImageInputs, rows: ImageRows, scores: Scores, model: ImageModel, arrays: dict[str, Any]
) -> list[dict[str, Any]]:
    place = {name: row for row, name in enumerate(inputs.labels.ids.tolist())}
    truth, probabilities = scores.table(), scores.probability_table()
    told, looked = [], 0
    for number, (row, column) in enumerate(confident_mistakes(scores)):
        name = scores.ids[row]
        source = place[name]
        arrays[f"mistake-{number}"] = thumbnail(rows.cache.read(np.array([source]))[0], _SIDE)
        if looked < LOOKS:
            heat = look(model, rows.take(torch.tensor([source])).load().inputs[0], column)
            if heat.any():
                arrays[f"look-{number}"] = heat
                looked += 1
        about = {"id": inputs.files.names[source], "class": scores.classes[column], "label": float(truth[row, column])}
        if scores.exclusive:
            about["true"] = scores.classes[int(truth[row].argmax())]
        told.append(about | {"probability": round(float(probabilities[row, column]), 4)})
    return told


def look(model: ImageModel, image: Tensor, output: int) -> NDArray[np.float32]:
    """Return where an image speaks for an output, by Grad-CAM: (_SIDE, _SIDE) in [0, 1], all 0 where nothing does.

    Captum's, of the attention block or, where there is none, of the last layer of the backbone that still has places.

    Args:
        model: in evaluation.
        image: (1, channels, h, w) as the model takes it.
        output: which logit.

    References:
        Selvaraju et al., ICCV 2017, eqs. 1 and 2.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    output = min(output, model.n_outputs - 1)
    layer = _layer(model, image)
    if layer is None:
        return np.zeros((_SIDE, _SIDE), np.float32)
    with torch.enable_grad():
        found = LayerGradCam(model, layer).attribute(image.detach().clone(), target=output, relu_attributions=True)
    wide = LayerAttribution.interpolate(found.detach(), (_SIDE, _SIDE), interpolate_mode="bilinear")[0, 0]
    highest = float(wide.max())
    return np.asarray((wide / highest if highest > 0 else wide * 0).float().cpu().numpy(), np.float32)


def _layer(model: ImageModel, image: Tensor) -> nn.Module | None:
    attention: nn.Module | None = getattr(model, "attention", None)
    if attention is not None:
        return attention
    found: list[nn.Module] = []

    def keep(module: nn.Module, _: Any, made: Any) -> None:
        if isinstance(made, Tensor) and made.dim() == 4 and made.shape[2] > 1:
            found.append(module)

    hooks = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None
