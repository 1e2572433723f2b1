"""Calibration beside scikit-learn's on the same scores: log loss and calibration error of other rows, and time.

Run: ``OMP_NUM_THREADS=1 python benchmarks/calibration.py --data ../shared/data`` (about two minutes on one core).

Quality: three models that are wrong in ways of their own (Gaussian naive Bayes and boosted trees grown long, too sure;
class-weighted logistic regression, shifted) on the two-class KEEL tables. Ten
stratified divisions into training, validation and test (50:25:25), the same for all methods; every calibration is
fitted on the scores of the validation role and judged on those of the test role. Figures are means over tables and
divisions of the difference to the scores as they are; below 0 is better. The interval is that of the mean over tables
(t, 95 %), so that it says whether other tables would show the same.

Time: fitting and applying one class of 112,120 scores, medians of paired runs, with the ratio's spread over the runs.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from equipoise.decision.calibration import calibrate_scores, fit_calibration, isotonic_regression
from equipoise.metrics import expected_calibration_error, log_loss
from equipoise.scores import Scores

Floats = NDArray[np.float64]
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
MODELS: dict[str, Callable[[], ClassifierMixin]] = {
    "naive Bayes": lambda: make_pipeline(SimpleImputer(), GaussianNB()),
    "boosted trees": lambda: HistGradientBoostingClassifier(max_iter=300, random_state=0),
    "weighted logistic": lambda: make_pipeline(
        SimpleImputer(), StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    ),
}


class Given(ClassifierMixin, BaseEstimator):
    """A classifier that has been fitted, and whose decisions are the column that it is given."""

    def fit(self, features: Floats, labels: Floats) -> Given:
        """Note the classes."""
        self.classes_ = np.array([0.0, 1.0])
        return self

    def decision_function(self, features: Floats) -> Floats:
        """Return the log-odds."""
        return features[:, 0]

    def predict(self, features: Floats) -> Floats:
        """Return the more likely class."""
        return (features[:, 0] > 0).astype(np.float64)


def theirs(method: str) -> Callable[[Floats, Floats, Floats], Floats]:
    """Return scikit-learn's calibration: labels and log-odds of validation, log-odds of test, to probabilities."""

    def calibrate(labels: Floats, odds: Floats, other: Floats) -> Floats:
        frozen = FrozenEstimator(Given().fit(odds[:, None], labels))
        rows = np.arange(len(labels))  # one fold, because nothing is fitted but the calibration
        fitted = CalibratedClassifierCV(frozen, method=method, ensemble=False, cv=[(rows, rows)])
        fitted.fit(odds[:, None], labels)
        return np.asarray(fitted.predict_proba(other[:, None])[:, 1])

    return calibrate


def ours(method: str) -> Callable[[Floats, Floats, Floats], Floats]:
    """Return this library's calibration in the same form."""

    def calibrate(labels: Floats, odds: Floats, other: Floats) -> Floats:
        scores = make(labels, odds)
        fitted = calibrate_scores(scores, "auto")[1] if method == "auto" else fit_calibration(scores, method)
        natural = make(np.full(len(other), np.nan), other)
        return (natural if fitted is None else fitted.apply(natural)).probabilities()

    return calibrate


METHODS = {
    "sigmoid, scikit-learn": theirs("sigmoid"),
    "isotonic, scikit-learn": theirs("isotonic"),
    "temperature, scikit-learn": theirs("temperature"),
    "auto": ours("auto"),
    "platt": ours("platt"),
    "beta": ours("beta"),
    "isotonic": ours("isotonic"),
    "temperature": ours("temperature"),
}


def make(labels: Floats, odds: Floats) -> Scores:
    """Return scores of one class."""
    return Scores(labels=labels, values=odds, kind="logits", ids=None, role="validation", classes=["positive"])


