"""The benchmarks, and the pictures of the README, take hours; here they only have to start.

But budgets.py, which takes any images, is run with models that are not trained.
"""

import argparse
import csv
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from scripts import REPOSITORY, succeed
from studio import IMAGES, POINTS, picture, texts_above, write_model

from checkpoints import load_checkpoint
from cli.train_options import parse_arguments
from datasets import Dataset, load_images
from datasets.settings import ImageSettings
from datasets.units import to_unit
from plots.images import tile
from sampling import restore

FOLDER = REPOSITORY / "benchmarks"
SCRIPTS = [path for path in sorted(FOLDER.glob("*.py")) if "__main__" in path.read_text()]
BENCHMARKS = [*SCRIPTS, REPOSITORY / "docs" / "build.py"]


def load(name: str, monkeypatch) -> ModuleType:
    """A benchmark as a module, which finds the others beside it."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.name)
def test_help_says_what_is_measured(path, tmp_path):
    assert succeed(str(path), "--help", cwd=tmp_path).startswith("usage:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("most", "ticks"), [(250, "5 10 20 50 100 250"), (100, "5 10 20 50 100")])
def test_the_picture_of_steps_ends_where_the_measurements_do(
    most, ticks, figures, tmp_path, monkeypatch
):
    steps = load("steps", monkeypatch)
    measured = {("trailing", "ddim"): [(most, 0.2), (5, 1.5)], ("lambda", "ddim"): [(9, 0.9)]}
    steps.draw(measured, 0.1, tmp_path / "steps.png")
    axes = figures["steps"].axes[0]
    assert texts_above(axes) == ticks.split()  # they are below, in truth
    assert axes.get_xlim()[1] < 1.5 * most
    assert axes.lines[0].get_xydata().tolist() == [[5, 1.5], [most, 0.2]]


def test_models_for_few_steps_stand_in_the_table_of_steps_with_their_own_timesteps(
    tmp_path, monkeypatch, capsys
):
    steps = load("steps", monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_model("few.pt", *IMAGES, "--objective", "shortcut")
    trained = restore(tmp_path / "few.pt")
    asked = []

    def judge(images):
        asked.append(images.shape)
        return 0.5 + len(asked), 0.001

    planned = [("own", "shortcut", [999, 499]), ("trailing", "heun", [999, 499, 249])]
    rows = list(steps.measured(trained, planned, 3, judge))
    assert rows == [("own", "shortcut", 2, 1.5), ("trailing", "heun", 5, 2.5)]
    assert asked == [(3, 28, 28)] * 2
    assert "| shortcut | own | 2 | 2 | 1.50 | 1.00 | " in capsys.readouterr().out


def test_schedules_are_compared_by_medians_over_seeds(tmp_path, monkeypatch, capsys):
    schedules = load("schedules", monkeypatch)
    told = []

    def train(name, *options):
        told.append([str(option) for option in options])
        folder = Path(told[-1][-1])
        folder.mkdir(parents=True)
        write_model(folder / "model_final.pt", *POINTS, *options)

    monkeypatch.setattr(schedules, "script", train)
    monkeypatch.setattr(schedules, "COUNT", 200)
    monkeypatch.setattr(sys.modules["points"], "COUNT", 200)
    monkeypatch.setattr(sys.modules["points"], "FRESH_SETS", 2)
    arguments = ["", "moons", "--seeds", "3", "--folder", str(tmp_path)]
    monkeypatch.setattr(schedules.sys, "argv", arguments)
    schedules.main()
    assert len(told) == 9
    assert told[5][:6] == ["--dataset", "moons", "--schedule", "cosine", "--seed", "2"]
    *_, last = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    assert cells[:2] == ["moons", "learned"]
    found = [
        schedules.figures("moons", load_checkpoint(path))
        for path in sorted(tmp_path.glob("moons/learned_*/model_final.pt"))
    ]
    for k, cell in enumerate(cells[2:6]):
        low, middle, high = sorted(model[k] for model in found)
        assert cell == f"{middle:.3g} ({low:.3g} to {high:.3g})"
    schedules.main()
    assert len(told) == 9  # none is trained again


# ------------------------------------------------------------------------ equal minutes of training

SIDE, PICTURES = 16, 40


@pytest.fixture
def budgets(monkeypatch):
    return load("budgets", monkeypatch)


@pytest.fixture
def pictures(tmp_path):
    """Wide pictures in two classes: red ones with a dark stripe somewhere, and blue ones."""
    for k in range(PICTURES):
        colour = ("red", "blue")[k % 2]
        picture = Image.new("RGB", (24, 20), colour)
        picture.paste((k, 60, k), (4 + k % 10, 0, 7 + k % 10, 20))
        path = tmp_path / "pictures" / colour / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return tmp_path / "pictures"


def images_of(folder, tmp_path, train):
    settings = ImageSettings(image_size=SIDE)
    return load_images(str(folder), tmp_path / "data", train, settings=settings)


class Scripts:
    """In place of train.py and sample.py: notes what it is told to train, and samples grey."""

    def __init__(self) -> None:
        self.told = []

    def __call__(self, name, *options):
        words = [str(option) for option in options]
        if name == "train.py":
            args = parse_arguments(words, None)
            self.told.append(args)
            args.output_dir.mkdir(parents=True)
            with (args.output_dir / "history.csv").open("w") as file:
                csv.writer(file).writerows([("step", "seconds"), (1, 0.5), (8, 4.0)])
        else:
            count, path = (words[words.index(word) + 1] for word in ("--num_images", "--output"))
            np.save(path, np.full((int(count), SIDE, SIDE, 3), 127, dtype=np.uint8))


def run_budgets(budgets, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["budgets.py", *map(str, options)])
    budgets.main()


def test_budgets_compares_models_of_coloured_pictures(
    budgets, pictures, figures, tmp_path, monkeypatch, capsys
):
    train, test = (images_of(pictures, tmp_path, part) for part in (True, False))
    seen = []

    class ByHeart:
        """A rival that makes the very images that it is compared with."""

        batch, recipe, samplers = 5, "by heart", ("memory", "copy")

        def __init__(self, shape):
            assert shape == (3, SIDE, SIDE)
            self.model, self.steps = torch.nn.Identity(), 0

        def step(self, x):
            time.sleep(0.01)
            seen.append(x)
            self.steps += 1

        def sample(self, count, sampler):
            return (
                to_unit(test.examples[:count])
                if sampler == "memory"
                else torch.zeros(count, 3, SIDE, SIDE)
            )

    scripts = Scripts()
    monkeypatch.setattr(budgets, "RIVALS", {"rival": ByHeart})
    monkeypatch.setattr(budgets, "script", scripts)
    where = ("--dataset", pictures, "--data_dir", tmp_path / "data", "--folder", tmp_path / "out")
    amount = ("--image_size", SIDE, "--minutes", 0.01, "--num_samples", len(test))
    run_budgets(budgets, monkeypatch, *where, *amount)

    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[0] == "|"]
    ours, again, rival, worse, real = rows[2:]
    assert ours[:5] == ["**this project**", "unet, dpmpp20", "0", "0.1", "8"]
    assert again == [ours[0], "unet, dpmpp50_eta1", *ours[2:]]
    assert rival[:5] == ["rival", "by heart, batch 5, memory", "0", "0.0", f"{len(seen)}"]
    assert worse[1] == "by heart, batch 5, copy"
    assert abs(float(rival[5])) < 0.01 < float(worse[5])
    assert float(ours[5]) > float(real[5]) > 0
    with (tmp_path / "out" / "rows.csv").open() as file:
        noted = list(csv.DictReader(file))
    assert [row["model"] for row in noted] == ["ours", "ours", "rival", "rival", "real images"]
    assert all(row["budget"] == "0.01" for row in noted[:-1])
    assert {row["dataset"] for row in noted} == {str(pictures)}
    for row, cells in zip(noted, rows[2:], strict=True):
        assert f"{float(row['fid']):.2f}" == cells[5]
    # 8 steps in 4 seconds are 1.2 in 0.6.
    assert [args.epochs for args in scripts.told] == [budgets.PROBE, 1]
    for args in scripts.told:
        assert (args.dataset, args.image_size) == (str(pictures), SIDE)
        assert not args.class_conditional
    assert_epochs(seen, train)
    shown = picture(figures[f"rival_{len(seen)}_steps_by_heart_batch_5_memory_seed_0"].axes[0])
    np.testing.assert_array_equal(shown, tile(test.examples, 2))
    grey = picture(figures["ours_8_steps_unet_dpmpp20_seed_0"].axes[0])
    np.testing.assert_array_equal(grey, tile(torch.full_like(test.examples, 127), 2))
    assert picture(figures["real"].axes[0]).shape == shown.shape


def assert_epochs(batches, data):
    """Batches go through the data again and again, and take no image twice in one epoch."""
    per_epoch = len(data) // len(batches[0])
    known = {x.numpy().tobytes() for x in to_unit(data.examples)}
    assert len(batches) > 2 * per_epoch
    for first in range(0, len(batches) - per_epoch + 1, per_epoch):
        epoch = torch.cat(batches[first : first + per_epoch])
        found = {x.numpy().tobytes() for x in epoch}
        assert len(found) == len(epoch)
        assert found <= known


def test_budgets_takes_networks_seeds_and_rates(budgets, pictures, tmp_path, monkeypatch, capsys):
    scripts = Scripts()
    monkeypatch.setattr(budgets, "script", scripts)
    where = ("--dataset", pictures, "--data_dir", tmp_path / "data", "--folder", tmp_path / "out")
    amount = ("--image_size", SIDE, "--minutes", 0.5, "--num_samples", 2, "--samplers", "dpmpp20")
    ours = ("--models", "ours", "--networks", "unet", "dit", "--seeds", 3, 4, "--rates", 128, 64)
    run_budgets(budgets, monkeypatch, *where, *amount, *ours)
    assert [(args.model, args.seed) for args in scripts.told] == [
        ("unet", 3),
        ("dit", 3),
        ("unet", 4),
        ("dit", 4),
    ]
    lines = capsys.readouterr().out.splitlines()
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "project" in line
    ]
    assert [row[1:3] for row in cells] == [
        ["unet, dpmpp20", "3"],
        ["dit, dpmpp20", "3"],
        ["unet, dpmpp20", "4"],
        ["dit, dpmpp20", "4"],
    ]
    # 8 steps of 128 images take 8 s at 128 images/s, whatever the clock of the run says.
    assert [row[3] for row in cells] == ["0.1", "0.3"] * 2


@pytest.mark.parametrize(
    ("curve", "goal", "wanted"),
    [
        ([(1, 100.0), (2, 10.0), (5, 1.0)], 10, 2),
        ([(1, 100.0), (4, 1.0)], 10, 2),  # half of the way, in logarithms of both
        ([(1, 5.0), (2, 1.0)], 10, 1),
        ([(1, 100.0), (2, 50.0)], 10, None),
    ],
)
def test_time_to_quality_interpolates_powers(curve, goal, wanted, monkeypatch):
    module = load("time_to_quality", monkeypatch)
    assert module.minutes_until(curve, goal) == (wanted and pytest.approx(wanted))


def test_time_to_quality_takes_the_best_recipe_and_the_median_seed(
    figures, tmp_path, monkeypatch, capsys
):
    head = "model recipe seed budget seconds steps fid kid dataset features samples".split()
    ours = [
        ("a", 0, 1, 8.0),
        ("b", 0, 1, 4.0),
        ("a", 1, 1, 6.0),
        ("a", 2, 1, 9.0),
        ("a", 0, 5, 0.4),
        ("a", 1, 5, 0.5),
        ("a", 2, 5, 0.6),
    ]
    rows = [
        *(("ours", recipe, seed, m, 60 * m, 1, fid, 0) for recipe, seed, m, fid in ours),
        ("rival", "own", 0, 1, 61, 1, 700.0, 0),
        ("rival", "own", 0, 5, 301, 1, 20.0, 0),
        ("real images", "", "", "", "", "", 0.1, 0),
    ]
    with (tmp_path / "rows.csv").open("w") as file:
        csv.writer(file).writerows([head, *((*row, "mnist", "classifier", 1000) for row in rows)])
    with (tmp_path / "others.csv").open("w") as file:
        csv.writer(file).writerows([head, (*rows[0], "emoji", "classifier", 1000)])
    module = load("time_to_quality", monkeypatch)
    picture = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", ["it", str(tmp_path / "rows.csv"), "--picture", str(picture)])
    module.main()
    head, _, ours, rival, _ = capsys.readouterr().out.splitlines()
    assert head == "| minutes until FID is at most | 10 | 2 | 0.5 |"
    assert ours.split("|")[2].strip() == "<= 1.0"
    assert ours.split("|")[4].strip() == "5.0"
    assert rival == "| rival | not in 5 | not in 5 | not in 5 |"
    lines = {
        line.get_label(): line.get_xydata().tolist() for line in figures["picture"].axes[0].lines
    }
    assert lines["this project"] == [[1, 6.0], [5, 0.5]]
    assert lines["rival"] == [[61 / 60, 700.0], [301 / 60, 20.0]]  # as measured
    both = [str(tmp_path / name) for name in ("rows.csv", "others.csv")]
    monkeypatch.setattr(sys, "argv", ["it", *both])
    with pytest.raises(SystemExit):
        module.main()
    assert "cannot be compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "steps"), [(60_000, 140), (60_000, 1323), (3132, 1170), (257, 781), (10, 35)]
)
def test_budgets_trains_for_as_many_steps_as_it_should(
    count, steps, budgets, tmp_path, monkeypatch
):
    scripts = Scripts()
    monkeypatch.setattr(budgets, "script", scripts)
    data = Dataset("mnist", torch.zeros(count, 2, 2, dtype=torch.uint8), torch.zeros(count))
    given = argparse.Namespace(data_dir=tmp_path, image_size=None)
    variant = budgets.Variant("dit", 3)
    assert budgets.train_ours(variant, steps, data, given, tmp_path / "run") == (4.0, 8)
    (args,) = scripts.told
    assert (args.model, args.seed) == variant
    used = count if args.subset is None else args.subset
    per_epoch = used // min(args.batch_size, used)
    assert abs(args.epochs * per_epoch - steps) <= args.epochs / 2
    # Data that are gone through often are gone through whole.
    assert used == count or args.epochs < count // args.batch_size
    # Nothing is drawn or saved while the clock runs.
    assert args.sample_interval == args.save_interval == args.epochs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "dino"), "--dataset dino: images are needed, not points"),
        (("--dataset", "pictures", "--image_size", 18), "--image_size to be a multiple of 4"),
        (("--dataset", "pictures/red"), "has no classes to compare by"),
        (("--dataset", "pictures", "--minutes", 10, 5), "--minutes must be positive and ascending"),
        (("--dataset", "pictures", "--rates", 5, 6), "--rates must be positive, one for each"),
    ],
)
def test_budgets_refuses_what_it_cannot_compare(
    options, message, budgets, pictures, monkeypatch, capsys
):
    monkeypatch.chdir(pictures.parent)
    with pytest.raises(SystemExit) as end:
        run_budgets(budgets, monkeypatch, *options)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_step_is_timed_that_trains(monkeypatch):
    scaling = load("scaling", monkeypatch)
    seconds = scaling.median_seconds(
        scaling.training_step(2, 8, torch.device("cpu")), torch.device("cpu")
    )
    assert 0 < seconds < 60


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("diffusers", "diffusers"),
        ("lucidrains", "denoising_diffusion_pytorch"),
        ("smalldiffusion", "smalldiffusion"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_rivals_take_and_make_images_of_any_shape(name, package, channels, monkeypatch):
    pytest.importorskip(package)
    rivals = load("rivals", monkeypatch)
    rival = rivals.RIVALS[name]((channels, SIDE, SIDE))
    before = [parameter.detach().clone() for parameter in rival.model.parameters()]
    for _ in range(2):  # the first one of some changes the last layer only
        rival.step(torch.zeros(4, channels, SIDE, SIDE))
    rival.model.eval()
    with torch.no_grad():
        found = rival.sample(3, rival.samplers[-1])
    assert rival.steps == 2
    assert found.shape == (3, channels, SIDE, SIDE)
    assert found.isfinite().all()
    assert any(not x.equal(y) for x, y in zip(before, rival.model.parameters(), strict=True))
