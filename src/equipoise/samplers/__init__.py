"""Index streams made from a plan: exact, resumable, the same whatever the number of processes.

Streams are NumPy alone; what a `DataLoader` takes needs torch and is loaded when asked for.
"""

from __future__ import annotations

from equipoise._lazy import load_late

_HOME = {
    "GuaranteedBatchSampler": "loader",
    "GuaranteedStream": "guarantee",
    "IndexStream": "stream",
    "PatchDraws": "patches",
    "PatchPlan": "patches",
    "PatchStream": "patches",
    "PlanBatchSampler": "loader",
    "PlanSampler": "loader",
    "RankStream": "stream",
    "ResampledDataset": "iterable",
    "StreamResampler": "streaming",
    "plan_patches": "patches",
}

__all__ = sorted(_HOME)  # noqa: PLE0605

__getattr__, __dir__ = load_late(__name__, _HOME)
