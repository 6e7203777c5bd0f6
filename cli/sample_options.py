"""The options of sample.py, and which of them exclude each other."""

from __future__ import annotations

import argparse
from pathlib import Path

import cli.options
import cli.terminal
from cli.parser import Parser
from cli.tables import in_a_row
from names import MASKS, SAMPLERS, SEED
from system.errors import InputError
from system.options import Option
from system.values import ANY_SEED, POSITIVE, File, Flag, Labels, Pair, Real, Text, Whole

INTERPOLATED, FROM_AN_IMAGE = 4, 8  # default numbers of images for interpolation and edits
INPAINT_STEPS = 100
SUFFIXES = {"images": (".png", ".npy"), "points": (".png", ".npy", ".csv")}  # of the output
COMMON = (
    "checkpoint num_images labels guidance sampler timesteps inpaint mask from_image inversion"
    " show_intermediate gif output seed"
).split()
EDITS = ("inpaint", "from_image", "inversion", "interpolate")
USUAL = "ddpm; some edits and models have another"
OF_SAMPLES = (  # options without effect if no samples are made
    "num_images labels output show_intermediate show_image_step gif sampler timesteps eta momentum"
    " batch_size guidance guide guidance_interval"
).split()
ENDS = ("sample.png", "process.png")  # the stills with names that are known beforehand

OUTPUT = (
    Option(
        "num_images",
        Whole(1, 10_000_000),
        f"how many images (default: 64, or 8 of each class; {INTERPOLATED} or {FROM_AN_IMAGE}"
        " for edits) or points (default: 1000) to make",
    ),
    Option(
        "labels",
        Labels(),
        "class-conditional models: the classes to make, such as 0,1,7 or 0-9 or cat,dog",
        default_text="all",
    ),
    Option(
        "output",
        File(),
        ".png for a picture; .npy for the samples (images uint8, N x H x W, or N x H x W x 3 in"
        " colour; points float32, N x 2); .csv for points",
        default_text="outputs/generated_samples.png; for edits such as --inpaint, inpainting.png",
    ),
    Option(
        "show_intermediate",
        Flag(),
        "also write pictures of the process into the folder intermediate/ beside the output",
    ),
    Option(
        "show_image_step",
        POSITIVE,
        "denoising steps between pictures (in train.py, timesteps), instead of about ten pictures"
        " in all; implies --show_intermediate",
        metavar="STEPS",
    ),
    Option("gif", Flag(), "also write the process as an animation"),
    Option(
        "export",
        File(),
        "make no samples, but write the weights to a .pt or .safetensors file to share, which"
        " --checkpoint can read",
    ),
    Option("half", Flag(), "with --export: use half precision, which halves the size"),
)
DATA_DIR = Option(
    "data_dir",
    File(),
    "with --inpaint, --from_image and --inversion: folder for the model's dataset, which is"
    " downloaded to it",
    metavar="DIR",
    default=Path("data"),
    needs="belongs to --inpaint, --from_image and --inversion",
)
STRENGTH = Option(
    "strength",
    Real(0, 1),
    "with --from_image: share of the timesteps up to which noise is added; near 0 the image hardly"
    " changes, at 1 nothing of it is left",
    metavar="S",
    default=0.6,
    needs="belongs to --from_image",
)
VISITS = Option(
    "visits",
    POSITIVE,
    "with --inpaint: number of visits to each timestep; more visits take longer and fit better",
    default=10,
    needs="belongs to --inpaint",
)
EDITING = (
    Option(
        "interpolate",
        Pair(ANY_SEED),
        "turn the samples of seed A into those of seed B: a strip and an animation",
        metavar=("A", "B"),
    ),
    Option(
        "inpaint",
        Text(),
        "fill in the part of an image that --mask covers (RePaint); the image is a square picture"
        " file (light on dark, like the training images), or the number of a test image, from 0"
        " (./7 is a file of that name)",
        metavar="IMAGE",
    ),
    Option(
        "mask",
        Text(),
        f"with --inpaint: {', '.join(MASKS)}, or a picture that is white in the part to fill in",
        metavar="MASK",
    ),
    Option(
        "from_image",
        Text(),
        "make variations of an image, given as for --inpaint: noise is added up to a timestep, and"
        " sampling begins there (SDEdit)",
        metavar="IMAGE",
    ),
    STRENGTH,
    Option(
        "inversion",
        Text(),
        "encode an image, given as for --inpaint, as noise (ddim run backwards) and decode it"
        " again, also as other classes with --labels; for a model of points, give a set of points",
        metavar="IMAGE",
    ),
    DATA_DIR,
    VISITS,
)


