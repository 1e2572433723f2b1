"""Learning-rate schedules: PyTorch's own, with a state that is plain JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

if TYPE_CHECKING:
    from equipoise.recipe import TrainingSettings


class Schedule:
    """The learning rate over a training: moved by steps (cosine, one-cycle), by the watched metric (plateau), or not.

    Args:
        settings: the `training` part of a recipe.
        optimizer: whose rate is set.
        total_steps: optimiser steps of the whole training.
        higher_is_better: direction of the watched metric, for `plateau`.
    """

    def __init__(
        self, settings: TrainingSettings, optimizer: Optimizer, *, total_steps: int, higher_is_better: bool
    ) -> None:
        self._optimizer = optimizer
        self._plateau: ReduceLROnPlateau | None = None
        self._stepped: LambdaLR | OneCycleLR | None = None
        warmup = round(settings.warmup * total_steps)
        floor = settings.minimum_learning_rate / settings.learning_rate
        if settings.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(
                optimizer,
                mode="max" if higher_is_better else "min",
                factor=settings.schedule_factor,
                patience=settings.schedule_patience,
                min_lr=settings.minimum_learning_rate,
            )
        elif settings.schedule == "cosine":
            self._stepped = LambdaLR(optimizer, lambda step: cosine_factor(step, total_steps, warmup, floor))
        elif settings.schedule == "one_cycle":
            rise = settings.warmup or 0.3
            self._stepped = OneCycleLR(
                optimizer, max_lr=settings.learning_rate, total_steps=total_steps + 1, pct_start=rise
            )

    @property
    def learning_rate(self) -> float:
        """The rate that the next step will use."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """Move on by one optimiser step."""
        if self._stepped is not None:
            self._stepped.step()

    def after_epoch(self, monitored: float) -> None:
        """Show the watched metric of an epoch; a NaN is no improvement."""
        if self._plateau is not None:
            worst = -math.inf if self._plateau.mode == "max" else math.inf
            self._plateau.step(worst if math.isnan(monitored) else monitored)

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores: plain JSON."""
        holder = self._plateau or self._stepped
        if holder is None:
            return {}
        return {name: value for name, value in holder.state_dict().items() if _is_plain(value)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a stored state; the optimiser's own rate is restored with the optimiser."""
        holder = self._plateau or self._stepped
        if holder is None:
            return
        if isinstance(holder, LambdaLR):  # it wants back the functions that it does not store
            state = state | {"lr_lambdas": [None] * len(holder.lr_lambdas)}
        holder.load_state_dict(state)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, int | float) for item in value)
    return isinstance(value, int | float | str | bool | None)


def cosine_factor(step: int, total_steps: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Return what the learning rate is multiplied by at a step: a linear rise, then half a cosine down to `floor`.

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5 without restarts; the rise is the usual addition.

    >>> [round(cosine_factor(step, 4), 3) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW, fused where PyTorch can: on small tables that alone saves a fifth to a quarter of the time.

    A model with `parameter_groups(weight_decay)` says itself which parameters decay.
    """
    groups = getattr(model, "parameter_groups", None)
    parameters: Any = model.parameters() if groups is None else groups(weight_decay)
    fused = next(model.parameters()).device.type in {"cpu", "cuda"}
    return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused)
