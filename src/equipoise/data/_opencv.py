"""OpenCV, loaded when the first image is worked on."""

from __future__ import annotations

from types import ModuleType

from equipoise._checks import RunError


def opencv() -> ModuleType:
    """Return the module ``cv2``.

    Raises:
        RunError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise RunError(
            f"Images need OpenCV, which could not be loaded: {error}. Install it with: pip install 'equipoise[images]'."
        ) from error
    return cv2
