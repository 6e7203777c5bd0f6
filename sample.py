"""Make images or points with a trained model. The checkpoint is all it needs.

python sample.py --show_intermediate                 from outputs/model_final.pt
python sample.py --sampler dpmpp --gif               20 steps instead of 1000, and an animation
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cli
from errors import InputError, RunError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffusion import Diffusion, Model
    from spaces import Space
    from utils import SeededNoise

DEFAULT_CHECKPOINT = Path("outputs/model_final.pt")
DEFAULT_NUMBER = {"images": 64, "points": 1000}
DEFAULT_BATCH = {"images": 256, "points": 10_000}
SUFFIXES = {"images": (".png", ".npy"), "points": (".png", ".npy", ".csv")}
COMPILE_EARNS = 500_000  # evaluations (images times steps) from which on compiling pays
STILLS = 10  # pictures of --show_intermediate, about
STRIP_STILLS = 12  # most columns of process.png
KEPT = {"images": 64, "points": 2000}  # examples shown in the pictures of the process
GIF_FRAMES = 60


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = cli.Parser("Make images or points with a trained model.")
    add, positive = parser.add_argument, cli.positive_int
    add(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help=f"file written by train.py (default: {DEFAULT_CHECKPOINT}, or the newest in"
        f" {DEFAULT_CHECKPOINT.parent / 'checkpoints'} while that is missing)",
    )
    add(
        "--num_images",
        type=positive,
        metavar="N",
        help="how many images (default: 64) or points (default: 1000) to make",
    )
    add(
        "--output",
        type=Path,
        default=Path("outputs/generated_samples.png"),
        metavar="FILE",
        help=".png for a picture; .npy for the samples (images uint8, N x 28 x 28; points float32,"
        " N x 2); .csv for points",
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
        help="denoising steps (default: all that the model was trained with for ddpm, 50 for ddim,"
        " 20 for heun and dpmpp)",
    )
    add(
        "--eta",
        type=cli.number(0, 1, low_included=True),
        metavar="ETA",
        help="share of fresh noise in ddim, from 0 (deterministic) to 1 (as ddpm) (default: 0)",
    )
    add(
        "--momentum",
        type=cli.number(0, 10),
        metavar="GAMMA",
        help="of ddim with eta 0: 2 comes closer to the data in few steps (default: 1, none)",
    )
    add(
        "--batch_size",
        type=positive,
        metavar="N",
        help="samples made at a time; changes memory and speed, not the samples (default: 256"
        " images, 10000 points)",
    )
    add("--no_ema", action="store_true", help="use the last weights, not their moving average")
    cli.add_device_option(parser)
    cli.add_compute_options(parser)
    cli.add_seed_option(parser)
    args = parser.parse_args(argv)
    cli.check_suffix(args.output, SUFFIXES["points"], "--output")
    if args.sampler != "ddim":
        cli.refuse_given(args, ["eta", "momentum"], "applies to --sampler ddim only")
    if args.momentum is not None and args.eta:
        raise InputError("--momentum needs --eta 0")
    return args


def denoising_timesteps(args: argparse.Namespace, total: int) -> list[int]:
    """The decreasing timesteps to visit, by --steps or the sampler's default."""
    from samplers import DEFAULT_STEPS, trailing_timesteps

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
    """The states of the first samples on their way from noise, as data.

    Args:
        wanted: the numbers of denoising steps after which to keep a state.
        timesteps: those visited, decreasing.
        examples: how many samples to keep of each state.
    """

    def __init__(self, wanted: set[int], timesteps: list[int], space: Space, examples: int) -> None:
        self.wanted = wanted
        # After i steps x is x_t with t = timesteps[i]; after all of them it is the sample.
        self.timestep_after = [*timesteps, 0]
        self.space = space
        self.examples = examples
        self.states: dict[int, Tensor] = {}

    def keep(self, steps_done: int, x: Tensor) -> None:
        if steps_done in self.wanted:
            self.states[steps_done] = self.space.to_data(x[: self.examples])

    def named(self, wanted: list[int]) -> dict[int, Tensor]:
        """The states after each of the `wanted` numbers of steps, by the timestep they are at.

        Two can be at timestep 0, where the table's last entry was visited: then the sample stays.
        """
        return {self.timestep_after[k]: self.states[k] for k in wanted}


def run_sampler(
    model: Model,
    diffusion: Diffusion,
    args: argparse.Namespace,
    timesteps: list[int],
    x: Tensor,
    noise: SeededNoise,
) -> Iterator[Tensor]:
    """The states after each step of the sampler that was asked for, from x on."""
    from samplers import accelerate, ddim, ddpm, dpmpp, heun

    denoise, schedule = diffusion.denoiser(model), diffusion.schedule
    if args.sampler == "dpmpp":
        return dpmpp(denoise, x, schedule, timesteps)
    if args.sampler == "heun":
        return heun(denoise, x, schedule, timesteps)
    if args.sampler == "ddpm":
        return ddpm(denoise, x, schedule, timesteps, randn_like=noise.randn_like)
    if args.momentum is not None:
        denoise = accelerate(denoise, schedule, args.momentum)
    return ddim(denoise, x, schedule, timesteps, args.eta or 0.0, noise.randn_like)


def equal_batches(total: int, largest: int) -> int:
    """The size of the fewest equal batches of at most `largest` that make up `total` or more."""
    return math.ceil(total / math.ceil(total / largest))


