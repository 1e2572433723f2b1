"""Data as models take it. Tables need no torch; batches do, and are loaded only when asked for."""

from __future__ import annotations

from equipoise._lazy import load_late

_HOME = {
    "MISSING_WORDS": "tabular", "NUMERIC_METHODS": "tabular", "CategoryStep": "tabular", "Column": "tabular",
    "Features": "tabular", "NumericStep": "tabular", "Preprocessor": "tabular", "TabularArrays": "tabular",
    "Leak": "tabular", "find_leaks": "tabular", "forgotten_targets": "tabular",
    "fit_preprocessor": "tabular", "read_features": "tabular", "read_features_as": "tabular",
    "ImageCache": "cache", "build_cache": "cache", "apply_clahe": "clahe", "Steps": "steps", "parse_steps": "steps",
    "ImageFiles": "images", "find_images": "images", "read_image": "images", "to_uint8": "images",
    "ImageArrays": "archives", "read_npz_images": "archives",
    "ImageCheck": "image_check", "ImageProblem": "image_check", "check_images": "image_check",
    "Augmenter": "augment", "make_augmenter": "augment", "pixel_statistics": "_pixel_statistics",
    "batch_bounds": "batches", "epoch_batches": "batches", "epoch_order": "batches", "stable_seed": "batches",
    "ImageRows": "image_rows", "earlier_draws": "image_rows", "identical_rows": "image_rows",
    "Batch": "rows", "Rows": "rows", "TableRows": "rows", "load_each": "rows",
}  # fmt: skip

__all__ = [
    "Augmenter",
    "Batch",
    "CategoryStep",
    "Column",
    "Features",
    "ImageArrays",
    "ImageCache",
    "ImageCheck",
    "ImageFiles",
    "ImageProblem",
    "ImageRows",
    "Leak",
    "MISSING_WORDS",
    "NUMERIC_METHODS",
    "NumericStep",
    "Preprocessor",
    "Rows",
    "Steps",
    "TableRows",
    "TabularArrays",
    "apply_clahe",
    "batch_bounds",
    "build_cache",
    "check_images",
    "earlier_draws",
    "epoch_batches",
    "epoch_order",
    "find_images",
    "find_leaks",
    "fit_preprocessor",
    "forgotten_targets",
    "identical_rows",
    "load_each",
    "make_augmenter",
    "parse_steps",
    "pixel_statistics",
    "read_features",
    "read_features_as",
    "read_image",
    "read_npz_images",
    "stable_seed",
    "to_uint8",
]

__getattr__, __dir__ = load_late(__name__, _HOME)
