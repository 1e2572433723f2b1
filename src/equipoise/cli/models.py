"""`equipoise models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._checks import ArgumentError, nearest
from equipoise._image_models import IMAGE_MODELS, is_image_model
from equipoise.cli._options import JsonOption, console, print_json, print_table

if TYPE_CHECKING:
    from equipoise.models.cost import ModelCost

_BATCHES = (1, 32)

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Models, such as convnext_tiny_mhsa or any backbone of timm. Default: the six of X-Lite.", metavar="NAME"
    ),
]
SizeOption = Annotated[int, typer.Option("--size", help="Rows and columns of an image in pixels.")]
ChannelsOption = Annotated[int, typer.Option("--channels", help="Of an image: 1 grey, 3 colour.")]
OutputsOption = Annotated[int, typer.Option("--outputs", min=1, help="Logits per image: findings or grades.")]
LatencyOption = Annotated[
    bool, typer.Option("--latency", help="Time each on one thread of this machine; some seconds a model.")
]


def models(
    names: NamesArgument = None,
    size: SizeOption = 224,
    channels: ChannelsOption = 1,
    outputs: OutputsOption = 14,
    latency: LatencyOption = False,
    json: JsonOption = False,
) -> None:
    """Show what models of images cost: parameters, operations, memory, and with `--latency` time on one thread."""
    from equipoise.models import MODELS
    from equipoise.models.cost import count_cost
    from equipoise.training.telemetry import ProgressBar

    asked = list(dict.fromkeys(names or IMAGE_MODELS))
    for name in asked:
        _check_name(name, list(MODELS))
    costs, times = [], []
    with ProgressBar() as watch:
        watch.begin(f"{len(asked)} models to look at", len(asked))
        for number, name in enumerate(asked):
            watch.move(number, name)
            costs.append(count_cost(name, size=size, channels=channels, n_outputs=outputs))
            times.append(_times(name, size, channels, outputs) if latency else {})
    if json:
        print_json([_record(cost, taken) for cost, taken in zip(costs, times, strict=True)])
        return
    headings = ["model", "parameters", "weights, MB", f"GFLOPs at {size}", "last map"]
    headings += [heading for batch in _BATCHES if latency for heading in (f"ms/image, batch {batch}", "images/s")]
    print_table(headings, [_row(cost, taken) for cost, taken in zip(costs, times, strict=True)])
    console().print(f"{outputs} outputs, {channels} channel{'s' if channels > 1 else ''}. GFLOPs are of one image.")
    if latency:
        console().print("Times are of one thread of this machine, the best of a few, with random weights.")
    if names is None:
        console().print(
            "Any backbone of timm will do, plain or with _mhsa or _performer at its end. "
            f"Models of tables, whose size depends on the table: {', '.join(MODELS)}."
        )


def _check_name(name: str, tabular: list[str]) -> None:
    if name in tabular:
        raise ArgumentError(
            f"{name} is a model of tables: its size depends on the table. Give a model of images, such as "
            f"{IMAGE_MODELS[0]}."
        )
    if not is_image_model(name):
        raise ArgumentError(
            f"{name!r} is no name of a model of images.{nearest(name, IMAGE_MODELS)} "
            f"Give a backbone of timm, plain or with attention, such as {IMAGE_MODELS[0]}."
        )


def _times(name: str, size: int, channels: int, outputs: int) -> dict[int, float]:
    """Return seconds per image at each batch size."""
    from equipoise.models import make_image_model
    from equipoise.models.cost import time_model

    model = make_image_model(name, channels=channels, n_outputs=outputs)
    return {batch: time_model(model, size=size, channels=channels, batch=batch) / batch for batch in _BATCHES}


def _row(cost: ModelCost, taken: dict[int, float]) -> list[str]:
    row = [
        cost.name,
        f"{cost.parameters:,}",
        f"{cost.weight_bytes / 1e6:.1f}",
        f"{cost.flops / 1e9:.3f}",
        " x ".join(map(str, cost.feature_map)),
    ]
    return row + [text for seconds in taken.values() for text in (f"{1000 * seconds:.1f}", f"{1 / seconds:.1f}")]


def _record(cost: ModelCost, taken: dict[int, float]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": cost.name,
        "parameters": cost.parameters,
        "weight_bytes": cost.weight_bytes,
        "flops": cost.flops,
        "feature_map": list(cost.feature_map),
    }
    if taken:
        record["seconds_per_image"] = {str(batch): seconds for batch, seconds in taken.items()}
    return record
