"""How good are a model's samples? Figures for samples and for real data, and pictures.

python evaluate.py                                      10,000 samples of outputs/model_final.pt
python evaluate.py --num_samples 2000 --sampler ddpm    other samples
python evaluate.py --num_samples 50000 --features inception    FID as in papers
python evaluate.py --num_samples 50000 --cas            also train a classifier on the samples
python evaluate.py --checkpoint runs/dino/model_final.pt --json runs/dino/evaluation.json
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import cli.options
import cli.terminal
from cli.parser import Parser
from cli.parser import settings as settings_of
from names import FIGURES, SEED
from system.options import Option
from system.values import File, Flag, OneOf, Whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from evaluation import Figures
    from evaluation.images import Reference
    from sampling import SampleSettings, Trained
    from system.distributed import Group

COMMON = "checkpoint num_images features data_dir json sampler timesteps guidance seed".split()
FEW = 5000  # for fewer samples, FID is mostly bias

FEATURES = Option(
    "features",
    OneOf("features", ("classifier", "inception")),
    "features in which images are compared: those of a small classifier of the dataset, or those of"
    " Inception v3, as in papers (needs the package torch-fidelity)",
    default="classifier",
    needs="is for models of images only",
)
CAS = Option(
    "cas",
    Flag(),
    "class-conditional models: also the classification accuracy score, the accuracy on real images"
    " of a classifier that is trained on the samples alone",
    default=False,
    needs="is for class-conditional models of images only",
)
COMPARISON = (
    Option(
        "num_samples",
        Whole(100, 1_000_000),
        "number of samples to make; FID and the energy distance depend on it",
        default=10_000,
        dest="num_images",
    ),
    FEATURES,
    CAS,
    Option(
        "data_dir",
        File(),
        "folder of image datasets, and of the classifier whose features are used to compare images",
        metavar="DIR",
        default=Path("data"),
    ),
    Option(
        "json",
        File(),
        "file for the figures; pictures go beside it",
        default=Path("outputs/evaluation.json"),
    ),
)


def make_parser() -> Parser:
    parser = Parser(__doc__, COMMON)
    parser.add_options((cli.options.CHECKPOINT,))
    parser.add_options(COMPARISON, "comparison")
    parser.add_options(cli.options.sampling_by_plan(FIGURES), "sampling")
    parser.add_options(cli.options.MACHINE, "machine")
    parser.add_options((SEED,), "randomness")
    cli.terminal.add_verbosity_options(parser)
    return parser


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    args = make_parser().parse_args(argv)
    cli.options.check_sampler_options(args, default=FIGURES.images.sampler)
    cli.options.check_suffix(args.json, (".json",), "--json")
    return args


def evaluate(args: argparse.Namespace, device: torch.device, group: Group) -> None:
    """Make samples, compare them with data, and write and print the figures."""
    from evaluation.images import load_reference, prepare_classifier
    from sampling import generate, restore
    from system.files import check_writable

    check_writable(args.json.parent)
    trained = restore(args.checkpoint, device, use_ema=not args.no_ema)
    cli.options.suit_objective(args, trained.config)
    cli.options.follow_plan(args, FIGURES, trained.config)
    inputs = [trained.path, args.guide, trained.config["dataset"]]
    cli.options.check_outputs([args.json, *pictures_of(args.json)], inputs)
    cli.options.fill_or_refuse(args, FEATURES, trained.kind == "images")
    with_labels = trained.kind == "images" and bool(trained.config["label_counts"])
    cli.options.fill_or_refuse(args, CAS, with_labels)
    # The real data come first, so that errors in them appear before the long sampling.
    reference = None
    if group.leads and trained.kind == "images":
        reference = load_reference(trained.config, args.data_dir, args.features, device)
        prepare_classifier(reference, args.data_dir, device)
    sampled, settings, labels, made_by = prepare(args, trained)
    samples = generate(sampled, settings, labels, group=group)
    if group.leads:
        write_figures(args, trained, reference, samples, labels, made_by)


def pictures_of(figures: Path) -> list[Path]:
    """The files of pictures, beside that of the figures: the most and least typical samples; and,
    for images, the samples closest to training images and the cost in bits of each noise level."""
    endings = (".png", "_copies.png", "_bits.png")
    return [figures.with_name(f"{figures.stem}{ending}") for ending in endings]


def prepare(
    args: argparse.Namespace, trained: Trained
) -> tuple[Trained, SampleSettings, Tensor | None, str]:
    """Print what will be made, and prepare the network for it.

    Returns:
        The network, the settings, the labels of the samples, if the network knows any, and a
        description of the sampling.
    """
    from guidance import in_proportion
    from sampling.denoising import prepare_network
    from sampling.settings import SampleSettings
    from sampling.trained import with_guide

    count, counts = args.num_images, trained.config["label_counts"]
    settings = settings_of(SampleSettings, args, count=count, steps=args.timesteps)
    steps = len(settings.timesteps(trained.diffusion.schedule))
    if args.guide is not None:
        trained = with_guide(trained, args.guide, use_ema=not args.no_ema)
    trained, precision = prepare_network(trained, settings, args.precision, args.compile)
    made_by = f"{cli.options.made_by(args, steps)}, {precision}"
    print(f"{count:,} {trained.kind}, {made_by}", flush=True)
    if trained.kind == "images" and count < FEW:
        print(f"with fewer than {FEW:,} samples, FID is too high; compare only equal numbers")
    return trained, settings, in_proportion(counts, count) if counts else None, made_by


def write_figures(
    args: argparse.Namespace,
    trained: Trained,
    reference: Reference | None,
    samples: Tensor,
    labels: Tensor | None,
    made_by: str,
) -> None:
    """Compare samples with data, and write and print the figures.

    Args:
        trained: the model in full precision, without guidance.
    """
    from evaluation.points import evaluate_points
    from evaluation.report import LEGEND, table, verdict
    from plots.pictures import PointPictures
    from system.files import write_json

    pictures = pictures_of(args.json)
    if reference is None:
        assert isinstance(trained.pictures, PointPictures)
        pictures = pictures[:1]
        figures = evaluate_points(samples, trained.config, trained.pictures, pictures[0])
    else:
        figures = figures_of_images(args, trained, reference, samples, labels)
    found = likelihood(trained, reference, pictures[-1])
    if reference is not None and not found:
        pictures = pictures[:-1]  # that of the bound is not drawn
    figures |= found
    content = {
        "checkpoint": str(trained.path),
        "num_samples": args.num_images,
        "made_by": made_by,
        "features": args.features,
        "figures": {
            name: {key: None if math.isnan(x) else x for key, x in figure._asdict().items()}
            for name, figure in figures.items()
        },
    }
    fair = reference is None or args.num_images <= reference.unseen
    said = verdict(figures, args.features, fair)
    print(f"\n{table(figures)}\n{LEGEND}\n\nverdict: {said}")
    write_json(args.json, content)
    print(f"\nwrote {', '.join(map(str, (args.json, *pictures)))}")


def figures_of_images(
    args: argparse.Namespace,
    trained: Trained,
    reference: Reference,
    samples: Tensor,
    labels: Tensor | None,
) -> Figures:
    """Figures and pictures from a comparison with real images, except for the likelihood."""
    from evaluation.cas import classification_accuracy
    from evaluation.copies import draw_copies
    from evaluation.images import evaluate_images

    picture, copies, _ = pictures_of(args.json)
    data_dir, device = args.data_dir, trained.device
    figures = evaluate_images(samples, reference, data_dir, picture, device, labels)
    learned, unseen = reference.train.examples[: reference.seen], reference.test.examples
    figures |= draw_copies(samples, learned, unseen, copies)
    if args.cas and labels is not None:
        figures |= classification_accuracy(samples, labels, reference, data_dir, device)
    return figures


def likelihood(trained: Trained, reference: Reference | None, picture: Path) -> Figures:
    """The likelihood of unseen data; for a model without one, print the reason.

    Args:
        reference: the real images; None for fresh points.
        picture: the file for a picture of the bound, for images.
    """
    from datasets.units import PointUnits
    from evaluation.bound import bound_figures
    from evaluation.likelihood import check_likelihood
    from evaluation.points import likelihood_figures
    from guidance import Conditioned
    from system.errors import InputError

    try:
        check_likelihood(trained.config)
    except InputError as error:
        print(f"no likelihood: {error}")
        return {}
    if reference is not None:
        unseen, known = reference.test, trained.config["label_counts"]
        x0, labels = trained.units.to_model(unseen.examples), unseen.labels if known else None
        return bound_figures(trained.diffusion, trained.network, x0, labels, picture)
    assert isinstance(trained.units, PointUnits)
    model = Conditioned(trained.network, None)
    return likelihood_figures(trained.diffusion, model, trained.units, trained.config)


def main() -> None:
    args = parse_arguments()
    cli.terminal.set_verbosity(args)
    from system.distributed import start
    from utils import choose_device

    device = choose_device(args.device)
    with start(device) as group:
        evaluate(args, device, group)


if __name__ == "__main__":
    cli.terminal.run(main)
