"""Show diffusion at work: how data turn into noise, and how a model turns noise into data.

python visualize_diffusion.py                              images; a still and an animation
python visualize_diffusion.py --dataset dino --arrows      points, and what pushes them back
python visualize_diffusion.py --checkpoint outputs/model_final.pt     there and back
python visualize_diffusion.py --compare_schedules          curves, and rows of examples
python visualize_diffusion.py --gallery                    all built-in sets of points
python visualize_diffusion.py --dataset dino --html        a page to play with
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli.options
import cli.terminal
from cli.parser import Parser
from cli.parser import settings as settings_of
from names import (
    CONSISTENCY,
    FEW_STEPS,
    FIXED_SCHEDULES,
    HOLDOUT,
    OF_IMAGES,
    PROCESSES,
    SEED,
    datasets_of,
    kind_of,
    names_of,
    plan_for,
)
from system.errors import InputError, one_line
from system.options import Option
from system.values import File, Flag, Switch, Whole

if TYPE_CHECKING:
    from torch import Tensor, nn

    from datasets import Dataset
    from diffusion import Diffusion
    from plots.pictures import ImagePictures, PointPictures
    from sampling import Trained

COMMON = (
    "dataset num_images save_path checkpoint arrows density compare_schedules gallery html"
).split()
CHOSEN_FROM = 1000  # images shown are drawn from this many at the start of the dataset
GALLERY_POINTS = 8000
SCHEDULE_OPTIONS = names_of(cli.options.SCHEDULE)
OF_ONE_PROCESS = ("arrows", "noise_map", "density")
# Options that draw something other than one process, with those that have no effect beside each,
# and the reason for the message.
ONLY = {
    "html": ([*OF_ONE_PROCESS, "save_path", "gallery", "compare_schedules"], ""),
    "gallery": (
        [
            *OF_ONE_PROCESS,
            *"compare_schedules checkpoint dataset jitter num_images".split(),
            *names_of(OF_IMAGES),
            *SCHEDULE_OPTIONS,
        ],
        ", which shows all built-in sets and no process",
    ),
    "compare_schedules": (
        [*OF_ONE_PROCESS, "num_images", *(one for one in SCHEDULE_OPTIONS if one != "timesteps")],
        ", which shows them by their defaults",
    ),
}
# Files written beside the still with each of these options.
BESIDE = {
    "checkpoint": ("reverse_diffusion.png", "there_and_back.gif"),
    "arrows": ("arrows.png", "score_field.png", "trajectories.png"),
    "noise_map": ("noise_map.png",),
    "density": ("density.png",),
}


NUM_IMAGES = Option(
    "num_images",
    Whole(1, 100),
    "images to show, one per row",
    default=8,
    needs="is for images only; points have --num_points",
)
PICTURES = (
    NUM_IMAGES,
    Option(
        "save_path",
        File(),
        "the still, a .png; the other pictures go beside it",
        default_text="outputs/forward_diffusion.png; gallery.png with --gallery, schedules.png with"
        " --compare_schedules",
    ),
    Option("gif", Switch(), "write animations too", default=True),
    Option(
        "checkpoint",
        File(),
        "a model written by train.py, or the name of one in pretrained/: shows its reverse process"
        " too, with the data options, the schedule and the seed of its run, and in its own units",
    ),
    Option(
        "arrows",
        Flag(),
        "points: also draw where denoising pushes them, by the model of --checkpoint or else by"
        " the exact denoiser of the data",
    ),
    Option(
        "noise_map",
        File(),
        "points, with --checkpoint: also draw where noise ends up, in all timesteps of that model"
        " and in one step of the few-step model in this file",
    ),
    Option(
        "density",
        Flag(),
        "points, with --checkpoint: also draw the density that the model has learned, and the true"
        " one where it is known",
    ),
    Option(
        "compare_schedules",
        Flag(),
        "only draw the noise schedules, and what each does to the same example; with --checkpoint"
        " also the schedule of its run, such as a learned one",
    ),
    Option("gallery", Flag(), "only draw all built-in sets of points on one sheet"),
    Option(
        "html",
        File(),
        "only write a page to play with in a browser: move through time, follow points and, with"
        " --checkpoint, sample with the model itself, draw, and fill holes (without FILE:"
        " outputs/explorer.html)",
        bare=Path("outputs/explorer.html"),
    ),
)
# Filled in later, since the run of a checkpoint has its own seed.
LATE_SEED = SEED._replace(default=None, default_text="0, or the run's with --checkpoint")


def make_parser() -> Parser:
    parser = Parser(__doc__, COMMON)
    parser.add_options(cli.options.DATA, "data")
    parser.add_options(PICTURES, "pictures")
    parser.add_options(cli.options.SCHEDULE, "noise schedule")
    parser.add_options((LATE_SEED,), "randomness")
    cli.terminal.add_verbosity_options(parser)
    return parser


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    args = make_parser().parse_args(argv)
    for sheet, (useless, why) in ONLY.items():
        if getattr(args, sheet):
            cli.options.refuse_given(args, useless, f"cannot go with --{sheet}{why}")
    if args.html is not None:
        cli.options.check_suffix(args.html, (".html", ".htm"), "--html")
    name = "gallery" if args.gallery else "forward_diffusion"
    name = "schedules" if args.compare_schedules else name
    args.save_path = args.save_path or Path(f"outputs/{name}.png")
    cli.options.check_suffix(args.save_path, (".png",), "--save_path")
    if args.checkpoint is not None:
        cli.options.refuse_given(
            args, SCHEDULE_OPTIONS, "cannot be given with --checkpoint, which sets it"
        )
    else:
        cli.options.refuse_given(args, ["noise_map"], "needs --checkpoint, to compare with")
        cli.options.refuse_given(args, ["density"], "needs --checkpoint, a trained model")
    return args


def complete(args: argparse.Namespace, config: dict[str, Any] | None) -> None:
    """Fill in what was not given: from the checkpoint's configuration, or else the defaults."""
    from dataclasses import asdict

    from datasets.settings import ImageSettings
    from evaluation.likelihood import check_likelihood
    from guidance import knows_unlabelled

    kind = kind_of(args.dataset)
    if config is not None:
        if args.dataset is not None and kind != config["kind"]:
            raise InputError(
                f"--dataset {args.dataset} is not of the model's kind, {config['kind']}"
            )
        kind = config["kind"]
        args.dataset = args.dataset or config["dataset"]
        if (args.arrows or args.noise_map) and not knows_unlabelled(config):
            raise InputError(
                "--arrows and --noise_map draw points without a class, which a model trained with"
                " --label_dropout 0 does not know"
            )
        if args.arrows and config["objective"] == CONSISTENCY:
            raise InputError("--arrows draws a denoiser; use the model from before it was tuned")
    if args.density and config is not None and kind == "points":
        try:
            check_likelihood(config)
        except InputError as error:
            raise InputError(f"--density: {error}") from None
    if kind == "images":
        why = "is for sets of points; add --dataset dino, for example"
        cli.options.refuse_given(args, OF_ONE_PROCESS, why)
    cli.options.fill_or_refuse(args, NUM_IMAGES, kind == "images")
    of_run = {} if config is None else config
    if config is not None and kind == "images":
        of_run = {**config, **asdict(ImageSettings.of_run(config))}  # as its model sees images
    args.holdout, args.flip = of_run.get("holdout", HOLDOUT.default), False
    args.subset = of_run.get("subset") if args.num_points is None else None
    cli.options.check_data_options(args, of_run)
    args.seed = of_run.get("seed", 0) if args.seed is None else args.seed
    if kind == "images":
        args.subset = min(args.subset or CHOSEN_FROM, CHOSEN_FROM)
    if config is None:
        cli.options.fill_schedule(args)
        cli.options.check_schedule_options(args)
    else:
        vars(args).update({option: config[option] for option in SCHEDULE_OPTIONS})


