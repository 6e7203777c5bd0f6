"""The picture of samples that a run draws after an epoch, always from the same noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

import samplers
from diffusion import Diffusion
from guidance import Conditioned, Network, cycle_labels
from names import FEW_STEPS, PREVIEWS, Plan, plan_for
from plots.pictures import Pictures
from system.errors import RunError
from training.settings import TrainSettings
from utils import SeededNoise


class Preview:
    """Draws samples of a network that is being trained.

    Args:
        network: with the averaged weights.
        labels: of the classes to sample, in turn; empty for a network without classes. Each class
            gets the same number of samples, so there may be a few more than asked for.
        settings: the number of samples, their seed, and whether to draw their process too.
    """

    def __init__(
        self,
        network: Network,
        diffusion: Diffusion,
        pictures: Pictures,
        labels: Sequence[int],
        settings: TrainSettings,
    ) -> None:
        self.diffusion, self.pictures = diffusion, pictures
        self.stride, self.seed = settings.show_image_step, settings.seed
        self.objective = settings.objective
        device, count = diffusion.device, settings.num_samples
        if labels and count > len(labels):
            count = math.ceil(count / len(labels)) * len(labels)
        self.labels = cycle_labels(labels, count).to(device) if labels else None
        self.count = count
        self.denoise = diffusion.denoiser(Conditioned(network, self.labels))

    def draw(self, epoch: int, folder: Path) -> Path:
        """Write epoch_NNN.png and, if wanted, epoch_NNN_process.png; return the path of the first.

        A network trained for few steps takes two steps for these; its samples in one step are in
        epoch_NNN_one_step.png.

        Raises:
            RunError: the samples are not finite.
        """
        path = folder / f"epoch_{epoch:03d}.png"
        plan = plan_for(PREVIEWS, self.pictures.kind, self.objective)
        if self.objective in FEW_STEPS:
            one = path.with_name(f"epoch_{epoch:03d}_one_step.png")
            self.draw_states(epoch, plan.within(1), one)
        total = len(self.diffusion.schedule)
        timesteps, states, title = self.draw_states(epoch, plan.within(total), path)
        if self.stride:
            steps = len(timesteps)
            stride = max(1, round(self.stride * steps / total))
            shown, few = range(0, steps, stride), self.pictures.few
            self.pictures.draw_panels(
                [self.pictures.units.to_data(states[i][:few]) for i in (*shown, steps)],
                [*(f"t = {timesteps[i]}" for i in shown), "sample"],
                path.with_name(f"epoch_{epoch:03d}_process.png"),
                title,
                None if self.labels is None else self.labels[:few],
            )
        return path

    def draw_states(
        self, epoch: int, plan: Plan, path: Path
    ) -> tuple[list[int], list[Tensor], str]:
        """Sample by a plan and draw the last state; return timesteps, all states, and the title.

        Raises:
            RunError: the samples are not finite.
        """
        schedule = self.diffusion.schedule
        noise = SeededNoise(self.seed, 0, self.count, self.diffusion.device)
        timesteps = samplers.timesteps_of(plan.sampler, schedule, plan.steps)
        x = self.diffusion.starting_noise(noise.draw(*self.pictures.units.shape), timesteps[0])
        sampler = partial(getattr(samplers, plan.sampler), **plan.options)
        states = [x, *sampler(self.denoise, x, schedule, timesteps, randn_like=noise.randn_like)]
        if not bool(states[-1].isfinite().all()):
            raise RunError(f"the samples after epoch {epoch} are not finite numbers")
        title = f"Samples after epoch {epoch} ({plan})"
        self.pictures.write(self.pictures.units.to_data(states[-1]), path, title, self.labels)
        return timesteps, states, title
