"""Make images with a trained model. The checkpoint is all it needs.

python sample.py --show_intermediate                 from outputs/model_final.pt
python sample.py --sampler ddim --steps 50 --gif     twenty times fewer steps, and an animation
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cli
from errors import InputError, RunError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion import Diffusion, Model

DEFAULT_CHECKPOINT = Path("outputs/model_final.pt")
STILLS = 10  # pictures of --show_intermediate, about
STRIP_IMAGES = 6  # rows of process.png
GRID_IMAGES = 64  # images in each picture of the process
GIF_IMAGES, GIF_FRAMES = 16, 60


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser("Make images with a trained model.")
    add, positive = parser.add_argument, cli.positive_int
    add(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help=f"file written by train.py (default: {DEFAULT_CHECKPOINT}, or the newest in"
        f" {DEFAULT_CHECKPOINT.parent / 'checkpoints'} while that is missing)",
    )
    add("--num_images", type=positive, default=64, metavar="N", help="how many images to make")
    add(
        "--output",
        type=Path,
        default=Path("outputs/generated_samples.png"),
        metavar="FILE",
        help=".png for a picture, .npy for the pixels (uint8, N x 28 x 28)",
    )
    add(
        "--show_intermediate",
        action="store_true",
        help="also write pictures of the process into the folder intermediate/ beside the output",
    )
    add(
        "--show_image_step",
        type=positive,
        metavar="STEPS",
        help="with a picture every so many denoising steps, instead of about ten in all;"
        " implies --show_intermediate",
    )
    add("--gif", action="store_true", help="also write the process as an animation")
    add(
        "--sampler",
        type=cli.one_of("sampler", cli.SAMPLERS),
        default="ddpm",
        metavar="NAME",
        help=f"one of {', '.join(cli.SAMPLERS)}",
    )
    add(
        "--timesteps",
        "--steps",
        type=positive,
        metavar="N",
        help="denoising steps (default: all that the model was trained with for ddpm, 50 for ddim)",
    )
    add(
        "--eta",
        type=cli.number(0, 1, low_included=True),
        metavar="ETA",
        help="share of fresh noise in ddim, from 0 (deterministic) to 1 (as ddpm) (default: 0)",
    )
    add(
        "--batch_size",
        type=positive,
        default=256,
        metavar="N",
        help="images made at a time; changes memory and speed, not the images",
    )
    add("--no_ema", action="store_true", help="use the last weights, not their moving average")
    cli.add_device_option(parser)
    cli.add_seed_option(parser)
    args = parser.parse_args(argv)
    cli.check_suffix(args.output, (".png", ".npy"), "--output")
    if args.eta is not None and args.sampler != "ddim":
        raise InputError("--eta applies to --sampler ddim only; ddpm is ddim with --eta 1")
    return args


def denoising_timesteps(args: argparse.Namespace, total: int) -> list[int]:
    """The decreasing timesteps to visit, by --steps or the sampler's default."""
    from diffusion import DEFAULT_STEPS, trailing_timesteps

    steps = args.timesteps or min(DEFAULT_STEPS[args.sampler] or total, total)
    try:
        return trailing_timesteps(total, steps)
    except ValueError as error:
        raise InputError(f"--steps: {error}") from None


def stills(args: argparse.Namespace, steps: int) -> list[int]:
    """After how many denoising steps a picture is due; 0 is the noise, `steps` the sample."""
    from plots import evenly_spaced

    if args.show_image_step:
        return [*range(0, steps, args.show_image_step), steps]
    return evenly_spaced(STILLS, steps + 1)


class Process:
    """The states of the first images on their way from noise to sample, as uint8 pixels.

    Args:
        wanted: the numbers of denoising steps after which to keep a state.
        timesteps: those visited, decreasing.
    """

    def __init__(self, wanted: set[int], timesteps: list[int]) -> None:
        self.wanted = wanted
        # After i steps x is x_t with t = timesteps[i]; after all of them it is the sample.
        self.timestep_after = [*timesteps, 0]
        self.states: dict[int, Tensor] = {}

    def keep(self, steps_done: int, x: Tensor) -> None:
        from datasets import to_pixels

        if steps_done in self.wanted:
            self.states[steps_done] = to_pixels(x[:GRID_IMAGES]).cpu()

    def named(self, wanted: list[int]) -> dict[int, Tensor]:
        """The states after each of the `wanted` numbers of steps, by the timestep they are at.

        Two can be at timestep 0, where the table's last entry was visited: then the sample stays.
        """
        return {self.timestep_after[k]: self.states[k] for k in wanted}


