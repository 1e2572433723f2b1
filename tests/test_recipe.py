"""Recipes: read, overridden, written, and refused with the place and the remedy."""

from __future__ import annotations

import inspect
import math
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from equipoise._checks import ArgumentError, DataError
from equipoise._yaml import parse_yaml, yaml_text
from equipoise.recipe import (
    DataSettings,
    DecisionSettings,
    LossSettings,
    ModelSettings,
    Recipe,
    TrainingSettings,
    WeightsSettings,
    make_recipe,
    packaged_recipes,
    read_recipe,
    recipe_summary,
    write_recipe,
)
from equipoise.recipe._agreement import _DEFAULT_GAMMA, SCHEMES_OF


def write(folder: Path, text: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- what comes with the package


@pytest.mark.parametrize("name", sorted(packaged_recipes()))
def test_packaged_recipes_run_now_and_read_back(name: str, tmp_path: Path) -> None:
    model = read_recipe(name).model
    images = ["data.images=folder"] if model.of_images else []
    labels = ["data.masks=x", "data.groups=none"] if model.of_masks else ["data.labels=[x, y]"]
    recipe = read_recipe(name, ["data.table=a.csv", *labels, *images])
    recipe.require_runnable()
    write_recipe(recipe, tmp_path / "again.yaml")
    assert read_recipe(tmp_path / "again.yaml") == recipe
    assert recipe.name == name
    assert 20 < len(recipe_summary(packaged_recipes()[name])) < 120


def test_the_comorbidity_recipes_are_the_published_settings() -> None:
    plain, aggressive, very = (read_recipe("comorbidity" + end) for end in ("", "-aggressive", "-very-aggressive"))
    assert [r.balance.weights.scheme for r in (plain, aggressive, very)] == [
        "balanced",
        "aggressive",
        "very_aggressive",
    ]
    assert (very.loss.name, very.loss.gamma) == ("focal", 3.0)
    assert {r.training.monitor for r in (plain, aggressive, very)} == {"macro_f1", "macro_recall"}


def test_schemes_and_their_parameters_are_those_of_class_weights() -> None:
    from equipoise.balance._schemes import SCHEMES

    assert set(typing.get_args(WeightsSettings.model_fields["scheme"].annotation)) == set(SCHEMES)
    readers = {
        key: {s.name for s in SCHEMES.values() if key in s.defaults} for s in SCHEMES.values() for key in s.defaults
    }
    assert {key: set(names) for key, names in SCHEMES_OF.items()} == readers
    assert LossSettings().gamma == _DEFAULT_GAMMA


def test_monitors_objectives_and_model_settings_are_those_of_their_rooms() -> None:
    from equipoise.decision.monitor import MONITORS
    from equipoise.decision.objectives import OBJECTIVES
    from equipoise.models.hybrid import Hybrid
    from equipoise.models.mask_models import _SETTINGS
    from equipoise.models.registry import _DATA, MODELS
    from equipoise.recipe._mask_agreement import MASK_MONITORS

    monitors = set(typing.get_args(TrainingSettings.model_fields["monitor"].annotation))
    assert monitors == {*MONITORS, *MASK_MONITORS}
    known = {key for keys in _SETTINGS.values() for key in keys}
    known |= {key for model in (*MODELS.values(), Hybrid) for key in inspect.signature(model).parameters}
    for form, _ in OBJECTIVES.values():
        assert DecisionSettings(maximize=form).maximize == form
    decided = {*_DATA, "bin_edges", "channels", "seed", "imagenet", "name"}
    assert set(ModelSettings.model_fields) - {"name", "initial_bias", "pretrained"} == known - decided


# --- reading


def test_every_key_that_is_left_out_has_a_default(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, "")) == Recipe(name="mine")
    assert read_recipe(write(tmp_path, "training:\nmodel:\n")) == Recipe(name="mine")


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().training.epochs = 3  # type: ignore[misc]


