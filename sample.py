"""Make images or points with a trained model. The checkpoint is all it needs.

python sample.py --show_intermediate             from outputs/model_final.pt, after python train.py
python sample.py --sampler dpmpp --gif           20 steps instead of 1000, and an animation
python sample.py --interpolate 1 2               from the samples of one seed to those of another
python sample.py --inpaint 7 --mask lower_half   the eighth test image with another lower half
python sample.py --from_image 7 --strength 0.6   variations of that image
python sample.py --inversion 7 --labels 3,8      that image as noise and back, and as other classes
python sample.py --labels 0-9 --guidance 2       for a class-conditional model: a row for each class
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cli.options
import cli.sample_options
import cli.terminal
from cli.parser import settings as settings_of
from cli.sample_options import FROM_AN_IMAGE, INPAINT_STEPS, INTERPOLATED, SUFFIXES
from names import CONSISTENCY, kind_of
from system.errors import InputError
from system.words import counted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from plots.process import Process
    from sampling import SampleSettings, Trained
    from system.distributed import Group

DEFAULT_NUMBER = {"images": 64, "points": 1000}
EACH_CLASS = 8  # default number of images of each class
STILLS = 10  # about this many pictures with --show_intermediate
GIF_FRAMES = 60


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    return cli.sample_options.parse_arguments(argv, __doc__)


def stills(args: argparse.Namespace, steps: int) -> list[int]:
    """The numbers of denoising steps after which to draw; 0 is the noise, `steps` the sample."""
    from plots.figures import evenly_spaced

    if args.show_image_step:
        return [*range(0, steps, args.show_image_step), steps]
    return evenly_spaced(STILLS, steps + 1)


def export(args: argparse.Namespace) -> None:
    """Write the weights of a checkpoint to a file to share."""
    from checkpoints import export_weights
    from models import load_model
    from sampling.trained import locate

    path, checkpoint = locate(args.checkpoint)
    cli.options.check_outputs([args.export], [path])
    model = load_model(checkpoint, use_ema=not args.no_ema)
    export_weights(args.export, checkpoint["config"], model.state_dict(), args.half)
    size = args.export.stat().st_size / 1e6
    print(f"wrote {args.export}, {size:.1f} MB")


def write_pictures(
    process: Process, still_steps: list[int], gif_steps: list[int], output: Path
) -> list[str]:
    """Write the requested stills and animation beside the output; return what was written."""
    written = []
    if still_steps:
        folder = output.parent / "intermediate"
        process.write_stills(still_steps, folder)
        written.append(f"{folder / 'step_*.png'}, sample.png, process.png")
    if gif_steps:
        path = output.with_suffix(".gif")
        process.write_animation(gif_steps, path)
        written.append(str(path))
    return written


def prepare(
    args: argparse.Namespace, trained: Trained, images: int | None = None, steps: int | None = None
) -> tuple[Trained, SampleSettings, Tensor | None]:
    """Print what will be made, and prepare the network for it.

    Args:
        images: the default number of images; None for `EACH_CLASS` or `DEFAULT_NUMBER`.
        steps: the default number of steps, at most; None for that of the sampler.

    Returns:
        The network, the settings, and the labels of the samples, if the network knows any.
    """
    from guidance import cycle_labels
    from sampling.denoising import prepare_network
    from sampling.labels import choose_labels
    from sampling.settings import SampleSettings
    from sampling.trained import with_guide
    from system.files import check_writable

    kind, total = trained.kind, trained.last + 1
    cli.options.check_suffix(args.output, SUFFIXES[kind], f"--output of {kind}")
    labels = choose_labels(args.labels, trained.labels, trained.config["class_names"])
    asked_for = len(labels) if args.labels else 0
    usual = max(images, asked_for) if images else EACH_CLASS * len(labels)
    usual = usual or DEFAULT_NUMBER["images"]
    count = args.num_images or (usual if kind == "images" else DEFAULT_NUMBER["points"])
    steps = args.timesteps or (steps and min(steps, total))
    settings = settings_of(SampleSettings, args, count=count, steps=steps)
    made_by = cli.options.made_by(args, len(settings.timesteps(trained.diffusion.schedule)))
    check_writable(args.output.parent)
    if args.guide is not None:
        trained = with_guide(trained, args.guide, use_ema=not args.no_ema)
    trained, precision = prepare_network(trained, settings, args.precision, args.compile)
    print(f"{count:,} {kind}, {made_by}, {precision}", flush=True)
    return trained, settings, cycle_labels(labels, count) if labels else None


def make(args: argparse.Namespace, device: torch.device, group: Group) -> None:
    """Make the samples and write the requested files."""
    from plots.figures import evenly_spaced
    from plots.process import Process, shown_examples
    from sampling import generate, restore

    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    cli.options.suit_objective(args, trained.config)
    trained, settings, labels = prepare(args, trained)
    timesteps = settings.timesteps(trained.diffusion.schedule)
    count, steps, pictures = settings.count, len(timesteps), trained.pictures
    show = args.show_intermediate or args.show_image_step is not None
    still_steps = stills(args, steps) if show else []
    gif_steps = evenly_spaced(GIF_FRAMES, steps + 1) if args.gif else []
    shown = shown_examples(pictures, count, labels)
    process = Process({*still_steps, *gif_steps}, timesteps, pictures, labels, count, shown)
    samples = generate(trained, settings, labels, process.keep, group)
    if not group.leads:
        return
    title = f"{count:,} samples ({cli.options.made_by(args, steps)})"
    pictures.write(samples, args.output, title, labels)
    written = [str(args.output), *write_pictures(process, still_steps, gif_steps, args.output)]
    print(f"wrote {', '.join(written)}")


def make_interpolation(args: argparse.Namespace, device: torch.device) -> None:
    """Write a path from the samples of one seed to those of another."""
    from sampling import restore
    from sampling.interpolation import draw_interpolation, interpolate

    cli.options.check_suffix(args.output, (".png",), "--output of --interpolate")
    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    cli.options.suit_objective(args, trained.config)
    if args.sampler == CONSISTENCY:
        args.timesteps = args.timesteps or 1
        if args.timesteps > 1:
            raise InputError("--interpolate takes one step with this sampler: more add fresh noise")
    trained, settings, labels = prepare(args, trained, INTERPOLATED)
    first, second = args.interpolate
    frames = interpolate(trained, settings, (first, second), labels)
    steps = len(settings.timesteps(trained.diffusion.schedule))
    title = f"From seed {first} (0) to seed {second} (1), {args.sampler}, {counted(steps, 'step')}"
    animation = draw_interpolation(trained, frames, title, args.output, labels)
    print(f"wrote {args.output}, {animation}")


def check_not_tuned(trained: Trained, option: str) -> None:
    """Refuse a model that jumps from noise to data for an option that needs many steps.

    Raises:
        InputError: it is such a model; the message names the option.
    """
    if trained.config["objective"] == CONSISTENCY:
        raise InputError(f"{option} takes many steps; use the model from before tuning")


def check_takes_images(args: argparse.Namespace, trained: Trained, option: str) -> None:
    """Refuse a model that cannot begin with an image.

    Raises:
        InputError: it is a model of points, jumps from noise to data, or needs a class.
    """
    from sampling.denoising import NO_CLASS

    if trained.kind != "images":
        raise InputError(f"{option} is for models of images; this one is of points")
    check_not_tuned(trained, option)
    if args.labels is None and not trained.knows_unlabelled:
        raise InputError(f"{option} needs --labels here: {NO_CLASS}")


def write_beside(
    output: Path,
    trained: Trained,
    samples: Tensor,
    image: Tensor,
    begun: tuple[str, Tensor],
    labels: Tensor | None,
    title: str,
) -> None:
    """Write samples: as a picture beside the given image, or as an array.

    Args:
        begun: the caption and the image with which sampling began.
    """
    from sampling.given import draw_beside

    if output.suffix.lower() == ".png":
        names = trained.config["class_names"]
        draw_beside(samples, image, begun, labels, names, output, title)
    else:
        trained.pictures.write(samples, output, "")
    print(f"wrote {output}")


def make_variations(args: argparse.Namespace, device: torch.device) -> None:
    """Write variations of the given image, which keep what the added noise did not destroy."""
    from sampling import restore
    from sampling.given import find_image
    from sampling.variation import timesteps_from, vary

    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    check_takes_images(args, trained, "--from_image")
    cli.options.suit_objective(args, trained.config)
    schedule = trained.diffusion.schedule
    args.timesteps = timesteps_from(schedule, args.strength, args.sampler, args.timesteps)
    image = find_image(args.from_image, trained.config, args.data_dir)
    trained, settings, labels = prepare(args, trained, FROM_AN_IMAGE)
    # Without --labels, samples have no class, since that of the image may not be known.
    labels = None if args.labels is None else labels
    noisy, samples = vary(trained, settings, image, labels)
    steps = counted(len(args.timesteps), "step")
    title = f"From an image (SDEdit, strength {args.strength:g}, {args.sampler}, {steps})"
    write_beside(args.output, trained, samples, image, ("with noise", noisy[0]), labels, title)


def make_inpainting(args: argparse.Namespace, device: torch.device) -> None:
    """Write images that equal the given image outside its hole."""
    from sampling import restore
    from sampling.given import find_image
    from sampling.inpainting import cut_out, find_hole, inpaint

    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    check_takes_images(args, trained, "--inpaint")
    hole = find_hole(args.mask, trained.units.shape)
    image = find_image(args.inpaint, trained.config, args.data_dir)
    trained, settings, labels = prepare(args, trained, FROM_AN_IMAGE, INPAINT_STEPS)
    # Without --labels, samples have no class, since that of the image may not be known.
    labels = None if args.labels is None else labels
    samples = inpaint(trained, settings, image, hole, labels, args.visits)
    steps = len(settings.timesteps(trained.diffusion.schedule))
    title = f"Inpainting (RePaint, {steps} steps, {args.visits} visits to each)"
    begun = ("cut out", cut_out(image, hole))
    write_beside(args.output, trained, samples, image, begun, labels, title)


def make_inversion(args: argparse.Namespace, device: torch.device) -> None:
    """Write an image, or points, encoded as noise and decoded again."""
    from datasets import load_points
    from sampling import restore
    from sampling.given import find_image
    from sampling.inversion import draw_inversion, error_of, invert
    from sampling.labels import choose_labels

    cli.options.check_suffix(args.output, (".png",), "--output of --inversion")
    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    config = trained.config
    check_not_tuned(trained, "--inversion")
    if not trained.knows_unlabelled:
        raise InputError(
            "--inversion encodes without a class, which is not possible for a model trained with"
            " --label_dropout 0"
        )
    if trained.kind == "images":
        if args.num_images not in (None, 1):
            raise InputError("--num_images is not for --inversion of an image")
        data = find_image(args.inversion, config, args.data_dir)[None]
        args.num_images = 1
    else:
        # Guidance by another model remains possible.
        cli.options.refuse_given(args, ["labels"], "with --inversion is for models of images")
        if kind_of(args.inversion) != "points":
            raise InputError(
                f"--inversion {args.inversion}: this is a model of points, so give a built-in set"
                " of points or the file of a drawing"
            )
        count, jitter = args.num_images or DEFAULT_NUMBER["points"], config["jitter"] or 0.0
        data = load_points(args.inversion, count, jitter, args.seed).examples
    names = config["class_names"]
    labels = [] if args.labels is None else choose_labels(args.labels, trained.labels, names)
    trained, settings, _ = prepare(args, trained)
    found = invert(trained, settings, data, labels)
    steps = counted(len(settings.timesteps(trained.diffusion.schedule)), "step")
    title = f"As noise and back by ddim, {steps}"
    draw_inversion(found, trained, labels, args.output, title)
    print(f"root mean square error after encoding and decoding: {error_of(found, trained)}")
    print(f"wrote {args.output}")


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    cli.terminal.set_verbosity(args)
    if args.export is not None:
        export(args)
        return
    from system.distributed import start
    from utils import choose_device

    device = choose_device(args.device)
    with start(device) as group:
        edits = {
            "interpolate": make_interpolation,
            "inpaint": make_inpainting,
            "from_image": make_variations,
            "inversion": make_inversion,
        }
        edit = next((make for name, make in edits.items() if getattr(args, name) is not None), None)
        if edit is None:
            make(args, device, group)
        elif group.leads:  # too little work to share
            edit(args, device)


if __name__ == "__main__":
    cli.terminal.run(main)
