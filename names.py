"""All names that the user can type, with their properties: data, networks, schedules, samplers.

A table maps each name to its properties, and everything else is derived from the tables: `--help`,
the checks of command lines and checkpoints, the tests. The code for a name is elsewhere: schedules
are in diffusion.py, samplers in samplers.py, networks in files of models/, datasets in datasets/.

This file also contains the options that belong to a name, and those that describe a model. With the
data, the latter rebuild its network and its process, so checkpoints contain them. Options that only
say how to run are in cli/.

Imports nothing heavy, so that `--help` and usage errors appear at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from system.options import ByData, Option
from system.values import ANY_SEED, Colour, Flag, ListOf, OneOf, Real, Whole
from system.words import counted

KINDS = ("images", "points")  # of data
DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")
OPTIMIZERS = ("adamw", "muon")
LR_SCHEDULES = ("constant", "cosine")
PREDICTIONS = ("eps", "x0", "v")
CONSISTENCY = "consistency"  # the objective, and the sampler for models that it tuned
SHORTCUT = "shortcut"  # the objective, and the sampler for models that it trained
FEW_STEPS = (CONSISTENCY, SHORTCUT)  # objectives of models that sample in one or two steps
LOSS_WEIGHTINGS = ("uniform", "min_snr", "inverse_sigma")
OBJECTIVES = ("denoising", *FEW_STEPS)
TIMESTEP_SAMPLINGS = ("uniform", "logit_normal")
TIME_EMBEDDINGS = ("sinusoidal", "learned", "linear", "log_sigma")
COORDINATES = ("sinusoidal", "raw")
# The entries of config.json besides the options: facts about the data, and derived options.
FACTS = (
    "kind",
    "mean",
    "scale",
    "label_counts",
    "shape",
    "value_range",
    "class_names",
    "derived",
    "timestep_density",
)
MASKS = ("upper_half", "lower_half", "left_half", "right_half", "centre")


def learns_jumps(config: Mapping[str, Any]) -> bool:
    """Whether the network of this configuration receives the timestep to which it jumps."""
    return config.get("objective") == SHORTCUT


def names_of(options: Iterable[Option]) -> list[str]:
    """The names of some options."""
    return [option.name for option in options]


# ------------------------------------------------------------------------------------ the data

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")  # files of points, one per line
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
DRAWING_SUFFIXES = TABLE_SUFFIXES + PICTURE_SUFFIXES
ARRAY_SUFFIXES = (".npy", ".npz")
PACKED_SUFFIXES = (*ARRAY_SUFFIXES, ".zip")  # files of images
SMALLEST_SIDE, LARGEST_SIDE = 16, 64  # of images, in pixels
USUAL_SIDES = (28, 32, 48, 64)
MOST_POINTS = 10_000_000
LARGEST = 1e18  # of coordinates; datasets/drawings.py reads up to 1e15, jitter makes them larger


class DataSet(NamedTuple):
    """A built-in dataset.

    Attributes:
        kind: `images` or `points`.
    """

    kind: str


SHAPES = (
    "barnsley_fern sierpinski spiral koch mandelbrot swiss_roll heart dino cat circle line moons"
    " checkerboard gaussians tree"
)
DATASETS = {
    "mnist": DataSet("images"),
    "fashion_mnist": DataSet("images"),
    "cifar10": DataSet("images"),
    "digits": DataSet("images"),
    "sprites": DataSet("images"),
    **{name: DataSet("points") for name in SHAPES.split()},
}


def datasets_of(kind: str) -> tuple[str, ...]:
    """The built-in datasets of `images` or of `points`."""
    return tuple(name for name, data in DATASETS.items() if data.kind == kind)


def suffix_of(name: str) -> str:
    """The suffix of a file, in lower case; empty for a folder."""
    return "" if os.path.isdir(name) else Path(name).suffix.lower()


def is_drawing(name: str) -> bool:
    """Whether a dataset is the user's own drawing: a file of points or a picture."""
    return suffix_of(name) in DRAWING_SUFFIXES