def generate(
    model: Model,
    diffusion: Diffusion,
    args: argparse.Namespace,
    timesteps: list[int],
    process: Process,
    device: torch.device,
) -> Tensor:
    """All images, uint8 (N, 28, 28), made batch by batch; `process` sees the first batch."""
    import torch
    from tqdm import tqdm

    from datasets import IMAGE_SIZE, to_pixels
    from diffusion import ddim, ddpm
    from utils import SeededNoise

    denoise = diffusion.denoiser(model)
    done = []
    starts = range(0, args.num_images, args.batch_size)
    with tqdm(total=len(starts) * len(timesteps), unit="step", disable=None) as bar:
        for start in starts:
            count = min(args.batch_size, args.num_images - start)
            noise = SeededNoise(args.seed, start, count, device)
            x = noise.draw(1, IMAGE_SIZE, IMAGE_SIZE)
            common = (denoise, x, diffusion.schedule, timesteps)
            if args.sampler == "ddpm":
                states = ddpm(*common, randn_like=noise.randn_like)
            else:
                states = ddim(*common, eta=args.eta or 0.0, randn_like=noise.randn_like)
            if start == 0:
                process.keep(0, x)
            for steps_done, x in enumerate(states, start=1):
                if start == 0:
                    process.keep(steps_done, x)
                bar.update()
            if not bool(torch.isfinite(x).all()):
                raise RunError("the samples are not finite numbers; the model is broken")
            done.append(to_pixels(x).cpu())
    return torch.cat(done)


def write_output(pixels: Tensor, path: Path, title: str) -> None:
    import numpy as np

    import plots
    from utils import atomic_write

    if path.suffix.lower() == ".png":
        plots.save_grid(pixels, path, title)
    else:
        with atomic_write(path) as temporary:
            np.save(temporary, pixels.numpy())


def write_intermediate(states: dict[int, Tensor], folder: Path) -> None:
    """A picture of each state, and one strip of a few images from noise to sample."""
    import torch

    import plots

    for t, pixels in states.items():
        plots.save_grid(pixels, folder / f"step_{t:04d}.png", f"Denoising, t = {t}")
    shown = list(states)
    # More columns than this would be too small to read.
    shown = [shown[i] for i in plots.evenly_spaced(12, len(shown))]
    panels = torch.stack([states[t][:STRIP_IMAGES] for t in shown])
    labels = [f"t = {t}" for t in shown]
    plots.save_panels(panels, labels, folder / "process.png", "From noise to image")


def write_gif(process: Process, wanted: list[int], path: Path) -> None:
    import plots

    frames = [process.states[k][:GIF_IMAGES] for k in wanted]
    captions = [f"t = {process.timestep_after[k]}" for k in wanted]
    plots.save_animation(frames, captions, path, "From noise to image")


def restore(args: argparse.Namespace, device: torch.device) -> tuple[Model, Diffusion]:
    """The trained network, and its process, from the checkpoint asked for."""
    from diffusion import make_diffusion
    from models import load_model
    from utils import find_checkpoint, load_checkpoint

    path = args.checkpoint or find_checkpoint(DEFAULT_CHECKPOINT)
    checkpoint = load_checkpoint(path)
    config = checkpoint["config"]
    try:
        if config["kind"] != "images":
            raise InputError(f"{path} is a model of {config['kind']}, where images are needed")
        model = load_model(checkpoint, use_ema=not args.no_ema).to(device)
        diffusion = make_diffusion(config, device)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its configuration is not valid ({error!r})") from error
    print(f"{path}: {config['dataset']}, T = {len(diffusion.schedule)}, on {device}")
    return model, diffusion


def main() -> None:
    args = parse_arguments()
    from plots import evenly_spaced
    from utils import check_writable, choose_device

    device = choose_device(args.device)
    model, diffusion = restore(args, device)
    timesteps = denoising_timesteps(args, len(diffusion.schedule))
    steps = len(timesteps)
    check_writable(args.output.parent)
    print(
        f"{args.num_images:,} images, {args.sampler}, {steps} steps, seed {args.seed}", flush=True
    )

    show = args.show_intermediate or args.show_image_step is not None
    still_steps = stills(args, steps) if show else []
    gif_steps = evenly_spaced(GIF_FRAMES, steps + 1) if args.gif else []
    process = Process({*still_steps, *gif_steps}, timesteps)
    pixels = generate(model, diffusion, args, timesteps, process, device)

    title = f"{args.num_images:,} samples ({args.sampler}, {steps} steps, seed {args.seed})"
    write_output(pixels, args.output, title)
    written = [str(args.output)]
    if show:
        folder = args.output.parent / "intermediate"
        write_intermediate(process.named(still_steps), folder)
        written.append(f"{folder / 'step_*.png'}, {folder / 'process.png'}")
    if args.gif:
        write_gif(process, gif_steps, args.output.with_suffix(".gif"))
        written.append(str(args.output.with_suffix(".gif")))
    print(f"wrote {', '.join(written)}")


if __name__ == "__main__":
    cli.run(main)
