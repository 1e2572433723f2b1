"""What is decided and said before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equipoise._checks import ArgumentError, DataError
from equipoise.recipe import make_recipe
from equipoise.training.prepare import Prepared, prepare


def _prepared(folder: Path, positives: dict[str, int], *overrides: str) -> Prepared:
    """A table of 60 rows whose classes have so many positives, the first of them in the test role."""
    lines = [",".join(["id", "age", "sex", *positives])]
    for row in range(60):
        labels = ["1" if row < count else "0" for count in positives.values()]
        lines.append(",".join([f"p{row}", str(20 + 7 * row % 50), "fm"[row % 2], *labels]))
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    roles = ["test" if row % 5 == 0 else "validation" if row % 5 == 1 else "train" for row in range(60)]
    (folder / "split.csv").write_text("id,role\n" + "".join(f"p{row},{role}\n" for row, role in enumerate(roles)))
    settings = ["data.ids=id", f"split.file={folder / 'split.csv'}", "training.members=1", *overrides]
    return prepare(make_recipe(folder / "table.csv", list(positives), groups="none", overrides=settings))


def test_a_class_that_cannot_be_learned_is_named_and_the_others_are_trained(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, {"common": 30, "lone": 1})
    assert prepared.training_census.empty_classes == ("lone",)
    assert (
        'Nothing can be learned of "lone", which has no positive among the rows to learn from: it will hardly ever be '
        "predicted." in prepared.sentences()
    )
    assert np.isfinite(prepared.ledger.log_odds_shift).all()


def test_without_anything_to_learn_there_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No class has a positive among the rows to learn from"):
        _prepared(tmp_path, {"lone": 1})


def test_a_weight_that_would_divide_by_zero_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"lone" has no positive, so class_weights would divide by zero'):
        _prepared(tmp_path, {"common": 30, "lone": 1}, "balance.weights.scheme=sqrt")


def test_few_features_are_named_and_classes_of_the_loss_too(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, {"common": 30, "rare": 8})
    assert "2 features: age (numeric), sex (flag)." in prepared.sentences()
    assert "(rare) to 1:" in prepared.make_loss().describe()


def test_the_first_bias_is_that_of_the_first_phase(tmp_path: Path) -> None:
    corrected = ("balance.weights.scheme=inverse", "balance.sampling.method=uniform", "training.epochs=40")
    plain = _prepared(tmp_path, {"common": 30, "rare": 8})
    late = _prepared(tmp_path, {"common": 30, "rare": 8}, *corrected, "balance.schedule.from_epoch=20")
    assert late.ledger.log_odds_shift.tolist() != [0.0, 0.0]
    np.testing.assert_allclose(late.prior, plain.prior)
    at_once = _prepared(tmp_path, {"common": 30, "rare": 8}, *corrected)
    np.testing.assert_allclose(at_once.prior, plain.prior + at_once.ledger.log_odds_shift)


@pytest.mark.parametrize("name", ["bce", "focal"])
def test_the_loss_says_what_it_starts_from_as_drawn(tmp_path: Path, name: str) -> None:
    """Half of the draws are positive, so both sides pull alike but for the alpha of focal: none."""
    overrides = ("balance.sampling.method=uniform", f"loss.name={name}")
    prepared = _prepared(tmp_path, {"rare": 10}, *overrides)
    natural = prepared.training_census.prevalence
    loss = prepared.make_loss()
    assert loss.describe().endswith("all together they start at 1:1.")
    assert loss.prevalence == pytest.approx(natural)
    assert "start at 1:" in prepared.make_plain_loss().describe()
    assert not prepared.make_plain_loss().describe().endswith("1:1.")


def test_losses_made_of_a_prior_keep_the_natural_one_and_the_ledger_says_that_both_are_in_force(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, {"rare": 10}, "balance.sampling.method=uniform", "loss.name=logit_adjusted")
    natural = float(prepared.training_census.prevalence[0])
    odds = natural / (1 - natural)
    np.testing.assert_allclose(np.exp(prepared.ledger.log_odds_shift), odds**-2)
    assert prepared.ledger.overshot() == {"rare": pytest.approx(1 / odds)}


def test_a_recipe_can_ask_for_no_limit_of_repeats(tmp_path: Path) -> None:
    limits = {}
    for given in ("null", "none", "7"):
        overrides = ("balance.sampling.method=uniform", f"balance.sampling.max_repeats={given}")
        plan = _prepared(tmp_path, {"common": 30, "rare": 8}, *overrides).plan
        assert plan is not None
        limits[given] = plan.max_repeats
    assert limits == {"null": 20.0, "none": None, "7": 7.0}


@pytest.mark.parametrize(("alpha", "many"), [("[0.1]", "1 value"), ("[0.1, 0.2, 0.3]", "3 values")])
def test_a_focal_alpha_for_another_number_of_classes_is_an_error(tmp_path: Path, alpha: str, many: str) -> None:
    with pytest.raises(ArgumentError, match=f"has {many} for 2 classes"):
        _prepared(tmp_path, {"common": 30, "rare": 8}, "loss.name=focal", f"loss.alpha={alpha}")
    _prepared(tmp_path, {"common": 30, "rare": 8}, "loss.name=focal", "loss.alpha=0.1")
