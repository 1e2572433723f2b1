"""What happened, in one paragraph of plain words."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

import numpy as np

from equipoise.balance._words import counted
from equipoise.report._words import joined, metric_name, one_in, rule_names
from equipoise.report.gain import threshold_gain
from equipoise.report.view import RunView

if TYPE_CHECKING:
    from equipoise.balance import SamplingPlan
    from equipoise.evidence import MetricRow
    from equipoise.runs import Run

FEW = 10  # positives below which a figure of a class says next to nothing
_MANY_CLASSES = 5
_PLAIN_LOSSES = ("auto", "bce", "cross_entropy", "squared_distance", "corn", "regression")


def headline(view: RunView) -> str:
    """Return the run in one line: its name, the macro-F1 of the test role, and what costs nothing beside it."""
    if "rule" not in view.metrics:
        return f"{view.recipe.name}: {view.census.rows:,} {view.census.unit}, {_classes(len(view.census.classes))}"
    beside = "; ".join(f"{_rival_name(view, key)}: {_plain_value(view, key)}" for key in _RIVALS if key in view.metrics)
    return f"{view.recipe.name}: test {_aim_name(view)} {_value(view, 'rule')}" + (f" ({beside})" if beside else "")


def summarise(run: Run | RunView) -> str:
    """Return one paragraph on what happened in a run: data, corrections, thresholds, result, doubts, next step.

    It is made from the run folder alone. Figures are those of the test role.

    Raises:
        RunError: the run has not come so far as to count its labels.
    """
    view = run if isinstance(run, RunView) else RunView.read(run)
    return " ".join(
        [*_data(view), *_correction(view), *_training(view), *_decision(view), *_result(view), *_doubts(view)]
    )


def next_steps(view: RunView) -> list[tuple[str, str]]:
    """Return what to do next, as pairs of a purpose and a command."""
    folder = shlex.quote(str(view.path))
    steps = []
    if view.rule is not None:
        new = "NEW.csv --images FOLDER" if view.recipe.model.of_images else "NEW.csv"
        steps.append(("Use the model on a new table", f"equipoise predict {folder} {new}"))
    if "rule" in view.metrics:
        steps.append(("See every metric with its interval", f"equipoise evaluate {folder}"))
    corrections = _corrections(view)
    if not corrections:
        steps += _twin(view, "See whether class weights help on this data", "weighted", "balance.weights.scheme=sqrt")
    else:
        keys = {key.split(".")[0]: None for key in corrections.values()}  # balance goes as a whole, schedule included
        steps += _twin(view, "See whether correcting helped on this data", "plain", *(f"{key}={{}}" for key in keys))
    if len(corrections) > 1:
        for name, key in corrections.items():
            steps += _twin(view, f"See what the {name} adds to the rest", f"without-{name}", f"{key}={{}}")
    return steps


def _corrections(view: RunView) -> dict[str, str]:
    """Return what was corrected in a run: its name, and the section of the recipe that asks for it."""
    loss = view.recipe.loss
    bent = loss.name not in _PLAIN_LOSSES or bool(loss.smoothing)
    found = {"weighting": view.weights is not None, "sampling": view.plan is not None, "loss": bent}
    sections = {"weighting": "balance.weights", "sampling": "balance.sampling", "loss": "loss"}
    return {name: sections[name] for name, there in found.items() if there}


def _twin(view: RunView, purpose: str, beside: str, *settings: str) -> list[tuple[str, str]]:
    """Return the command that trains the same recipe with other settings beside the run, and the one that compares."""
    changed = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
    recipe, run = shlex.quote(str(view.path / "recipe.yaml")), shlex.quote(str(view.path))
    twin = shlex.quote(f"{view.path}-{beside}")
    steps = [(purpose, f"equipoise train {recipe} {changed} --out {twin}")]
    if "rule" in view.metrics:  # without a test role there is nothing to compare on
        more, less = (run, twin) if _corrections(view) else (twin, run)
        metric = "ap" if len(view.census.classes) == 1 else "macro_ap"
        steps.append(("and compare the two", f"equipoise compare {more} {less} --metric {metric}"))
    return steps


def _data(view: RunView) -> list[str]:
    census = view.census
    groups = "" if census.groups is None else f" of {census.groups:,} groups, each kept whole in one role"
    said = [f"{census.rows:,} {census.unit}{groups}, {_classes(len(census.classes))} ({census.task})."]
    known = [i for i in range(len(census.classes)) if census.positives[i] > 0]
    if known:
        ends = sorted(known, key=lambda i: float(census.prevalence[i]))
        common = f"; the commonest {_count(view, ends[-1])}" if len(ends) > 1 else ""
        said.append(f"The rarest is {_count(view, ends[0])}{common}.")
    unknown = int(census.unknowns.max() if view.exclusive else census.unknowns.sum())  # one label a row: once a row
    if unknown:
        said.append(f"{unknown:,} labels are unknown and were left out, never taken as negative.")
    return said


def _count(view: RunView, index: int) -> str:
    census = view.census
    unit = census.unit if view.exclusive else "positive" if census.positives[index] == 1 else "positives"
    share = one_in(float(census.prevalence[index]))
    name = f"class {census.classes[index]}" if view.exclusive else census.classes[index]
    return f"{name}: {int(census.positives[index]):,} {unit} ({share})"


def _correction(view: RunView) -> list[str]:
    focal = view.recipe.loss.name == "focal"
    if view.weights is None and not focal and view.plan is None:
        return ["The loss was left as it is" + ("." if view.exclusive else "; imbalance is met by thresholds alone.")]
    said = [] if view.plan is None else _sampling(view.plan, view)
    if view.weights is not None:
        heaviest = int(np.argmax(view.weights.values))
        text = view.weights.sentences()[heaviest].rstrip(".")
        said.append(f"The loss was weighted ({view.weights.name}): {text[0].lower()}{text[1:]}.")
    if focal:
        said.append(f"Focal loss (gamma {view.recipe.loss.gamma:g}) turned it to the hard cases.")
    said.append("What that does to probabilities was undone: all below are at the natural prevalence.")
    return said


def _sampling(plan: SamplingPlan, view: RunView) -> list[str]:
    rarest = int(np.nanargmin(plan.prevalence))
    by = "a solved plan" if plan.method == "minimum_divergence" else f"the heuristic {plan.method}"
    schedule = view.recipe.balance.schedule
    start = "" if schedule is None or schedule.from_epoch == 1 else f" from epoch {schedule.from_epoch} on"
    there, here = one_in(float(plan.prevalence[rarest])), one_in(float(plan.expected_prevalence[rarest]))
    said = [
        f"Rows were drawn by {by}{start}: {plan.classes[rarest]}, {there} in the data, was {here} of the draws; "
        f"the row drawn most came {counted(plan.repeats)} times an epoch, and the draws were worth "
        f"{100 * plan.effective_sample_size:.0f} % of the rows."
    ]
    if view.preflight is not None and not view.preflight.passed:
        failed = joined([check.name for check in view.preflight.checks if check.passed is False])
        said.append(f"The pre-flight failed ({failed}): what was drawn is not what was planned.")
    return said


def _training(view: RunView) -> list[str]:
    if not view.events:
        return []
    model, members = view.recipe.model.name, view.members
    if members > 1:
        turns = "took turns: each row outside the test role was scored by one that never saw it"
        return [f"{members} models ({model}) {turns}."]
    return [f"One model ({model}) was trained, and watched on the validation role."]


def _decision(view: RunView) -> list[str]:
    rule = view.rule
    if rule is None:
        return ["No decision rule was fitted yet."]
    if rule.class_offsets is not None and np.ptp(rule.class_offsets) > 0:
        factors = np.exp(rule.class_offsets - rule.class_offsets.min())
        lean = joined([f"{name} x {factor:.2g}" for name, factor in zip(rule.classes, factors, strict=True)])
        return [f"The class with the largest probability times a factor, chosen on validation, is predicted: {lean}."]
    if rule.cut_points is not None:
        pairs = zip(rule.classes[1:], rule.cut_points.tolist(), strict=True)
        grades = joined([f"{name} from {cut:.2g}" for name, cut in pairs])
        return [f"The expected grade, cut on validation for {metric_name(rule.maximize)}, decides: {grades}."]
    if rule.thresholds is None:
        return ["The most likely class is predicted."]
    cuts = [
        f"{name} from {value:.2g}" for name, value in zip(rule.classes, rule.thresholds.tolist(), strict=True)
        if math.isfinite(value) and value > 0
    ]  # fmt: skip
    rows = "" if rule.fitted_on is None else f" on {rule.fitted_on.rows:,} validation rows"
    aim = metric_name(rule.maximize)
    if len(cuts) > _MANY_CLASSES:
        finite = [value for value in rule.thresholds.tolist() if math.isfinite(value) and value > 0]
        return [f"Thresholds chosen for {aim}{rows} lie between {min(finite):.2g} and {max(finite):.2g}."]
    return [f"Positive is predicted at a probability, chosen for {aim}{rows}, of: {joined(cuts)}."] if cuts else []


_RIVALS = ("half", "never")


def _result(view: RunView) -> list[str]:
    if view.sealed:
        return ["The test role is not opened yet, so nothing here is judged on it."]
    if "rule" not in view.metrics:
        return ["There is no test role, so nothing was judged: keep rows aside before believing anything."]
    table = view.metrics["rule"]
    beside = [f"{_rival(view, key)} {_value(view, key)}" for key in _RIVALS if key in view.metrics]
    text = f"On {table.cases:,} test rows {_aim_name(view)} is {_value(view, 'rule')}; {joined(beside)}."
    gain = threshold_gain(view)
    return [text, gain.sentence] if gain is not None else [text]


def _rival(view: RunView, key: str) -> str:
    model = "the same model " if key == "half" else ""
    by = "by its " if model and view.exclusive else ""
    return f"{model}{by}{_rival_name(view, key)} has"


def _rival_name(view: RunView, key: str) -> str:
    return rule_names(view.metrics, exclusive=view.exclusive)[key]


def _doubts(view: RunView) -> list[str]:
    if "rule" not in view.metrics:
        return []
    table = view.metrics["rule"]
    rows = [table.row("f1", name) for name in table.classes]
    unjudged = [row for row in rows if math.isnan(row.value)]
    few = [row for row in rows if 0 < row.support < FEW and not math.isnan(row.value)]
    never = [row for row in rows if "never predicted" in row.note]
    said = []
    if unjudged:
        said.append(f"Could not be judged: {joined([f'{row.class_name} ({row.note})' for row in unjudged])}.")
    if few:
        names = joined([f"{row.class_name} ({row.support})" for row in few])
        said.append(f"Too few test positives to rely on: {names}. More cases, or folds, would tell.")
    if never:
        said.append(f"Never predicted on the test role: {joined([str(row.class_name) for row in never])}.")
    return said


def _row(view: RunView, key: str) -> MetricRow:
    return view.metrics[key].row(f"macro_{view.aim}")


def _value(view: RunView, key: str) -> str:
    row = _row(view, key)
    if math.isnan(row.value):
        return "not evaluable"
    interval = "" if math.isnan(row.low) or row.low == row.high else f" [{row.low:.3f}, {row.high:.3f}]"
    return f"{row.value:.3f}{interval}" if row.value else "0"


def _plain_value(view: RunView, key: str) -> str:
    value = _row(view, key).value
    return "not evaluable" if math.isnan(value) else f"{value:.3f}" if value else "0"


def _aim_name(view: RunView) -> str:
    return metric_name(view.aim if len(view.census.classes) == 1 else f"macro_{view.aim}")


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"
