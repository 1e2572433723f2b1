"""The page of a run in a browser: sliders, sorting, the saved rule, hostile names, the network, accessibility."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.decision import DecisionRule, fixed_rule, read_rule
from equipoise.labels import wilson_interval
from equipoise.metrics import operating_points
from equipoise.recipe import make_recipe
from equipoise.report import RunView, write_page
from equipoise.runs import Run
from equipoise.scores import Scores
from equipoise.training import train
from mask_runs import parts_recipe, write_parts

CLASSES = ("<script>alert(1)</script>", "rare & <b>bold</b>")
_CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small table, with a page; its second class is rare."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.default_rng(1)
    signal = random.normal(size=(900, 3))
    labels = signal[:, :2] + random.normal(size=(900, 2)) > [0.8, 2.0]
    lines = ["id,x,y,z,sex," + ",".join(f'"{name}"' for name in CLASSES)]
    lines += [
        f"r{row},{a:.3f},{b:.3f},{c:.3f},{'fm'[row % 2]},{int(one)},{int(two)}"
        for row, ((a, b, c), (one, two)) in enumerate(zip(signal, labels, strict=True))
    ]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    recipe = make_recipe(
        folder / "table.csv", list(CLASSES), groups="none", ids="id",
        overrides=["model.name=linear", "training.epochs=3", "training.members=1", "balance.weights.scheme=sqrt"],
    )  # fmt: skip
    run = train(recipe, out=folder / "run")
    write_page(run.path)
    return run.path


@pytest.fixture(scope="module")
def of_masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of masks, with a page."""
    pytest.importorskip("monai", reason="MONAI is not installed")
    folder = tmp_path_factory.mktemp("masks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = train(parts_recipe(write_parts(folder / "data"), training={"epochs": 2}), out=folder / "run")
    write_page(run.path)
    return run.path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if _CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, trained: Path) -> Iterator[Any]:
    """The page in a new tab; whatever the console says, a dialog, or a request beyond the file fails the test."""
    context = browser.new_context(accept_downloads=True)
    tab, wrong = context.new_page(), []
    tab.on("console", lambda message: wrong.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    address = (trained / "report.html").as_uri()
    tab.on("request", lambda request: wrong.append(request.url) if request.url != address else None)
    tab.goto(address)
    yield tab
    context.close()
    assert [one for one in wrong if not one.startswith("blob:")] == []


def shown(tab: Any, index: int, role: str, name: str) -> tuple[float, str]:
    """Return a figure of a card as a number, and the smaller line below it."""
    cell = tab.locator(f".card >> nth={index} >> td[data-role={role}][data-figure={name}]")
    detail = cell.locator("small").all_text_contents()
    text = cell.text_content().removesuffix(detail[0] if detail else "").replace(",", "")
    return (math.nan if text == "-" else float(text)), (detail[0] if detail else "")


def move(tab: Any, index: int, at: int) -> None:
    tab.locator(f"#threshold-{index}").evaluate(
        "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); "
        "slider.dispatchEvent(new Event('change')); }", at,
    )  # fmt: skip


def data_of(tab: Any) -> dict[str, Any]:
    return json.loads(tab.locator("#data").text_content())


def library(scores: Scores, rule: DecisionRule, index: int, cut: float) -> dict[str, float]:
    """What the library's own rule predicts at a threshold, counted and judged by its own metrics."""
    cuts = np.array(rule.thresholds)
    cuts[index] = cut
    fixed = fixed_rule(scores, cuts, log_odds_shift=rule.log_odds_shift)
    truth, said = scores.table()[:, index], fixed.apply(scores).table()[:, index]
    hits, alarms = int(((said == 1) & (truth == 1)).sum()), int(((said == 1) & (truth == 0)).sum())
    points = operating_points(truth, rule.apply(scores).scores.probability_table()[:, index])
    pairs = {(int(a), int(b)) for a, b in zip(points.true_positives, points.false_positives, strict=True)}
    assert (hits, alarms) in pairs | {(0, 0)}
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    return {
        "hits": hits, "alarms": alarms, "misses": positives - hits, "quiet": negatives - alarms,
        "recall": hits / positives, "precision": hits / (hits + alarms) if hits + alarms else math.nan,
        "specificity": 1 - alarms / negatives,
    }  # fmt: skip


def test_sliders_move_figures_that_are_those_of_the_library(page: Any, trained: Path) -> None:
    view, data = RunView.read(Run.open(trained)), data_of(page)
    assert view.rule is not None
    page.check("#show-test")
    for index, one in enumerate(data["classes"]):
        last = len(one["thresholds"]) - 1
        for at in (0, last // 3, one["chosen"], last - 1, last):
            move(page, index, at)
            cut = math.inf if one["thresholds"][at] is None else one["thresholds"][at]
            for role in ("validation", "test"):
                wanted = library(view.scores[role], view.rule, index, cut)
                for name, value in wanted.items():
                    found, detail = shown(page, index, role, name)
                    assert found == pytest.approx(value, abs=5.1e-4, nan_ok=True), (index, at, role, name)
                    if name == "recall":
                        low, high = wilson_interval([wanted["hits"]], [wanted["hits"] + wanted["misses"]])
                        ends = [float(part) for part in detail.split(" to ")]
                        assert ends == pytest.approx([float(low[0]), float(high[0])], abs=5.1e-4)
    assert "2 of 2 thresholds were moved." in page.locator("#moved").text_content()
    page.click("#reset")
    assert page.locator("#moved").text_content() == ""


def test_prevalence_and_costs_give_alarms_and_cost_of_a_thousand(page: Any, trained: Path) -> None:
    card = page.locator(".card >> nth=1")
    move(page, 1, data_of(page)["classes"][1]["chosen"])
    rates = {name: shown(page, 1, "validation", name)[0] for name in ("hits", "misses", "alarms", "quiet")}
    recall = rates["hits"] / (rates["hits"] + rates["misses"])
    wrong = rates["alarms"] / (rates["alarms"] + rates["quiet"])
    card.locator("[data-field=prevalence]").fill("20")
    card.locator("[data-field=miss]").fill("30")
    card.locator("[data-field=alarm]").fill("2")
    assert shown(page, 1, "validation", "alarms_per_thousand")[0] == pytest.approx(200 * recall + 800 * wrong, abs=0.06)
    cost = 30 * 200 * (1 - recall) + 2 * 800 * wrong
    assert shown(page, 1, "validation", "cost")[0] == pytest.approx(cost, abs=0.06)
    card.locator("[data-move=cheapest]").click()
    assert shown(page, 1, "validation", "cost")[0] <= cost + 0.06
    card.locator("[data-field=prevalence]").fill("120")
    assert card.locator("[data-field=prevalence]").get_attribute("aria-invalid") == "true"
    assert math.isnan(shown(page, 1, "validation", "cost")[0])


def test_the_slider_obeys_keys_moves_the_mark_and_says_what_it_does(page: Any) -> None:
    mark = page.locator(".card >> nth=0 >> .mark")
    slider, before = page.locator("#threshold-0"), mark.get_attribute("cx")
    slider.focus()
    for _ in range(25):
        page.keyboard.press("ArrowLeft")
    assert float(mark.get_attribute("cx")) >= float(before)  # a lower threshold finds more
    assert "recall" in slider.get_attribute("aria-valuetext")


@pytest.mark.parametrize("look_at_test", [False, True])
def test_the_saved_rule_is_one_that_evaluate_and_predict_take(
    page: Any, trained: Path, tmp_path: Path, look_at_test: bool, command: Callable[..., Any]
) -> None:
    one = data_of(page)["classes"][1]
    if look_at_test:
        page.check("#show-test")
    move(page, 1, one["chosen"] + 3 if one["chosen"] + 3 < len(one["thresholds"]) else one["chosen"] - 3)
    moved = one["thresholds"][int(page.locator("#threshold-1").input_value())]
    with page.expect_download() as waiting:
        page.click("#save")
    assert waiting.value.suggested_filename == "decision.json"
    file = tmp_path / "decision.json"
    waiting.value.save_as(file)
    rule, own = read_rule(file), read_rule(trained / "decision.json")
    assert rule.maximize == "fixed"
    assert rule.thresholds is not None
    assert own.thresholds is not None
    assert rule.thresholds.tolist() == [own.thresholds[0], math.inf if moved is None else moved]
    assert rule.fitted_on is not None  # chosen on these rows: they cannot judge it
    assert any(CLASSES[1] in note and "by hand" in note for note in rule.notes)
    assert any("in view" in note for note in rule.notes) == look_at_test
    said = command("evaluate", trained / "scores" / "test.parquet", "--rule", file, "--replicates", "0", "--json")
    assert said.code == 0, said.error
    refused = command("evaluate", trained / "scores" / "validation.parquet", "--rule", file, "--role", "validation")
    assert "so every figure would be too good" in refused.error
    said = command("predict", trained, trained.parent / "table.csv", "--rule", file, "--json")
    assert said.code == 0, said.error
    for row in json.loads(said.out):
        assert row[f"predicted_{CLASSES[1]}"] == (row[f"p_{CLASSES[1]}"] >= rule.thresholds[1])


def test_a_rule_that_nobody_moved_is_saved_as_it_was(page: Any, trained: Path, tmp_path: Path) -> None:
    with page.expect_download() as waiting:
        page.click("#save")
    waiting.value.save_as(tmp_path / "decision.json")
    assert json.loads((tmp_path / "decision.json").read_text()) == json.loads((trained / "decision.json").read_text())


def test_columns_sort_both_ways_and_say_so(page: Any) -> None:
    table = page.locator("#census table.sortable")
    head = table.locator("thead th >> nth=1")

    def counts() -> list[int]:
        cells = table.locator("tbody tr td:nth-child(2)").all_text_contents()
        return [int(text.replace(",", "")) for text in cells]

    assert head.get_attribute("aria-sort") is None
    for direction, wanted in (("descending", sorted(counts(), reverse=True)), ("ascending", sorted(counts()))):
        head.locator("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == direction
        assert counts() == wanted
    table.locator("thead th >> nth=0 >> button").click()
    assert table.locator("[aria-sort]").count() == 1
    assert table.locator("tbody th").all_text_contents() == sorted(CLASSES)


def test_hostile_names_are_shown_and_do_nothing(page: Any) -> None:
    assert page.locator(".card h3").all_text_contents() == list(CLASSES)
    assert page.locator("script").count() == 2
    assert page.locator(".card b").count() == 2  # the thresholds of the two cards, none of a name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_grave_is_wrong_for_those_who_read_otherwise(browser: Any, trained: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    tab = context.new_page()
    tab.goto((trained / "report.html").as_uri())
    tab.check("#show-test")
    found = axe.Axe().run(tab).response["violations"]
    context.close()
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_masks_can_be_read_by_everyone(browser: Any, of_masks: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    tab, wrong = context.new_page(), []
    address = (of_masks / "report.html").as_uri()
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("request", lambda request: wrong.append(request.url) if request.url.split(":")[0] != "data" else None)
    tab.goto(address)
    assert wrong == [address]  # pictures are inside, and the policy lets them be shown
    sizes = tab.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) >= 6
    assert all(size == 32 for size in sizes)
    for closed in tab.locator("details").all():
        closed.locator("summary").focus()
        tab.keyboard.press("Enter")
        assert closed.get_attribute("open") is not None
    head = tab.locator("#census table.sortable thead th >> nth=1")
    head.locator("button").focus()
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    found = axe.Axe().run(tab).response["violations"]
    context.close()
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_nothing_is_wider_than_a_narrow_screen(browser: Any, trained: Path, of_masks: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 700})
    tab = context.new_page()
    for run in (trained, of_masks):
        tab.goto((run / "report.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_the_command_writes_the_page_with_subgroups(trained: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    out = tmp_path / "page.html"
    said = command("report", trained, "--by", "sex", "--out", out)
    assert said.code == 0, said.error
    text = out.read_text(encoding="utf-8")
    assert "Subgroups by sex" in text
    assert str(out) in said.out
    assert command("report", trained, "--out", out).code == 2
    assert Run.open(trained).changed_files() == []
