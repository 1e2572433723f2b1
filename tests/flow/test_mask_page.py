"""The page of a run of masks: its figures are those of the run, and it holds nothing from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise._checks import ArgumentError
from equipoise.evidence import MetricTable
from equipoise.metrics.mask_scores import MaskScorer
from equipoise.report import write_page
from equipoise.report.mask_view import MaskView
from equipoise.report.page._mask_charts import pixel_bins
from equipoise.runs import Run
from equipoise.training import train
from mask_runs import PARTS, parts_recipe, recipe_of, write_discs, write_parts

pytest.importorskip("monai", reason="MONAI is not installed")


class Seen(HTMLParser):
    """Text of the cells by table, ids of the sections, and every element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, dict[str, list[str]]] = {}
        self._table, self._row, self._cell, self._small = "", "", False, False
        self._caption = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        self._caption, self._small = tag == "caption", tag == "small"
        self._cell = tag == "td" or (tag == "th" and given.get("scope") == "row")
        if self._cell and tag == "th":
            self._row = ""
        elif self._cell:
            self.tables[self._table][self._row].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag == "small"
        self._caption = False

    def handle_data(self, data: str) -> None:
        if self._caption:
            self._table = data
            self.tables[data] = {}
        elif self._cell and self._table in self.tables:
            if not self._row:
                self._row = data
                self.tables[self._table].setdefault(data, [])
            elif not self._small:
                self.tables[self._table][self._row][-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        classes = ["<b>big</b>", "small", "rare"]
        recipe = parts_recipe(write_parts(folder / "data"), data={"classes": classes},
                              balance={"weights": {"scheme": "sqrt", "cap": 5}})  # fmt: skip
        return train(recipe, out=folder / "run")


@pytest.fixture(scope="module")
def page(run: Run) -> str:
    return write_page(run.path).read_text(encoding="utf-8")


def test_figures_are_those_of_the_run(run: Run, page: str) -> None:
    tables = Seen(page).tables
    rule = MetricTable.from_dict(json.loads(run.file("metrics.json").read_text())["rule"])
    shown = tables["Every class on the test role, with intervals"]
    for name in rule.classes:
        wanted = [rule.value(metric, name) for metric in ("dice", "image_dice", "iou", "precision", "recall")]
        assert [float(text) for text in shown[name][1:6]] == pytest.approx(wanted, abs=5.1e-4)
    assert float(shown["mean of the classes"][1]) == pytest.approx(rule.value("macro_dice"), abs=5.1e-4)
    beside = tables["Dice of all pixels of the test images, beside what costs nothing"]
    assert {row[3] for row in beside.values()} == {"0.000"}  # empty masks
    assert f"{rule.value('macro_dice'):.3f}" in re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)[1]  # type: ignore[index]
    assert "does not hold a class is in no mean" in page
    decided = MaskView.read(run).rule
    assert decided is not None
    assert decided.thresholds is not None
    for name, cut in zip(rule.classes, decided.thresholds, strict=True):
        assert float(tables["The rule"][name][0]) == pytest.approx(cut, rel=6e-3)


def test_pixels_and_images_are_those_of_the_files(run: Run, page: str) -> None:
    counted = Seen(page).tables["Pixels and images of every class"]
    names = ["<b>big</b>", "small", "rare"]
    for name, (part, *_) in zip(names, PARTS, strict=True):
        masks = [np.load(file) for file in (run.path.parent / "data").glob(f"m*{part}.npy")]
        assert int(counted[name][0].replace(",", "")) == sum(int(mask.sum()) for mask in masks)
        assert int(counted[name][3]) == len(masks)


def test_nothing_comes_from_elsewhere_and_names_are_text(run: Run, page: str, tmp_path: Path) -> None:
    assert write_page(run.path, tmp_path / "again.html").read_text(encoding="utf-8") == page
    found = Seen(page).elements
    images = [given for tag, given in found if tag == "img"]
    assert len(images) == 3 * page.count('class="overlay"') > 0
    assert all((one["src"] or "").startswith("data:image/png;base64,") and one["alt"] for one in images)
    assert not [tag for tag, _ in found if tag in ("link", "iframe", "object", "embed", "base", "form", "b")]
    assert "img-src data:" in page
    assert Run.open(run.path).changed_files() == []
    with pytest.raises(ArgumentError, match="run of masks"):
        write_page(run.path, tmp_path / "by.html", subgroups=object())  # type: ignore[arg-type]


def test_a_sealed_run_shows_nothing_of_its_test_role(run: Run, tmp_path: Path) -> None:
    cell = tmp_path / "ablation" / "cells" / "plain" / "seed-0"
    shutil.copytree(run.path, cell)
    (tmp_path / "ablation" / "ablation.json").write_text("{}")
    text = write_page(cell).read_text(encoding="utf-8")
    assert "not opened yet" in text
    assert "<img" not in text
    tables = Seen(text).tables
    assert "Every class on the validation role, with intervals" in tables
    assert not any("test role" in name or "test images" in name for name in tables)


def test_a_run_that_is_not_finished_has_a_page_of_what_there_is(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "cut")
    for name in ("DONE", "metrics.json", "decision.json", "gallery.npz", "mask_census.json"):
        (tmp_path / "cut" / name).unlink()
    shutil.rmtree(tmp_path / "cut" / "scores")
    text = write_page(tmp_path / "cut").read_text(encoding="utf-8")
    assert "not finished" in text
    assert 'id="shares"' in text
    assert 'id="decision"' not in text


def test_exclusive_classes_and_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             command: Callable[..., Any]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    weights = {"weights": {"scheme": "inverse", "normalise": "sum"}}
    recipe = recipe_of(write_discs(tmp_path / "data"), balance=weights, loss={"terms": "cross_entropy"},
                       training={"epochs": 1})  # fmt: skip
    train(recipe, out=tmp_path / "run")
    said = command("report", tmp_path / "run")
    assert said.code == 0, said.error
    table = Seen((tmp_path / "run" / "report.html").read_text(encoding="utf-8")).tables["Class weights: inverse"]
    assert [row[2] for row in table.values()] == ["50 %", "50 %"]  # inverse weights make the loss see both alike
    assert sum(float(row[0]) for row in table.values()) == pytest.approx(1.0, abs=1e-3)


def test_bins_of_pixels_are_those_of_the_pixels() -> None:
    random = np.random.default_rng(3)
    scorer = MaskScorer(("spot",), exclusive=False, role="test")
    said, truth = [], []
    for number in range(6):
        p = random.uniform(0, 1, (1, 30, 30)).astype(np.float32)
        y = (random.uniform(0, 1, p.shape) < p**2).astype(np.uint8)
        scorer.add(f"i{number}", y, p, group=f"g{number // 2}")
        said.append(p.ravel())
        truth.append(y.ravel())
    predicted, observed, low, high = pixel_bins(scorer.scores(), 0)
    p, y = np.concatenate(said), np.concatenate(truth)
    for mean, share, below, above in zip(predicted, observed, low, high, strict=True):
        assert share == pytest.approx(float(mean) ** 2, abs=0.12)
        assert below <= share <= above
    inside = (p >= 0.5) & (p < 0.6)
    at = int(np.argmin(np.abs(predicted - p[inside].mean())))
    assert observed[at] == pytest.approx(y[inside].mean(), abs=0.03)
