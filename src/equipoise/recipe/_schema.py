"""The keys of a recipe, their types, ranges and defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from equipoise._checks import ArgumentError, listed, nearest
from equipoise._image_models import IMAGE_MODELS, PRETRAINED, TABLE_MODELS, is_image_model
from equipoise._mask_models import MASK_MODELS, is_mask_model
from equipoise._yaml import yaml_text
from equipoise.decision.objectives import parse_objective
from equipoise.recipe._agreement import disagreements, obstacles
from equipoise.recipe._counts import sides, word_or_count
from equipoise.recipe._mask_agreement import MASK_LOSS_KEYS, MASK_TERM_KEYS


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("kind", "must be a number")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
        raise PydanticCustomError("kind", "must be a whole number")
    return value


def _name(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _text(value: Any) -> Any:
    """An empty `why:` is no text."""
    return "" if value is None else _name(value)


def _absolute(path: str) -> str:
    """A recipe means the same file wherever it is read again: a run folder keeps the full path."""
    return str(Path(path).expanduser().absolute())


def _one_or_more(value: Any) -> Any:
    """A single name stands for a list of one."""
    return (value,) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _rising(band: tuple[float, float]) -> tuple[float, float]:
    if not band[0] < band[1]:
        raise PydanticCustomError("kind", "must be two shares, the lower first")
    return band


def _none_or_repeats(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < math.inf
    if value is not None and value != "none" and not number:
        raise PydanticCustomError("kind", 'must be "none" (no limit) or a number of at least 1')
    return value


def _alpha(value: Any) -> Any:
    """Focal's alpha: nothing, "balanced", one share of the positive, or one for each class."""
    shares = value if isinstance(value, list | tuple) else [value]
    right = (
        all(isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < 1 for x in shares) and len(shares) > 0
    )
    if value is not None and value != "balanced" and not right:
        raise PydanticCustomError(
            "kind", 'must be null, "balanced", a number between 0 and 1, or a list of such numbers'
        )
    return tuple(value) if isinstance(value, list) else value


_Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
_Positive = Annotated[_Number, Field(gt=0)]
_NotNegative = Annotated[_Number, Field(ge=0)]
_Share = Annotated[_Number, Field(ge=0, le=1)]
_AlmostOne = Annotated[_Number, Field(ge=0, le=0.99)]
_BelowOne = Annotated[_Number, Field(ge=0, lt=1)]
_Whole = Annotated[int, BeforeValidator(_whole)]
_Count = Annotated[_Whole, Field(ge=1)]
_NotNegativeWhole = Annotated[_Whole, Field(ge=0)]
_Folds = Annotated[_Whole, Field(ge=2)]
_Seed = Annotated[_Whole, Field(ge=0, lt=2**63)]
_Name = Annotated[str, BeforeValidator(_name), Field(min_length=1)]
_Text = Annotated[str, BeforeValidator(_text)]
_PathName = Annotated[_Name, AfterValidator(_absolute)]
_ArmName = Annotated[_Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
_CacheName = Annotated[_Name, AfterValidator(lambda path: path if path == "auto" else _absolute(path))]
_WeightsName = Annotated[_Name, AfterValidator(lambda path: path if path in PRETRAINED else _absolute(path))]
_Switch = Annotated[bool, Field(strict=True)]
_Names = Annotated[tuple[_Name, ...], BeforeValidator(_one_or_more)]
_AutoOrCount = Annotated[Literal["auto"] | int, word_or_count("auto")]
_LeastPart = Annotated[Literal["auto", "none"] | int, word_or_count("auto", "none")]
_Sides = Annotated[tuple[int, ...] | Literal["auto"], BeforeValidator(sides)]
_Repeats = Annotated[Literal["none"] | float | None, BeforeValidator(_none_or_repeats)]
_Values = Annotated[tuple[_Number, ...], BeforeValidator(_one_or_more)]
_Band = Annotated[tuple[_Share, _Share], AfterValidator(_rising)]
_Alpha = Annotated[float | Literal["balanced"] | tuple[float, ...] | None, BeforeValidator(_alpha)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DataSettings(_Settings):
    """Where the rows are, which columns are labels, and which never become features."""

    table: _PathName | None = None
    labels: _Names = ()
    separator: _Name | None = None
    ids: _Name | None = None
    groups: _Name | None = None  # a column, or "none": rows are declared independent
    task: Literal["binary", "multiclass", "ordinal", "multilabel", "segmentation"] | None = None
    uncertain: _Name | None = None
    unknown: Literal["unknown", "negative", "positive", "drop"] = "unknown"
    positive: _Name | None = None
    classes: _Names | None = None  # the labels that may occur in a column of classes; any other is an error
    features: _Names | None = None
    exclude: _Names = ()
    numeric: _Names = ()  # columns that must hold numbers
    categories: _Names = ()  # columns of numbers that are codes of categories
    missing: _Names = ()  # words that mean a missing cell, besides "", NA, NaN, null, ? and their like
    images: _PathName | None = None  # the folder of the images, or a MedMNIST-style .npz
    image: _Name = "image"  # the column that names the image of each row
    # Of models of masks: columns of the table, one or (classes that may overlap) one a class; or a folder of masks.
    masks: _Names = ()
    mask_values: dict[_Name, _Values] | None = None  # class to the value of its pixels, or several
    foreground: _Name | None = None  # instead of mask_values: what is foreground, such as "> 0.5"
    ignore: _Values = ()  # values of pixels that count for nothing

    @model_validator(mode="before")
    @classmethod
    def _targets_are_labels(cls, values: Any) -> Any:
        """`targets` is another word for `labels`."""
        if not isinstance(values, Mapping) or "targets" not in values:
            return values
        if "labels" in values:
            raise PydanticCustomError("same_key", "`labels` and `targets` are the same key. Keep one of them")
        return {"labels" if key == "targets" else key: value for key, value in values.items()}


class ImageSettings(_Settings):
    """What is done to every image once (and kept in a cache), and what is varied each time it is shown."""

    size: Annotated[_Whole, Field(ge=8, le=4096)] = 224  # pixels a side
    channels: Literal["grey", "rgb"] = "grey"
    steps: tuple[_Name | dict[_Name, dict[_Name, Any] | None], ...] = ("resize",)  # in this order; see `parse_steps`
    augment: Literal["none", "light", "medium", "strong"] = "light"
    modality: Literal["xray", "fundus", "general"] = "general"  # what may be varied: an X-ray is never mirrored
    flip: _Switch | None = None  # mirror left and right; null: as the modality has it
    cache: _CacheName = "auto"  # folder; auto: runs/image-cache
    store: Literal["raw", "compressed"] = "raw"
    gallery: _Switch = True  # keep thumbnails of some images in the run folder, for its figures

    @property
    def channel_count(self) -> int:
        """1 or 3."""
        return 1 if self.channels == "grey" else 3


class MaskSettings(_Settings):
    """How images with masks are cut into patches, judged whole and watched."""

    resize: Annotated[_Whole, Field(ge=8, le=8192)] | None = None  # pictures: longer side in pixels; null: as they are
    patch_size: _Sides = "auto"  # along each axis; auto: from the images, at most 256
    patches: _AutoOrCount = "auto"  # an epoch; auto: what covers the images to learn from once, 16 batches at least
    planned: _Share = 0.67  # of the patches: a class by plan, an image that has it, a place in it; the rest anywhere
    target: dict[_Name, _Share] | None = None  # of the planned patches, by class; null: all classes alike
    scale: Literal["dataset", "image"] = "dataset"  # mean and spread of pixels: one for all, or each image's own (MRI)
    overlap: Annotated[_Number, Field(ge=0, le=0.95)] = 0.5  # of the windows that a whole image is judged in
    bands: dict[_Name, _Band] | None = None  # class to the predicted share that is believable; null: from the data
    least_component: _LeastPart = "auto"  # smaller parts are removed; auto: fitted on validation


class SplitSettings(_Settings):
    """How rows are dealt to train, validation and test; `file` takes a split made elsewhere."""

    fractions: Annotated[tuple[_Share, _Share, _Share], Field()] = (0.7, 0.15, 0.15)
    seed: _Seed | None = None  # None: the seed of the recipe
    file: _PathName | None = None
    folds: _Folds | None = None  # equal parts, each the test role of one run
    fold: _Seed | None = None  # which of them is the test role, from 0; null: one run for each

    @property
    def in_turn(self) -> bool:
        """Whether each fold is to be the test role of a run of its own."""
        return self.folds is not None and self.fold is None

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(math.fsum(fractions) - 1) > 1e-6 or fractions[0] <= 0:
            raise PydanticCustomError("kind", "must be three shares (train above 0, validation, test) that sum to 1")
        return fractions


class CountsFrom(_Settings):
    """The counts that weights were made from: training on masks with other counts is refused."""

    source: _Name
    fingerprint: _Name  # of names, sizes and times of the files
    unit: Literal["rows", "pixels"] = "pixels"
    counts: dict[_Name, _NotNegativeWhole]
    scheme: _Name | None = None  # that made the weights


class WeightsSettings(_Settings):
    """Class weights of the loss; see `class_weights`."""

    scheme: Literal[
        "none", "inverse", "balanced", "sqrt", "fourth_root", "power", "effective_number", "median_frequency",
        "smoothed", "log", "aggressive", "very_aggressive",
    ] = "none"  # fmt: skip
    power: _NotNegative | None = None
    beta: _BelowOne | None = None
    smoothing: _NotNegative | None = None
    offset: Annotated[_Number, Field(gt=1)] | None = None
    multiplier: _Positive = 1.0
    floor: _Positive | None = None
    cap: _Positive | None = None
    normalise: Literal["none", "mean", "sum"] = "none"
    values: dict[_Name, _Positive] | None = None  # by hand, for the named classes
    counts_from: CountsFrom | None = None  # the counts that the values were made from, checked before training

    @property
    def title(self) -> str:
        """What the weights are called: see `equipoise.balance.ClassWeights.name`."""
        from equipoise.balance._words import weights_name  # what shows recipes alone needs no weights

        return weights_name(self.scheme, self.values, self.counts_from.scheme if self.counts_from else None)


class SamplingSettings(_Settings):
    """Which rows are drawn how often."""

    method: Literal[
        "none", "target", "uniform", "per_class", "aggressive", "balanced", "inverse_frequency", "max",
        "mean", "repeat_factor", "square_root",
    ] = "none"  # fmt: skip
    target: dict[_Name, _Share] | None = None
    strength: _Share | None = None
    max_repeats: _Repeats = None  # of one row in an epoch: a number, or "none" for no limit; null: 20
    negatives_share: _Share | None = None  # of rows without any finding; None keeps the natural share
    stabilise: _Switch = True  # multilabel: weigh each label so that only how often its class is drawn changes
    replacement: _Switch = True
    strict: _Switch = False  # a failed pre-flight stops the training before its first step


class ScheduleSettings(_Settings):
    """From which epoch (from 1) weights and sampling are in force."""

    from_epoch: _Count


class BalanceSettings(_Settings):
    """Every correction for imbalance, in one place, so that the ledger can add them up."""

    weights: WeightsSettings = WeightsSettings()
    sampling: SamplingSettings = SamplingSettings()
    schedule: ScheduleSettings | None = None


class LossSettings(_Settings):
    """The loss; `auto` is bce for binary and multilabel, cross_entropy for multiclass and ordinal."""

    name: Literal[
        "auto", "bce", "cross_entropy", "focal", "asymmetric", "logit_adjusted", "balanced_softmax", "ldam",
        "distribution_balanced", "squared_distance", "corn", "regression",
    ] = "auto"  # fmt: skip
    gamma: _NotNegative = 2.0  # focal, distribution_balanced
    alpha: _Alpha = None  # focal
    smoothing: _AlmostOne | None = None  # bce, cross_entropy
    gamma_positive: _NotNegative | None = None  # asymmetric
    gamma_negative: _NotNegative | None = None
    margin: _AlmostOne | None = None
    tau: _Number | None = None  # logit_adjusted
    max_margin: _NotNegative | None = None  # ldam
    scale: _Positive | None = None
    rebalance: tuple[_NotNegative, _Number, _Number] | None = None  # distribution_balanced: alpha, beta, mu
    negative_scale: _Positive | None = None
    kappa: _NotNegative | None = None
    cross_entropy: _Share | None = None  # squared_distance: the share of it
    # Of masks, instead of a name: "cross_entropy + focal + 0.5 dice" and the like; see `read_mask_terms`.
    terms: _Name | None = None
    batch_dice: _Switch = True  # Dice and its kin pool the pixels of a batch
    background: _Switch = False  # whether the first of exclusive classes counts in Dice and its kin
    false_positives: _NotNegative | None = None  # tversky
    false_negatives: _NotNegative | None = None
    iterations: _Count | None = None  # cldice

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were given besides gamma and alpha; null is the loss's own default."""
        return self.model_dump(exclude={"name", "gamma", "alpha", *MASK_LOSS_KEYS}, exclude_none=True)

    @property
    def mask_settings(self) -> dict[str, Any]:
        """The settings of terms of masks that were given; null is the term's own default."""
        return self.model_dump(include={"smoothing", *MASK_TERM_KEYS}, exclude_none=True)


class ModelSettings(_Settings):
    """The model; a size left at null is the model's own default."""

    name: _Name = "tabm"  # of a table: tabm, mlp or linear; of images: `equipoise models`
    width: _Count | None = None
    depth: _Count | None = None
    dropout: _BelowOne | None = None
    ensemble: _Count | None = None  # submodels inside one tabm
    embedding: Literal["none", "linear", "piecewise_linear", "periodic"] | None = None
    embedding_size: _Count | None = None
    bins: _Folds | None = None
    skip: _Switch | None = None  # a linear path past the hidden layers
    heads: _Count | None = None  # of attention, in image models
    features: _Count | None = None  # random features of a Performer
    attention_dropout: _BelowOne | None = None
    drop_path: _BelowOne | None = None  # share of the backbone's residual branches skipped in training
    stages: Annotated[_Whole, Field(ge=3)] | None = None  # of unet: how often it halves, and one more
    deep_supervision: _Switch | None = None  # of unet: the loss judges coarser outputs too; null: it does not
    # Image models: none, imagenet (from the network), a file of weights, or a finished run of the same model.
    pretrained: _WeightsName = "none"
    initial_bias: Literal["prevalence", "zero"] = "prevalence"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in TABLE_MODELS and not is_image_model(name) and not is_mask_model(name):
            known = (*TABLE_MODELS, *IMAGE_MODELS, *MASK_MODELS)
            raise PydanticCustomError(
                "name",
                "must be one of {known}, or the name of a backbone of timm{near}",
                {"known": listed(known, limit=20), "near": nearest(name, known).rstrip(".?") or ""},
            )
        return name

    @property
    def of_images(self) -> bool:
        """Whether it is a model of images."""
        return self.name not in TABLE_MODELS and not self.of_masks

    @property
    def of_masks(self) -> bool:
        """Whether it is a model of masks: it answers for every pixel."""
        return is_mask_model(self.name)

    @property
    def settings(self) -> dict[str, Any]:
        """The sizes that were given: the keyword arguments of `make_model` or `make_image_model`."""
        return self.model_dump(exclude={"name", "initial_bias", "pretrained"}, exclude_none=True)


class TrainingSettings(_Settings):
    """The loop: how long, how fast, on what metric it stops, and on what machine it runs."""

    epochs: _Count = 100
    batch_size: _AutoOrCount = "auto"
    learning_rate: _Positive = 3e-3
    weight_decay: _NotNegative = 0.1
    schedule: Literal["none", "plateau", "cosine", "one_cycle"] = "none"
    schedule_factor: Annotated[_Number, Field(gt=0, lt=1)] = 0.5  # plateau: what the rate is multiplied by
    schedule_patience: _Count = 5  # plateau: epochs without gain before that
    warmup: _BelowOne = 0.0  # cosine, one_cycle: share of the steps
    minimum_learning_rate: _NotNegative = 0.0
    average: _BelowOne = 0.97  # moving average of the weights, by step; 0: none
    gradient_clip: _Positive | None = 1.0
    accumulate: _Count = 1
    precision: Literal["32", "bf16", "16"] = "32"
    channels_last: _Switch = False  # images: the memory layout that GPUs are fastest with
    compile: _Switch = False  # torch.compile: slow to start, faster afterwards
    monitor: Literal[
        "loss", "macro_f1", "micro_f1", "macro_auc", "micro_auc", "macro_ap", "micro_ap", "macro_recall",
        "balanced_accuracy", "accuracy", "qwk", "dice", "iou",
    ] = "loss"  # fmt: skip
    patience: _Count | None = 12  # epochs without gain before stopping; None: never
    on_collapse: Literal["warn", "stop"] = "warn"  # no class told from the rest for a fifth of the epochs
    members: _AutoOrCount = "auto"
    deterministic: _Switch = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: _AutoOrCount = "auto"
    checkpoint_seconds: _NotNegative = 30.0

    @field_validator("precision", mode="before")
    @classmethod
    def _bits(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class DecisionSettings(_Settings):
    """What the thresholds maximise on the validation role."""

    maximize: str = "f1"  # see `parse_objective`: the words of `decide --maximize`
    method: Literal["exact", "shrunk"] = "shrunk"  # shrunk: steadier thresholds where positives are few
    calibration: Literal["none", "auto", "temperature"] = "none"  # those that every task has

    @field_validator("maximize")
    @classmethod
    def _objective(cls, value: str) -> str:
        try:
            return str(parse_objective(value, function="a recipe"))
        except ArgumentError as error:
            raise PydanticCustomError("objective", "{said}", {"said": str(error)}) from error


class DistilSettings(_Settings):
    """What a student learns from teachers, besides the labels."""

    teachers: _Names = ()  # finished run folders, or names of earlier arms of the same recipe
    temperature: _Positive = 2.0  # above 1: softer targets
    weight: _Share = 0.5  # of the teachers' term; the labels have the rest
    similarity: _NotNegative = 0.0  # of the term that makes images alike which the teachers find alike
    keep_scores: _Switch = False  # score the teachers once; only where images are not varied


class LogSettings(_Settings):
    """What a person says about a run. It may be changed at any time: nothing is computed from it."""

    why: _Text = ""  # the question that the run is to answer
    decision: _Text = ""  # what was decided when it was answered


class TrackingSettings(_Settings):
    """Where a run is shown besides its folder, which stays the truth: what was not sent can be sent later.

    ``tracking: mlflow`` is short for ``tracking: {kind: mlflow}``.
    """

    kind: Literal["none", "mlflow", "tensorboard"] = "none"
    uri: _Name | None = None  # of an MLflow server or database, or a folder; None: next to the run
    experiment: _Name | None = None  # mlflow; None: the name of the recipe

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return {"kind": "none" if value is None else value} if value is None or isinstance(value, str) else value


class Recipe(_Settings):
    """Everything a run is told. Equal recipes, their `log` and `tracking` apart, give equal runs."""

    name: _Name = "run"
    seed: _Seed = 0
    data: DataSettings = DataSettings()
    images: ImageSettings = ImageSettings()
    masks: MaskSettings = MaskSettings()
    split: SplitSettings = SplitSettings()
    balance: BalanceSettings = BalanceSettings()
    loss: LossSettings = LossSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    decision: DecisionSettings = DecisionSettings()
    distil: DistilSettings = DistilSettings()
    arms: dict[_ArmName, dict[_Name, Any] | None] = Field(default_factory=dict)  # several runs: what each changes
    tracking: TrackingSettings = TrackingSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _keys_agree(self) -> Recipe:
        issues = disagreements(self)
        if issues:
            raise PydanticCustomError("disagreement", "{said}", {"said": issues[0][1], "issues": issues})
        return self

    @property
    def split_seed(self) -> int:
        """The seed of the split: its own, or the recipe's."""
        return self.seed if self.split.seed is None else self.split.seed

    def without_log(self) -> Recipe:
        """Return the recipe without what a person says about it and where it is shown: what makes runs equal."""
        return self.model_copy(update={"log": LogSettings(), "tracking": TrackingSettings()})

    def require_runnable(self) -> None:
        """Raise `ArgumentError` naming what is missing or not available in this version, and the way out."""
        found = obstacles(self)
        if found:
            said = "\n  ".join(f"{key} {text}." for key, text in found)
            raise ArgumentError(f"recipe {self.name} cannot run yet: {said}")

    def to_yaml(self, *, brief: bool = False) -> str:
        """Return the recipe as YAML that reads back to an equal recipe.

        Args:
            brief: leave out every key that has its default, as a person would write it. A run keeps all keys, because
                defaults may change.
        """
        values = self.model_dump(mode="json", exclude_defaults=brief)
        return yaml_text({"name": self.name} | values)
