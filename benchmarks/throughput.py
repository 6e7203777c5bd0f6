"""Images per second in training and in a forward pass, for this project and its rivals, in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/throughput.py --compile on

All models train with the same step: noise prediction, backward pass, AdamW (PyTorch's fused
version), batch 128, images of 28x28x1 or as given, with the same threads. Each rival is a U-Net of
its smallest usual size, in float32 and in bfloat16 autocast with channels_last, without compiling,
as in its training example. Rounds alternate between all rows, because the speed of a shared machine
varies more than the rows differ. The table gives medians and, in brackets, the slowest and the
fastest round.

A rival is left out if its package is missing, or if the side is not a multiple of 4.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from rivals import SIDES, Shape, diffusers_unet, lucidrains_unet, smalldiffusion_unet

from cli.parser import Parser
from datasets.mnist import SIZE
from models import build_model
from models.unet import UNet
from names import DEVICES
from system.compilation import compile_or_fall_back
from system.precision import in_precision
from system.values import NOT_NEGATIVE, POSITIVE
from utils import choose_device

BATCH = 128
OURS = {"model": "unet", "base_channels": 64, "dropout": 0.0, "no_attention": False}


RIVALS: dict[str, Callable[[Shape], nn.Module]] = {
    "diffusers UNet2DModel (32, 64, 128)": lambda shape: diffusers_unet(shape, 32, 64, 128),
    "diffusers UNet2DModel (64, 64, 128)": lambda shape: diffusers_unet(shape, 64, 64, 128),
    "lucidrains Unet(32, (1, 2, 4))": lucidrains_unet,
    "smalldiffusion Fashion-MNIST": smalldiffusion_unet,
}


@dataclass
class Row:
    """One model in one mode: its training step, its forward pass, and their speed in each round."""

    name: str
    mode: str
    parameters: int
    step: Callable[[], None]
    forward: Callable[[], None]
    train_rates: list[float] = field(default_factory=list)
    sample_rates: list[float] = field(default_factory=list)


def awakened(model: nn.Module) -> nn.Module:
    """The model with random weights in place of zeros, through which no gradient would flow."""
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model


def make_row(name: str, model: nn.Module, shape, precision: str, compiled: bool, device) -> Row:
    ours = isinstance(model, UNet)
    model = awakened(model).to(device)
    if precision != "fp32" and not ours:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type != "mps")
    images = torch.randn(BATCH, *shape, device=device)
    eps = torch.randn_like(images)
    t = torch.randint(1000, (BATCH,), device=device)

    def answer(x: Tensor, t: Tensor) -> Tensor:
        output = model(x, t)
        return getattr(output, "sample", output)  # diffusers wraps it

    network = in_precision(answer, precision, device)

    def loss(x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        return F.mse_loss(network(x, t), eps)

    evaluate = network
    if compiled:
        loss = compile_or_fall_back(loss, lambda f: f(images, t, eps).backward(), device)
        with torch.no_grad():
            evaluate = compile_or_fall_back(network, lambda f: f(images, t), device)

    def step() -> None:
        loss(images, t, eps).backward()
        optimizer.step()
        optimizer.zero_grad()

    def forward() -> None:
        with torch.no_grad():
            evaluate(images, t)

    mode = f"{precision}{', compiled' if compiled else ''}"
    return Row(name, mode, sum(p.numel() for p in model.parameters()), step, forward)


def rate(function: Callable[[], None], seconds: float, device: torch.device) -> float:
    """Images per second over at least `seconds`, after one call that does not count."""
    function()
    wait(device)
    start, calls = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        function()
        wait(device)
        calls += 1
    return calls * BATCH / elapsed


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def all_rows(shape: Shape, compiled: bool, device: torch.device) -> list[Row]:
    modes = [("fp32", False), ("bf16", False)]
    if compiled:
        modes += [("fp32", True), ("bf16", True)]
    config = {**OURS, "shape": shape, "label_counts": []}
    rows = [
        make_row("**this project**", build_model(config), shape, *mode, device) for mode in modes
    ]
    for name, build in RIVALS.items() if shape[-1] % SIDES == 0 else ():
        try:
            rows += [make_row(name, build(shape), shape, *mode, device) for mode in modes[:2]]
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    return rows


def spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--rounds", type=POSITIVE.parse, default=5, help="measurements of each")
    parser.add_argument("--seconds", type=NOT_NEGATIVE.parse, default=2.0, help="length of each")
    parser.add_argument(
        "--compile", choices=("on", "off"), default="off", help="ours also compiled"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="of the images")
    parser.add_argument("--image_size", type=POSITIVE.parse, default=SIZE, help="their side")
    args: argparse.Namespace = parser.parse_args()
    device = choose_device(args.device)
    shape = (args.channels, args.image_size, args.image_size)
    rows = all_rows(shape, args.compile == "on", device)
    for _ in range(args.rounds):
        for row in rows:
            row.train_rates.append(rate(row.step, args.seconds, device))
            row.sample_rates.append(rate(row.forward, args.seconds / 2, device))
    print(
        f"{device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, batch {BATCH},"
        f" images {shape}"
    )
    print("\n| U-Net | parameters | mode | train, images/s | forward, images/s |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.name} | {row.parameters / 1e6:.2f} M | {row.mode} |"
            f" {spread(row.train_rates)} | {spread(row.sample_rates)} |"
        )


if __name__ == "__main__":
    main()
