"""The streaming resampler: its target, known and unknown populations, shards, unknown classes, resuming."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from equipoise._checks import ArgumentError, DataError, EquipoiseError, RunError
from equipoise.balance import plan_sampling
from equipoise.labels import Labels
from equipoise.samplers import ResampledDataset, StreamResampler
from samplers.plans import chi_square_p

CLASSES = ("a", "b", "c", "d")
NATURAL = np.array([0.7, 0.2, 0.07, 0.03])


def rows(count: int, seed: int = 0, natural=NATURAL) -> list[int]:
    return np.random.default_rng(seed).choice(len(natural), count, p=natural).tolist()


@pytest.mark.parametrize("target", ["uniform", {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}])
def test_two_thousand_batches_have_the_target(target):
    resampler = StreamResampler("multiclass", CLASSES, target=target, max_ratio=50)
    arriving = rows(400_000, natural=[0.4, 0.25, 0.2, 0.15])
    stream = itertools.islice(resampler.resample(arriving, lambda row: row), 2_000 * 32)
    drawn = np.bincount(list(stream), minlength=4)
    assert drawn.sum() == 64_000  # before the stream ended
    expected = np.full(4, 0.25) if target == "uniform" else np.array(list(target.values()))
    assert chi_square_p(drawn, expected * 64_000) > 1e-3
    np.testing.assert_allclose(resampler.rates, drawn / 64_000, atol=1e-4)


def test_a_known_population_needs_no_census():
    values = (np.random.default_rng(0).random((5_000, 4)) < [0.3, 0.1, 0.03, 0.01]).astype(np.float32)
    labels = Labels("multilabel", CLASSES, values, np.arange(5_000))
    plan = plan_sampling(labels, max_repeats=20)
    resampler = StreamResampler("multilabel", CLASSES, plan=plan)
    order = np.concatenate([np.random.default_rng(epoch).permutation(5_000) for epoch in range(30)])
    kept = np.array(list(resampler.resample(order.tolist(), lambda row: values[row])))
    drawn = np.bincount(plan.combination_codes[kept], minlength=len(plan.combination_counts))
    assert chi_square_p(drawn, plan.combination_weights * plan.combination_counts * len(kept)) > 1e-3


def test_many_labels_reach_uniform_shares():
    rng = np.random.default_rng(0)
    values = (rng.random((50_000, 4)) < [0.2, 0.1, 0.03, 0.02]).astype(np.float32)
    resampler = StreamResampler("multilabel", CLASSES, max_repeats=3)
    list(resampler.resample(values, lambda row: row))
    shares = resampler.rates / resampler.rates.sum()
    np.testing.assert_allclose(shares, 0.25, atol=0.01)
    natural = 1 - np.mean(values.any(axis=1))
    kinds = np.array(list(resampler._kinds))
    without = np.array(resampler._given)[~(kinds == 1).any(axis=1)].sum() / resampler.passed
    assert without == pytest.approx(natural, abs=0.02)  # rows without a finding keep their share


def test_repeats_use_more_of_the_stream():
    once, thrice = (StreamResampler("multiclass", CLASSES, max_repeats=many) for many in (1, 3))
    for resampler in (once, thrice):
        list(resampler.resample(rows(40_000), lambda row: row))
    assert thrice.efficiency > 2 * once.efficiency
    np.testing.assert_allclose(thrice.rates, 0.25, atol=0.01)


def test_natural_passes_everything():
    resampler = StreamResampler("multiclass", CLASSES, target="natural")
    assert len(list(resampler.resample(rows(5_000), lambda row: row))) > 4_900


def test_binary_with_unknown_labels():
    values = np.where(np.random.default_rng(0).random(60_000) < 0.05, 1.0, 0.0)
    values[::10] = np.nan
    resampler = StreamResampler("binary", ("x",))
    kept = np.array(list(resampler.resample(values, lambda row: row)))
    assert np.nanmean(kept) == pytest.approx(0.5, abs=0.01)
    assert np.isnan(kept).any()


def test_a_class_that_comes_late_and_one_that_never_comes():
    stream = rows(20_000, natural=[0.9, 0.1]) + rows(60_000, natural=[0.8, 0.1, 0.1])
    resampler = StreamResampler("multiclass", CLASSES)
    kept = list(resampler.resample(stream, lambda row: row))
    late = np.bincount(kept[len(kept) // 2 :], minlength=4) / (len(kept) - len(kept) // 2)
    assert late[2] > 0.3  # it makes up for what it lacked
    np.testing.assert_allclose(resampler.rates[:3], 1 / 3, atol=0.04)
    assert 'Never seen, and left out of the target: "d".' in resampler.sentences()


@pytest.mark.parametrize(("unknown", "kept"), [("drop", 0), ("keep", 1)])
def test_unknown_classes(unknown, kept):
    with pytest.raises(DataError, match="of the class 'aa', which is not one of .* Add the class"):
        StreamResampler("multiclass", CLASSES).copies("aa")
    resampler = StreamResampler("multiclass", CLASSES, unknown=unknown, target="natural")
    names = [CLASSES[row] if row < 4 else "other" for row in rows(5_000, natural=[0.5, 0.2, 0.1, 0.1, 0.1])]
    passed = list(resampler.resample(names, lambda row: row))
    assert ("other" in passed) == bool(kept)
    assert resampler.unknown_rows == names.count("other")


def test_resuming_goes_on_with_the_same_choices():
    stream = rows(30_000)
    whole = StreamResampler("multiclass", CLASSES, seed=3)
    expected = [whole.copies(row) for row in stream]
    for stop in (0, 1, 777, 20_000):
        first = StreamResampler("multiclass", CLASSES, seed=3)
        before = [first.copies(row) for row in stream[:stop]]
        again = StreamResampler("multiclass", CLASSES, seed=3)
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert before + [again.copies(row) for row in stream[again.read :]] == expected
    with pytest.raises(RunError, match="another seed or stream"):
        StreamResampler("multiclass", CLASSES, seed=4).load_state_dict(whole.state_dict())


class Shards(IterableDataset):
    """Each worker has a shard of other shares."""

    def __iter__(self):
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        natural = ([0.7, 0.2, 0.07, 0.03], [0.1, 0.1, 0.2, 0.6])[number]
        return iter(rows(20_000, natural=natural))


def test_shards_in_the_workers_of_a_loader():
    data = ResampledDataset(Shards(), lambda row: row, task="multiclass", classes=CLASSES, rank=0, world=1)
    loader = DataLoader(data, 32, num_workers=2)
    drawn = np.bincount(torch.cat(list(loader)).numpy(), minlength=4)
    np.testing.assert_allclose(drawn / drawn.sum(), 0.25, atol=0.015)
    once = list(data)
    data.set_epoch(1)
    assert list(data) != once


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.1}}, "must sum to one"),
        ({"target": {"e": 1.0}}, 'names the class "e"'),
        ({"target": "even"}, "`target` of StreamResampler must be one of"),
        ({"strength": 1.5}, "`strength` of StreamResampler must be at most 1"),
        ({"max_repeats": 0}, "`max_repeats` of StreamResampler must be at least 1"),
        ({"unknown": "ignore"}, "`unknown` of StreamResampler must be one of"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(EquipoiseError, match=message):
        StreamResampler("multiclass", CLASSES, **settings)


def test_labels_that_cannot_be():
    resampler = StreamResampler("multilabel", CLASSES)
    with pytest.raises(DataError, match="has 2 labels; the resampler has 4 classes"):
        resampler.copies([0, 1])
    with pytest.raises(DataError, match="Give 0, 1 or NaN"):
        resampler.copies([0, 1, 2, 0])
    plan = plan_sampling(Labels("binary", ("x",), np.array([0, 1], np.float32), np.arange(2)))
    with pytest.raises(ArgumentError, match="Plan the sampling for the classes of the stream"):
        StreamResampler("multilabel", CLASSES, plan=plan)


@pytest.mark.parametrize(
    "target",
    [
        {"prevalence": {"d": 0.3}},
        {"prevalence": {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4}},
        {"prevalence": {"b": 0.4, "d": 0.3}},
        {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4},
    ],
)
def test_a_named_class_that_comes_late_is_left_out_until_it_comes(target):
    stream = rows(300, natural=[0.8, 0.2]) + rows(120_000)
    resampler = StreamResampler("multiclass", CLASSES, target=target, max_ratio=100)
    list(resampler.resample(stream, lambda row: row))
    for name, rate in target.get("prevalence", target).items():
        assert resampler.rates[CLASSES.index(name)] == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("label", [float("inf"), 1.5, [1], object()])
def test_labels_that_are_no_class(label):
    with pytest.raises(DataError, match="Row 1 of the stream has the label .* Give a class name"):
        StreamResampler("multiclass", CLASSES, unknown="keep").copies(label)


def test_a_damaged_state_is_named():
    resampler = StreamResampler("multiclass", CLASSES)
    list(resampler.resample(rows(2_000), lambda row: row))
    good = resampler.state_dict()
    for name, value in (
        ("read", None),
        ("counts", [1]),
        ("slopes", []),
        ("kinds", [["x"]]),
        ("given", 3),
        ("next", "x"),
    ):
        with pytest.raises(RunError, match="The state of the resampler is damaged"):
            StreamResampler("multiclass", CLASSES).load_state_dict(good | {name: value})
    with pytest.raises(RunError, match="The state of the resampler is damaged"):
        StreamResampler("multiclass", CLASSES).load_state_dict({key: good[key] for key in ("task", "classes", "key")})
