"""A calibration as a picture: the similarities that a threshold has to part, and what each threshold would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_gallery.calibration import STEPS, Calibration

_BARS: Final = 100
_ALLOWED: Final = (".png", ".svg", ".pdf", ".jpg")


def check_target(path: Path) -> None:
    """Refuse a file that cannot be drawn to, before anything is computed.

    Raises:
        ConfigError: its ending or its folder.
    """
    if path.suffix.lower() not in _ALLOWED:
        raise ConfigError(f"{str(path)!r} cannot be drawn to; it must end in {', '.join(_ALLOWED)}")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}")


def draw(calibration: Calibration, path: Path, title: str) -> None:
    """Draw a calibration into a file.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    pairs, rates = figure.subplots(2, 1, sharex=True)
    figure.suptitle(f"{title}: {calibration.faces:,} faces, {calibration.labels:,} labels")
    _draw_pairs(pairs, calibration)
    _draw_rates(rates, calibration)
    if calibration.searches is not None:
        for axes in (pairs, rates):
            axes.axvline(calibration.searches.threshold, color="black", linestyle="--", linewidth=1)
        pairs.set_title(f"rec_threshold {calibration.searches.threshold:.4f}", fontsize="medium")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def _draw_pairs(axes: Axes, calibration: Calibration) -> None:
    edges = calibration.edges[:: STEPS // _BARS]
    for counts, name, colour in (
        (calibration.different, "pairs of different labels", "tab:red"),
        (calibration.same, "pairs of one label", "tab:blue"),
    ):
        total = int(counts.sum())
        if total:
            shares = counts.reshape(_BARS, -1).sum(axis=1) / total
            axes.stairs(shares, edges, fill=True, alpha=0.5, color=colour, label=f"{name} ({total:,})")
    axes.set_ylabel("share of pairs")
    axes.legend(loc="upper left")


def _draw_rates(axes: Axes, calibration: Calibration) -> None:
    for counts, name, colour, above in (
        (calibration.strangers, "strangers accepted", "tab:red", True),
        (calibration.acquaintances, "enrolled people missed", "tab:blue", False),
    ):
        total = int(counts.sum())
        if total:
            axes.plot(calibration.edges, _share(counts, total, above=above), color=colour, label=f"{name} ({total:,})")
    axes.axhline(calibration.far, color="grey", linestyle=":", linewidth=1, label=f"wanted rate {calibration.far:g}")
    axes.set_yscale("log")
    axes.set_xlabel("similarity, or threshold")
    axes.set_ylabel("share of searches")
    axes.legend(loc="lower left")


def _share(counts: NDArray[np.int64], total: int, *, above: bool) -> NDArray[np.float64]:
    """Share of the counts at and above each bin's lower bound, or below it; what is nought is left out of the line."""
    below = np.append(0, np.cumsum(counts)) / total
    share = 1 - below if above else below
    return np.where(share > 0, share, np.nan)
