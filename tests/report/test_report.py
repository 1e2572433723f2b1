"""Figures, tables and the paragraph, made from a run folder alone."""

from __future__ import annotations

import dataclasses
import io
import shlex
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from equipoise._checks import ArgumentError, RunError
from equipoise.labels import Census
from equipoise.recipe import Recipe, read_recipe
from equipoise.recipe._schema import BalanceSettings, LossSettings
from equipoise.report import (
    RunView,
    census_table,
    metrics_table,
    next_steps,
    plot_census,
    plot_learning_curves,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_run,
    plot_thresholds,
    run_table,
    summarise,
    write_report,
)
from equipoise.report._style import house_style, shown
from equipoise.report._words import rule_cells
from equipoise.report.gain import threshold_gain
from equipoise.report.reliability_plot import reliability_bins
from equipoise.runs import Run
from equipoise.scores import Scores

MakeRun = Callable[..., Run]
TASKS = {
    "binary": ["stroke"],
    "multilabel": ["a", "b", "c", "d"],
    "multiclass": ["x", "y", "z"],
    "ordinal": ["0", "1", "2"],
}


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", TASKS)
def test_a_report_is_written_for_every_task(task: str, make_run: MakeRun) -> None:
    run = make_run(task, TASKS[task])
    path = write_report(run)
    assert path == run.path / "figures" / "run.png"
    for figure in (run.path / "figures").glob("*.png"):
        width, height = png_size(figure)
        assert width > 500
        assert height > 250
    text = (run.path / "summary.md").read_text()
    for part in ("## Classes", "## Test metrics", "## Next", "figures/run.png", TASKS[task][0]):
        assert part in text
    assert run.is_done
    run.require_done()  # a rebuilt report changes nothing that DONE vouches for
    assert not list(run.path.rglob("*.part"))


def test_names_from_data_are_never_interpreted(make_run: MakeRun, recwarn: pytest.WarningsRecorder) -> None:
    run = make_run(classes=["cost_$x^2$_a", "[red]bold[/red] | a*b", "$\\frac{1$ \\$", "-" * 90])
    write_report(run)  # mathtext of the third name alone would raise
    view = RunView.read(run)
    labels = [text.get_text() for text in plot_run(view).axes[0].get_yticklabels()]
    assert r"cost_\$x^2\$_a" in labels
    assert max(map(len, labels)) < 40
    assert "[red]bold[/red] | a*b" in printed(census_table(view.census))
    assert "[red]bold[/red] | a*b" in printed(metrics_table(view.metrics))
    assert r"\[red>bold" not in (run.path / "summary.md").read_text()
    assert r"\| a\*b" in (run.path / "summary.md").read_text()
    assert not [w for w in recwarn if "Glyph" in str(w.message) or "mathtext" in str(w.message).lower()]


def test_figures_leave_matplotlib_as_it_was(make_run: MakeRun) -> None:
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "font.size": 40}):
        figure = plot_run(make_run())
        assert matplotlib.rcParams["font.size"] == 40
        assert matplotlib.rcParams["text.usetex"] is True
    assert not figure.axes[0].title.get_usetex()
    with house_style():
        assert matplotlib.rcParams["font.size"] == 10
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_report_imports_no_torch(make_run: MakeRun) -> None:
    run = make_run()
    code = (
        "import sys; from equipoise.runs import Run; from equipoise.report import write_report, summarise\n"
        f"run = Run.open({str(run.path)!r}); write_report(run); summarise(run)\n"
        "print([name for name in ('torch', 'sklearn', 'scipy.stats', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_same_run_gives_the_same_files(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run)
    files = ["summary.md", *(f"figures/{path.name}" for path in (run.path / "figures").iterdir())]
    first = {name: (run.path / name).read_bytes() for name in files}
    write_report(run)
    assert {name: (run.path / name).read_bytes() for name in files} == first


def test_the_paragraph_says_what_happened(make_run: MakeRun) -> None:
    text = summarise(make_run(classes=["common", "middle", "rare"], scheme="inverse", rows=400))
    assert text.startswith("400 rows, 3 classes (multilabel). The rarest is rare: ")
    assert "labels are unknown and were left out, never taken as negative" in text
    assert "The loss was weighted (inverse): 1 positive of rare counts as" in text
    assert "all below are at the natural prevalence" in text
    assert "2 models (tabm) took turns" in text
    assert "Positive is predicted at a probability, chosen for F1 on 200 validation rows, of: common from 0." in text
    assert "On 200 test rows macro-F1 is 0." in text
    assert "the same model cut at 0.5 has" in text
    assert "always no has 0." in text
    assert "On the same rows the difference is" in text
    assert "Too few test positives to rely on: rare (" in text


def test_the_paragraph_of_one_of_many_and_of_no_test_role(make_run: MakeRun) -> None:
    assert "The most likely class is predicted." in summarise(make_run("multiclass", ["x", "y", "z"]))


def test_without_a_test_role_nothing_is_judged(make_run: MakeRun) -> None:
    run = make_run(test=False)
    assert "There is no test role, so nothing was judged" in summarise(run)
    write_report(run)
    assert "nothing was judged" in printed(run_table(run))


def test_the_gain_of_thresholds_is_paired(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=["a", "b"]))
    gain = threshold_gain(view)
    assert gain is not None
    difference = view.metrics["rule"].value("macro_f1") - view.metrics["half"].value("macro_f1")
    assert gain.value == pytest.approx(difference)
    rule, half = view.metrics["rule"].row("macro_f1"), view.metrics["half"].row("macro_f1")
    assert gain.low <= gain.value <= gain.high
    assert gain.high - gain.low < (rule.high - rule.low) + (half.high - half.low)


