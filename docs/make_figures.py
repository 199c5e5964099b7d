"""Draws docs/conventions.png from the open head by the project's own cameras: ``python docs/make_figures.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from mfnet.export.pictures import FILL, render_head
from mfnet.flame import load_flame
from mfnet.geometry import euler_to_matrix, matrix_to_axis_angle, ndc_to_pixels

SIZE = 360
HEAD = Path("data/head/head.npz")


def posed(flame, yaw: float):
    """Vertices [V, 3] and landmarks [68, 3] of the mean head at `yaw` degrees, posed by the head model itself."""
    angle = torch.deg2rad(torch.tensor([yaw, 0.0, 0.0]))
    pose = matrix_to_axis_angle(euler_to_matrix(*angle))[None]
    output = flame(torch.zeros(1, flame.n_shape), torch.zeros(1, flame.n_expression), pose)
    return output.vertices[0], output.landmarks[0]


def draw_view(axes, flame, yaw: float, title: str) -> None:
    """The head at `yaw` with its 68 landmarks: contour in red, static in blue."""
    vertices, landmarks = posed(flame, yaw)
    low, high = vertices.amin(0), vertices.amax(0)
    scale = 2 * FILL / (high - low)[:2].max()
    points = ndc_to_pixels((landmarks - (low + high) / 2)[:, :2] * scale, SIZE, SIZE).numpy()
    axes.imshow(render_head(vertices, flame, SIZE))
    axes.plot(*points[:17].T, "o-", color="#c8452f", ms=3, lw=1)
    axes.plot(*points[17:].T, "o", color="#2f5d8a", ms=2)
    axes.annotate("0", points[0], color="#c8452f", fontsize=8, xytext=(-9, 0), textcoords="offset points")
    axes.annotate("16", points[16], color="#c8452f", fontsize=8, xytext=(4, 0), textcoords="offset points")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def draw_frames(axes, flame) -> None:
    """Head space over the frontal head, with the pixel and ndc frames of the image."""
    vertices, _ = posed(flame, 0.0)
    axes.imshow(render_head(vertices, flame, SIZE))
    arrow = {"arrowstyle": "-|>", "lw": 1.8}
    middle, length = SIZE / 2, SIZE / 3.2
    for tip, name, colour in (
        ((middle + length, middle), "x: subject's left", "#c8452f"),
        ((middle, middle - length), "y: up", "#3a7d44"),
    ):
        axes.annotate("", tip, (middle, middle), arrowprops=arrow | {"color": colour})
        axes.annotate(name, tip, color=colour, fontsize=8, xytext=(4, 4), textcoords="offset points", ha="center")
    axes.plot(middle, middle, "o", mfc="white", mec="#2f5d8a", ms=9)
    axes.plot(middle, middle, ".", color="#2f5d8a")
    axes.annotate(
        "z: out of the face", (middle, middle), color="#2f5d8a", fontsize=8, xytext=(6, -24), textcoords="offset points"
    )
    for corner, text in (((0, 0), "px (0, 0)\nndc (-1, 1)"), ((SIZE, SIZE), "px (W, H)\nndc (1, -1)")):
        at_start = corner == (0, 0)
        axes.annotate(
            text,
            corner,
            fontsize=8,
            ha="left" if at_start else "right",
            va="top" if at_start else "bottom",
            xytext=(3, -3) if at_start else (-3, 3),
            textcoords="offset points",
        )
    axes.set(xticks=[], yticks=[], title="head space, pixels (y down) and ndc (y up)")
    axes.title.set_fontsize(9)


def main() -> None:
    """Write the figure beside this file."""
    flame = load_flame(HEAD)
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.7), layout="constrained")
    draw_frames(axes[0], flame)
    draw_view(axes[1], flame, -45.0, "yaw = -45: view `left`")
    draw_view(axes[2], flame, 0.0, "yaw = 0: `frontal`")
    draw_view(axes[3], flame, 25.0, "yaw = +25")
    draw_view(axes[4], flame, 45.0, "yaw = +45: view `right`, right cheek seen")
    figure.savefig(Path(__file__).with_name("conventions.png"), dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