def outputs(args: argparse.Namespace) -> list[Path]:
    """All files that will be written."""
    still: Path = args.html or args.save_path
    if args.html or args.compare_schedules:
        return [still]
    beside = [name for option in BESIDE if getattr(args, option) for name in BESIDE[option]]
    written = [still, *(still.with_name(name) for name in beside), still.with_suffix(".gif")]
    return [path for path in written if args.gif or path.suffix == ".png"]


def draw_gallery(args: argparse.Namespace) -> None:
    import torch

    import plots.points
    from datasets.shapes import make_shape
    from system.files import check_writable

    check_writable(args.save_path.parent)
    sets = []
    for name in datasets_of("points"):
        points, labels = make_shape(name, args.num_points or GALLERY_POINTS, args.seed or 0)
        sets.append((name, torch.from_numpy(points), torch.from_numpy(labels)))
    plots.points.save_gallery(sets, args.save_path, "The built-in sets of points")
    print(f"wrote {args.save_path}")


def compare_schedules(
    args: argparse.Namespace,
    x0: Tensor,
    pictures: ImagePictures | PointPictures,
    config: dict[str, Any] | None,
) -> None:
    """Draw all schedules, and what is left of one image (or of all points) at some timesteps.

    Args:
        config: of the run whose schedule is drawn beside them, if any.
    """
    import torch

    from diffusion import Diffusion, make_schedule, schedule_of
    from plots.schedules import save_schedules, shown_timesteps

    x0 = x0[: pictures.least]
    eps = torch.randn_like(x0)
    # A learned schedule starts as `cosine`, which is drawn already.
    T, kind = args.timesteps, kind_of(args.dataset)
    schedules = {
        name: make_schedule(name, T, **cli.options.of_schedule(name, kind, T))
        for name in FIXED_SCHEDULES
    }
    if config is not None:
        schedules[f"this model's\n{config['schedule']}"] = schedule_of(config)
    noisy = []
    for schedule in schedules.values():
        diffusion = Diffusion(schedule, "v")
        examples = []
        for t in shown_timesteps(schedule):
            times = torch.full((len(x0),), t)
            alpha, sigma = schedule.at(t)
            # Scaled to the variance that the network sees: exploding noise would hide the data.
            x = diffusion.add_noise(x0, times, eps) / (alpha**2 + sigma**2) ** 0.5
            examples.append(pictures.units.to_data(x))
        noisy.append(examples)
    title = f"The noise schedules, T = {args.timesteps}"
    save_schedules(schedules, noisy, args.save_path, title, pictures.draw_small)
    print(f"wrote {args.save_path}")


