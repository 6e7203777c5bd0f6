"""The growth of the U-Net's cost with batch size, width, number of samples and denoising steps.

    python benchmarks/scaling.py

Prints a table and draws docs/scaling.png, in which a line of slope 1 means proportional growth. The
other quantities are fixed: 64 base channels and batch 128 in training; 64 images and 20 steps in
sampling. Figures are medians of five rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from cli.parser import Parser
from datasets import IMAGES
from diffusion import Diffusion, make_schedule
from models.unet import UNet
from names import DEVICES
from plots.figures import save_figure
from samplers import ddim, final, trailing_timesteps
from sampling.settings import LARGEST_BATCH
from system.precision import choose_precision, in_precision
from training.objectives.denoising import denoising
from utils import choose_device

SHAPE = IMAGES["mnist"].shape
ROUNDS = 5
EXPERIMENTS: dict[str, tuple[int, ...]] = {
    "training step: batch size": (8, 16, 32, 64, 128, 256),
    "training step: base channels": (16, 32, 64, 96, 128),
    "sampling: images": (16, 64, 256, 512),
    "sampling: steps": (5, 10, 20, 40, 80),
}


def median_seconds(function: Callable[[], object], device: torch.device) -> float:
    """The median time of a call, after a first call that does not count."""
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        function()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def training_step(batch: int, channels: int, device: torch.device) -> Callable[[], None]:
    model = UNet(base_channels=channels).to(device)
    network = in_precision(model, choose_precision("auto", "images", device), device)
    diffusion = Diffusion(make_schedule("linear"), value_range=(-1, 1), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=device.type != "mps")
    images = torch.rand(batch, *SHAPE, device=device) * 2 - 1

    def step() -> None:
        t, eps = diffusion.draw_timesteps(len(images)), torch.randn_like(images)
        denoising(diffusion, network, images, t, eps).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def sampling(images: int, steps: int, device: torch.device) -> Callable[[], None]:
    network = in_precision(UNet().to(device), choose_precision("auto", "images", device), device)
    diffusion = Diffusion(make_schedule("linear"), value_range=(-1, 1), device=device)
    timesteps = trailing_timesteps(1000, steps)

    def sample() -> None:
        largest = LARGEST_BATCH["images"]
        for start in range(0, images, largest):
            x = torch.randn(min(largest, images - start), *SHAPE, device=device)
            final(ddim(diffusion.denoiser(network), x, diffusion.schedule, timesteps))

    return sample


def make_work(experiment: str, value: int, device: torch.device) -> Callable[[], None]:
    if experiment == "training step: batch size":
        return training_step(value, 64, device)
    if experiment == "training step: base channels":
        return training_step(128, value, device)
    if experiment == "sampling: images":
        return sampling(value, 20, device)
    return sampling(64, value, device)


def draw(axes: Axes, experiment: str, seconds: dict[int, float]) -> None:
    values = list(seconds)
    axes.loglog(values, list(seconds.values()), "o-", label="measured")
    last = seconds[values[-1]]
    axes.loglog(values, [last * v / values[-1] for v in values], ":", c="0.5", label="slope 1")
    what, quantity = experiment.split(": ")
    axes.set(xlabel=quantity, ylabel="seconds", title=what)
    axes.set_xticks(values, [str(value) for value in values], fontsize=8)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(True, which="major", alpha=0.3)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs/scaling.png")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    args = parser.parse_args()
    device = choose_device(args.device)
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    print("| what varies | value | seconds | per unit, ms |\n|---|---|---|---|")
    for axes, (experiment, values) in zip(panels, EXPERIMENTS.items(), strict=True):
        seconds = {}
        for value in values:
            seconds[value] = median_seconds(make_work(experiment, value, device), device)
            per_unit = 1000 * seconds[value] / value
            print(f"| {experiment} | {value} | {seconds[value]:.3f} | {per_unit:.2f} |", flush=True)
        draw(axes, experiment, seconds)
    panels[0].legend()
    figure.suptitle(f"Cost of the U-Net ({device})")
    save_figure(figure, args.output)


if __name__ == "__main__":
    main()
