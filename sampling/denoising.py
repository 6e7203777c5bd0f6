"""The denoiser from a trained network, with guidance, and running a sampler with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

import samplers
from diffusion import CLEAN, Denoiser
from guidance import Conditioned, guided, guided_by, in_interval
from names import CONSISTENCY, GUIDANCE_BY_GUIDE, SAMPLERS, SHORTCUT, learns_jumps
from sampling.settings import SampleSettings
from sampling.trained import Trained
from system.compilation import compile_or_fall_back, reason_not_to_compile
from system.errors import InputError
from system.precision import choose_precision, in_precision
from utils import SeededNoise

NO_CLASS = "the model was trained with --label_dropout 0, so it needs a class for every image"
COMPILE_EARNS = 500_000  # evaluations (images times steps) above which compiling saves time


def check_guidance(trained: Trained, settings: SampleSettings) -> None:
    """Refuse guidance that the network cannot follow.

    Raises:
        InputError: there are no classes and no guide; the network has never seen an example without
            a class; the interval begins after the last timestep; or the network was tuned for few
            steps, which fixes its guidance.
    """
    if trained.config["objective"] == CONSISTENCY and (
        settings.guidance is not None or trained.guide is not None
    ):
        scale = trained.config["guidance"]
        has = "without guidance" if scale is None else f"with guidance {scale:g}"
        raise InputError(
            f"--guidance: this model was tuned for few steps {has}; to change it, tune again with"
            " train.py --consistency CHECKPOINT --guidance SCALE"
        )
    if settings.guidance_interval and settings.guidance_interval[0] > trained.last:
        raise InputError(f"--guidance_interval: the model's last timestep is {trained.last}")
    if trained.guide is not None:
        return
    if not trained.classes and settings.guidance is not None:
        needs = "a model trained with --class_conditional, or a --guide"
        raise InputError(f"--guidance needs {needs}")
    if not trained.knows_unlabelled and settings.guidance not in (None, 1):
        raise InputError(f"--guidance needs a --guide here: {NO_CLASS}")


def check_jumps(trained: Trained, settings: SampleSettings) -> None:
    """Refuse a sampler that jumps if the network has not learned to.

    Raises:
        InputError: the network has not; the message says how to train one that has.
    """
    if SAMPLERS[settings.sampler].jumps and not learns_jumps(trained.config):
        raise InputError(
            f"--sampler {settings.sampler} needs a model trained with --objective {SHORTCUT}"
        )


def make_denoiser(trained: Trained, settings: SampleSettings, labels: Tensor | None) -> Denoiser:
    """The network's denoiser for labels (B,), or for no class, with guidance if requested."""
    own = Conditioned(trained.network, labels)
    plain = trained.diffusion.denoiser(own)
    guidance = settings.guidance
    if trained.guide is not None:
        scale = GUIDANCE_BY_GUIDE if guidance is None else guidance
        model = guided_by(Conditioned(trained.guide, labels), own, scale)
    elif labels is not None and guidance is not None:
        model = guided(trained.network, labels, trained.classes, guidance)
    else:
        return plain
    helped = trained.diffusion.denoiser(model)
    return in_interval(settings.guidance_interval or (0, trained.last), helped, plain)


def run_sampler(
    trained: Trained,
    settings: SampleSettings,
    x: Tensor,
    noise: SeededNoise,
    labels: Tensor | None,
) -> Iterator[Tensor]:
    """The states after each step of the sampler in `settings`, starting from x (B, ...).

    Args:
        noise: the source of fresh noise, for samplers that add any.
        labels: of the samples, int64 (B,); None for samples of no class.
    """
    schedule = trained.diffusion.schedule
    sampler = getattr(samplers, settings.sampler)
    return sampler(
        make_denoiser(trained, settings, labels),
        x,
        schedule,
        settings.timesteps(schedule),
        randn_like=noise.randn_like,
        **settings.sampler_options,
    )


def prepare_network(
    trained: Trained, settings: SampleSettings, precision: str = "auto", compile: str = "auto"
) -> tuple[Trained, str]:
    """The same network in the best precision for the machine, compiled if that saves time.

    Args:
        precision: one of `system.precision.DTYPES`, or auto.
        compile: on, off, or auto.

    Returns:
        The network to sample with, and its precision, for a message.

    Raises:
        InputError: see `check_guidance`, `check_jumps` and `choose_precision`.
    """
    check_guidance(trained, settings)
    check_jumps(trained, settings)
    device = trained.device
    precision = choose_precision(precision, trained.kind, device)
    trained = replace(trained, network=in_precision(trained.network, precision, device))
    if trained.guide is not None:
        trained = replace(trained, guide=in_precision(trained.guide, precision, device))
    evaluations = settings.count * len(settings.timesteps(trained.diffusion.schedule))
    worthwhile = trained.kind == "images" and evaluations >= COMPILE_EARNS
    reason = reason_not_to_compile(compile, device, worthwhile)
    if not reason:
        return compiled(trained, settings), precision
    if compile == "on":
        print(f"not compiled: {reason}")
    return trained, precision


def compiled(trained: Trained, settings: SampleSettings) -> Trained:
    """The same with network and guide compiled, for batches of one size."""
    print("compiling, which takes about 15 seconds ...", flush=True)
    count, device = settings.batch(trained.kind), trained.device
    labels = torch.zeros(count, dtype=torch.int64, device=device) if trained.classes else None
    x = torch.zeros(count, *trained.units.shape, device=device)

    def trial(candidate: Trained) -> None:
        denoise = make_denoiser(candidate, settings, labels)
        to = (CLEAN,) if SAMPLERS[settings.sampler].jumps else ()
        for t in {0, trained.last, *(settings.guidance_interval or ())}:  # with guidance, without
            denoise(x, min(t, trained.last), *to)

    network = compile_or_fall_back(
        trained.network, lambda network: trial(replace(trained, network=network)), device
    )
    trained = replace(trained, network=network)
    if trained.guide is None:
        return trained
    guide = compile_or_fall_back(
        trained.guide, lambda guide: trial(replace(trained, guide=guide)), device
    )
    return replace(trained, guide=guide)
