"""Showing a run elsewhere (MLflow, TensorBoard): read from the run folder, which stays the truth.

Training starts a process of its own that reads the folder and sends; training itself waits for nothing. What could not
be sent is sent later, and nothing is sent twice.
"""

from __future__ import annotations

from equipoise.tracking._contents import epoch_metrics, files_to_send, flat_recipe
from equipoise.tracking._follow import Tracker, require_tracker
from equipoise.tracking._send import Sent, follow_run, send_run

__all__ = [
    "Sent",
    "Tracker",
    "epoch_metrics",
    "files_to_send",
    "flat_recipe",
    "follow_run",
    "require_tracker",
    "send_run",
]
