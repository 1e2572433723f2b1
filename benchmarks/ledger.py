"""Does the ledger keep its word? Models trained under each correction, with the way back and without, beside plain.

Run: ``OMP_NUM_THREADS=1 python benchmarks/ledger.py --data ../shared/data`` (about four minutes on one core;
``--tables brfss2022`` or ``--seeds 2`` for less).

Five seeds, each with a split, an order of rows and a start of its own, the same for all corrections of that seed. Every
correction is trained by this library's own training (early stopping on the validation role included); its test scores
are judged twice: returned to the natural prevalence by the ledger, and as they left the model. Figures are the expected
calibration error (15 bins of equal mass) and the log loss, both means over the classes; an interval is that of the
mean paired difference to plain training (t, 95 %). "as plain": the interval holds 0. "within noise": it does not, but
the mean is smaller than what another split does to plain training (its standard deviation over the seeds). "plain,
again" is plain training with another order of rows and another start on the same split.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.balance import Ledger
from equipoise.metrics import expected_calibration_error, log_loss
from equipoise.recipe import make_recipe
from equipoise.training.combine import make_scores, natural_logits
from equipoise.training.loop import Workers
from equipoise.training.member import MemberTraining
from equipoise.training.prepare import prepare
from equipoise.training.telemetry import Silent
from equipoise.training.train import measured

Floats = NDArray[np.float64]
UNIFORM = "balance.sampling.method=uniform"
INVERSE = "balance.weights.scheme=inverse"
ARMS: dict[str, list[str]] = {
    "plain": [],
    "plain, again": [],
    "sqrt weights": ["balance.weights.scheme=sqrt"],
    "inverse weights": [INVERSE],
    "sampler, half way": [UNIFORM, "balance.sampling.strength=0.5"],
    "sampler, uniform": [UNIFORM],
    "sampler, max of inverse": ["balance.sampling.method=max"],
    "sampler + inverse weights": [UNIFORM, INVERSE],
    "focal 2, alpha balanced": ["loss={name: focal, gamma: 2.0, alpha: balanced}"],
    "focal 3, alpha 0.25": ["loss={name: focal, gamma: 3.0, alpha: 0.25}"],
    "sampler + weights + focal": [UNIFORM, INVERSE, "loss={name: focal, gamma: 2.0, alpha: 0.75}"],
    "logit-adjusted": ["loss={name: logit_adjusted}"],
    "asymmetric (approximate)": ["loss={name: asymmetric}"],
}
MEASURES = ("calibration error", "log loss")
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def tables(data: Path) -> dict[str, tuple[Path, list[str], list[str]]]:
    """Return name -> path, label columns and settings of the tables that are there."""
    import polars as pl

    found = {}
    for name, path, settings in (
        ("brfss2022", data / "brfss2022-comorbidity" / "brfss2022.csv", []),
        ("yeast", data / "mulan-multilabel" / "yeast.csv.gz", []),
    ):
        if path.exists():
            heads = pl.read_csv(path, n_rows=1).columns
            found[name] = (path, [head for head in heads if head.startswith("y_")], settings)
    return found


def judge(labels: Floats, logits: Floats) -> tuple[float, float]:
    """Return calibration error and log loss, means over the classes that have both answers in the test role."""
    probabilities = np.exp(-np.logaddexp(0.0, -logits))
    there = [c for c in range(labels.shape[1]) if 0 < np.nansum(labels[:, c]) < np.sum(~np.isnan(labels[:, c]))]
    errors = [expected_calibration_error(labels[:, c], probabilities[:, c]) for c in there]
    return float(np.mean(errors)), float(np.mean([log_loss(labels[:, c], probabilities[:, c]) for c in there]))


def train_arm(path: Path, targets: list[str], overrides: list[str]) -> tuple[Floats, float]:
    """Return (2, 2): with the ledger and without it, calibration error and log loss; and the seconds it took."""
    begin = time.perf_counter()
    recipe = make_recipe(path, targets, groups="none", overrides=overrides)
    torch.set_num_threads(1)
    prepared = prepare(recipe)
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        trained = [
            MemberTraining(
                prepared, number, folder=Path(folder), run=None, watch=Silent(), workers=Workers(), device=device
            ).result()
            for number in range(len(prepared.members))
        ]
    raw = Ledger([], census=prepared.training_census)
    found = []
    for ledger in (measured(prepared, trained).ledger, raw):
        logits = natural_logits(ledger, prepared.labels.task, [member.test for member in trained])
        scores = make_scores(prepared, prepared.test, logits, role="test")
        found.append(judge(scores.table(), np.asarray(scores.values)))
    return np.array(found), time.perf_counter() - begin


def interval(differences: Floats) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95 % interval."""
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return mean, float("-inf"), float("inf")
    half = T_975[min(count - 1, 9)] * statistics.stdev(differences.tolist()) / count**0.5
    return mean, mean - half, mean + half


