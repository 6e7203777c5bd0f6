"""The rivals: their smallest usual U-Nets, trained and sampled as in their examples.

`batch` can be set to another size before training, since theirs were not chosen for a CPU.

Each rival needs its package (requirements.txt), which is imported only where it is used. The sides
of images must be multiples of 4, since these U-Nets halve them twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]  # of an image x, (channels, side, side)
SIDES = 4  # the sides of images must be multiples of this


def diffusers_unet(shape: Shape, *widths: int) -> nn.Module:
    from diffusers import UNet2DModel

    channels, side, _ = shape
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        norm_num_groups=8,
    )


def lucidrains_unet(shape: Shape) -> nn.Module:
    from denoising_diffusion_pytorch import Unet

    return Unet(32, dim_mults=(1, 2, 4), channels=shape[0])


def smalldiffusion_unet(shape: Shape, scaled: bool = False) -> nn.Module:
    """The network of its example for Fashion-MNIST; training needs `scaled`."""
    from smalldiffusion import Scaled, Unet

    channels, side, _ = shape
    make = Scaled(Unet) if scaled else Unet
    return make(side, channels, channels, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(side // 2,))


class Rival(ABC):
    """A model in training; `step` is an optimizer step.

    Args:
        shape: of an image x.
    """

    batch: int
    recipe: str
    samplers: tuple[str, ...]
    clip: float | None = 1.0  # largest norm of the gradient
    reduced = True  # whether it trains in bfloat16 where it can

    def __init__(self, shape: Shape, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.shape, self.model, self.optimizer = shape, model, optimizer
        self.steps = 0

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """The training loss for images x (B, *shape) in [-1, 1]."""

    @abstractmethod
    def update_average(self) -> None: ...

    @abstractmethod
    def sample(self, count: int, sampler: str) -> Tensor:
        """Images x (count, *shape), in [-1, 1] unless the sampler exceeds that range."""

    def step(self, x: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.reduced):
            loss = self.loss(x)
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update_average()
        self.steps += 1


class Diffusers(Rival):
    """examples/unconditional_image_generation/train_unconditional.py, with --use_ema."""

    batch = 16
    recipe = "eps, linear"
    samplers = ("ddim 50", "dpmpp 20")

    def __init__(self, shape: Shape) -> None:
        from diffusers import DDPMScheduler
        from diffusers.training_utils import EMAModel

        model = diffusers_unet(shape, 32, 64, 128)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6
        )
        super().__init__(shape, model, optimizer)
        self.average = EMAModel(model.parameters(), 0.9999, use_ema_warmup=True, power=0.75)
        self.schedule = DDPMScheduler(num_train_timesteps=1000)

    def loss(self, x: Tensor) -> Tensor:
        # In the example it also falls along a cosine, but with a time limit the length is unknown.
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-4 * min(1.0, (self.steps + 1) / 500)
        eps, t = torch.randn_like(x), torch.randint(1000, (len(x),))
        noisy = self.schedule.add_noise(x, eps, t)
        return (self.model(noisy, t).sample.float() - eps).square().mean()

    def update_average(self) -> None:
        self.average.step(self.model.parameters())

    def sample(self, count: int, sampler: str) -> Tensor:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        name, steps = sampler.split()
        scheduler = DDIMScheduler if name == "ddim" else DPMSolverMultistepScheduler
        reverse = scheduler.from_config(self.schedule.config)
        reverse.set_timesteps(int(steps))
        self.average.store(self.model.parameters())
        self.average.copy_to(self.model.parameters())
        x = torch.randn(count, *self.shape)
        for t in reverse.timesteps:
            x = reverse.step(self.model(x, t).sample.float(), t, x).prev_sample
        self.average.restore(self.model.parameters())
        return x


class Lucidrains(Rival):
    """Its GaussianDiffusion and Trainer, with their defaults, but without mirrored images."""

    batch = 16
    recipe = "v, sigmoid"
    samplers = ("ddim 50",)

    def __init__(self, shape: Shape) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion
        from ema_pytorch import EMA

        # Not as in its examples, but a quarter faster on a CPU.
        unet = lucidrains_unet(shape).to(memory_format=torch.channels_last)
        model = GaussianDiffusion(unet, image_size=shape[-1], timesteps=1000, sampling_timesteps=50)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))
        super().__init__(shape, model, optimizer)
        self.average = EMA(model, beta=0.995, update_every=10)

    def loss(self, x: Tensor) -> Tensor:
        return self.model((x + 1) / 2)

    def update_average(self) -> None:
        self.average.update()

    def sample(self, count: int, sampler: str) -> Tensor:
        return 2 * self.average.ema_model.eval().sample(batch_size=count).float() - 1


class SmallDiffusion(Rival):
    """examples/fashion_mnist_unet.py."""

    batch = 1024
    recipe = "eps, log-linear"
    samplers = ("momentum 20",)
    clip = None

    def __init__(self, shape: Shape) -> None:
        from smalldiffusion import ScheduleLogLinear
        from torch_ema import ExponentialMovingAverage

        model = smalldiffusion_unet(shape, scaled=True)
        super().__init__(shape, model, torch.optim.AdamW(model.parameters(), lr=7e-4))
        self.average = ExponentialMovingAverage(model.parameters(), decay=0.999)
        self.schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)

    def loss(self, x: Tensor) -> Tensor:
        from smalldiffusion import generate_train_sample

        self.model.train()
        return self.model.get_loss(*generate_train_sample(x, self.schedule))

    def update_average(self) -> None:
        self.average.update()

    def sample(self, count: int, sampler: str) -> Tensor:
        from smalldiffusion import samples

        sigmas = self.schedule.sample_sigmas(20)
        with self.average.average_parameters():
            *_, x = samples(self.model, sigmas, gam=1.6, batchsize=count)
        return x.float()


RIVALS: dict[str, Callable[[Shape], Rival]] = {
    "diffusers": Diffusers,
    "lucidrains": Lucidrains,
    "smalldiffusion": SmallDiffusion,
}
