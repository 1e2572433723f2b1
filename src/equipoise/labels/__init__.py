"""What the labels say: reading, counting, splitting and checking them.

Names are loaded when they are first used: the table readers need pyarrow, and most users of a record do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import load_late

if TYPE_CHECKING:
    from equipoise.labels._rates import ratio_interval as ratio_interval
    from equipoise.labels._rates import wilson_interval as wilson_interval
    from equipoise.labels.census import Census as Census
    from equipoise.labels.census import count_file as count_file
    from equipoise.labels.census import count_labels as count_labels
    from equipoise.labels.check import Finding as Finding
    from equipoise.labels.check import SplitCheck as SplitCheck
    from equipoise.labels.check import check_split as check_split
    from equipoise.labels.mask_census import MaskCensus as MaskCensus
    from equipoise.labels.mask_census import MaskImage as MaskImage
    from equipoise.labels.mask_classes import ForegroundRule as ForegroundRule
    from equipoise.labels.mask_classes import MaskClasses as MaskClasses
    from equipoise.labels.read import Labels as Labels
    from equipoise.labels.read import names_of as names_of
    from equipoise.labels.read import read_labels as read_labels
    from equipoise.labels.split import Split as Split
    from equipoise.labels.split import SplitReport as SplitReport
    from equipoise.labels.split import read_split as read_split
    from equipoise.labels.split import report_split as report_split
    from equipoise.labels.split import split_labels as split_labels
    from equipoise.labels.split import write_split as write_split
    from equipoise.labels.table import TableSource as TableSource
    from equipoise.labels.table import open_table as open_table
    from equipoise.labels.table import read_table as read_table

_HOME = {
    "Census": "census",
    "Finding": "check",
    "ForegroundRule": "mask_classes",
    "Labels": "read",
    "MaskCensus": "mask_census",
    "MaskClasses": "mask_classes",
    "MaskImage": "mask_census",
    "ratio_interval": "_rates",
    "Split": "split",
    "SplitCheck": "check",
    "SplitReport": "split",
    "TableSource": "table",
    "check_split": "check",
    "count_file": "census",
    "count_labels": "census",
    "names_of": "read",
    "open_table": "table",
    "read_labels": "read",
    "read_split": "split",
    "read_table": "table",
    "report_split": "split",
    "split_labels": "split",
    "wilson_interval": "_rates",
    "write_split": "split",
}

__all__ = sorted(_HOME)  # noqa: PLE0605

__getattr__, __dir__ = load_late(__name__, _HOME)
