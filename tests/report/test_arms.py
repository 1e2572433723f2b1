"""Tables of several runs."""

from __future__ import annotations

from collections.abc import Callable

from equipoise.report import ArmsView, RunView, arms_class_table
from equipoise.runs import Run


def test_what_cannot_be_evaluated_is_a_dash_and_said_in_words(make_run: Callable[..., Run]) -> None:
    view = RunView.read(make_run(classes=["common", "never"], rows=40))
    arms = ArmsView.of({"plain": view, "other": view})
    table = arms_class_table(arms, arms.comparisons[0])
    cells = {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    assert cells["plain"][1] == cells["other"][1] == cells["difference"][1] == cells["p adjusted"][1] == "-"
    assert cells["note"][1] == "not evaluable on these labels"
    assert cells["difference"][0].startswith("+0.000")
