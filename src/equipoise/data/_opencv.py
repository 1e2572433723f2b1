"""OpenCV, loaded when the first image is worked on."""

from __future__ import annotations

import functools
import multiprocessing
from types import ModuleType

from equipoise._checks import RunError


@functools.cache
def opencv() -> ModuleType:
    """Return the module ``cv2``, set to work in the thread that calls it.

    Rows are the parallel work here, and OpenCV's own threads would only crowd them. It is set once and never in a
    forked worker of a `DataLoader`: there OpenCV waits for ever for the threads that its parent had.

    Raises:
        RunError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise RunError(
            f"Images need OpenCV, which could not be loaded: {error}. Install it with: pip install 'equipoise[images]'."
        ) from error
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # what is wrong with a file is said once, by the error
    if multiprocessing.parent_process() is None:
        cv2.setNumThreads(1)
    return cv2