def divided(path: Path, seed: int, model: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Return labels and log-odds of validation, and labels and log-odds of test."""
    table = pl.read_csv(path, null_values=["", "?"], infer_schema_length=None)
    labels = table["target"].to_numpy().astype(np.float64)
    features = table.drop("target").to_dummies(pl.selectors.string()).cast(pl.Float64).to_numpy()
    rows = np.arange(len(labels))
    training, rest = train_test_split(rows, test_size=0.5, stratify=labels, random_state=seed)
    validation, test = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=seed)
    fitted = MODELS[model]().fit(features[training], labels[training])
    odds = []
    for part in (validation, test):
        logs = np.log(np.clip(fitted.predict_proba(features[part]), 1e-15, 1.0))
        odds.append(logs[:, 1] - logs[:, 0])
    return labels[validation], odds[0], labels[test], odds[1]


def quality(paths: list[Path], seeds: int) -> None:
    """Print differences of log loss and calibration error to the scores as they are."""
    for model in MODELS:
        plain: dict[str, list[list[float]]] = defaultdict(list)
        change: dict[tuple[str, str], list[float]] = defaultdict(list)
        for path in paths:
            cells: dict[tuple[str, str], list[float]] = defaultdict(list)
            for seed in range(seeds):
                labels, odds, truth, other = divided(path, seed, model)
                before = judged(truth, 1 / (1 + np.exp(-other)))
                for measure, value in before.items():
                    plain[measure].append([value])
                for name, calibrate in METHODS.items():
                    for measure, value in judged(truth, calibrate(labels, odds, other)).items():
                        cells[name, measure].append(value - before[measure])
            for key, values in cells.items():
                change[key].append(float(np.mean(values)))
        means = ", ".join(f"{measure} {np.mean(values):.4f}" for measure, values in plain.items())
        print(f"\n{model}: as it is {means}; {len(paths)} tables x {seeds} divisions")
        for name in METHODS:
            said = [f"{measure} {interval(change[name, measure])}" for measure in plain]
            print(f"  {name:26s} {'   '.join(said)}")


def judged(truth: Floats, probabilities: Floats) -> dict[str, float]:
    """Return the two figures."""
    return {"log loss": log_loss(truth, probabilities), "ECE": expected_calibration_error(truth, probabilities)}


def interval(values: list[float]) -> str:
    """Return the mean and its 95 % interval."""
    half = T_975.get(len(values) - 1, 1.96) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):+.4f} [{np.mean(values) - half:+.4f}, {np.mean(values) + half:+.4f}]"


def speed(repeats: int) -> None:
    """Print times of both and their ratio."""
    random = np.random.default_rng(0)
    odds = random.normal(size=112_120) * 1.5 - 4
    labels = (random.random(112_120) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        name: (partial(METHODS[name], labels, 2 * odds, odds), partial(METHODS[other], labels, 2 * odds, odds))
        for name, other in (
            ("platt", "sigmoid, scikit-learn"),
            ("temperature", "temperature, scikit-learn"),
            ("isotonic", "isotonic, scikit-learn"),
        )
    }
    alone = "isotonic regression alone"
    pairs[alone] = partial(isotonic_regression, labels, odds), partial(IsotonicRegression().fit, odds, labels)
    print(f"\nFitting and applying 112,120 scores of one class: seconds here, there, ratio over {repeats} paired runs")
    for name, pair in pairs.items():
        took = np.array([[timed(call) for call in pair] for _ in range(repeats + 1)])[1:]
        ratios = took[:, 1] / took[:, 0]
        here, there = np.median(took, axis=0)
        print(
            f"  {name:26s} {here:.3f}  {there:.3f}  {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        )


def timed(call: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    paths = sorted((given.data / "keel-imbalanced").glob("*.csv"))
    paths = [path for path in paths if path.stem != "glass-multiclass"]
    warnings.filterwarnings("ignore")
    if paths:
        quality(paths, given.seeds)
    else:
        print(f"No tables in {given.data / 'keel-imbalanced'}: quality is left out.")
    speed(given.repeats)


if __name__ == "__main__":
    main()