def examples_and_pictures(
    data: Dataset, args: argparse.Namespace, config: dict[str, Any] | None
) -> tuple[Tensor, Tensor, ImagePictures | PointPictures]:
    """The examples to show, x (N, ...), their labels, and what draws them.

    They are in the units of the model or, without one, in those of a run on these data.
    """
    import torch

    from datasets.units import make_units
    from plots.pictures import PointPictures, make_pictures

    examples, labels = data.examples, data.labels
    if data.kind == "images":
        chosen = torch.randperm(len(data))[: args.num_images]
        examples, labels = examples[chosen], labels[chosen]
    units = data.units() if config is None else make_units(config)
    if units.shape != data.shape:
        raise InputError(f"{data.name} has the shape {data.shape}, but the model {units.shape}")
    pictures = make_pictures(units, data.class_names)
    if isinstance(pictures, PointPictures) and not bool(pictures.shows(examples).any()):
        left, right, bottom, top = pictures.limits
        raise InputError(
            f"no point of {data.name} is where this model's points are:"
            f" x from {left:.4g} to {right:.4g}, y from {bottom:.4g} to {top:.4g}"
        )
    return units.to_model(examples), labels, pictures


def draw_process(
    args: argparse.Namespace,
    data: tuple[Tensor, Tensor],
    diffusion: Diffusion,
    pictures: ImagePictures | PointPictures,
    model: nn.Module | None,
    config: Mapping[str, Any] | None,
) -> None:
    """Draw the stills and animations of one process.

    A model with classes gets them as labels in turn.

    Args:
        data: examples x (N, ...) and labels (N,).
        config: of the model's run, if there is a model.
    """
    from guidance import Conditioned, cycle_labels, with_examples
    from plots.figures import literal
    from plots.pictures import PointPictures
    from plots.process import ProcessPictures, draw_arrows
    from samplers import exact_denoiser

    x0, labels = data
    folder = args.save_path.parent
    shown = labels if isinstance(pictures, PointPictures) else None  # images show what they are
    process = ProcessPictures(diffusion, pictures, x0, shown)
    words = f"{args.schedule} schedule, T = {args.timesteps}"
    name = literal(one_line(Path(args.dataset).name))
    title = f"Forward diffusion of {name} ({words})"
    written = process.forward(args.save_path, title, args.gif)
    denoise = exact_denoiser(x0, diffusion.schedule)
    if model is not None and config is not None:
        denoise = diffusion.denoiser(model)
        classes = with_examples(config["label_counts"])
        wanted = cycle_labels(classes, len(x0)) if classes else None
        with_classes = diffusion.denoiser(Conditioned(model, wanted))
        plan = plan_for(PROCESSES, config["kind"], config["objective"])
        plan = plan.within(len(diffusion.schedule))
        written += process.reverse(with_classes, plan, folder, args.gif, wanted)
    if args.arrows:
        assert isinstance(pictures, PointPictures)
        by = "exact" if model is None else "learned"
        written += draw_arrows(process, pictures, denoise, folder, by)
    for path in written:
        print(f"wrote {path}")


def restore_few(path: Path, config: dict[str, Any]) -> Trained:
    """The model of --noise_map, which samples in one step.

    Args:
        config: of the model that it is compared with.

    Raises:
        InputError: the two cannot be compared.
    """
    from datasets.units import make_units
    from sampling import restore

    if config["objective"] == CONSISTENCY:
        raise InputError("--noise_map: --checkpoint must be the model from before it was tuned")
    few = restore(path)
    if few.config["objective"] not in FEW_STEPS:
        raise InputError(f"--noise_map: {path} was not trained for few steps")
    if few.kind != config["kind"] or few.units.facts() != make_units(config).facts():
        raise InputError(f"--noise_map: {path} was trained on other data than --checkpoint")
    if not few.knows_unlabelled:
        raise InputError(f"--noise_map: {path} knows no points without a class")
    return few


