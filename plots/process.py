"""What happens to some examples over time: the states behind the pictures of a process.

`visualize_diffusion.py` uses it to draw data on their way to noise, noise on its way to samples
and, for points, where denoising pushes them. `sample.py` uses it to draw its samples emerging.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

import plots.points
import samplers
from datasets.densities import mixture
from diffusion import Denoiser, Diffusion
from names import Plan
from plots.density import places
from plots.figures import evenly_spaced
from plots.pictures import Pictures, PointPictures
from samplers import ddim, timesteps_of, trailing_timesteps

# For a process of 1000 timesteps; rescaled for another number.
STILL_TIMESTEPS = (0, 50, 100, 200, 400, 600, 800, 999)
GIF_FRAMES = 50
ARROW_LEVELS = (0.2, 0.6, 1.5)  # small, middle, large noise sigma / alpha
ARROWS, PATHS, FIELD_SIDE = 150, 25, 22
CENTRES = 8000  # points of the data used for a density; more would look the same
STILLS = re.compile(r"(step_\d{4,}|sample|process)\.png")  # the files with stills of a process
STRIP_STILLS = 12  # most columns of process.png


def still_timesteps(total: int) -> list[int]:
    """STILL_TIMESTEPS rescaled to a process of `total` timesteps, without duplicates."""
    return sorted({round(t * (total - 1) / 999) for t in STILL_TIMESTEPS})


class ProcessPictures:
    """Draws what happens to some examples over time, in stills and animations.

    Args:
        x0: the examples, as the network sees them.
        labels: of the examples, if the pictures should show them.
    """

    def __init__(
        self, diffusion: Diffusion, pictures: Pictures, x0: Tensor, labels: Tensor | None
    ) -> None:
        self.diffusion, self.pictures, self.x0, self.labels = diffusion, pictures, x0, labels
        # The same noise at every t, so that each example can be followed.
        self.eps = torch.randn_like(x0)

    def noisy_x(self, t: int) -> Tensor:
        """The examples at timestep t, as the network sees them."""
        times = torch.full((len(self.x0),), t)
        return self.diffusion.add_noise(self.x0, times, self.eps)

    def noisy(self, t: int) -> Tensor:
        """The examples at timestep t, as data."""
        return self.pictures.units.to_data(self.noisy_x(t))

    def caption(self, t: int, gap: str = "   ") -> str:
        return f"t = {t}{gap}σ = {self.diffusion.schedule.at(t)[1]:.2f}"

    def forward(self, path: Path, title: str, gif: bool) -> list[Path]:
        total = len(self.diffusion.schedule)
        times = still_timesteps(total)
        captions = [self.caption(t, "\n") for t in times]
        panels = [self.noisy(t) for t in times]
        self.pictures.draw_panels(panels, captions, path, title, self.labels)
        if not gif:
            return [path]
        times = evenly_spaced(GIF_FRAMES, total)
        frames, captions = [self.noisy(t) for t in times], [self.caption(t) for t in times]
        animation = path.with_suffix(".gif")
        self.pictures.draw_animation(frames, captions, animation, title, self.labels)
        return [path, animation]

    def reverse(
        self, denoise: Denoiser, plan: Plan, folder: Path, gif: bool, labels: Tensor | None
    ) -> list[Path]:
        """Draw new noise turning into samples, and an animation that goes there and back.

        Args:
            labels: of the samples, if they are made with any.
        """
        schedule, data = self.diffusion.schedule, self.pictures.units.to_data
        timesteps = timesteps_of(plan.sampler, schedule, plan.steps)
        x = self.diffusion.starting_noise(torch.randn_like(self.x0), timesteps[0])
        sampler = getattr(samplers, plan.sampler)
        later = sampler(denoise, x, schedule, timesteps, **plan.options)
        states = [data(x) for x in (x, *later)]
        captions = [*(self.caption(t) for t in timesteps), "sample"]
        still, animation = folder / "reverse_diffusion.png", folder / "there_and_back.gif"
        shown = evenly_spaced(8, len(states))
        title = f"Reverse process ({plan}): from noise to samples"
        above = [captions[i].replace("   ", "\n") for i in shown]
        self.pictures.draw_panels([states[i] for i in shown], above, still, title, labels)
        if not gif:
            return [still]
        times = evenly_spaced(GIF_FRAMES, len(schedule))
        there = [self.noisy(t) for t in times]
        self.pictures.draw_animation(
            [*there, *states],
            [
                *(f"data to noise   {self.caption(t)}" for t in times),
                *(f"noise to samples   {caption}" for caption in captions),
            ],
            animation,
            "There (forward) and back (reverse)",
        )
        return [still, animation]


def nearest_timestep(diffusion: Diffusion, level: float) -> int:
    """The timestep whose noise level sigma / alpha is nearest to `level`."""
    schedule = diffusion.schedule
    return int((schedule.half_log_snr.neg().exp() - level).abs().argmin())


def draw_arrows(
    process: ProcessPictures, pictures: PointPictures, denoise: Denoiser, folder: Path, by: str
) -> list[Path]:
    """Draw one-step denoising arrows, the score field, and the paths of a few points."""
    schedule = process.diffusion.schedule
    times = [nearest_timestep(process.diffusion, level) for level in ARROW_LEVELS]
    data = pictures.units.to_data
    clean = data(process.x0)
    labels = [process.caption(t) for t in times]
    feet = [process.noisy_x(t) for t in times]
    feet = [x[pictures.shows(data(x))][:ARROWS] for x in feet]  # within the picture
    tips = [denoise(x, t)[0] for x, t in zip(feet, times, strict=True)]
    arrows = folder / "arrows.png"
    plots.points.save_arrows(
        clean,
        list(map(data, feet)),
        list(map(data, tips)),
        labels,
        arrows,
        f"From noisy points to the {by} estimate of where they came from",
        pictures.limits,
    )

    ticks = torch.linspace(-pictures.REACH, pictures.REACH, FIELD_SIDE)
    grid = torch.cartesian_prod(ticks, ticks)
    # The score of the noisy density is -eps / sigma (Song et al. 2021b, section 3.3).
    scores = [-denoise(grid, t)[1] / schedule.at(t)[1] for t in times]
    densities = [noisy_density(process, pictures, t) for t in times]
    field = folder / "score_field.png"
    title = rf"The {by} score $\nabla \log p_t$, over the density $p_t$ of the noisy data"
    limits = pictures.limits
    plots.points.save_field(data(grid), scores, densities, labels, field, title, limits)

    timesteps = trailing_timesteps(len(schedule), min(GIF_FRAMES, len(schedule)))
    few = process.diffusion.starting_noise(torch.randn(PATHS, 2))
    states = torch.stack([data(x) for x in (few, *ddim(denoise, few, schedule, timesteps))])
    paths = folder / "trajectories.png"
    plots.points.save_paths(
        states, clean, paths, f"Paths of {PATHS} points from noise to data (ddim)", pictures.limits
    )
    return [arrows, field, paths]


def noisy_density(process: ProcessPictures, pictures: PointPictures, t: int) -> Tensor:
    """p_t at the `places` of a picture, as a share of its largest value there (SIDE^2,).

    The noisy data are a mixture of N(alpha_t y, sigma_t^2 I) for all points y.
    """
    alpha, sigma = process.diffusion.schedule.at(t)
    at = pictures.units.to_model(places(pictures.limits))
    log_density = mixture(at, alpha * process.x0[:CENTRES].double(), sigma)
    return (log_density - log_density.max()).exp()


def shown_examples(pictures: Pictures, total: int, labels: Tensor | None) -> int:
    """The number of samples whose process is shown: all or, if too many, as many of each class."""
    if total <= pictures.most:
        return total
    classes = 1 if labels is None else labels.unique().numel()
    return max(1, pictures.most // classes) * classes


class Process:
    """The states of the first samples on their way from noise, as data.

    Args:
        wanted: the numbers of denoising steps after which to keep a state.
        timesteps: that sampling visits, decreasing.
        labels: of all samples; None for a network without classes.
        total: how many samples there are.
        examples: how many of them to keep in each state.
    """

    TITLE = "The reverse process: from noise to samples"

    def __init__(
        self,
        wanted: set[int],
        timesteps: list[int],
        pictures: Pictures,
        labels: Tensor | None,
        total: int,
        examples: int,
    ) -> None:
        self.wanted, self.timesteps, self.pictures = wanted, timesteps, pictures
        self.total, self.examples = total, examples
        self.labels = None if labels is None else labels[:examples]
        self.states: dict[int, Tensor] = {}

    def keep(self, steps_done: int, x: Tensor) -> None:
        if steps_done in self.wanted:
            self.states[steps_done] = self.pictures.units.to_data(x[: self.examples])

    def caption(self, steps_done: int) -> str:
        """After i steps, x is x_t with t = timesteps[i]; after all of them, it is the sample."""
        done = steps_done == len(self.timesteps)
        return "sample" if done else f"t = {self.timesteps[steps_done]}"

    def file_name(self, steps_done: int) -> str:
        done = steps_done == len(self.timesteps)
        return "sample.png" if done else f"step_{self.timesteps[steps_done]:04d}.png"

    def write_stills(self, wanted: list[int], folder: Path) -> None:
        """A picture of each state, and one strip of a few examples from noise to sample.

        Stills from an earlier call are removed from the folder, since they show other samples.
        """
        for path in folder.glob("*.png"):
            if STILLS.fullmatch(path.name) and path.is_file():
                path.unlink()
        for k in wanted:
            title, labels = f"Denoising, {self.caption(k)}", self.labels_of(self.states[k])
            self.pictures.write(self.states[k], folder / self.file_name(k), title, labels)
        # More columns than this would be too small to read.
        shown = [wanted[i] for i in evenly_spaced(STRIP_STILLS, len(wanted))]
        panels = [self.states[k][: self.pictures.few] for k in shown]
        captions = [self.caption(k) for k in shown]
        labels = self.labels_of(panels[0])
        self.pictures.draw_panels(panels, captions, folder / "process.png", self.TITLE, labels)

    def write_animation(self, wanted: list[int], path: Path) -> None:
        frames = [self.states[k] for k in wanted]
        captions, labels = [self.caption(k) for k in wanted], self.labels_of(frames[0])
        shown = len(frames[0])
        of = "" if shown == self.total else f" (the first {shown:,} of {self.total:,})"
        self.pictures.draw_animation(frames, captions, path, self.TITLE + of, labels)

    def labels_of(self, examples: Tensor) -> Tensor | None:
        """The labels of `examples`, which are the first samples."""
        return None if self.labels is None else self.labels[: len(examples)]