def is_own_images(name: str) -> bool:
    """Whether a dataset is a folder or a file of the user's own images."""
    if name in DATASETS:
        return False
    return os.path.isdir(name) or suffix_of(name) in PACKED_SUFFIXES


def is_points(name: str) -> bool:
    """Whether a dataset is a set of points."""
    return name in datasets_of("points") or is_drawing(name)


def kind_of(dataset: str | None) -> str:
    """`images` or `points`, depending on the dataset; None is a dataset of images."""
    return "points" if dataset is not None and is_points(dataset) else "images"


class DataSetName(OneOf):
    """A built-in dataset, or the path of the user's own."""

    def parse(self, text: str) -> str:
        if is_own_images(text) or is_drawing(text):
            return text
        return super().parse(text)


DATASET = Option(
    "dataset",
    DataSetName(
        "dataset",
        tuple(DATASETS),
        f", a folder, or a file ending in {', '.join(PACKED_SUFFIXES + DRAWING_SUFFIXES)};"
        " there is no such folder",
    ),
    f"images: {', '.join(datasets_of('images'))}; points: {', '.join(datasets_of('points'))}; your"
    f" own images: a folder or a .zip of pictures, or a file ending in {', '.join(ARRAY_SUFFIXES)};"
    f" your own drawing: a file ending in {', '.join(DRAWING_SUFFIXES)}",
    default_text="mnist, or digits if mnist is not available",
)
IMAGE_SIZE = Option(
    "image_size",
    Whole(SMALLEST_SIDE, LARGEST_SIDE),
    "images: crop each to its middle square and resize it to N x N pixels",
    default_text="the dataset's own; for a folder, the one of"
    f" {', '.join(map(str, USUAL_SIDES))} nearest to the median shorter side of its pictures",
    needs="is for images only",
    optional=True,
)
CHANNELS = Option(
    "channels",
    OneOf("number of channels", ("auto", "1", "3")),
    "images: 1 for grey, 3 for colour; auto is 1 if every image is grey",
    default="auto",
    needs="is for images only",
    optional=True,
)
BACKGROUND = Option(
    "background",
    Colour(),
    "own images: the colour behind transparent parts, such as black or #ffd700",
    default="white",
    needs="is for your own images only",
    optional=True,
)
HOLDOUT = Option(
    "holdout",
    Real(0, 0.9, low_included=True),
    "own images: share held out from training, for evaluate.py",
    metavar="SHARE",
    default=0.1,
    needs="is for your own images only",
    optional=True,
)
FLIP = Option(
    "flip",
    Flag(),
    "images: mirror half of the examples",
    default=False,
    needs="is for images only",
    optional=True,
)
OF_IMAGES = (IMAGE_SIZE, CHANNELS, BACKGROUND)
NUM_POINTS = Option(
    "num_points",
    Whole(3, MOST_POINTS),
    "points: number of points to draw",
    default=8000,
    needs="is for sets of points only",
    points_only=True,
)
JITTER = Option(
    "jitter",
    Real(0, 100, low_included=True),
    "drawings: noise added to the points, as a share of their spread",
    metavar="SHARE",
    default=0.01,
    needs="is for drawings (files of points) only",
    optional=True,
    stored=Real(0, LARGEST, low_included=True),
    points_only=True,
)

# ---------------------------------------------------------------------------------- the networks

WIDTH = Whole(1, 8192)


class Network(NamedTuple):
    """A network, in a file of its own in models/.

    Attributes:
        kinds: the kinds of data that it can learn; `--model auto` is the first network that fits.
        optimizer: the best optimizer for it.
        options: the options that describe it.
    """

    kinds: tuple[str, ...]
    optimizer: str
    options: tuple[Option, ...]


