"""Draw a diagram of a network, with the actual shapes of an image on its way through it.

python docs/diagram.py docs/unet.png
python docs/diagram.py docs/dit.png
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from datasets import IMAGES
from models.dit import DiT
from models.unet import Attention, ResBlock, UNet
from names import MODELS
from plots.figures import save_figure

SHAPE = IMAGES["mnist"].shape
# The height at which the parts of each resolution are drawn.
LEVELS = {SHAPE[1] // 2**halvings: 2.0 - halvings for halvings in range(3)}
GAP = 1.35
WIDTH, HEIGHT = 1.12, 0.5
COLOURS = {ResBlock: "#cfe3f7", Attention: "#fde2c0"}
NAMES = {ResBlock: "residual\nblock", Attention: "self-\nattention"}
TEXTS = {
    "stem": "fold,\n3×3 conv",
    "downsample": "fold,\n1×1 conv",
    "upsample": "1×1 conv,\nunfold",
    "head": "norm, SiLU,\n3×3 conv,\nunfold",
}
SKIPS = (("down1", "up1"), ("down2", "up2"))
Place = tuple[float, float]


def trace(model: UNet) -> dict[str, tuple[torch.nn.Module, tuple[int, ...]]]:
    """The parts of the network in order, with the shape (C, H, W) of the output of each."""
    parts = {}
    for name, module in model.named_children():
        if name in ("time_mlp", "norm"):
            continue

        def note(module, _, output, name=name):
            parts[name] = (module, tuple(output.shape[1:]))

        module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, *SHAPE), torch.tensor([0]))
    return parts


def box(
    axes: Axes,
    place: Place,
    text: str,
    shape: tuple[int, ...] | None,
    colour: str,
    width: float = WIDTH,
) -> None:
    """Draw a part of the network, with the shape of its output if one is given."""
    x, y = place
    corner = (x - width / 2, y - HEIGHT / 2)
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, facecolor=colour, edgecolor="0.45")
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5)
    if shape is not None:
        size = "×".join(map(str, shape))
        axes.text(x, y - HEIGHT / 2 - 0.06, size, ha="center", va="top", fontsize=8, color="0.35")


def dot(axes: Axes, place: Place, width: float = WIDTH) -> None:
    """Draw a dot in a corner of the box at `place`: this part receives the timestep."""
    x, y = place
    corner = (x - width / 2 + 0.1, y + HEIGHT / 2 - 0.08)
    axes.plot(*corner, "o", color="tab:red", markersize=4)


def arrow(axes: Axes, start: Place, end: Place, **style: object) -> None:
    options = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0, **style}
    axes.annotate("", end, start, arrowprops=options)


def draw_unet(path: Path) -> None:
    model = UNet(SHAPE[0])
    parts = trace(model)
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    axes = figure.subplots()
    places: dict[str, Place] = {"x": (0, LEVELS[SHAPE[1]])}
    box(axes, places["x"], "$x_t$", SHAPE, "0.95")
    for k, (name, (module, shape)) in enumerate(parts.items()):
        # A part that is unfolded next still has the lower resolution here.
        places[name] = (GAP * (k + 1), LEVELS[shape[1]])
        text = TEXTS.get(name) or NAMES[type(module)]
        box(axes, places[name], text, shape, COLOURS.get(type(module), "white"))
    places["out"] = (GAP * (len(parts) + 1), LEVELS[SHAPE[1]])
    box(axes, places["out"], "eps, $x_0$\nor v", SHAPE, "0.95")
    names = list(places)
    for before, after in pairwise(names):
        (ax, ay), (bx, by) = places[before], places[after]
        slope = 0.3 * (by - ay)
        arrow(axes, (ax + WIDTH / 2 + 0.03, ay + slope), (bx - WIDTH / 2 - 0.03, by - slope))
    for start, end in SKIPS:
        (ax, y), (bx, _) = places[start], places[end]
        y += HEIGHT / 2 + 0.02
        bend = {"connectionstyle": "arc,angleA=90,angleB=90,armA=22,armB=22,rad=8"}
        arrow(axes, (ax + 0.2, y), (bx - 0.2, y), linestyle="--", color="tab:blue", **bend)
        axes.text((ax + bx) / 2, y + 0.27, "added", ha="center", fontsize=8, color="tab:blue")
    for name, (module, _) in parts.items():
        if not isinstance(module, ResBlock):
            continue
        dot(axes, places[name])
    axes.plot([], [], "o", color="tab:red", markersize=4, label="is told the timestep (and class)")
    axes.legend(loc="lower left", fontsize=9, frameon=False)
    axes.set(xlim=(-0.8, GAP * (len(parts) + 1) + 0.8), ylim=(-0.75, 2.45))
    axes.set_title(
        f"The U-Net: {size:.2f} M parameters; below each part, channels × height × width"
    )
    axes.set_axis_off()
    save_figure(figure, path)


DIT: dict[str, Any] = {one.name: one.default for one in MODELS["dit"].options}
BLOCKS_SHOWN = 2
NARROW = 0.7  # boxes within a block
STEPS_OF_BLOCK = ("norm", "scale,\nshift", "{}", "gate", "add")
BRANCHES = {"self-\nattention": COLOURS[Attention], "MLP": COLOURS[ResBlock]}


def draw_dit(path: Path) -> None:
    """Draw the row of blocks and, below it, the parts of a block."""
    config = {**DIT, "shape": SHAPE, "label_counts": [], "objective": "denoising"}
    model = DiT.from_config(config)
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    patches, width = model.positions.shape
    flat = (patches, model.stem.in_features)
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    axes = figure.subplots()
    blocks = [("block", (patches, width), "#e8e0f5")] * BLOCKS_SHOWN
    row = [
        ("$x_t$", SHAPE, "0.95"),
        (f"patches of\n{model.patch}×{model.patch} pixels", flat, "white"),
        ("linear,\nadd positions", (patches, width), "white"),
        *blocks,
        (f"..., {len(model.blocks)} in all", (patches, width), "#e8e0f5"),
        ("norm, scale,\nshift, linear", flat, "white"),
        ("eps, $x_0$\nor v", SHAPE, "0.95"),
    ]
    for k, (text, shape, colour) in enumerate(row):
        box(axes, (k * GAP, 1.6), text, shape, colour)
        if 3 <= k < len(row) - 1:
            dot(axes, (k * GAP, 1.6))
        if k:
            arrow(axes, ((k - 1) * GAP + WIDTH / 2 + 0.03, 1.6), (k * GAP - WIDTH / 2 - 0.03, 1.6))
    inside = [
        (step.format(name), colour if step == "{}" else "white")
        for name, colour in BRANCHES.items()
        for step in STEPS_OF_BLOCK
    ]
    step = (len(row) - 1) * GAP / (len(inside) - 1)
    for k, (text, colour) in enumerate(inside):
        box(axes, (k * step, 0.2), text, None, colour, NARROW)
        if text in ("scale,\nshift", "gate"):
            dot(axes, (k * step, 0.2), NARROW)
        if k:
            arrow(axes, ((k - 1) * step + 0.38, 0.2), (k * step - 0.38, 0.2))
    arrow(axes, (-0.75, 0.2), (-0.38, 0.2))
    for before, end in ((-0.56, 4), (4.5 * step, 9)):
        bend = {"connectionstyle": "arc,angleA=90,angleB=90,armA=57,armB=18,rad=8"}
        options = {"linestyle": "--", "color": "tab:blue", **bend}
        arrow(axes, (before, 0.2), (end * step, 0.2 + HEIGHT / 2 + 0.02), **options)
    axes.text(0, 0.85, "in a block", fontsize=9, style="italic", ha="center")
    axes.plot([], [], "o", color="tab:red", markersize=4, label="by the timestep (and class)")
    axes.plot([], [], "--", color="tab:blue", label="added")
    axes.legend(loc="lower left", fontsize=9, frameon=False, ncols=2)
    axes.set(xlim=(-0.8, GAP * (len(row) - 1) + 0.8), ylim=(-0.55, 2.05))
    axes.set_title(
        f"The transformer: {size:.2f} M parameters; below each part, the shape that leaves it"
    )
    axes.set_axis_off()
    save_figure(figure, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(
            "usage: python docs/diagram.py FILE.png (dit.png: the transformer; else the U-Net)"
        )
    path = Path(sys.argv[1])
    (draw_dit if path.stem == "dit" else draw_unet)(path)
