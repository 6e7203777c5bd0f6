"""Make the pictures in the README and in docs/ again: all (`make docs`), or some by name.

    python docs/build.py                         all, in about an hour on two cores
    python docs/build.py guidance inpainting     these two

Most pictures are made by the command beside them; the others combine the output of several
commands. Most pictures of digits use the models in pretrained/. Eight models are trained for the
others and kept in --folder; a model that is already there is not trained again. One of them learns
from a folder of pictures, emoji/ in --data_dir; without that folder, `own_pictures` is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
sys.path.insert(0, str(REPOSITORY))

from datasets import load_images
from docs.photographs import compare_samplers, draw_a_seven, photograph
from evaluation.bound import bound_figures
from plots.images import save_rows
from sampling import restore
from system.words import counted

LARGEST = 400_000  # largest size of a picture in bytes
LARGEST_PAGE = 6_000_000
DIGITS, DIGITS_AT_ONCE = "mnist", "mnist_one_step"  # in pretrained/
EPOCHS = 6
GUIDANCE = (0, 1, 2, 4, 8)
SHOWN_STEPS = (1, 2, 4, 20, 1000)


class Studio:
    """Runs the scripts, and keeps models that several pictures need.

    Args:
        folder: for the models and other intermediate files.
        data_dir: the folder of MNIST, which is downloaded to it.
        target: the folder for the pictures.
    """

    def __init__(self, folder: Path, data_dir: Path, target: Path) -> None:
        self.folder, self.data_dir, self.target = folder, data_dir, target

    def run(self, script: str, *options: object) -> None:
        print(f"python {script} {' '.join(map(str, options))}", flush=True)
        subprocess.run([sys.executable, REPOSITORY / script, *map(str, options)], check=True)

    def train(self, name: str, *options: object) -> Path:
        """The folder of a run, which is trained unless it exists."""
        folder = self.folder / name
        if not (folder / "model_final.pt").is_file():
            self.run("train.py", *options, "--data_dir", self.data_dir, "--output_dir", folder)
        return folder

    def has(self, folder: Path) -> bool:
        """Whether a folder of pictures exists."""
        return folder.is_dir()

    def labelled(self, dataset: str) -> Path:
        """The folder of a class-conditional run, such as those of the models in pretrained/."""
        return self.train(dataset, "--dataset", dataset, "--class_conditional", "--epochs", EPOCHS)

    def points(self) -> Path:
        return self.train("dino", "--dataset", "dino")

    def tuned(self, model: Path, *options: object) -> Path:
        """The folder of a run that tunes a model for few steps."""
        start = ("--consistency", model / "model_final.pt")
        return self.train(f"{model.name}_few", *start, *options)

    def samples(self, checkpoint: str, *options: object) -> torch.Tensor:
        made = self.folder / "samples.npy"
        # If an option is given twice, the second one counts.
        usual = ("--sampler", "dpmpp", "--output", made)
        self.run("sample.py", "--checkpoint", checkpoint, *usual, *options)
        return torch.from_numpy(np.load(made))

    def show(self, made: Path, name: str, largest: int = LARGEST) -> None:
        """Copy a picture, or the page, to the target folder."""
        size = made.stat().st_size
        if size > largest:
            raise SystemExit(f"{made} has {size:,} bytes, which is too large for {name}")
        shutil.copyfile(made, self.target / name)


def hero(studio: Studio) -> None:
    made = studio.folder / "hero.png"
    look = ("--num_images", 10, "--sampler", "dpmpp", "--steps", 16, "--gif", "--guidance", 1.5)
    studio.run("sample.py", "--checkpoint", DIGITS, *look, "--output", made)
    studio.show(made.with_suffix(".gif"), "hero.gif")


def forward(studio: Studio) -> None:
    made = studio.folder / "forward.png"
    data = ("--dataset", "mnist", "--data_dir", studio.data_dir, "--num_images", 5, "--no-gif")
    studio.run("visualize_diffusion.py", *data, "--save_path", made)
    studio.show(made, "forward.png")


def process(studio: Studio) -> None:
    made = studio.folder / "process"
    studio.run(
        "sample.py", "--checkpoint", DIGITS, "--labels", "0-7", "--num_images", 8,
        "--show_intermediate", "--output", made / "samples.png",
    )  # fmt: skip
    studio.show(made / "intermediate" / "process.png", "process.png")


def schedules(studio: Studio) -> None:
    made = studio.folder / "schedules.png"
    data = ("--dataset", "mnist", "--data_dir", studio.data_dir)
    studio.run("visualize_diffusion.py", "--compare_schedules", *data, "--save_path", made)
    studio.show(made, "schedules.png")


def gallery(studio: Studio) -> None:
    made = studio.folder / "gallery.png"
    studio.run("visualize_diffusion.py", "--gallery", "--save_path", made)
    studio.show(made, "gallery.png")


def arrows(studio: Studio) -> None:
    model, made = studio.points() / "model_final.pt", studio.folder / "points" / "forward.png"
    options = ("--checkpoint", model, "--arrows", "--no-gif", "--save_path", made)
    studio.run("visualize_diffusion.py", *options)
    studio.show(made.with_name("arrows.png"), "arrows.png")


def page(studio: Studio) -> None:
    """The published page, with a pretrained model, and a screenshot of it."""
    made, photographed = studio.folder / "index.html", studio.folder / "page.png"
    data = ("--data_dir", studio.data_dir)
    studio.run("visualize_diffusion.py", "--checkpoint", DIGITS, *data, "--html", made)
    studio.show(made, "index.html", LARGEST_PAGE)
    if photograph(made, photographed, draw_a_seven):
        studio.show(photographed, "page.png")


def explorer(studio: Studio) -> None:
    made, photographed = studio.folder / "explorer.html", studio.folder / "explorer.png"
    model = studio.points() / "model_final.pt"
    studio.run("visualize_diffusion.py", "--checkpoint", model, "--html", made)
    if photograph(made, photographed, compare_samplers):
        studio.show(photographed, "explorer.png")


def unet(studio: Studio) -> None:
    made = studio.folder / "unet.png"
    studio.run("docs/diagram.py", made)
    studio.show(made, "unet.png")


def dit(studio: Studio) -> None:
    made = studio.folder / "dit.png"
    studio.run("docs/diagram.py", made)
    studio.show(made, "dit.png")


def loss(studio: Studio) -> None:
    studio.show(studio.labelled("mnist") / "training_loss.png", "loss.png")


def guidance(studio: Studio) -> None:
    rows = []
    for scale in GUIDANCE:
        options = ("--labels", "0-9", "--num_images", 20, "--guidance", scale)
        rows.append((f"guidance {scale}", studio.samples(DIGITS, *options)))
    made = studio.folder / "guidance.png"
    title = "Labels 0-9 from the same noise, with more and more guidance (0: no class)"
    save_rows(rows, made, title)
    studio.show(made, "guidance.png")


def interpolation(studio: Studio) -> None:
    made = studio.folder / "interpolation.png"
    options = ("--interpolate", 1, 3, "--labels", "4,7,2", "--num_images", 3, "--guidance", 1.5)
    studio.run("sample.py", "--checkpoint", DIGITS, *options, "--output", made)
    studio.show(made, "interpolation.png")


def inpainting(studio: Studio) -> None:
    made = studio.folder / "inpainting.png"
    image = ("--inpaint", 0, "--mask", "lower_half", "--data_dir", studio.data_dir)
    studio.run("sample.py", "--checkpoint", DIGITS, *image, "--output", made)
    studio.show(made, "inpainting.png")


def inversion(studio: Studio) -> None:
    made = studio.folder / "inversion.png"
    image = ("--inversion", 7, "--labels", "3,8,9,5,0", "--guidance", 3, "--steps", 20)
    data = ("--data_dir", studio.data_dir)
    studio.run("sample.py", "--checkpoint", DIGITS, *image, *data, "--output", made)
    studio.show(made, "inversion.png")


def own_pictures(studio: Studio) -> None:
    pictures, made = studio.data_dir / "emoji", studio.folder / "own_pictures.png"
    if not studio.has(pictures):
        print(f"{pictures} does not exist, so own_pictures is left out")
        return
    data = ("--dataset", pictures, "--image_size", 32, "--class_conditional")
    model = studio.train("emoji", *data, "--epochs", 292) / "model_final.pt"
    which = ("--labels", "flags,food_drink,smileys_emotion", "--num_images", 36)
    how = ("--guidance", 2, "--sampler", "dpmpp", "--steps", 50, "--eta", 1)
    studio.run("sample.py", "--checkpoint", model, *which, *how, "--output", made)
    studio.show(made, "own_pictures.png")


def noise_map(studio: Studio) -> None:
    model, made = studio.points(), studio.folder / "noise" / "forward.png"
    few = ("--noise_map", studio.tuned(model) / "model_final.pt")
    save = ("--no-gif", "--save_path", made)
    studio.run("visualize_diffusion.py", "--checkpoint", model / "model_final.pt", *few, *save)
    studio.show(made.with_name("noise_map.png"), "noise_map.png")


def density(studio: Studio) -> None:
    made = studio.folder / "moons_density" / "forward.png"
    model = studio.train("moons", "--dataset", "moons") / "model_final.pt"
    options = ("--checkpoint", model, "--density", "--no-gif", "--save_path", made)
    studio.run("visualize_diffusion.py", *options)
    studio.show(made.with_name("density.png"), "density.png")


def bits(studio: Studio) -> None:
    """The bits per dimension under the model in the repository."""
    made, trained = studio.folder / "bits.png", restore(Path(DIGITS), torch.device("cpu"))
    test = load_images("mnist", studio.data_dir, train=False)
    x0 = trained.units.to_model(test.examples)
    bound_figures(trained.diffusion, trained.network, x0, test.labels, made)
    studio.show(made, "bits.png")


def learned_schedule(studio: Studio) -> None:
    run = studio.train("dino_learned", "--dataset", "dino", "--schedule", "learned")
    studio.show(run / "learned_schedule.png", "learned_schedule.png")


def one_step(studio: Studio) -> None:
    rows = []
    for model, name, sampler, counts in (
        (DIGITS, "trained", "ddim", SHOWN_STEPS),
        (DIGITS_AT_ONCE, "tuned", "consistency", SHOWN_STEPS[:-1]),
    ):
        for steps in counts:
            which = ("--labels", "0-9", "--num_images", 10)
            how = ("--sampler", sampler, "--steps", steps)
            samples = studio.samples(model, *which, *how)
            rows.append((f"{name}, {counted(steps, 'step')}", samples))
    made = studio.folder / "one_step.png"
    save_rows(rows, made, "The same noise, sampled in more and more steps, before and after tuning")
    studio.show(made, "one_step.png")


def steps(studio: Studio) -> None:
    model, made = studio.labelled("mnist"), studio.folder / "steps.png"
    tuned = studio.tuned(model, "--epochs", EPOCHS)
    data = ("--dataset", "mnist", "--class_conditional", "--epochs", EPOCHS)
    jumping = studio.train("mnist_shortcut", *data, "--objective", "shortcut")
    few = (folder / "model_final.pt" for folder in (tuned, jumping))
    models = ("--checkpoint", model / "model_final.pt", "--few", *few)
    where = ("--data_dir", studio.data_dir, "--picture", made)
    fewer = ("--num_samples", 1000, "--most", 30)
    studio.run("benchmarks/steps.py", *models, *where, *fewer)
    studio.show(made, "steps.png")


PICTURES: dict[str, Callable[[Studio], None]] = {
    picture.__name__: picture
    for picture in (
        unet, dit, gallery, forward, schedules, arrows, page, explorer, loss, hero, process,
        guidance, interpolation, inpainting, inversion, own_pictures, noise_map, density,
        bits, learned_schedule,
        one_step, steps,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    known = ", ".join(PICTURES)
    add("names", nargs="*", metavar="NAME", help=f"some of: {known} (default: all)")
    add("--data_dir", type=Path, default=Path("data"), metavar="DIR")
    add("--folder", type=Path, default=Path("outputs/docs"), metavar="DIR")
    add("--target", type=Path, default=DOCS, metavar="DIR", help="folder for the pictures")
    args = parser.parse_args()
    for name in args.names:
        if name not in PICTURES:
            parser.error(f"no picture {name!r}; there are {known}")
    args.folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(args.folder.resolve(), args.data_dir.resolve(), args.target)
    for name in args.names or PICTURES:
        PICTURES[name](studio)


if __name__ == "__main__":
    main()