MODELS = {
    "unet": Network(
        kinds=("images",),
        optimizer="muon",
        options=(
            Option("base_channels", WIDTH, "width", metavar="C", default=64),
            Option(
                "dropout",
                Real(0, 0.99, low_included=True),
                "share of the activations that training sets to zero",
                metavar="SHARE",
                default=0.0,
                stored=Real(0, 1, low_included=True),
            ),
            Option(
                "no_attention",
                Flag(),
                "no self-attention at the lowest resolution",
                default=False,
            ),
        ),
    ),
    "mlp": Network(
        kinds=("images", "points"),
        optimizer="adamw",
        options=(
            Option(
                "hidden_size", WIDTH, "width of its layers", default=128, short_for="hidden_dims"
            ),
            Option(
                "hidden_layers",
                Whole(1, 100),
                "number of layers",
                default=3,
                short_for="hidden_dims",
            ),
            Option(
                "hidden_dims",
                ListOf(WIDTH, longest=100),
                "the width of each layer, instead of the two options above",
            ),
            Option(
                "embedding_size",
                Whole(2, 8192),
                "size of the embeddings of time and coordinates, an even number",
                default=128,
            ),
            Option(
                "time_embedding",
                OneOf("time embedding", TIME_EMBEDDINGS),
                f"one of {', '.join(TIME_EMBEDDINGS)}",
                default="sinusoidal",
            ),
            Option(
                "coordinates",
                OneOf("coordinate embedding", COORDINATES),
                "sinusoidal (Fourier features) or raw",
                default="sinusoidal",
                points_only=True,
            ),
            Option(
                "embedding_scale",
                Real(0, 1000),
                "larger for finer detail in Fourier features",
                metavar="SCALE",
                default=2.0,
                points_only=True,
            ),
        ),
    ),
    "dit": Network(
        kinds=("images",),
        optimizer="muon",
        options=(
            Option("hidden_size", WIDTH, "width of its layers", default=128),
            Option("hidden_layers", Whole(1, 100), "number of layers", default=6),
            Option("heads", Whole(1, 1024), "attention heads", default=4),
            Option(
                "patch_size",
                Whole(1, LARGEST_SIDE),
                "side of a patch in pixels, which must divide the image's sides",
                default_text="the largest of 4, 2 and 1 that divides them",
                optional=True,
            ),
        ),
    ),
}


def models_for(kind: str) -> tuple[str, ...]:
    """The networks that can learn `images` or `points`, the usual one first."""
    return tuple(name for name, network in MODELS.items() if kind in network.kinds)


def with_kinds(model: str) -> str:
    """A network's name, with the kinds of data that it can learn if these are not all."""
    kinds = MODELS[model].kinds
    return model if kinds == KINDS else f"{model} ({', '.join(kinds)} only)"


# -------------------------------------------------------------------------- the noise schedules

SIGMA_MIN, SIGMA_MAX = 0.002, 10.0  # of log_linear, in units of the data's spread
BETA_START, BETA_END = 1e-4, 0.02  # for 1000 timesteps
# At half of the timesteps, the noise should be smaller than the width of a drawing's thin parts.
# Images have little detail finer than a pixel; sets of points have a lot of fine detail.
POINTS_BETA_START = 2e-6


def beta(end: str, default: str) -> Option:
    """The option for one end of a schedule of variances."""
    return Option(
        f"beta_{end}",
        Real(1e-12, 0.9999, low_included=True),
        f"variance at the {end} of the schedule",
        metavar="BETA",
        default_text=f"{default} x 1000/T",
        optional=True,
    )


def sigma(end: str, which: str, default: float) -> Option:
    """The option for one end of a schedule of noise levels."""
    return Option(
        f"sigma_{end}",
        Real(1e-5, 1e6, low_included=True),
        f"{which} noise level, in units of the data's spread",
        metavar="SIGMA",
        default_text=f"{default:g}",
        optional=True,
    )


