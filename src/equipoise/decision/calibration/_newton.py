"""Newton's method for a convex loss of few parameters, with steps halved until the loss falls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equipoise._arrays import Floats

RIDGE = 1e-6  # times half the squared parameters, beside a log loss summed over rows
_STEPS = 100
_CLOSE = 1e-12  # squared Newton decrement, relative to the loss, at which the minimum is reached

# Loss, gradient (parameters,) and Hessian (parameters, parameters) at some parameters.
Loss = Callable[[Floats], tuple[float, Floats, Floats]]


def minimise(loss: Loss, start: Floats, *, ridge: Floats | float = RIDGE) -> Floats:
    """Return the minimum of a convex loss plus ``sum ridge / 2 parameters^2``.

    The ridge makes the minimum unique and finite where the rows leave it open (constant scores, classes that a score
    separates).

    Args:
        loss: convex, twice differentiable.
        start: where the search begins, shape (parameters,). Zero is a good place: there no probability is certain.
        ridge: above 0, one or one per parameter.

    Example:
        The minimum of cosh(x - 2), from 0 on:

        >>> found = minimise(lambda x: (np.cosh(x[0] - 2), np.sinh(x - 2), np.cosh(x - 2)[:, None]), np.zeros(1))
        >>> round(found.item(), 5)
        2.0
    """
    here = start.copy()
    value, gradient, curvature = _with_ridge(loss, here, ridge)
    for _ in range(_STEPS):
        step = np.linalg.solve(curvature, gradient)
        decrement = float(gradient @ step)
        if decrement <= _CLOSE * (1.0 + abs(value)):
            break
        for _ in range(60):
            there = here - step
            found = _with_ridge(loss, there, ridge)
            if found[0] <= value - 1e-4 * float(gradient @ step):
                break
            step = step / 2
        else:
            break  # no smaller loss is to be had in floating point
        here, (value, gradient, curvature) = there, found
    return here


def _with_ridge(loss: Loss, here: Floats, ridge: Floats | float) -> tuple[float, Floats, Floats]:
    value, gradient, curvature = loss(here)
    pull = ridge * here
    return value + float(pull @ here) / 2, gradient + pull, curvature + ridge * np.eye(len(here))


def one_case_ridge(design: Floats, weights: Floats, *, plain: bool) -> Floats:
    """Return the ridge of each parameter: what one case says, or next to nothing where `plain`.

    A case at a probability of one half, one standard deviation from the mean, has information ``variance / 4`` on a
    slope. So slopes are drawn to 0 as strongly as by one case, whatever the scale of the scores; an intercept (a
    constant column) is not drawn, so that the mean probability stays free.

    Args:
        design: shape (rows, parameters).
        weights: non-negative, not all 0, shape (rows,).
        plain: leave every parameter free.
    """
    if plain:
        return np.full(design.shape[1], RIDGE)
    share = weights / weights.sum()
    return np.asarray(np.maximum(share @ np.square(design - share @ design) / 4, RIDGE))


def logistic_loss(design: Floats, targets: Floats, weights: Floats, base: Floats | None = None) -> Loss:
    """Return the weighted log loss of ``sigmoid(base + design @ parameters)`` against targets in [0, 1].

    Args:
        design: shape (rows, parameters).
        targets: shape (rows,).
        weights: non-negative, shape (rows,).
        base: log-odds to which the design adds, shape (rows,).
    """

    def loss(parameters: Floats) -> tuple[float, Floats, Floats]:
        odds = design @ parameters if base is None else base + design @ parameters
        small = np.exp(-np.abs(odds))
        value = float(weights @ (np.maximum(odds, 0.0) + np.log1p(small) - targets * odds))
        probabilities = np.where(odds >= 0, 1.0, small) / (1.0 + small)
        spread = weights * small / np.square(1.0 + small)
        gradient = (weights * (probabilities - targets)) @ design
        return value, gradient, (design * spread[:, None]).T @ design

    return loss