def test_a_run_that_only_began_has_a_figure_and_says_what_is_missing(tmp_path: Path, make_run: MakeRun) -> None:
    done = make_run()
    with Run.create(tmp_path / "begun", Recipe(name="begun")) as run:
        with pytest.raises(RunError, match="has not come so far"):
            write_report(run)
        run.write_record("census", done.read_record("census"))
        texts = {text.get_text() for axes in plot_run(run).axes for text in axes.texts}
        assert {"no test role: nothing was judged", "no scores yet", "no epoch was finished"} <= texts
        assert "No decision rule was fitted yet." in summarise(run)
        assert next_steps(RunView.read(run))


def test_the_gain_is_of_what_was_aimed_at(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=["a", "b"], maximize="balanced_accuracy"))
    text = summarise(view)
    assert "On 450 test rows macro-balanced accuracy is 0." in text
    assert "and always no has 0.500" in text
    gain = threshold_gain(view)
    assert gain is not None
    macro = [view.metrics[rule].value("macro_balanced_accuracy") for rule in ("rule", "half")]
    assert gain.value == pytest.approx(macro[0] - macro[1])


@pytest.mark.parametrize("name", ["macro_auc", "weighted_auc", "weighted_ap", "micro_ap"])
def test_what_no_threshold_changes_stands_once(make_run: MakeRun, name: str) -> None:
    cells = rule_cells(RunView.read(make_run()).metrics, name)
    assert cells[0].startswith("0.")
    assert cells[1:] == ["same", "-"]


def test_next_steps_depend_on_what_was_corrected(make_run: MakeRun) -> None:
    plain = dict(next_steps(RunView.read(make_run())))
    assert any("weights.scheme=sqrt" in command for command in plain.values())


def test_the_plain_twin_of_a_weighted_run_is_not_weighted(make_run: MakeRun) -> None:
    (twin,) = _twins(make_run(scheme="inverse"))
    assert twin.balance == BalanceSettings()


def test_the_plain_twin_of_a_run_with_several_corrections_has_none(make_run: MakeRun) -> None:
    asked = ("loss.name=focal", "balance.sampling.method=uniform", "balance.sampling.strength=0.5")
    run = make_run(scheme="inverse", overrides=(*asked, "balance.schedule.from_epoch=2"))
    plain, *others = _twins(run)
    assert (plain.balance, plain.loss) == (BalanceSettings(), LossSettings())
    assert [(twin.balance.weights.scheme, twin.balance.sampling.method, twin.loss.name) for twin in others] == [
        ("none", "uniform", "focal"), ("inverse", "none", "focal"), ("inverse", "uniform", "auto"),
    ]  # fmt: skip


@pytest.mark.parametrize(("scheme", "pair"), [("inverse", "{run} {run}-plain"), ("none", "{run}-weighted {run}")])
def test_each_twin_is_followed_by_the_command_that_compares_it(make_run: MakeRun, scheme: str, pair: str) -> None:
    run = make_run(scheme=scheme)
    steps = [command for _, command in next_steps(RunView.read(run))]
    place = next(number for number, command in enumerate(steps) if command.startswith("equipoise train"))
    assert steps[place + 1] == f"equipoise compare {pair.format(run=run.path)} --metric macro_ap"


def _twins(run: Run) -> list[Recipe]:
    """The recipes of the commands that train again, read as the shell and the command would."""
    commands = [shlex.split(command) for _, command in next_steps(RunView.read(run)) if " train " in command]
    assert len({words[-1] for words in commands}) == len(commands)
    return [read_recipe(words[2], words[4:-2:2]) for words in commands]


def test_a_class_without_positives_is_named_and_drawn(make_run: MakeRun) -> None:
    run = make_run(classes=["common", "rare"], rows=40)
    view = RunView.read(run)
    write_report(run)
    assert "rare" in summarise(view)
    empty = Census.from_counts({"foreground": 0, "background": 90}, task="multiclass")
    assert "no positive" in {text.get_text() for text in plot_census(empty).axes[0].texts}


def test_many_classes_are_cut_to_the_rarest(make_run: MakeRun) -> None:
    run = make_run(classes=[f"class {i}" for i in range(40)])
    figure = plot_census(RunView.read(run).census)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(names) == 24
    assert "class 39" in names
    assert "24 rarest of 40" in figure.axes[0].get_title(loc="left")