def test_numbers_words_and_single_names(tmp_path: Path) -> None:
    recipe = read_recipe(
        write(
            tmp_path,
            "seed: 3\ntraining: {learning_rate: 1e-3, precision: 16, weight_decay: '1e-4', patience: null}\n"
            "data: {targets: 2019, separator: '|', exclude: [no, 007, 1.5], uncertain: -1}\n"
            "loss: {name: focal, alpha: [0.2, 0.3]}",
        )
    )
    assert (recipe.training.learning_rate, recipe.training.weight_decay, recipe.training.precision) == (
        1e-3,
        1e-4,
        "16",
    )
    assert recipe.training.patience is None
    assert recipe.data.labels == ("2019",)
    assert recipe.data.exclude == ("no", "007", "1.5")
    assert recipe.data.uncertain == "-1"
    assert recipe.loss.alpha == (0.2, 0.3)


def test_paths_inside_a_file_are_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {table: cases.csv}\nsplit: {file: /abs/split.csv}")
    assert read_recipe(path).data.table == str(tmp_path / "cases.csv")
    assert read_recipe(path).split.file == "/abs/split.csv"
    assert read_recipe(path, ["data.table=cases.csv"]).data.table == str(Path("cases.csv").absolute())


def test_overrides_win_in_order_and_may_hold_yaml() -> None:
    recipe = read_recipe(
        "comorbidity",
        [
            "training.epochs=3",
            "training.epochs=4",
            "data.targets=[a, b]",
            r"balance.weights.values.St\.Elevation=2",
            "loss={name: focal, gamma: 1e0}",
            "split.seed=",
        ],
    )
    assert recipe.training.epochs == 4
    assert recipe.data.labels == ("a", "b")
    assert recipe.balance.weights.values == {"St.Elevation": 2.0}
    assert (recipe.loss.name, recipe.loss.gamma) == ("focal", 1.0)
    assert recipe.split.seed is None
    assert recipe.split_seed == recipe.seed


def test_targets_of_a_file_are_replaced_by_labels_of_an_override(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, "data: {targets: [a]}"), ["data.labels=b"]).data.labels == ("b",)


def test_training_without_a_recipe_makes_one() -> None:
    recipe = make_recipe("data/heart.csv.gz", "chd", groups="patient", ids=None, overrides=["training.epochs=2"])
    assert recipe.name == "heart"
    assert recipe.data == DataSettings(table="data/heart.csv.gz", labels=("chd",), groups="patient")
    assert recipe.training.epochs == 2
    assert recipe.model == read_recipe("table").model
    with pytest.raises(ArgumentError, match=r'key data\.group: unknown key.*Did you mean "groups"'):
        make_recipe("heart.csv", "chd", group="patient")


def test_writing_reads_back_equal(tmp_path: Path) -> None:
    recipe = Recipe(
        name="no",
        data={"table": "/a: b.csv", "labels": ["1e-3", "true", "007", "ü # x", "null", "~", "0x10", "1_000"]},
        balance={"weights": {"values": {"1.0": 1e-7, "yes": 1e22}}},
        training={"learning_rate": 1 / 3},
    )
    write_recipe(recipe, tmp_path / "a.yaml")
    assert read_recipe(tmp_path / "a.yaml") == recipe
    assert yaml.safe_load((tmp_path / "a.yaml").read_text()) == recipe.model_dump(mode="json")


def test_a_brief_recipe_leaves_defaults_out_and_reads_back_equal(tmp_path: Path) -> None:
    recipe = read_recipe("comorbidity-very-aggressive", ["data.table=a.csv", "data.labels=[x, y]"])
    brief = recipe.to_yaml(brief=True)
    assert len(brief.splitlines()) < 25
    assert read_recipe(write(tmp_path, brief)) == recipe
    assert Recipe(name="run").to_yaml(brief=True) == "name: run\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_yaml_reads_back_equal(value: object) -> None:
    assert parse_yaml(yaml_text({"key": value}), place="text").values == {"key": value}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_exactly(value: float) -> None:
    back = parse_yaml(yaml_text({"x": value}), place="text").values["x"]
    assert math.copysign(1, back) == math.copysign(1, value)
    assert back == value


# --- errors of keys and values

