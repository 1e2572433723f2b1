"""What `equipoise predict` prints without `--out`: readable however many classes there are."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.cli.predict import show_predictions
from equipoise.training.predict import Predictions


def test_many_classes_are_listed_not_spread_over_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = tuple(f"y_condition_{number}" for number in range(10))
    probabilities = np.tile(np.linspace(0.01, 0.91, 10), (12, 1))
    predictions = (probabilities >= 0.8).astype(np.int8)
    predictions[1] = 0
    show_predictions(Predictions(np.arange(12), names, probabilities, predictions, False, ()))
    printed = capsys.readouterr().out
    assert "y_condition_9 0.910, y_condition_8 0.810" in printed
    assert "none; highest y_condition_9 0.910" in printed
    assert "The first 10 of 12 rows." in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_few_classes_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    one_of = Predictions(
        np.arange(2), ("a", "b"), np.array([[0.2, 0.8], [0.6, 0.4]]), np.eye(2, dtype=np.int8)[::-1], True, ()
    )
    show_predictions(one_of)
    assert "p_a" in capsys.readouterr().out
