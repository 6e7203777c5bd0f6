"""What sample.py makes besides samples: the way from one to another, and what fills a hole."""

from __future__ import annotations

import argparse
import math
import os.path
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets import load_images
from datasets.drawings import open_picture, over
from datasets.mnist import SIZE as IMAGE_SIZE
from plots.figures import evenly_spaced
from plots.images import save_panels
from samplers import final, repaint
from sampling.generation import Trained, as_data, make_denoiser, run_sampler
from system.console import shows_bars
from system.errors import InputError
from utils import SeededNoise

FRAMES = 41  # of an interpolation
STRIP = 9  # of them, those in the still
WHITE = 128  # from which grey value on a mask counts as white
FIRST, LAST = slice(None, IMAGE_SIZE // 2), slice(IMAGE_SIZE // 2, None)
MIDDLE = slice(IMAGE_SIZE // 4, -(IMAGE_SIZE // 4))
MASKS = {  # name: rows and columns
    "upper_half": (FIRST, slice(None)),
    "lower_half": (LAST, slice(None)),
    "left_half": (slice(None), FIRST),
    "right_half": (slice(None), LAST),
    "centre": (MIDDLE, MIDDLE),
}


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation (Shoemake 1985) from a (share 0) to b (1), each one long vector.

    Between two draws of normal noise a straight line would pass through noise that is too weak:
    half way it has 0.7 of the standard deviation. The arc keeps it.
    """
    angle = torch.arccos(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)).item()
    if math.sin(angle) < 1e-4:
        return torch.lerp(a, b, share)  # the same direction: the arc is a line
    return (math.sin((1 - share) * angle) * a + math.sin(share * angle) * b) / math.sin(angle)


def interpolate(
    trained: Trained,
    args: argparse.Namespace,
    timesteps: list[int],
    device: torch.device,
    labels: Tensor | None,
) -> list[Tensor]:
    """Samples from noise on the arc between the noises of two seeds: `FRAMES` times (N, ...)."""
    count = args.num_images
    noise = [SeededNoise(seed, 0, count, device) for seed in args.interpolate]
    first, second = (one.draw(*trained.units.shape) for one in noise)
    frames = []
    for frame in tqdm(range(FRAMES), unit="frame", disable=not shows_bars(sys.stderr)):
        x = trained.diffusion.starting_noise(slerp(first, second, frame / (FRAMES - 1)))
        states = run_sampler(trained, args, timesteps, x, noise[0], labels)
        frames.append(as_data(final(states), trained.units))
    return frames


def draw_interpolation(
    trained: Trained, frames: list[Tensor], title: str, path: Path, labels: Tensor | None
) -> Path:
    """A strip, and beside it an animation there and back again, whose path is returned."""
    shares = [i / (FRAMES - 1) for i in range(FRAMES)]
    shown = evenly_spaced(STRIP, FRAMES)
    captions = [f"{shares[i]:.3g}" for i in shown]
    trained.pictures.draw_panels([frames[i] for i in shown], captions, path, title, labels)
    film = path.with_suffix(".gif")
    there_and_back = [*range(FRAMES), *range(FRAMES - 2, -1, -1)]
    trained.pictures.draw_animation(
        [frames[i] for i in there_and_back],
        [f"{shares[i]:.2f}" for i in there_and_back],
        *(film, title, labels),
        [shares[i] for i in there_and_back],
    )
    return film


def read_image(path: Path) -> Tensor:
    """A square picture as the models know images: grey, uint8 (28, 28); transparent is black.

    Raises:
        InputError: it is missing, no picture, or not square.
    """
    picture = open_picture(path)
    if picture.width != picture.height:
        size = f"{picture.width} x {picture.height}"
        raise InputError(f"{path} is {size} pixels; a square picture is needed")
    side = (IMAGE_SIZE, IMAGE_SIZE)
    grey = over("black", picture).resize(side, Image.Resampling.BOX)
    return torch.from_numpy(np.array(grey))


def find_image(source: str, dataset: str, data_dir: Path) -> Tensor:
    """A picture file, or by its number an image that the model of a dataset has not seen.

    Raises:
        InputError: as for `read_image` and `load_images`, or there is no image of that number.
    """
    if not source.isdecimal():
        return read_image(Path(source))
    images = load_images(dataset, data_dir, train=False).examples
    number = int(source[:18])  # Python refuses to read thousands of digits
    if number >= len(images):
        last = len(images) - 1
        raise InputError(f"--inpaint: the test images of {dataset} are 0-{last}, not {number}")
    return images[number]


def find_hole(source: str) -> Tensor:
    """A part of the image by its name in `MASKS`, or the white pixels of a mask: bool (28, 28).

    Raises:
        InputError: as for `read_image`, or there is no white.
    """
    if source in MASKS:
        hole = torch.zeros(IMAGE_SIZE, IMAGE_SIZE, dtype=torch.bool)
        hole[MASKS[source]] = True
        return hole
    if not os.path.isfile(source):
        raise InputError(f"--mask: {source} is no picture and none of {', '.join(MASKS)}")
    hole = read_image(Path(source)) >= WHITE
    if not bool(hole.any()):
        raise InputError(f"{source} has no white pixels, and only those would be made anew")
    return hole


def inpaint(
    trained: Trained,
    args: argparse.Namespace,
    timesteps: list[int],
    device: torch.device,
    labels: Tensor | None,
    image: Tensor,
    hole: Tensor,
) -> Tensor:
    """`num_images` images, uint8 (N, 28, 28), that are `image` outside the hole."""
    noise = SeededNoise(args.seed, 0, args.num_images, device)
    states = repaint(
        make_denoiser(trained, args, labels),
        trained.diffusion.starting_noise(noise.draw(*trained.units.shape)),
        trained.diffusion.schedule,
        timesteps,
        trained.units.to_model(image[None].to(device))[0],
        hole.to(device),
        args.visits,
        noise.randn_like,
    )
    hidden = not shows_bars(sys.stderr)
    made = final(tqdm(states, total=len(timesteps), unit="step", disable=hidden))
    return as_data(made, trained.units)


def draw_inpainting(samples: Tensor, image: Tensor, hole: Tensor, title: str, path: Path) -> None:
    """The image, the image with its hole in grey, and what was made of it."""
    cut = image.masked_fill(hole, WHITE)
    columns = torch.stack([image, cut, *samples])
    texts = ["given", "cut out", *map(str, range(1, len(samples) + 1))]
    save_panels(columns[:, None], texts, path, title)
