"""How every figure looks: colours that colour-blind readers tell apart, names from data shown as they are."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#8C8C8C"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MOST_CLASSES = 24  # more rows or lines than that are not read by anyone

_SETTINGS: dict[str, Any] = {
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw inside this: the user's own matplotlib settings neither change the figure nor are changed."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in _SETTINGS.items():
            matplotlib.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, Any]:
    """Return a figure that no window knows of, and its axes as an array of (rows, columns)."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, axes


def class_grid(count: int, width: float, height: float, most_columns: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of `count` panels of a size in inches, row by row."""
    scale = 1.7 if count <= 1 else 1.25 if count <= 3 else 1.0
    width, height, columns = width * scale, height * scale, min(most_columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    figure, axes = new_figure(0.5 + width * columns, 0.7 + height * rows, rows, columns)
    for empty in axes.flat[count:]:
        empty.set_axis_off()
    return figure, list(axes.flat[:count])


def class_head(axes: Axes, name: object, *lines: str) -> None:
    """Name a panel after its class, with small lines of figures between the name and the drawing."""
    axes.set_title(shown(name, 21), pad=8.0 + 10.5 * len(lines))
    for place, line in enumerate(reversed(lines)):
        axes.annotate(
            line, (0.0, 1.0), xycoords="axes fraction", xytext=(0, 4 + 10.5 * place), textcoords="offset points",
            ha="left", va="bottom", fontsize=8.5, color="#555555", annotation_clip=False,
        )  # fmt: skip


def set_heading(figure: Figure, text: str) -> None:
    """Set the heading of a figure at its left edge, in as many lines as its width asks for."""
    import textwrap

    lines = textwrap.wrap(text, max(20, int(9.2 * figure.get_figwidth())))
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=12.5, fontweight="bold")


def shown(name: object, most: int = 28) -> str:
    r"""Return a name from data as text that is drawn as it is: no mathtext, no line breaks, not too long.

    Example:
        >>> shown("cost_$_per\nday")
        'cost_\\$_per day'
    """
    text = " ".join(str(name).split()) or "(no name)"
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def line_looks(count: int) -> list[dict[str, Any]]:
    """Return a colour and dashes for each of `count` lines; neighbours always differ in colour."""
    return [
        {"color": PALETTE[i % len(PALETTE)], "linestyle": DASHES[(i // len(PALETTE)) % len(DASHES)]}
        for i in range(count)
    ]


def thinned(points: int, most: int = 2000) -> Any:
    """Return the indices of at most `most` of `points` points, evenly, both ends included."""
    import numpy as np

    return np.unique(np.linspace(0, points - 1, min(points, most)).round().astype(np.int64))


def class_rows(axes: Axes, names: Sequence[str], *, right: Sequence[str] = (), heading: str = "") -> None:
    """Make one row per class from the top down, named on the left and with a remark on the right."""
    axes.set_yticks(range(len(names)), [shown(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    for row, text in [(-0.5, heading), *enumerate(right)]:
        axes.annotate(
            text, (1.0, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", ha="left", fontsize=8.5, color="#555555", annotation_clip=False,
        )  # fmt: skip


def legend_below(axes: Axes, columns: int) -> None:
    """Put the legend under the axis at a fixed distance, whatever the height of the panel."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure()
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -24 / 72, figure.dpi_scale_trans)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.45, 0.0), bbox_transform=below, ncols=columns, handletextpad=0.2,
        columnspacing=1.2,
    )  # fmt: skip


def write_figure(figure: Figure, path: Any) -> None:
    """Write a figure as PNG, all of it or nothing; the file depends on the figure alone."""
    from equipoise._files import replacing

    with house_style(), replacing(path) as temporary, warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; a warning for each draw of each letter helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format="png", metadata={"Software": "Equipoise"})