def test_single_figures(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=["a", "b", "c"]))
    assert view.rule is not None
    test = view.scores["test"]
    for figure, panels in (
        (plot_thresholds(test, view.rule), 3),
        (plot_precision_recall(test, view.rule), 3),
        (plot_roc(test), 3),
        (plot_reliability(test), 2),
        (plot_learning_curves(view.events, view.census.classes), 3),
    ):
        assert len([axes for axes in figure.axes if axes.axison]) == panels
    with pytest.raises(ArgumentError, match="no epoch in the events"):
        plot_learning_curves([])
    ordinal = RunView.read(make_run_again(view, make_run))
    assert ordinal.rule is not None
    with pytest.raises(ArgumentError, match="takes the most likely class"):
        plot_thresholds(ordinal.scores["test"], ordinal.rule)


def make_run_again(
    view: RunView, make_run: MakeRun, task: str = "ordinal", classes: Sequence[str] = "012", **more: int
) -> Run:
    import shutil

    shutil.rmtree(view.path)
    return make_run(task, list(classes), **more)


def test_the_precision_recall_curve_is_average_precision(make_run: MakeRun) -> None:
    scores = Scores(
        labels=[0, 1, 0, 1], values=[0.1, 0.4, 0.6, 0.8], kind="probabilities", ids=None, role="test", classes=["a"]
    )
    axes = plot_precision_recall(scores).axes[0]
    curve = next(line for line in axes.lines if line.get_drawstyle() == "steps-pre")
    recall, precision = (np.asarray(values) for values in curve.get_data())
    assert float(np.diff(recall) @ precision[1:]) == pytest.approx(0.8333333)
    assert any("AP 0.83" in text.get_text() for text in axes.texts)


def test_reliability_bins_hold_equal_expected_positives() -> None:
    random = np.random.default_rng(0)
    truth_probability = random.beta(0.2, 6, 20_000)
    labels = (random.random(20_000) < truth_probability).astype(float)
    scores = Scores(labels=labels, values=truth_probability, kind="probabilities", ids=None, role="test", classes=["a"])
    predicted, observed, low, high = reliability_bins(scores)
    assert len(predicted) == 10
    assert (np.diff(predicted) > 0).all()
    assert ((low <= predicted) & (predicted <= high)).mean() >= 0.8
    assert np.all((low <= observed) & (observed <= high))


def test_names_are_shortened_and_flattened() -> None:
    assert shown("a\nb\t c") == "a b c"
    assert len(shown("x" * 100)) == 28
    assert shown("  ") == "(no name)"


def test_the_run_table_does_not_repeat_what_no_rule_changes(make_run: MakeRun) -> None:
    text = printed(run_table(make_run()))
    line = next(line for line in text.splitlines() if "macro-AUC" in line)
    assert line.split()[-2:] == ["same", "-"]  # always no ranks nothing
    assert "always no" in text


def test_an_interval_of_no_width_is_not_shown_as_certainty(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run)
    shown_tables = [run_table(run), metrics_table(RunView.read(run).metrics)]
    text = "".join(map(printed, shown_tables)) + run.file("summary.md").read_text()
    assert "[0.000, 0.000]" not in text
    assert "[0." in text


def test_figures_say_what_they_show(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=[f"class {number}" for number in range(9)], rows=1500))
    overview = [axes.get_xlabel() for axes in plot_run(view).axes]
    assert "predicted probability (test role, all 9 classes together)" in overview
    assert "dot: where the rule predicts" in plot_roc(view.scores["test"], view.rule).get_suptitle()
    rates = plot_learning_curves(view.events, view.census.classes).axes[2]
    assert rates.get_legend().get_title().get_text() == "7 least predicted of 9"


def test_f1_of_many_classes_is_drawn_where_it_can_be_judged(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=[f"class {number}" for number in range(40)], rows=300))
    table = view.metrics["rule"]
    judged = [name for name in table.classes if not np.isnan(table.value("f1", name))]
    axes = plot_run(view).axes[1]
    assert axes.get_title(loc="left").endswith("intervals, 23 of 40 classes")
    drawn = [label.get_text() for label in axes.get_yticklabels()][1:]
    assert len(judged) >= 23
    assert set(drawn) <= set(judged)
    few = RunView.read(make_run_again(view, make_run, "multilabel", ["a", "b", "c", "d"], rows=60))
    texts = [text.get_text() for text in plot_run(few).axes[1].texts]
    assert ("not evaluable" in texts) == bool(
        np.isnan([few.metrics["rule"].value("f1", name) for name in "abcd"]).any()
    )


def test_one_positive_is_not_plural(make_run: MakeRun) -> None:
    view = RunView.read(make_run())
    census = dataclasses.replace(view.census, positives=np.array([1, 40, 80]))
    assert ": 1 positive (" in summarise(dataclasses.replace(view, census=census))


def test_tables_fit_a_screen_of_80_columns(make_run: MakeRun) -> None:
    view = RunView.read(make_run(classes=["y_heart_attack", "y_kidney_disease"]))
    for table in (run_table(view), metrics_table(view.metrics)):
        out = io.StringIO()
        Console(file=out, width=80).print(table)
        lines = out.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        assert all(line.count("[") == line.count("]") for line in lines)  # no interval is broken over two lines