ONE_ERROR = {
    "training:\n  learning_rat: 1e-3": (
        r'mine\.yaml line 2, key training\.learning_rat: unknown key\. Allowed: "ep.*Did you mean "learning_rate"\?'
    ),
    "trainin: {}": r'line 1, key trainin: unknown key\. Allowed: "name", "seed".*Did you mean "training"\?',
    "balance:\n  weights:\n    scheme: sqr": (
        r'line 3, key balance\.weights\.scheme: must be one of .*got "sqr"\. Did you mean "sqrt"\?'
    ),
    "balance: {sampling: {method: per_clas}}": r'must be one of "none".*Did you mean "per_class"\?',
    "training: {epochs: ten}": r'key training\.epochs: must be a whole number; got "ten"',
    "training: {epochs: 2.5}": r"must be a whole number; got 2\.5",
    "training: {epochs: true}": r"must be a whole number; got True",
    "training: {epochs: 0}": r"must be at least 1; got 0",
    "training: {learning_rate: fast}": r'must be a number; got "fast"',
    "training: {learning_rate: .nan}": r"must be a finite number; got nan",
    "training: {learning_rate: true}": r"must be a number; got True",
    "training: {warmup: 1}": r"must be below 1; got 1",
    "training: {deterministic: 'yes'}": r'must be true or false; got "yes"',
    "training: {batch_size: big}": r'must be "auto" or a whole number of at least 1; got "big"',
    "training: fast": r'key training: must hold keys with values; got "fast"',
    "loss: {name: focal, alpha: 3}": r'must be null, "balanced", a number between 0 and 1, or a list',
    "data:\n  labels: [a, [b]]": r"line 2, key data\.labels\.1: must be a word or text .*got \['b'\]",
    "data: {labels: [a], targets: [b]}": r"key data: `labels` and `targets` are the same key\. Keep one of them",
    "split: {fractions: [0.5, 0.6, 0.1]}": r"three shares .* that sum to 1; got",
    "split: {fractions: [0.5, 0.5]}": r"key split\.fractions\.2: is missing",
    "balance: {schedule: {}}": r"key balance\.schedule\.from_epoch: is missing\. Add it",
    "name: ''": r"key name: must not be empty",
}


@pytest.mark.parametrize(("text", "message"), ONE_ERROR.items())
def test_an_error_has_its_place_what_is_allowed_and_the_nearest_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_recipe(write(tmp_path, text))


def test_weights_by_hand_and_a_scheme_take_each_others_place(tmp_path: Path) -> None:
    masks = ["data.table=x.csv", "data.masks=mask"]
    by_hand = read_recipe("surface-segmentation", [*masks, "balance.weights.values={background: 12, foreground: 0.7}"])
    assert (by_hand.balance.weights.scheme, by_hand.balance.weights.title) == ("none", "given by hand")
    path = tmp_path / "by-hand.yaml"
    write_recipe(by_hand, path)
    again = read_recipe(path, ["balance.weights.scheme=inverse"])
    assert (again.balance.weights.scheme, again.balance.weights.values) == ("inverse", None)
    one = read_recipe("surface-segmentation", [*masks, "balance.weights.values.foreground=2"])
    assert one.balance.weights.scheme == "none"
    with pytest.raises(ArgumentError, match="by hand"):
        read_recipe("surface-segmentation", [*masks, "balance.weights.values={a: 2}", "balance.weights.scheme=sqrt"])
    rows = "balance: {weights: {scheme: sqrt}}\ndata: {labels: [a, b]}"
    beside = read_recipe(write(tmp_path, rows), ["balance.weights.values={a: 2}"])
    assert beside.balance.weights.scheme == "sqrt"  # b is weighed by the scheme
    assert read_recipe(write(tmp_path, rows), ["balance.weights.values={a: 2, b: 3}"]).balance.weights.scheme == "none"


