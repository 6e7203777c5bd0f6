"""Quality and time of the default run on sets of points, as a table.

    python benchmarks/points.py                        all built-in sets
    python benchmarks/points.py dino drawing.csv       these

Each is trained by `train.py` with its defaults, as a process of its own, whose whole time is given.
Then 4,000 samples (ddim, 50 steps) are compared with 4,000 fresh points of the data. Distances
are in units of the data's spread; ED and SW2 stand beside the same between two fresh sets of
data, their floor. `stray` is the mean distance from a sample to the nearest data point, `gap` the
largest from a data point to the nearest sample; both with the floor in brackets.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from cli import POINT_DATASETS  # noqa: E402
from datasets import load_points  # noqa: E402
from diffusion import ddim, final, make_diffusion, trailing_timesteps  # noqa: E402
from metrics import energy_distance, nearest, sliced_wasserstein  # noqa: E402
from models import load_model  # noqa: E402
from spaces import make_space  # noqa: E402
from utils import SeededNoise, load_checkpoint  # noqa: E402

COUNT = 4000
JITTER = 0.01


def train(name: str, folder: Path) -> float:
    """Run train.py with defaults; the seconds of the whole process."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, REPOSITORY / "train.py", "--dataset", name, "--output_dir", folder],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def compare(name: str, checkpoint_path: Path) -> str:
    """One row of figures for a trained model."""
    checkpoint = load_checkpoint(checkpoint_path)
    config = checkpoint["config"]
    space, diffusion = make_space(config), make_diffusion(config)
    timesteps = trailing_timesteps(len(diffusion.schedule), 50)
    denoise = diffusion.denoiser(load_model(checkpoint))
    start = diffusion.starting_noise(SeededNoise(1, 0, COUNT, "cpu").draw(2))
    samples = final(ddim(denoise, start, diffusion.schedule, timesteps))
    fresh, other = (
        space.to_model(load_points(name, COUNT, JITTER, seed).examples) for seed in (101, 102)
    )
    energy, energy_floor = energy_distance(samples, fresh), energy_distance(other, fresh)
    sliced, sliced_floor = sliced_wasserstein(samples, fresh), sliced_wasserstein(other, fresh)
    stray, stray_floor = nearest(samples, fresh).mean(), nearest(other, fresh).mean()
    gap, gap_floor = nearest(fresh, samples).max(), nearest(fresh, other).max()
    return (
        f"{energy / energy_floor:.2f} | {sliced:.4f} ({sliced_floor:.4f}) |"
        f" {stray:.4f} ({stray_floor:.4f}) | {gap:.3f} ({gap_floor:.3f})"
    )


def main() -> None:
    names = sys.argv[1:] or POINT_DATASETS
    print("| dataset | seconds | ED / floor | SW2 (floor) | stray (floor) | gap (floor) |")
    print("|---|---|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            seconds = train(name, Path(folder))
            row = compare(name, Path(folder) / "model_final.pt")
            title = Path(name).stem if "." in name else name
            print(f"| {title} | {seconds:.1f} | {row} |", flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