def make_parser(document: str | None) -> Parser:
    """The parser of sample.py, with its options by section."""
    parser = Parser(document, COMMON)
    parser.add_options((cli.options.CHECKPOINT,))
    parser.add_options(OUTPUT, "what to make")
    parser.add_options(EDITING, "from given noise or images")
    parser.add_options(cli.options.sampling(USUAL, f"{INPAINT_STEPS} with --inpaint"), "sampling")
    parser.add_options(cli.options.MACHINE, "machine")
    parser.add_options((SEED,), "randomness")
    cli.terminal.add_verbosity_options(parser)
    return parser


def parse_arguments(argv: list[str] | None = None, document: str | None = "") -> argparse.Namespace:
    """The options of sample.py, checked.

    Args:
        document: the text for `--help`, see `cli.parser.Parser`.
    """
    args = make_parser(document).parse_args(argv)
    if args.export is not None:
        why = "has no effect with --export, which makes no samples"
        cli.options.refuse_given(args, OF_SAMPLES, why)
    check_editing_options(args)
    cli.options.check_suffix(args.output, SUFFIXES["points"], "--output")
    if args.export is not None:
        cli.options.check_suffix(args.export, (".pt", ".safetensors"), "--export")
    else:
        cli.options.refuse_given(args, ["half"], "belongs to --export")
    animated = args.gif or args.interpolate is not None
    outputs = [args.export or args.output] + [args.output.with_suffix(".gif")] * animated
    if args.show_intermediate or args.show_image_step is not None:
        outputs += [args.output.parent / "intermediate" / name for name in ENDS]
    given = [args.inpaint, args.from_image, args.mask, args.inversion]
    cli.options.check_outputs(outputs, [args.checkpoint, args.guide, *given])
    return args


def check_given_image(args: argparse.Namespace) -> str | None:
    """Fill in the options for sampling that begins with an image, and refuse those that clash.

    Returns:
        The name of the output; None if sampling does not begin with an image.

    Raises:
        InputError: options clash; the message names one.
    """
    name = None
    if args.inpaint is None:
        cli.options.refuse_given(args, ["mask"], "belongs to --inpaint")
    else:
        name = "inpainting"
        cli.options.refuse_given(args, ["interpolate", "from_image"], "cannot go with --inpaint")
        cli.options.refuse_given(args, ["sampler"], "cannot go with --inpaint, which has its own")
        if args.mask is None:
            raise InputError(f"--inpaint needs a --mask: {', '.join(MASKS)}, or a picture")
    if args.from_image is not None:
        name = "from_image"
        cli.options.refuse_given(args, ["interpolate"], "cannot go with --from_image")
    if args.inversion is not None:
        name = "inversion"
        others = ["interpolate", "inpaint", "mask", "from_image"]
        cli.options.refuse_given(args, others, "cannot go with --inversion")
        if args.sampler not in (None, "ddim") or args.eta or args.momentum not in (None, 1):
            raise InputError(
                "--inversion is ddim run backwards, with eta 0; no other sampler is possible"
            )
    if name is not None:
        option = "inpaint" if name == "inpainting" else name
        if args.guidance is not None and args.guide is None and args.labels is None:
            raise InputError(f"--guidance with --{option} needs --labels: the class to exaggerate")
    cli.options.fill_or_refuse(args, DATA_DIR, name is not None)
    cli.options.fill_or_refuse(args, STRENGTH, args.from_image is not None)
    cli.options.fill_or_refuse(args, VISITS, args.inpaint is not None)
    return name


def check_editing_options(args: argparse.Namespace) -> None:
    """Fill in the output and the sampler, and refuse options that clash.

    Raises:
        InputError: options clash; the message names one.
    """
    name = check_given_image(args) or "generated_samples"
    for edit in EDITS:
        if getattr(args, edit) is not None:
            why = f"is not for --{edit}, which makes all images at once"
            cli.options.refuse_given(args, ["batch_size"], why)
    usual = "ddpm" if args.interpolate is None else "dpmpp"
    cli.options.check_sampler_options(args, default="ddim" if args.inversion else usual)
    if args.from_image is not None and SAMPLERS[args.sampler].by_level:
        raise InputError(f"--from_image needs many steps, so not --sampler {args.sampler}")
    if args.interpolate is not None:
        name = "interpolation"
        if args.interpolate[0] == args.interpolate[1]:
            raise InputError("--interpolate needs two different seeds")
        if SAMPLERS[args.sampler].fresh_noise or args.eta:
            without = [name for name, sampler in SAMPLERS.items() if not sampler.fresh_noise]
            raise InputError(
                "--interpolate needs a sampler without fresh noise:"
                f" {in_a_row(without, 'or')}, with eta 0"
            )
    args.output = args.output or Path(f"outputs/{name}.png")
    if name != "generated_samples":
        cli.options.refuse_given(args, ["show_image_step", "export"], "is not for " + name)
        if args.show_intermediate or args.gif:
            raise InputError(f"--show_intermediate and --gif are not for {name}")