DISAGREE = {
    "loss: {name: bce}\ndata: {task: multiclass}": r"line 1, key loss\.name: bce is not for a multiclass task",
    "loss: {name: cross_entropy}\ndata: {task: multilabel}": r"cross_entropy is not for a multilabel task",
    "loss: {alpha: 0.25}": r"key loss\.alpha: belongs to focal; the loss is auto\. Remove it, or set loss\.name: focal",
    "loss: {name: bce, gamma: 3}": r"key loss\.gamma: belongs to focal",
    "balance: {weights: {scheme: sqrt, beta: 0.9}}": r"beta: works only with scheme: effective_number",
    "balance: {weights: {scheme: power}}": r"power needs an exponent",
    "balance: {weights: {floor: 2, cap: 1}}": r"key balance\.weights\.cap: must be at least floor \(2\); got 1",
    "balance: {weights: {scheme: sqrt, values: {a: 2}}}\ndata: {labels: [a]}": r"weights\.values: gives the weights by",
    "balance: {sampling: {target: {a: 0.5}}}": r"works only with method: target",
    "balance: {sampling: {method: target}}": r"target needs shares",
    "balance: {sampling: {strength: 0.5}}": r"strength: works only with method: uniform or target; .* nothing is sam",
    "balance: {sampling: {method: max, max_repeats: 3}}": r"the method is max: older samplers have no target",
    "balance: {sampling: {method: mean, negatives_share: 0.5}}": r"negatives_share: works only with method: uniform",
    "balance: {sampling: {method: uniform, max_repeats: many}}": r'"none" \(no limit\) or a number of at least 1',
    "balance: {sampling: {method: uniform, max_repeats: 0.5}}": r'"none" \(no limit\) or a number of at least 1',
    "split: {file: a.csv, folds: 3}": r"folds: cannot stand beside split\.file",
    "split: {fold: 3, folds: 3}": r"fold: 3 is no fold: folds go from 0 to 2",
    "split: {fold: 0}": r"fold: 0 is no fold: there are no folds\. Add split\.folds",
    "split: {fractions: [0.8, 0, 0.2]}\ntraining: {members: 1}": r"has no validation share",
    "training: {monitor: qwk}\ndata: {task: binary}": r"qwk needs ordinal grades; the task is binary",
    "training: {minimum_learning_rate: 1}": r"must be at most learning_rate",
    "data: {labels: [a], features: [a, b]}": r'names a label: "a"\. A label can never be a feature',
    "data: {labels: [a, a]}": r"names a column twice",
    "data: {labels: [a, b], task: binary}": r"binary has one label column",
}