def prepare_network(
    model: Model,
    args: argparse.Namespace,
    kind: str,
    steps: int,
    shape: tuple[int, ...],
    device: torch.device,
) -> tuple[Model, str]:
    """The network in the precision that suits the machine, compiled if that is worthwhile."""
    import torch

    from compute import (
        choose_precision,
        compile_or_fall_back,
        in_precision,
        reason_not_to_compile,
    )

    precision = choose_precision(args.precision, kind, device)
    network = in_precision(model, precision, device)
    worthwhile = kind == "images" and args.num_images * steps >= COMPILE_EARNS
    reason = reason_not_to_compile(args.compile, device, worthwhile)
    if reason:
        if args.compile == "on":
            print(f"not compiled: {reason}")
        return network, precision
    print("compiling, a quarter of a minute or so ...", flush=True)
    count = equal_batches(args.num_images, args.batch_size)
    example = (
        torch.zeros(count, *shape, device=device),
        torch.zeros(1, dtype=torch.int64, device=device),
    )
    with torch.no_grad():
        network = compile_or_fall_back(network, lambda f: f(*example), device)
    return network, precision


def generate(
    model: Model,
    diffusion: Diffusion,
    args: argparse.Namespace,
    timesteps: list[int],
    process: Process,
    device: torch.device,
) -> Tensor:
    """All samples, as data, made batch by batch; `process` sees the first batch.

    Every batch is equally large, so that a compiled network sees one shape; what the last has too
    much is cut off.
    """
    import torch
    from tqdm import tqdm

    from utils import SeededNoise

    done = []
    count = equal_batches(args.num_images, args.batch_size)
    starts = range(0, args.num_images, count)
    with tqdm(total=len(starts) * len(timesteps), unit="step", disable=None) as bar:
        for start in starts:
            noise = SeededNoise(args.seed, start, count, device)
            x = diffusion.starting_noise(noise.draw(*process.space.shape))
            states = run_sampler(model, diffusion, args, timesteps, x, noise)
            if start == 0:
                process.keep(0, x)
            for steps_done, x in enumerate(states, start=1):
                if start == 0:
                    process.keep(steps_done, x)
                bar.update()
            if not bool(torch.isfinite(x).all()):
                raise RunError("the samples are not finite numbers; the model is broken")
            done.append(process.space.to_data(x))
    return torch.cat(done)[: args.num_images]


def write_intermediate(states: dict[int, Tensor], space: Space, folder: Path) -> None:
    """A picture of each state, and one strip of a few examples from noise to sample."""
    import plots

    for t, data in states.items():
        space.write(data, folder / f"step_{t:04d}.png", f"Denoising, t = {t}")
    shown = list(states)
    # More columns than this would be too small to read.
    shown = [shown[i] for i in plots.evenly_spaced(STRIP_STILLS, len(shown))]
    space.draw_panels(
        [states[t] for t in shown],
        [f"t = {t}" for t in shown],
        folder / "process.png",
        "The reverse process: from noise to samples",
    )


def restore(args: argparse.Namespace, device: torch.device) -> tuple[Model, Diffusion, Space, str]:
    """The trained network, its process, its space and their kind, from the checkpoint."""
    from diffusion import make_diffusion
    from models import load_model
    from spaces import make_space
    from utils import find_checkpoint, load_checkpoint

    path = args.checkpoint or find_checkpoint(DEFAULT_CHECKPOINT)
    checkpoint = load_checkpoint(path)
    config = checkpoint["config"]
    try:
        model = load_model(checkpoint, use_ema=not args.no_ema).to(device)
        diffusion = make_diffusion(config, device)
        space, kind = make_space(config), config["kind"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its configuration is not valid ({error!r})") from error
    cli.check_suffix(args.output, SUFFIXES[kind], f"--output of {kind}")
    print(f"{path}: {config['dataset']}, T = {len(diffusion.schedule)}, on {device}")
    return model, diffusion, space, kind


def main() -> None:
    args = parse_arguments()
    from compute import fit_threads_to_cores
    from plots import evenly_spaced
    from utils import check_writable, choose_device

    if warning := fit_threads_to_cores():
        print(warning)
    device = choose_device(args.device)
    model, diffusion, space, kind = restore(args, device)
    timesteps = denoising_timesteps(args, len(diffusion.schedule))
    steps = len(timesteps)
    args.num_images = args.num_images or DEFAULT_NUMBER[kind]
    args.batch_size = args.batch_size or DEFAULT_BATCH[kind]
    check_writable(args.output.parent)
    model, precision = prepare_network(model, args, kind, steps, space.shape, device)
    print(
        f"{args.num_images:,} {kind}, {args.sampler}, {steps} steps, seed {args.seed}, {precision}",
        flush=True,
    )

    show = args.show_intermediate or args.show_image_step is not None
    still_steps = stills(args, steps) if show else []
    gif_steps = evenly_spaced(GIF_FRAMES, steps + 1) if args.gif else []
    process = Process({*still_steps, *gif_steps}, timesteps, space, KEPT[kind])
    samples = generate(model, diffusion, args, timesteps, process, device)

    title = f"{args.num_images:,} samples ({args.sampler}, {steps} steps, seed {args.seed})"
    space.write(samples, args.output, title)
    written = [str(args.output)]
    if show:
        folder = args.output.parent / "intermediate"
        write_intermediate(process.named(still_steps), space, folder)
        written.append(f"{folder / 'step_*.png'}, {folder / 'process.png'}")
    if args.gif:
        path = args.output.with_suffix(".gif")
        frames = [process.states[k] for k in gif_steps]
        captions = [f"t = {process.timestep_after[k]}" for k in gif_steps]
        space.draw_animation(frames, captions, path, "The reverse process: from noise to samples")
        written.append(str(path))
    print(f"wrote {', '.join(written)}")


if __name__ == "__main__":
    cli.run(main)
