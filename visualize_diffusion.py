"""Show the forward process: how images turn into noise, as a still and as an animation.

python visualize_diffusion.py                        outputs/forward_diffusion.png and .gif
python visualize_diffusion.py --schedule cosine      the same with another noise schedule
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cli

if TYPE_CHECKING:
    from torch import Tensor

    from diffusion import Diffusion

# For a process of 1000 timesteps; rescaled for another number.
STILL_TIMESTEPS = (0, 50, 100, 200, 400, 600, 800, 999)
GIF_FRAMES = 50
CHOSEN_FROM = 1000  # the images shown are drawn from so many of the dataset's first
MAX_GIF_IMAGES = 16


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser("Show how the forward process turns images into noise.")
    cli.add_data_options(parser)
    add = parser.add_argument
    add(
        "--num_images",
        type=cli.whole_number(1, 100),
        default=8,
        metavar="N",
        help="how many images to show, one a row (the animation shows up to 16)",
    )
    add(
        "--save_path",
        type=Path,
        default=Path("outputs/forward_diffusion.png"),
        metavar="FILE",
        help="the still, a .png; the animation goes beside it as .gif",
    )
    add(
        "--gif", action=argparse.BooleanOptionalAction, default=True, help="write the animation too"
    )
    cli.add_schedule_options(parser)
    cli.add_seed_option(parser)
    args = parser.parse_args(argv)
    cli.check_schedule_options(args)
    cli.check_suffix(args.save_path, (".png",), "--save_path")
    return args


def still_timesteps(total: int) -> list[int]:
    """STILL_TIMESTEPS rescaled to a process of `total` timesteps, without doubles."""
    return sorted({round(t * (total - 1) / 999) for t in STILL_TIMESTEPS})


def noisy_pixels(diffusion: Diffusion, x0: Tensor, eps: Tensor, t: int) -> Tensor:
    """The images at timestep t, uint8 (N, 28, 28); the same noise eps at every t."""
    import torch

    from datasets import to_pixels

    return to_pixels(diffusion.add_noise(x0, torch.full((len(x0),), t), eps))


def main() -> None:
    args = parse_arguments()
    import torch

    import plots
    from datasets import load_images, to_unit
    from diffusion import Diffusion, make_schedule
    from utils import check_writable

    check_writable(args.save_path.parent)
    data = load_images(args.dataset, args.data_dir, subset=CHOSEN_FROM)
    torch.manual_seed(args.seed)
    schedule = make_schedule(args.schedule, args.timesteps, args.beta_start, args.beta_end)
    diffusion = Diffusion(schedule)
    x0 = to_unit(data.pixels[torch.randperm(len(data))[: args.num_images]])
    eps = torch.randn_like(x0)
    title = f"Forward diffusion of {data.name} ({args.schedule} schedule, T = {args.timesteps})"

    def noise_level(t: int) -> str:
        return f"σ = {schedule.at(t)[1]:.2f}"

    times = still_timesteps(args.timesteps)
    panels = torch.stack([noisy_pixels(diffusion, x0, eps, t) for t in times])
    labels = [f"t = {t}\n{noise_level(t)}" for t in times]
    plots.save_panels(panels, labels, args.save_path, title)
    print(f"wrote {args.save_path}")
    if args.gif:
        times = plots.evenly_spaced(GIF_FRAMES, args.timesteps)
        few = slice(MAX_GIF_IMAGES)
        frames = [noisy_pixels(diffusion, x0[few], eps[few], t) for t in times]
        captions = [f"t = {t}   {noise_level(t)}" for t in times]
        path = args.save_path.with_suffix(".gif")
        plots.save_animation(frames, captions, path, title)
        print(f"wrote {path}")


if __name__ == "__main__":
    cli.run(main)