BETAS = (beta("start", "1e-4 (points 2e-6)"), beta("end", "0.02"))
SIGMAS = (sigma("min", "smallest", SIGMA_MIN), sigma("max", "largest", SIGMA_MAX))


class Schedule(NamedTuple):
    """A noise schedule, made by the function of this name in `SCHEDULES` of diffusion.py.

    Attributes:
        options: of the function, besides the number of timesteps.
        ends_in_pure_noise: whether nothing is left of the data at the last timestep.
    """

    options: tuple[Option, ...] = ()
    ends_in_pure_noise: bool = False


LEARNED = "learned"  # adapts during training
PARTS = 50  # of the noise levels; the learned schedule learns the share of timesteps in each
SCHEDULES = {
    "linear": Schedule(BETAS),
    "quadratic": Schedule(BETAS),
    "sigmoid": Schedule(BETAS),
    "cosine": Schedule(),
    "log_linear": Schedule(SIGMAS),
    "flow": Schedule(ends_in_pure_noise=True),
    LEARNED: Schedule(),
}
FIXED_SCHEDULES = tuple(name for name in SCHEDULES if name != LEARNED)

# ---------------------------------------------------------------------------------- the samplers

GUIDANCE_BY_GUIDE = 2.0  # the default scale of guidance by a worse network


class Sampler(NamedTuple):
    """A sampler, the function of this name in samplers.py.

    Attributes:
        steps: the default number of denoising steps; None means every timestep of the process.
        options: the options that it takes.
        fresh_noise: whether it always adds fresh noise.
        by_level: whether it chooses timesteps by their noise levels, not evenly spaced.
        jumps: whether it needs a network that has learned to jump (`learns_jumps`).
    """

    steps: int | None
    options: tuple[Option, ...] = ()
    fresh_noise: bool = False
    by_level: bool = False
    jumps: bool = False


ETA = Option(
    "eta",
    Real(0, 1, low_included=True),
    "share of fresh noise, from 0 (deterministic) to 1 (that of ddpm)",
    metavar="ETA",
    default_text="0",
)
MOMENTUM = Option(
    "momentum",
    Real(0, 10),
    "with eta 0, a value of 2 comes closer to the data in few steps",
    metavar="GAMMA",
    default_text="1, no momentum",
)
SAMPLERS = {
    "ddpm": Sampler(None, fresh_noise=True),
    "ddim": Sampler(50, (ETA, MOMENTUM)),
    "heun": Sampler(20),
    "dpmpp": Sampler(20, (ETA,)),
    CONSISTENCY: Sampler(2, fresh_noise=True, by_level=True),
    SHORTCUT: Sampler(2, jumps=True),
}


class Plan(NamedTuple):
    """A sampler and its number of steps, for samples made without the user's choice.

    Attributes:
        eta: share of fresh noise, for samplers with this option; otherwise None.
    """

    sampler: str
    steps: int
    eta: float | None = None

    @property
    def options(self) -> dict[str, float]:
        """The sampler's options, as keyword arguments."""
        return {} if self.eta is None else {"eta": self.eta}

    def within(self, timesteps: int) -> Plan:
        """The same plan, with at most as many steps as the process has timesteps."""
        return self._replace(steps=min(self.steps, timesteps))

    def __str__(self) -> str:
        eta = f", eta {self.eta:g}" if self.eta else ""
        return f"{self.sampler}, {counted(self.steps, 'step')}{eta}"


POINTS_AT_BEST = Plan("dpmpp", 50, eta=1.0)
PREVIEWS = ByData(Plan("ddim", 20), POINTS_AT_BEST)  # what a run draws while it trains
FIGURES = ByData(Plan("dpmpp", 20), POINTS_AT_BEST)  # what evaluate.py judges
PROCESSES = ByData(Plan("ddim", 50), POINTS_AT_BEST)  # what visualize_diffusion.py shows


