"""The report: figures, tables and words, rebuilt from a run folder at any time, without torch.

Names are loaded when they are first used: figures need matplotlib, sentences do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import load_late

if TYPE_CHECKING:
    from equipoise.report.ablation_view import AblationView as AblationView
    from equipoise.report.arms import ArmsView as ArmsView
    from equipoise.report.arms import arms_class_table as arms_class_table
    from equipoise.report.arms import arms_table as arms_table
    from equipoise.report.class_plots import plot_class_learning as plot_class_learning
    from equipoise.report.class_plots import plot_classes as plot_classes
    from equipoise.report.comparison_plot import plot_comparison as plot_comparison
    from equipoise.report.cost_plot import plot_cost as plot_cost
    from equipoise.report.curve_plots import plot_precision_recall as plot_precision_recall
    from equipoise.report.curve_plots import plot_roc as plot_roc
    from equipoise.report.diagnosis import Diagnosis as Diagnosis
    from equipoise.report.diagnosis import diagnose as diagnose
    from equipoise.report.frontier_plot import plot_frontier as plot_frontier
    from equipoise.report.mask_plot import plot_mask_shares as plot_mask_shares
    from equipoise.report.overview import plot_run as plot_run
    from equipoise.report.page import write_page as write_page
    from equipoise.report.plots import plot_census as plot_census
    from equipoise.report.plots import plot_learning_curves as plot_learning_curves
    from equipoise.report.plots import plot_thresholds as plot_thresholds
    from equipoise.report.preflight_plots import plot_preflight as plot_preflight
    from equipoise.report.prevalence_plot import plot_prevalence as plot_prevalence
    from equipoise.report.reliability_plot import plot_reliability as plot_reliability
    from equipoise.report.summary import next_steps as next_steps
    from equipoise.report.summary import summarise as summarise
    from equipoise.report.tables import census_table as census_table
    from equipoise.report.tables import metrics_table as metrics_table
    from equipoise.report.tables import run_table as run_table
    from equipoise.report.view import RunView as RunView
    from equipoise.report.write import write_report as write_report

_HOME = {
    "AblationView": "ablation_view",
    "Diagnosis": "diagnosis",
    "ArmsView": "arms",
    "arms_class_table": "arms",
    "arms_table": "arms",
    "RunView": "view",
    "census_table": "tables",
    "diagnose": "diagnosis",
    "metrics_table": "tables",
    "next_steps": "summary",
    "plot_census": "plots",
    "plot_class_learning": "class_plots",
    "plot_classes": "class_plots",
    "plot_comparison": "comparison_plot",
    "plot_cost": "cost_plot",
    "plot_mask_shares": "mask_plot",
    "plot_frontier": "frontier_plot",
    "plot_learning_curves": "plots",
    "plot_precision_recall": "curve_plots",
    "plot_preflight": "preflight_plots",
    "plot_prevalence": "prevalence_plot",
    "plot_reliability": "reliability_plot",
    "plot_roc": "curve_plots",
    "plot_run": "overview",
    "plot_thresholds": "plots",
    "run_table": "tables",
    "summarise": "summary",
    "write_page": "page",
    "write_report": "write",
}

__all__ = [
    "AblationView",
    "ArmsView",
    "Diagnosis",
    "RunView",
    "arms_class_table",
    "arms_table",
    "census_table",
    "diagnose",
    "metrics_table",
    "next_steps",
    "plot_census",
    "plot_class_learning",
    "plot_classes",
    "plot_comparison",
    "plot_cost",
    "plot_frontier",
    "plot_learning_curves",
    "plot_mask_shares",
    "plot_precision_recall",
    "plot_preflight",
    "plot_prevalence",
    "plot_reliability",
    "plot_roc",
    "plot_run",
    "plot_thresholds",
    "run_table",
    "summarise",
    "write_page",
    "write_report",
]

__getattr__, __dir__ = load_late(__name__, _HOME)
