"""FID after equal minutes of training: this project beside its rivals, each by its own recipe.

    pip install -r benchmarks/requirements.txt
    python benchmarks/budgets.py                       2, 5, 10 and 20 minutes: three hours
    python benchmarks/budgets.py --minutes 1 --num_samples 500

This project is `train.py` with its defaults, on as many images as the machine manages in the time
(found out first), and `sample.py --sampler dpmpp`, without and with fresh noise. The rivals are
their smallest usual U-Nets (see throughput.py) in bfloat16, trained as their examples train: their
batch size, optimiser, noise schedule, prediction and moving average; sampled by their own fast
sampler. All clocks stand still while samples are made. FID is that of `evaluate.py`, but of fewer
samples, because the rivals take minutes for these; real images stand below.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from recipes import script
from throughput import diffusers_unet, lucidrains_unet

from datasets import Dataset, load_images
from datasets.mnist import SHAPE, SIZE
from datasets.units import to_pixels, to_unit
from evaluation.classifier import classify, load_classifier
from evaluation.image_metrics import frechet_distance, kernel_distance
from evaluation.images import hold_out

PROBE = 30  # seconds, about, in which our own speed is found out
AT_ONCE = 250  # samples of a rival
SAMPLERS = {  # of our own: what is fast, and what is best after long runs
    "dpmpp 20": ("--sampler", "dpmpp"),
    "dpmpp 50, eta 1": ("--sampler", "dpmpp", "--steps", 50, "--eta", 1),
}

Score = Callable[[Tensor], str]


class Rival(ABC):
    """A model in training; `step` is one of its optimiser."""

    batch: int
    recipe: str

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.steps = 0

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """Of images x (B, *SHAPE) in [-1, 1]."""

    @abstractmethod
    def update_average(self) -> None: ...

    @abstractmethod
    def sample(self, count: int) -> Tensor:
        """Images x (count, *SHAPE) in [-1, 1]."""

    def step(self, x: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss(x)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update_average()
        self.steps += 1


class Diffusers(Rival):
    """examples/unconditional_image_generation/train_unconditional.py, with --use_ema."""

    batch = 16
    recipe = "eps, linear, ddim 50"

    def __init__(self) -> None:
        from diffusers import DDPMScheduler
        from diffusers.training_utils import EMAModel

        model = diffusers_unet(32, 64, 128)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6
        )
        super().__init__(model, optimizer)
        self.average = EMAModel(model.parameters(), 0.9999, use_ema_warmup=True, power=0.75)
        self.schedule = DDPMScheduler(num_train_timesteps=1000)

    def loss(self, x: Tensor) -> Tensor:
        # Theirs falls along a cosine over the run, whose length a time limit does not know.
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-4 * min(1.0, (self.steps + 1) / 500)
        eps, t = torch.randn_like(x), torch.randint(1000, (len(x),))
        noisy = self.schedule.add_noise(x, eps, t)
        return (self.model(noisy, t).sample.float() - eps).square().mean()

    def update_average(self) -> None:
        self.average.step(self.model.parameters())

    def sample(self, count: int) -> Tensor:
        from diffusers import DDIMScheduler

        sampler = DDIMScheduler.from_config(self.schedule.config)
        sampler.set_timesteps(50)
        self.average.store(self.model.parameters())
        self.average.copy_to(self.model.parameters())
        x = torch.randn(count, *SHAPE)
        for t in sampler.timesteps:
            x = sampler.step(self.model(x, t).sample.float(), t, x).prev_sample
        self.average.restore(self.model.parameters())
        return x


class Averaged(Rival):
    """A rival whose moving average is a second model with a constant decay."""

    decay: float

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(model, optimizer)
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(self.decay)
        self.average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average)
        self.average.eval()

    def update_average(self) -> None:
        self.average.update_parameters(self.model)


class Lucidrains(Averaged):
    """Its GaussianDiffusion and Trainer, with their defaults."""

    batch = 16
    recipe = "v, sigmoid, ddim 50"
    decay = 0.995

    def __init__(self) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion

        model = GaussianDiffusion(
            lucidrains_unet(), image_size=SIZE, timesteps=1000, sampling_timesteps=50
        )
        super().__init__(model, torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99)))

    def loss(self, x: Tensor) -> Tensor:
        return self.model((x + 1) / 2)

    def update_average(self) -> None:
        if self.steps % 10 == 0:
            super().update_average()

    def sample(self, count: int) -> Tensor:
        return 2 * self.average.module.sample(batch_size=count).float() - 1


class SmallDiffusion(Averaged):
    """examples/fashion_mnist_unet.py."""

    batch = 1024
    recipe = "eps, log-linear, momentum 20"
    decay = 0.999

    def __init__(self) -> None:
        from smalldiffusion import Scaled, ScheduleLogLinear, Unet

        model = Scaled(Unet)(SIZE, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(SIZE // 2,))
        super().__init__(model, torch.optim.AdamW(model.parameters(), lr=7e-4))
        self.schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)

    def loss(self, x: Tensor) -> Tensor:
        from smalldiffusion import generate_train_sample

        self.model.train()
        return self.model.get_loss(*generate_train_sample(x, self.schedule))

    def sample(self, count: int) -> Tensor:
        from smalldiffusion import samples

        sigmas = self.schedule.sample_sigmas(20)
        *_, x = samples(self.average.module, sigmas, gam=1.6, batchsize=count)
        return x.float()


class SmallDiffusionInSmallBatches(SmallDiffusion):
    """The same, but for the batch: two cores take 40 s for one of 1024 images."""

    batch = 128


def compete(name: str, data: Dataset, args: argparse.Namespace, score: Score) -> None:
    """Train a rival, and score it at every budget."""
    torch.manual_seed(0)
    rival = RIVALS[name]()
    order, spent = torch.empty(0, dtype=torch.int64), 0.0
    for minutes in args.minutes:
        while spent < 60 * minutes:
            start = time.perf_counter()
            if len(order) < rival.batch:
                order = torch.randperm(len(data))
            batch, order = order[: rival.batch], order[rival.batch :]
            rival.step(to_unit(data.examples[batch]))
            spent += time.perf_counter() - start
        rival.model.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            parts = [
                rival.sample(min(AT_ONCE, args.num_samples))
                for _ in range(math.ceil(args.num_samples / AT_ONCE))
            ]
        rival.model.train()
        pixels = to_pixels(torch.cat(parts)[: args.num_samples])
        report(name, rival.recipe, spent, rival.steps, score(pixels))


def train_ours(images: int, args: argparse.Namespace, folder: Path) -> tuple[float, int]:
    """Train on so many images in all: its seconds, as its history has them, and its steps."""
    epochs = math.ceil(images / 60_000)
    data = ("--dataset", args.dataset, "--data_dir", args.data_dir, "--quiet")
    length = ("--epochs", epochs, "--subset", images // epochs, "--sample_interval", epochs)
    script("train.py", *data, *length, "--output_dir", folder)
    with (folder / "history.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    return float(last["seconds"]), int(last["step"])


def compete_ourselves(args: argparse.Namespace, score: Score) -> None:
    """Train anew for each budget, since the learning rate falls over the run."""
    probe = 600 * PROBE
    seconds, _ = train_ours(probe, args, args.folder / "probe")
    rate = probe / seconds
    for minutes in args.minutes:
        folder = args.folder / f"minutes_{minutes:g}"
        seconds, steps = train_ours(int(rate * 60 * minutes), args, folder)
        for sampler, options in SAMPLERS.items():
            made = folder / "samples.npy"
            many = ("--num_images", args.num_samples, "--quiet", "--output", made)
            script("sample.py", "--checkpoint", folder / "model_final.pt", *options, *many)
            figures = score(torch.from_numpy(np.load(made)))
            report("**this project**", f"x0, cosine, Muon, {sampler}", seconds, steps, figures)


def report(name: str, recipe: str, seconds: float, steps: int, figures: str) -> None:
    print(f"| {name} | {recipe} | {seconds / 60:.1f} | {steps:,} | {figures} |", flush=True)


OURS = "ours"
RIVALS: dict[str, Callable[[], Rival]] = {
    "diffusers": Diffusers,
    "lucidrains": Lucidrains,
    "smalldiffusion": SmallDiffusion,
    "smalldiffusion-128": SmallDiffusionInSmallBatches,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, nargs="+", default=[2, 5, 10, 20], metavar="M", help="ascending")
    add("--dataset", default="mnist", choices=("mnist", "fashion_mnist", "digits"))
    add("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    add("--num_samples", type=int, default=1000, metavar="N")
    known = (OURS, *RIVALS)
    models = f"of: {', '.join(known)} (default: all)"
    add("--models", nargs="+", default=known, choices=known, metavar="NAME", help=models)
    add("--folder", type=Path, default=Path("outputs/budgets"), metavar="DIR")
    args = parser.parse_args()
    train, test = (load_images(args.dataset, args.data_dir, train=part) for part in (True, False))
    kept, held = hold_out(train)
    model = load_classifier(kept, args.data_dir)
    of_test, _ = classify(model, test.examples, "cpu")

    def score(pixels: Tensor) -> str:
        features, _ = classify(model, pixels, "cpu")
        fid, kid = frechet_distance(features, of_test), kernel_distance(features, of_test)
        return f"{fid:.2f} | {1000 * kid:.1f}"

    print("| model | recipe | minutes | steps | FID | KID x 1000 |\n|---|---|---|---|---|---|")
    for name in args.models:
        if name == OURS:
            compete_ourselves(args, score)
        else:
            compete(name, train, args, score)
    print(f"| real images | | | | {score(held.examples[: args.num_samples])} |")


if __name__ == "__main__":
    main()
