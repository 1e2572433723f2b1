"""The four-panel figure of a pre-flight."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.balance import class_weights, plan_sampling, preflight
from equipoise.labels import Labels, count_labels
from equipoise.report import plot_preflight
from equipoise.report._style import write_figure


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("planned", [True, False])
def test_four_panels(task, planned, tmp_path):
    rng = np.random.default_rng(0)
    values = (rng.random((3_000, 3)) < [0.3, 0.1, 0.02]).astype(np.float32)
    values = values if task == "multilabel" else values[:, 1] if task == "binary" else values[:, 0] + values[:, 1]
    classes = ("cost_$x$", "b", "c")[: 1 if task == "binary" else 3]
    labels = Labels(task, classes, values, np.arange(3_000))
    plan = plan_sampling(labels) if planned else None
    weights = class_weights(count_labels(labels), "sqrt") if planned else None
    drawn = [rng.integers(0, 3_000, 4_000) for _ in range(2)]
    found = preflight(drawn, labels, plan=plan, batch_size=16, weights=weights)
    figure = plot_preflight(found)
    assert [panel.get_title(loc="left").split(":")[0] for panel in figure.axes] == [
        "Original distribution", "Loss weights", "Sampler", "Combined",
    ]  # fmt: skip
    assert figure.get_suptitle() == ("Pre-flight failed: plan" if planned else "Pre-flight passed")
    write_figure(figure, tmp_path / "four.png")
    assert (tmp_path / "four.png").stat().st_size > 20_000


def test_bars_of_the_gradient_are_those_of_the_record():
    labels = Labels("binary", ("x",), np.array([1, 0, 0, 0] * 10, np.float32), np.arange(40))
    found = preflight(np.arange(40), labels, batch_size=4)
    widths = [bar.get_width() for bar in plot_preflight(found).axes[3].patches]
    assert widths == [0.25, 0.75]


def test_many_classes_are_the_rarest():
    rng = np.random.default_rng(0)
    classes = tuple(f"class {number:02}" for number in range(40))
    labels = Labels("multiclass", classes, rng.integers(0, 40, 4_000).astype(np.float32), np.arange(4_000))
    figure = plot_preflight(preflight(np.arange(4_000), labels, batch_size=16))
    assert len(figure.axes[0].get_yticks()) == 24
