"""Are the defaults good? The default `equipoise train` beside what a user would pick instead, on eleven real tables.

Run: ``OMP_NUM_THREADS=1 python benchmarks/defaults.py --data ../shared/data`` (about 25 minutes on one core; a table's
results are kept in --cache and not computed twice; ``--only haberman`` for one table).

Five fixed stratified folds; each is the test role once and nothing else is. Every method gets the other four folds and
does with them what it does by default: ours cross-fits, stops early and fits its thresholds inside them.
Figures are means over folds of macro-F1, macro-AP and log loss (for two classes those of the rare one); the ranks are
means over tables, 1 is best. A collapsed table is one where a method's macro-F1 is 0 in the mean.
The settings of the default were chosen on other tables.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from equipoise.evidence import evaluate
from equipoise.labels import Labels, Split, read_labels, read_table, split_labels, write_split
from equipoise.scores import Decisions, Scores

Floats = NDArray[np.float64]
FOLDS = 5
METRICS = {"macro_f1": True, "macro_ap": True, "macro_log_loss": False}  # name -> higher is better
_TINY = 1e-15


class Given:
    """A rule whose answers are already there."""

    def __init__(self, predictions: Floats) -> None:
        self._predictions = predictions

    def apply(self, scores: Scores) -> Decisions:
        """Return them."""
        return Decisions(scores, self._predictions.astype(np.int64 if scores.exclusive else np.int8))


def figures(labels: Labels, rows: NDArray[np.int64], probabilities: Floats, predictions: Floats) -> dict[str, float]:
    """Return the three figures of one fold; the same code for every method."""
    part = labels.select(rows)
    values = np.clip(probabilities, _TINY, 1 - _TINY)
    if labels.task == "multiclass":
        values = values / values.sum(axis=1, keepdims=True)
    scores = Scores(
        labels=part.values, values=values, kind="probabilities", ids=part.ids, role="test", classes=part.classes,
        task=part.task,
    )  # fmt: skip
    table = evaluate(scores, Given(predictions), replicates=0)
    names = {"macro_log_loss": "log_loss"} if labels.task == "multiclass" else {}
    return {name: table.value(names.get(name, name)) for name in METRICS}


# -- what others pick ------------------------------------------------------------------------------------------------


def columns(path: Path, targets: list[str]) -> Any:
    """Return the features as pandas reads them."""
    import pandas as pd

    frame = pd.read_csv(path)
    return frame.drop(columns=targets)


def linear_input() -> Any:
    """Impute, scale and one-hot, as the documentation of scikit-learn shows."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )


def tree_input() -> Any:
    """Codes for words; gradient boosting takes missing numbers as they are."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer(
        (codes, make_column_selector(dtype_exclude="number")), remainder="passthrough", verbose_feature_names_out=False
    )


class Oversampled:
    """scikit-learn's MLP on rows that imbalanced-learn's RandomOverSampler repeats."""

    def __init__(self) -> None:
        self._model = make_pipeline(linear_input(), MLPClassifier(random_state=0))

    def fit(self, x: Any, y: NDArray[np.int64]) -> Oversampled:
        """Repeat rows of the rarer classes, then fit."""
        rows, labels = RandomOverSampler(random_state=0).fit_resample(np.arange(len(y))[:, None], y)
        self._model.fit(x.iloc[rows[:, 0]], labels)
        return self

    def predict_proba(self, x: Any) -> Floats:
        """Return probabilities."""
        return np.asarray(self._model.predict_proba(x))

    def predict(self, x: Any) -> NDArray[np.int64]:
        """Return classes."""
        return np.asarray(self._model.predict(x))


def boosting(**settings: Any) -> Any:
    """Return gradient boosting with its own default settings."""
    return make_pipeline(tree_input(), HistGradientBoostingClassifier(random_state=0, **settings))


def tuned(y: NDArray[np.int64]) -> Any:
    """Gradient boosting with scikit-learn's tuned threshold where it can be had (two classes, five rows of each)."""
    if len(np.bincount(y)) != 2 or np.bincount(y).min() < FOLDS:
        return boosting()
    return TunedThresholdClassifierCV(boosting(), scoring="f1", cv=FOLDS, random_state=0)


def logistic(**settings: Any) -> Any:
    """Return logistic regression with enough iterations."""
    return make_pipeline(linear_input(), LogisticRegression(max_iter=5000, **settings))


RIVALS: dict[str, Callable[[NDArray[np.int64]], Any]] = {
    "logistic regression": lambda _: logistic(),
    "logistic regression, balanced": lambda _: logistic(class_weight="balanced"),
    "MLP, random oversampling": lambda _: Oversampled(),
    "gradient boosting": lambda _: boosting(),
    "gradient boosting, balanced": lambda _: boosting(class_weight="balanced"),
    "gradient boosting, tuned threshold": tuned,
}


