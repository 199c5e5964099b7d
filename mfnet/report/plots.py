"""Charts of the report, as PNG bytes."""

import io
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mfnet.benchmark.names import unposed
from mfnet.report.ablation import FULL

COLOURS = ("#8c8c8c", "#4878a8", "#6cb0d6", "#d1603d", "#e0a458", "#5b8e5a")
Layout = Literal["constrained", "compressed", "tight"]
TERMS = ("flow", "landmarks", "eye", "lip", "regularisation")


def new_figure(
    rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], layout: Layout | None = None, **options: Any
) -> tuple[Figure, Any]:
    """(figure, axes or array of them) as `matplotlib.pyplot.subplots`, without pyplot: the caller's backend stays."""
    figure = Figure(figsize=figsize, layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG without anything that changes between equal runs."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def plot_benchmark(rows: pd.DataFrame, protocol: str) -> bytes:
    """Grouped bars of CD (mm) with 95 % intervals, a group per bin and a bar per method; posed heads hatched.

    rows: the summary rows of one or more protocols (protocol, bin, method, CD, CD_low, CD_high).
    """
    rows = rows.loc[(rows.protocol == protocol) & rows.CD.notna()]
    bins, methods = list(dict.fromkeys(rows.bin)), list(dict.fromkeys(rows.method))
    figure, axes = new_figure(figsize=(1.6 + 1.5 * len(bins), 3.2))
    width = 0.8 / max(len(methods), 1)
    heads = list(dict.fromkeys(map(unposed, methods)))
    for number, method in enumerate(methods):
        own = rows[rows.method == method].set_index("bin").reindex(bins)
        place = np.arange(len(bins)) + (number - (len(methods) - 1) / 2) * width
        spread = np.abs(np.stack([own.CD - own.CD_low, own.CD_high - own.CD]))
        look = {"color": COLOURS[heads.index(unposed(method)) % len(COLOURS)]}
        look |= {"hatch": "////", "edgecolor": "white"} if unposed(method) != method else {}
        axes.bar(place, own.CD, width * 0.92, yerr=spread, label=method, error_kw={"lw": 0.8}, **look)
    axes.set_xticks(range(len(bins)), bins)
    axes.set_ylabel("CD (mm), lower is better")
    axes.set_xlabel("yaw bin (degrees)" if protocol == "wild" else "angle and focal length")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure)


def plot_errors(images: dict[str, np.ndarray], maps: dict[tuple[str, str], np.ndarray]) -> bytes:
    """A row per item: its photograph, then each method's distance to the ground truth from the front.

    images: item -> uint8 [H, W, 3]; maps: (method, item) -> mm [H, W], NaN beside the face. One colour scale, 0-5 mm.
    """
    methods = list(dict.fromkeys(method for method, _ in maps))
    size = (1.9 * (1 + len(methods)) + 0.9, 1.9 * len(images) + 0.3)
    figure, axes = new_figure(len(images), 1 + len(methods), figsize=size, squeeze=False, layout="constrained")
    for row, (item, image) in zip(axes, images.items(), strict=True):
        row[0].imshow(image)
        row[0].set_ylabel(item, fontsize=8)
        for axis, method in zip(row[1:], methods, strict=True):
            if (method, item) in maps:
                drawn = axis.imshow(maps[method, item], cmap="turbo", vmin=0, vmax=5, interpolation="nearest")
    for name, axis in zip(["photograph", *methods], axes[0], strict=True):
        axis.set_title(name, fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes, label="mm", extend="max", shrink=0.7)
    return png_bytes(figure)


def plot_history(history: pd.DataFrame) -> bytes:
    """Each term of eq. 11 over the steps, a thin line per step and a thick running mean."""
    terms = [term for term in ("total", *TERMS) if term in history]
    figure, axes = new_figure(1, len(terms), figsize=(2.4 * len(terms), 2.1))
    for axis, term in zip(np.atleast_1d(axes), terms, strict=True):
        axis.plot(history.step, history[term], color="#c8d4e0", lw=0.8)
        smooth = history[term].rolling(max(len(history) // 12, 1), min_periods=1, center=True).mean()
        axis.plot(history.step, smooth, color="#2f5d8a", lw=1.6)
        axis.set_title(term, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("step", fontsize=8)
    figure.tight_layout()
    return png_bytes(figure)


def plot_ablation(table: pd.DataFrame) -> bytes:
    """Horizontal bars of CD in wild per ablation variant, one dot per seed.

    table: one row per variant and seed (variant, seed, CD).
    """
    variants = list(dict.fromkeys(table.variant))
    figure, axes = new_figure(figsize=(6, 0.5 + 0.36 * len(variants)))
    means = table.groupby("variant").CD.mean().reindex(variants)
    axes.barh(variants, means, color=["#2f5d8a" if name == FULL else "#a9bdd1" for name in variants], height=0.66)
    axes.scatter(table.CD, table.variant, color="#d1603d", s=14, zorder=3)
    axes.invert_yaxis()
    axes.set_xlabel("CD in wild (mm), a dot per seed")
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure)