@pytest.mark.parametrize(("text", "message"), DISAGREE.items())
def test_keys_that_contradict_each_other(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        read_recipe(write(tmp_path, text))


def test_all_errors_are_listed_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: -1\ntraining:\n  epoch: 3\n  batch_size: 0\nmodel: {name: tabmm}\n")
    with pytest.raises(ArgumentError) as caught:
        read_recipe(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path} has 4 errors:"
    assert [line.split(", key ")[1].split(":")[0] for line in lines[1:]] == [
        "seed",
        "model.name",
        "training.batch_size",
        "training.epoch",
    ]


def test_an_override_is_named_as_its_place() -> None:
    with pytest.raises(ArgumentError, match=r'--set training\.epoch=5: key training\.epoch: unknown key.*"epochs"\?'):
        read_recipe("comorbidity", ["training.epoch=5"])
    with pytest.raises(ArgumentError, match=r"--set loss\.name=focl: key loss\.name.*Did you mean \"focal\""):
        read_recipe("comorbidity", ["loss.name=focl"])
    for wrong in ("training.epochs", "=5", "training..epochs=5"):
        with pytest.raises(ArgumentError, match="must be key=value"):
            read_recipe("comorbidity", [wrong])
    with pytest.raises(DataError, match=r"--set training\.epochs=\[ line 1 is not YAML"):
        read_recipe("comorbidity", ["training.epochs=["])


# --- files that are no recipe


def test_an_unknown_name_lists_the_recipes_and_the_nearest() -> None:
    with pytest.raises(ArgumentError, match=r'no recipe "comorbidty".*"table".*Did you mean "comorbidity"'):
        read_recipe("comorbidty")
    with pytest.raises(ArgumentError, match=r'write its name: "comorbidity"'):
        read_recipe("comorbidity.yaml")


BAD_FILES = {
    "two of a key": (
        "training:\n  epochs: 3\n  patience: 2\n  epochs: 4\n",
        r"line 4, key training\.epochs: given twice \(first on line 2\)",
    ),
    "no colon": ("training\n  epochs: 3\n", r"line \d is not YAML"),
    "a tab": ("training:\n\tepochs: 3\n", r"line 2 is not YAML: .*Indent with spaces, not tabs"),
    "two documents": ("seed: 1\n---\nseed: 2\n", r"is not YAML"),
    "a python tag": (
        "seed: !!python/object/apply:os.system ['true']",
        r"line 1: the tag !!python/object/apply",
    ),
    "a private tag": ("seed: !secret 1", r"the tag !secret is not allowed"),
    "a list key": ("? [a, b]\n: 1\n", r"a key must be a word"),
    "latin-1": ("seed: 1\nname: caf\xe9\n".encode("latin-1"), r"line 2 is not UTF-8 text\. Save the file as UTF-8"),
    "binary": (b"\x00\x01\x02PK", r"is not YAML|not UTF-8"),
    "a loop of aliases": ("data: &a\n  labels: [*a]\n", r"aliases \(\*name\) expand without end"),
    "deep nesting": ("a: " + "[" * 5000, r"nested too deeply|is not YAML"),
    "too large": ("#" * 1_000_001, r"is larger than 1,000,000 bytes"),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_file_that_is_no_recipe(fault: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[fault]
    with pytest.raises(DataError, match=message):
        read_recipe(write(tmp_path, text))


def test_a_billion_laughs_end_early(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(DataError, match="expand without end"):
        read_recipe(write(tmp_path, "\n".join(lines)))


def test_aliases_that_end_are_fine(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, "data: {labels: &l [a, b], exclude: *l}\n"))
    assert recipe.data.exclude == recipe.data.labels == ("a", "b")


def test_a_list_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="must hold keys such as `training:`"):
        read_recipe(write(tmp_path, "- a\n- b\n"))
    with pytest.raises(DataError, match="is a folder, not a file"):
        read_recipe(tmp_path)
    with pytest.raises(DataError, match="could not be read: No such file"):
        read_recipe(tmp_path / "other.yaml")
    write(tmp_path, "seed: 1", "recipe.yaml")
    with pytest.raises(ArgumentError, match=r"is a run folder\. Give its recipe: .*recipe\.yaml"):
        read_recipe(tmp_path)


# --- keys of a later version


def test_what_cannot_run_yet_names_the_remedy() -> None:
    recipe = read_recipe("comorbidity", ["split.folds=5"])
    with pytest.raises(ArgumentError) as caught:
        recipe.require_runnable()
    message = str(caught.value)
    assert "data.table names no table. Give one: --set data.table=TABLE.csv" in message
    assert "split.folds asks for 5 runs" in message
    assert "split.fold: 0" in message


def test_losses_of_a_recipe_are_those_of_the_list() -> None:
    from typing import get_args

    from equipoise.losses import LOSSES, MASK_LOSSES
    from equipoise.recipe._agreement import LOSSES_OF, TASKS_OF
    from equipoise.recipe._mask_agreement import EXCLUSIVE_TERMS, MASK_LOSS_KEYS, OVERLAPPING_TERMS
    from equipoise.recipe._schema import LossSettings

    names = tuple(dict.fromkeys(entry.name for entry in LOSSES))
    assert get_args(LossSettings.model_fields["name"].annotation) == ("auto", *names)
    for name in names:
        entries = [entry for entry in LOSSES if entry.name == name]
        assert set(TASKS_OF[name]) == {task for entry in entries for task in entry.tasks}
        settings = {setting for entry in entries for setting in entry.settings}
        assert {key for key, owners in LOSSES_OF.items() if name in owners} == settings
    assert set(LOSSES_OF) == set(LossSettings.model_fields) - {"name", *MASK_LOSS_KEYS}
    assert {entry.name for entry in MASK_LOSSES if entry.exclusive} == set(EXCLUSIVE_TERMS)
    assert {entry.name for entry in MASK_LOSSES if entry.overlapping} == set(OVERLAPPING_TERMS)