def plan_for(plans: ByData, kind: str, objective: str) -> Plan:
    """The plan for a model of `images` or `points`; one trained for few steps takes two."""
    plan: Plan = plans.of(kind)
    return Plan(objective, 2) if objective in FEW_STEPS else plan


# --------------------------------------------------------------- the options that describe a model

SUBSET = Option("subset", Whole(1, 10**12), "train on the first N examples only", optional=True)
OBJECTIVE = Option(
    "objective",
    OneOf("objective", OBJECTIVES),
    "what the network is trained to minimise: denoising, shortcut (it also learns to sample in"
    " few steps), or consistency (which --consistency chooses)",
    default="denoising",
)
GUIDANCE = Option(
    "guidance",
    Real(0, 100, low_included=True),
    "consistency, with classes: the guidance scale that the tuned model learns, since sampling"
    " cannot add guidance later",
    metavar="SCALE",
    default_text="1, no guidance",
    optional=True,
)
NO_TEACHER = Option(
    "no_teacher",
    Flag(),
    "consistency: follow the path of the data, not that of the model before tuning; steps are"
    " faster, but more epochs are needed",
)
LOSS_WEIGHTING = Option(
    "loss_weighting",
    OneOf("loss weighting", LOSS_WEIGHTINGS),
    "weights of the squared errors: uniform, min_snr (the error of x0 has weight min(SNR, 5)), or"
    " inverse_sigma, 1 / (sigma^2 + 1e-4)",
    default_text="inverse_sigma for x0, else uniform",
)
TIMESTEP_SAMPLING = Option(
    "timestep_sampling",
    OneOf("timestep sampling", TIMESTEP_SAMPLINGS),
    "distribution of the training timesteps: uniform, or logit_normal, mostly in the noisier half",
    default=ByData("logit_normal", "uniform"),
    default_text="logit_normal for images, uniform for points and with --schedule learned",
)
PREDICTION = Option(
    "prediction",
    OneOf("prediction", PREDICTIONS),
    "what the network predicts: eps (the noise), x0 or v",
    default=ByData("x0", "v"),
)
LABEL_DROPOUT = Option(
    "label_dropout",
    Real(0, 0.99, low_included=True),
    "class_conditional: share of the examples whose label is dropped, which guidance needs",
    metavar="SHARE",
    default=0.1,
    needs="is for --class_conditional only",
    optional=True,
    stored=Real(0, 1, low_included=True),
)
TIMESTEPS = Option(
    "timesteps",
    Whole(2, 100_000),
    "timesteps of the diffusion process (--steps of sample.py sets how many of them are visited)",
    aliases=("num_timesteps",),
    metavar="T",
    default=ByData(1000, 200),
)
SCHEDULE = Option(
    "schedule",
    OneOf("schedule", tuple(SCHEDULES)),
    f"noise schedule, one of {', '.join(SCHEDULES)}; {LEARNED} starts as cosine and adapts during"
    " training",
    aliases=("beta_schedule",),
    default=ByData("cosine", "quadratic"),
)
SEED = Option("seed", ANY_SEED, "seed for all random numbers", default=0)
MODEL = Option(
    "model",
    OneOf("model", ("auto", *MODELS)),
    f"{' or '.join(with_kinds(name) for name in MODELS)}; auto is"
    f" {', '.join(f'{models_for(kind)[0]} for {kind}' for kind in KINDS)}",
    default="auto",
)
# The options in the checkpoint of every model, besides those of its network.
OF_EVERY_MODEL = (
    LABEL_DROPOUT,
    SUBSET,
    SEED,
    TIMESTEPS,
    TIMESTEP_SAMPLING,
    SCHEDULE,
    *{option.name: option for one in SCHEDULES.values() for option in one.options}.values(),
    PREDICTION,
    LOSS_WEIGHTING,
    OBJECTIVE,
    GUIDANCE,
)
