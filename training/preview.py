"""The picture of samples that a run draws after an epoch, always from the same noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from diffusion import Diffusion
from guidance import Network, conditioned, cycle_labels
from plots.pictures import Pictures
from samplers import ddim, trailing_timesteps
from system.errors import RunError
from training.settings import TrainSettings
from utils import SeededNoise

STEPS = 20  # denoising steps: quick, and good enough to see progress


class Preview:
    """Draws samples of a network that is being trained.

    Args:
        network: with the averaged weights.
        labels: of the classes that the samples are of, in turn; none for a network without. Each
            class gets as many samples, so that there may be some more than were asked for.
        settings: how many samples, of which seed, and whether to draw their process too.
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
        self.stride = settings.show_image_step
        device, count = diffusion.device, settings.num_samples
        if labels and count > len(labels):
            count = math.ceil(count / len(labels)) * len(labels)
        self.labels = cycle_labels(labels, count).to(device) if labels else None
        self.noise = SeededNoise(settings.seed, 0, count, device).draw(*pictures.units.shape)
        self.denoise = diffusion.denoiser(conditioned(network, self.labels))

    def draw(self, epoch: int, folder: Path) -> Path:
        """Write epoch_NNN.png, whose path it returns, and, if wanted, epoch_NNN_process.png.

        Raises:
            RunError: the samples are not finite.
        """
        schedule = self.diffusion.schedule
        steps = min(STEPS, len(schedule))
        timesteps = trailing_timesteps(len(schedule), steps)
        x = self.diffusion.starting_noise(self.noise)
        states = [x, *ddim(self.denoise, x, schedule, timesteps)]
        if not bool(states[-1].isfinite().all()):
            raise RunError(f"the samples after epoch {epoch} are not finite numbers")
        path = folder / f"epoch_{epoch:03d}.png"
        title = f"Samples after epoch {epoch} (ddim, {steps} steps)"
        self.pictures.write(self.pictures.units.to_data(states[-1]), path, title, self.labels)
        if self.stride:
            stride = max(1, round(self.stride * steps / len(schedule)))
            shown, few = range(0, steps, stride), self.pictures.few
            self.pictures.draw_panels(
                [self.pictures.units.to_data(states[i][:few]) for i in (*shown, steps)],
                [*(f"t = {timesteps[i]}" for i in shown), "sample"],
                path.with_name(f"epoch_{epoch:03d}_process.png"),
                title,
                None if self.labels is None else self.labels[:few],
            )
        return path
