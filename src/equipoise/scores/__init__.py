"""Labels and the values a model gave them: the waist of the house. Everything after it works on any model's output."""

from __future__ import annotations

from equipoise.scores.record import KINDS, ROLES, TASKS, Decisions, Scores
from equipoise.scores.table import read_scores, write_frame, write_scores

__all__ = ["KINDS", "ROLES", "TASKS", "Decisions", "Scores", "read_scores", "write_frame", "write_scores"]