def rival(
    make: Callable[[NDArray[np.int64]], Any], x: Any, labels: Labels, test: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return probabilities and predictions of the test rows; several labels are several models."""
    if labels.task == "multiclass":
        y = labels.values.astype(np.int64)
        model = make(y[~test]).fit(x[~test], y[~test])
        return model.predict_proba(x[test]), model.predict(x[test])
    found = []
    for y in labels.table().T.astype(np.int64):
        model = make(y[~test]).fit(x[~test], y[~test])
        found.append((model.predict_proba(x[test])[:, 1], model.predict(x[test])))
    probabilities, predictions = (np.stack(part, axis=1).astype(np.float64) for part in zip(*found, strict=True))
    if labels.task == "binary":
        return probabilities[:, 0], predictions[:, 0]
    return probabilities, predictions


# -- ours ------------------------------------------------------------------------------------------------------------


def ours(path: Path, targets: list[str], split: Split) -> tuple[Floats, Floats]:
    """Return probabilities and predictions of the default `equipoise train`, in the order of the test rows."""
    from equipoise.decision import read_rule
    from equipoise.recipe import make_recipe
    from equipoise.scores import read_scores
    from equipoise.training import train

    with tempfile.TemporaryDirectory() as folder:
        write_split(split, Path(folder) / "split.csv")
        recipe = make_recipe(path, targets, groups="none", overrides=[f"split.file={folder}/split.csv"])
        run = train(recipe, out=Path(folder) / "run")
        decided = read_rule(run.file("decision.json")).apply(read_scores(run.scores_file("test")))
        return decided.probabilities, np.asarray(decided.predictions, dtype=np.float64)


def run_table(path: Path, targets: list[str], seed: int) -> dict[str, dict[str, float]]:
    """Return the mean figures of every method on one table."""
    labels = read_labels(path, targets, groups="none")
    folds = fixed_folds(labels, seed)
    x = columns(path, targets)
    assert len(x) == len(read_table(path))
    methods: dict[str, list[dict[str, float]]] = {}
    for fold in range(FOLDS):
        test = folds == fold
        rows = np.flatnonzero(test)
        for name, make in RIVALS.items():
            begin = time.perf_counter()
            found = figures(labels, rows, *rival(make, x, labels, test))
            methods.setdefault(name, []).append(found | {"seconds": time.perf_counter() - begin})
        begin = time.perf_counter()
        roles = np.where(test, "test", np.where(np.arange(len(test)) % 5 == 0, "validation", "train")).astype(object)
        found = figures(labels, rows, *ours(path, targets, Split(labels.ids, roles)))
        methods.setdefault("Equipoise, default", []).append(found | {"seconds": time.perf_counter() - begin})
    return {name: {key: float(np.mean([f[key] for f in all_])) for key in all_[0]} for name, all_ in methods.items()}


def fixed_folds(labels: Labels, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row: scikit-learn's stratified folds, or ours where rows have several labels."""
    if labels.task == "multilabel":
        found = split_labels(labels, folds=FOLDS, seed=seed).folds
        assert found is not None
        return found.astype(np.int64)
    folds = np.zeros(len(labels), dtype=np.int64)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels.values)):
        folds[test] = number
    return folds


def tables(data: Path) -> dict[str, tuple[Path, list[str]]]:
    """Return the tables with their targets."""
    found = {path.stem: (path, ["target"]) for path in sorted((data / "keel-imbalanced").glob("*.csv"))}
    survey = data / "brfss2022-comorbidity" / "brfss2022.csv"
    if survey.exists():
        header = survey.open(encoding="utf-8").readline().strip().split(",")
        found["brfss2022"] = (survey, [name for name in header if name.startswith("y_")])
    return found


def ranks(results: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the mean rank of each method on each metric, ties sharing the mean of their places."""
    names = list(next(iter(results.values())))
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for metric, higher in METRICS.items():
        values = np.array([[results[table][name][metric] for name in names] for table in results])
        values = np.round(-values if higher else values, 6)
        places = np.array([[(row < v).sum() + ((row == v).sum() + 1) / 2 for v in row] for row in values])
        for name, rank in zip(names, places.mean(axis=0), strict=True):
            found[name][metric] = float(rank)
    return found


def show_tables(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the figures of every table."""
    for table, methods in results.items():
        print(f"\n{table:<38}{'macro-F1':>10}{'macro-AP':>10}{'log loss':>10}{'seconds':>10}")
        for name, row in methods.items():
            f1, ap, loss, taken = (row[key] for key in ("macro_f1", "macro_ap", "macro_log_loss", "seconds"))
            print(f"  {name:<36}{f1:>10.3f}{ap:>10.3f}{loss:>10.4f}{taken:>10.1f}", flush=True)


def show_ranks(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the mean ranks over the tables."""
    print(f"\nmean rank over {len(results)} tables (1 is best)")
    print(f"  {'':<36}{'macro-F1':>10}{'macro-AP':>10}{'log loss':>10}{'collapsed':>10}")
    for name, row in ranks(results).items():
        collapsed = sum(methods[name]["macro_f1"] == 0 for methods in results.values())
        print(
            f"  {name:<36}{row['macro_f1']:>10.2f}{row['macro_ap']:>10.2f}{row['macro_log_loss']:>10.2f}{collapsed:>10}"
        )


def main() -> None:
    """Run the tables and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = tables(given.data)
    if not found:
        raise SystemExit(
            f"no tables in {given.data}: expected keel-imbalanced/*.csv and brfss2022-comorbidity/brfss2022.csv"
        )
    cached: dict[str, Any] = json.loads(given.cache.read_text()) if given.cache and given.cache.exists() else {}
    results = {}
    for name, (path, targets) in found.items():
        if given.only and name not in given.only:
            continue
        if name not in cached:
            cached[name] = run_table(path, targets, given.seed)
            if given.cache:
                given.cache.write_text(json.dumps(cached))
        results[name] = cached[name]
        show_tables({name: results[name]})
    show_ranks(results)


if __name__ == "__main__":
    main()