def draw_landing(
    args: argparse.Namespace,
    x0: Tensor,
    diffusion: Diffusion,
    pictures: ImagePictures | PointPictures,
    model: nn.Module,
    few: Trained,
) -> None:
    """Draw where noise lands: in all timesteps of one model, and in one step of another."""
    from guidance import Conditioned
    from plots.noise_map import Walk, draw_noise_map
    from plots.pictures import PointPictures

    assert isinstance(pictures, PointPictures)
    sampler, T = few.config["objective"], len(diffusion.schedule)
    jump = few.diffusion.denoiser(Conditioned(few.network, None))
    walks = [
        Walk(f"{T:,} steps of ddim", diffusion, diffusion.denoiser(model), "ddim", T),
        Walk(f"1 step of {sampler}", few.diffusion, jump, sampler, 1),
    ]
    path: Path = args.save_path.with_name("noise_map.png")
    draw_noise_map(walks, x0, pictures, path, "Where noise lands, in many steps and in one")
    print(f"wrote {path}")


def draw_density(
    args: argparse.Namespace,
    points: Tensor,
    diffusion: Diffusion,
    pictures: ImagePictures | PointPictures,
    model: nn.Module,
) -> None:
    """Draw the density that a model of points (N, 2) has learned, and the true one if known."""
    from datasets.densities import LOG_DENSITIES
    from datasets.units import PointUnits
    from evaluation.likelihood import log_density_of_data
    from guidance import Conditioned
    from plots.density import places, save_densities
    from plots.pictures import PointPictures

    assert isinstance(pictures, PointPictures)
    units = pictures.units
    assert isinstance(units, PointUnits)
    at = places(pictures.limits)
    maps = [("learned", log_density_of_data(diffusion, Conditioned(model, None), units, at))]
    if args.dataset in LOG_DENSITIES:
        maps.append(("true", LOG_DENSITIES[args.dataset](at)))
    path: Path = args.save_path.with_name("density.png")
    save_densities(units.to_data(points), maps, pictures.limits, path, f"Density of {args.dataset}")
    print(f"wrote {path}")


def show_process(args: argparse.Namespace) -> None:
    """Draw one dataset on its way to noise, and back."""
    import torch

    from checkpoints import load_checkpoint
    from datasets import load_dataset
    from datasets.settings import ImageSettings, PointSettings
    from diffusion import Diffusion, make_diffusion, schedule_of
    from explorer import save_explorer
    from models import load_model
    from system.files import check_writable

    checkpoint = None if args.checkpoint is None else load_checkpoint(args.checkpoint)
    config = None if checkpoint is None else checkpoint["config"]
    complete(args, config)
    inputs = [args.checkpoint, args.noise_map, args.dataset]
    cli.options.check_outputs(outputs(args), inputs)
    check_writable((args.html or args.save_path).parent)
    few = restore_few(args.noise_map, config) if args.noise_map and config else None
    if config is None:
        # Nothing is predicted here, so any prediction will do; v fits every schedule.
        try:
            diffusion = Diffusion(schedule_of(vars(args)), "v")
        except ValueError as error:
            raise InputError(f"--schedule {args.schedule}: {error}") from None
    else:
        diffusion = make_diffusion(config)
    data = load_dataset(
        args.dataset,
        args.data_dir,
        args.subset,
        settings_of(PointSettings, args),
        settings_of(ImageSettings, args),
    )
    args.dataset = data.name
    torch.manual_seed(args.seed)
    x0, labels, pictures = examples_and_pictures(data, args, config)
    if args.compare_schedules:
        compare_schedules(args, x0, pictures, config)
        return
    model = None if checkpoint is None else load_model(checkpoint)
    print(f"{data.name}: {len(x0):,} {data.kind}, {args.schedule} schedule, T = {args.timesteps}")
    if args.html is None:
        draw_process(args, (x0, labels), diffusion, pictures, model, config)
        if few is not None and model is not None:
            draw_landing(args, x0, diffusion, pictures, model, few)
        if args.density and model is not None:
            draw_density(args, x0, diffusion, pictures, model)
        return
    shown = {**(config or {}), **vars(args)}  # the data and the schedule that are shown
    save_explorer(args.html, shown, diffusion, pictures.units, x0, labels, model)
    print(f"wrote {args.html}")


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    cli.terminal.set_verbosity(args)
    if args.gallery:
        draw_gallery(args)
    else:
        show_process(args)


if __name__ == "__main__":
    cli.terminal.run(main)
