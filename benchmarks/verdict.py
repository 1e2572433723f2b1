"""Are verdicts to be believed? Ablations with a known answer, judged again and again.

    python benchmarks/verdict.py [repetitions]

Prints how often a family of arms that are truly equal has one that is called "helps" or "hurts" (at most 5 % is
promised), how often an arm that truly helps is found beside the power that its own variance states, and how often an
arm whose gain comes only from its threshold is called "helps" over the free fix (never, up to that error).
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import numpy as np

from equipoise.balance import ClassWeights, Ledger
from equipoise.decision import fit_by_parts, raw_rule
from equipoise.evidence import ArmScores, Comparison, Verdicts, judge_arms
from equipoise.scores import Scores

PREVALENCE = np.array([0.05, 0.12, 0.3])
CLASSES = ("rare", "less rare", "common")
SEPARATION = 1.5  # between positives and negatives, in standard deviations, of a model without noise of its own
NOISE = 0.5  # of each trained model, on each row
SEED_SPREAD = 0.08  # of the separation, between training seeds of one arm


def simulate(
    random: np.random.Generator,
    gains: dict[str, float],
    *,
    seeds: int = 3,
    rows: int = 400,
    weights: dict[str, float] | None = None,
) -> dict[str, ArmScores]:
    """Return an ablation.

    Args:
        random: of this repetition: other cases, other seeds.
        gains: arm to what it adds to the separation; the expected difference to an arm with the same gain is 0.
        seeds: trained of each arm.
        rows: of the validation role, two of each patient.
        weights: arm to the `pos_weight` that it was trained with; its stored scores are at the natural prevalence.
    """
    patients = np.repeat(np.arange(rows // 2), 2)
    shared = random.normal(size=(rows // 2, 3))[patients]
    labels = (random.random((rows, 3)) < PREVALENCE).astype(float)
    noise = np.sqrt(0.5) * (shared + random.normal(size=(rows, 3)))
    arms = {}
    for name, gain in gains.items():
        factor = (weights or {}).get(name, 1.0)
        ledger = Ledger([ClassWeights(CLASSES, np.full(3, factor), "inverse", {}, "pos_weight")])
        tables = {}
        for seed in range(seeds):
            apart = SEPARATION + gain + SEED_SPREAD * random.normal()
            seen = noise + apart * labels + NOISE * random.normal(size=(rows, 3))
            spread = 1 + NOISE**2
            logits = np.log(PREVALENCE / (1 - PREVALENCE)) + (apart * seen - apart**2 / 2) / spread
            tables[seed] = Scores(
                labels=labels, values=logits, kind="logits", ids=[f"row {n}" for n in range(rows)], groups=patients,
                role="validation", classes=CLASSES,
            )  # fmt: skip
        arms[name] = ArmScores(
            tables,
            {seed: raw_rule(one, ledger) for seed, one in tables.items()},
            {seed: fit_by_parts(one, "f1", method="exact") for seed, one in tables.items()},
        )
    return arms


def judged(arms: dict[str, ArmScores], **settings: object) -> Verdicts:
    """Return the verdicts, from few replicates."""
    return judge_arms(arms, replicates=100, **settings)  # type: ignore[arg-type]


def equal_arms(repetitions: int, seeds: int) -> tuple[int, Counter[str]]:
    """Return in how many repetitions some arm was called helps or hurts, and all verdicts."""
    wrong, said = 0, Counter[str]()
    for number in range(repetitions):
        random = np.random.default_rng((seeds, number))
        arms = simulate(random, dict.fromkeys(("plain", "a", "b", "c", "d"), 0.0), seeds=seeds)
        arms = {name: ArmScores(arm.scores, arm.fixed, arm.fixed) for name, arm in arms.items()}  # one drawing each
        found = [one.verdict for one in judged(arms, margin=0.05, seed=number).arms]
        wrong += bool({"helps", "hurts"} & set(found))
        said.update(found)
    return wrong, said


def helping_arm(repetitions: int, gain: float, seeds: int) -> tuple[int, float, float]:
    """Return how often an arm that helps is found, the power stated for its true difference, and that difference."""
    drawn = []
    for number in range(repetitions):
        arms = simulate(np.random.default_rng((77, number)), {"plain": 0.0, "better": gain}, seeds=seeds)
        arms = {name: ArmScores(arm.scores, arm.fixed, arm.fixed) for name, arm in arms.items()}
        drawn.append(judged(arms, seed=number).of_arm("better"))
    truth = float(np.mean([one.against_free_fix.difference for one in drawn]))
    found = sum(one.verdict == "helps" for one in drawn)
    return found, float(np.mean([stated_power(one.against_free_fix, truth) for one in drawn])), truth


def stated_power(found: Comparison, difference: float) -> float:
    """Return the power that the interval of a comparison states for a difference of that size."""
    half = (found.high - found.low) / 2
    from scipy.special import stdtr, stdtrit

    degrees = degrees_of(found, half)
    return float(stdtr(degrees, stdtrit(degrees, 0.975) * (difference / half - 1)))


def degrees_of(found: Comparison, half: float) -> float:
    """Return the degrees of freedom that p and interval of a comparison go together with."""
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    def gap(log_degrees: float) -> float:
        degrees = float(np.exp(log_degrees))
        error = half / stdtrit(degrees, 0.975)
        return float(2 * stdtr(degrees, -abs(found.difference) / error)) - found.p

    ends = np.log(1.0), np.log(1e6)
    return float(np.exp(brentq(gap, *ends))) if gap(ends[0]) * gap(ends[1]) < 0 else 1e6


def threshold_only(repetitions: int, seeds: int) -> Counter[str]:
    """Return what is said of an arm that only moves what 0.5 means: against plain training, and the free fix."""
    said = Counter[str]()
    for number in range(repetitions):
        arms = simulate(
            np.random.default_rng((99, number)), {"plain": 0.0, "weighted": 0.0}, seeds=seeds, weights={"weighted": 6.0}
        )
        one = judged(arms, margin=0.05, seed=number).of_arm("weighted")
        said[f"over plain training: {one.against_plain.verdict}"] += 1
        said[f"over the free fix: {one.verdict}"] += 1
        said["the sentence says that the free fix gains it too"] += "the free fix gains too" in one.sentence
    return said


def main() -> None:
    """Print what each of the three simulations found."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start = time.perf_counter()
    wrong, said = equal_arms(repetitions, 3)
    print(f"4 equal arms, 3 seeds: {wrong} of {repetitions} families with helps or hurts; {dict(said)}", flush=True)
    fewer = max(repetitions // 2, 1)
    for gain in (0.2, 0.4):
        found, power, truth = helping_arm(fewer, gain, 3)
        print(f"macro-F1 {truth:+.3f}: found {found} of {fewer}; stated power {power:.0%}", flush=True)
    for line, count in threshold_only(fewer, 3).items():
        print(f"threshold only: {line}: {count} of {fewer}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