def show(name: str, results: dict[str, Floats], seconds: float) -> None:
    """Print one table: each correction beside plain; `results` is arm -> (seeds, ways, measures)."""
    plain = results["plain"]
    seeds = len(plain)
    print(f"\n{name}: {seeds} seeds; {seconds:.0f} s")
    for at, measure in enumerate(MEASURES):
        noise = float(plain[:, 0, at].std(ddof=1)) if seeds > 1 else 0.0
        print(f"\n  {measure}: {plain[:, 0, at].mean():.4f} by plain training, +-{noise:.4f} over the seeds; "
              "difference to it: mean [95 % interval]")  # fmt: skip
        print(f"  {'':<28}{'with the ledger':<30}{'without it':<30}")
        for arm, found in results.items():
            if arm == "plain":
                continue
            cells = [interval(found[:, way, at] - plain[:, 0, at]) for way in (0, 1)]
            said = "".join(f"{f'{mean:+.4f} [{low:+.4f}, {high:+.4f}]':<30}" for mean, low, high in cells)
            print(f"  {arm:<28}{said}{verdict(cells[0], noise)}", flush=True)


def verdict(cell: tuple[float, float, float], noise: float) -> str:
    """Say in a word how the way back comes out."""
    mean, low, high = cell
    if low <= 0 <= high:
        return "as plain"
    return "within noise" if abs(mean) < noise else "worse" if mean > 0 else "better"


def run(path: Path, targets: list[str], common: list[str], seeds: int, arms: list[str]) -> dict[str, Floats]:
    """Train every arm under every seed."""
    found: dict[str, list[Floats]] = {arm: [] for arm in arms}
    for seed in range(seeds):
        for arm in arms:
            drawn = seed + 1000 * (arm == "plain, again")
            overrides = [*common, f"split.seed={seed}", f"seed={drawn}", *ARMS[arm]]
            figures, taken = train_arm(path, targets, overrides)
            found[arm].append(figures)
            print(f"    seed {seed} {arm:<28} {figures.round(4).tolist()} {taken:.1f} s", flush=True)
    return {arm: np.array(values) for arm, values in found.items()}


def main() -> None:
    """Run the tables and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", default="linear")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = tables(given.data)
    if not found:
        raise SystemExit(
            f"no tables in {given.data}: expected brfss2022-comorbidity/brfss2022.csv or mulan-multilabel/"
        )
    common = [
        f"model.name={given.model}", "training.members=1", "training.epochs=150", "training.patience=10",
        "training.learning_rate=0.0005",
        "split.fractions=[0.5, 0.15, 0.35]", *given.settings,
    ]  # fmt: skip
    arms = ["plain", *(arm for arm in given.arms if arm != "plain")]
    for name, (path, targets, settings) in found.items():
        if given.tables and name not in given.tables:
            continue
        begin = time.perf_counter()
        results = run(path, targets, [*common, *settings], given.seeds, arms)
        show(name, results, time.perf_counter() - begin)


if __name__ == "__main__":
    main()
