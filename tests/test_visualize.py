"""visualize_diffusion.py: what it shows of which data, looked at before it becomes pixels."""

import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver
from studio import IMAGES, POINTS, dots, picture, texts_above, texts_beside, title, write_model

import visualize_diffusion
from datasets import load_images, load_points
from datasets.densities import LOG_DENSITIES
from datasets.units import PointUnits
from diffusion import Diffusion, learned_schedule, make_schedule
from names import POINTS_BETA_START, SCHEDULES, datasets_of
from plots.images import GAP
from plots.noise_map import Walk, colours, draw_noise_map
from plots.pictures import PointPictures
from plots.process import ARROWS, PATHS
from system.errors import InputError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def schedule_of_points():
    """The default of sets of points."""
    return make_schedule("quadratic", 200, beta_start=POINTS_BETA_START * 5)


def visualize(*options):
    visualize_diffusion.main(["--no-gif", *map(str, options)])


def write_ellipse(path, centre=(5000, -2000)):
    angle = np.linspace(0, 2 * np.pi, 400)
    ellipse = np.stack([centre[0] + 300 * np.cos(angle), centre[1] + 100 * np.sin(angle)], axis=1)
    np.savetxt(path, ellipse, delimiter=",", header="x,y", comments="")


# ------------------------------------------------------------- the data and the space of a model


def test_other_data_are_shown_where_they_are_in_the_models_space(figures):
    """Two sets that differ in size and place do so in the picture, too."""
    write_model("m.pt", "--dataset", "moons", *POINTS)
    points = load_points("circle", 300, 0.0, 0).examples
    visualize("--checkpoint", "m.pt", "--dataset", "circle")
    panels = figures["forward_diffusion"].axes
    least_noise = dots(panels[0])[0]
    assert abs(least_noise - points.numpy()).max() < 0.1
    config = torch.load("m.pt", weights_only=True)["config"]
    left, right = panels[0].get_xlim()
    assert (left + right) / 2 == pytest.approx(config["mean"][0], abs=1e-5)
    assert right - left == pytest.approx(2 * 2.9 * config["scale"], rel=1e-5)


def test_data_that_are_nowhere_near_the_models_are_refused():
    write_model("m.pt", "--dataset", "moons", *POINTS)
    write_ellipse("far.csv")
    with pytest.raises(InputError, match=r"no point of far\.csv .*: x from -\d"):
        visualize("--checkpoint", "m.pt", "--dataset", "far.csv")


def shown(figures, *options):
    """The data themselves, which stand behind the arrows."""
    visualize("--checkpoint", "m.pt", "--arrows", *options)
    return dots(figures["arrows"].axes[0])[0]


def test_a_model_is_shown_with_the_data_of_its_run(figures):
    write_ellipse("e.csv")
    run = ("--dataset", "e.csv", "--jitter", 0.05, "--seed", 7, "--subset", 200)
    write_model("m.pt", *run, *POINTS)
    of_run = load_points("e.csv", 300, 0.05, 7).examples[:200]
    assert shown(figures) == pytest.approx(of_run.numpy(), abs=0.01)
    others = {
        ("--seed", 0): load_points("e.csv", 300, 0.05, 0).examples[:200],
        ("--jitter", 0): load_points("e.csv", 300, 0.0, 7).examples[:200],
        ("--num_points", 250): load_points("e.csv", 250, 0.05, 7).examples,
    }
    for given, expected in others.items():
        assert shown(figures, *given) == pytest.approx(expected.numpy(), abs=0.01)


def test_a_model_of_images_is_shown_with_images_of_its_run(figures):
    write_model("m.pt", *IMAGES, "--seed", 4)
    visualize("--checkpoint", "m.pt", "--num_images", 2)
    torch.manual_seed(4)
    expected = load_images("digits", Path("data"), subset=40).examples[torch.randperm(40)[:2]]
    axes = figures["forward_diffusion"].axes[0]
    for row, image in enumerate(expected.numpy()):
        found = picture(axes)[GAP + row * 30 :, GAP:][:28, :28]  # with hardly any noise
        assert abs(found.astype(int) - image).mean() < 4


# ------------------------------------------------------------------------------------- pictures


def test_images_dissolve_row_by_row(figures):
    visualize("--dataset", "digits", "--num_images", 12, "--timesteps", 100)
    axes = figures["forward_diffusion"].axes[0]
    canvas = picture(axes)
    assert canvas.shape == (12 * 30 + GAP, 8 * 30 + GAP)
    assert texts_above(axes)[0].startswith("t = 0\nσ = 0.")
    assert texts_above(axes)[-1] == "t = 99\nσ = 1.00"
    assert title(figures["forward_diffusion"]) == (
        "Forward diffusion of digits (cosine schedule, T = 100)"
    )
    cells = canvas[GAP:, GAP:].reshape(12, 30, 8, 30)[:, :28, :, :28].astype(float)
    correlations = [
        [np.corrcoef(row[:, 0].ravel(), row[:, k].ravel())[0, 1] for k in range(8)] for row in cells
    ]
    assert (np.diff(correlations, axis=1) < 0).all()
    assert np.max(np.array(correlations)[:, -1]) < 0.2


def test_an_animation_dissolves_the_images(frames, figures):
    visualize("--dataset", "digits", "--num_images", 5, "--timesteps", 60, "--gif")
    assert len(frames) == 50
    assert frames[0].caption.startswith("t = 0   σ")
    assert frames[-1].caption.startswith("t = 59   σ")
    first = picture(figures["forward_diffusion"].axes[0])[GAP:, GAP:][:28, :28]
    assert np.array_equal(frames[0].content[GAP:, GAP:][:28, :28], first)
    assert not np.array_equal(frames[0].content, frames[-1].content)


def test_points_dissolve_with_their_colours(figures):
    visualize("--dataset", "moons", "--num_points", 200, "--timesteps", 50)
    panels = figures["forward_diffusion"].axes
    points = load_points("moons", 200, 0.0, 0)
    assert dots(panels[0])[0] == pytest.approx(points.examples.numpy(), abs=0.02)
    assert panels[0].collections[0].get_array().tolist() == points.labels.tolist()
    assert len({panel.get_xlim() for panel in panels}) == 1
    last = dots(panels[-1])[0]
    assert abs(last.mean(0) - points.examples.numpy().mean(0)).max() < 0.4  # noise around the mean


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_arrows_start_in_their_panel_and_point_to_the_data(schedule, figures):
    options = ("--dataset", "spiral", "--num_points", 1000, "--timesteps", 50, "--arrows")
    visualize(*options, "--schedule", schedule)
    data = load_points("spiral", 1000, 0.0, 0).examples
    for axes in figures["arrows"].axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        (arrows,) = (one for one in axes.collections if isinstance(one, Quiver))
        feet = np.asarray(arrows.get_offsets())
        assert len(feet) == ARROWS
        assert ((left < feet[:, 0]) & (feet[:, 0] < right)).all()
        assert ((bottom < feet[:, 1]) & (feet[:, 1] < top)).all()
    # With the least noise the exact estimate is near the data, nearer than where it began.
    (arrows, *_) = (one for one in figures["arrows"].axes[0].collections if type(one) is Quiver)
    feet = torch.tensor(np.asarray(arrows.get_offsets()), dtype=torch.float32)
    tips = feet + torch.stack([torch.tensor(arrows.U), torch.tensor(arrows.V)], dim=1)
    far = [torch.cdist(ends.float(), data).min(1).values.mean() for ends in (feet, tips)]
    assert far[1] < 0.8 * far[0]


def test_paths_end_at_the_data(figures):
    visualize("--dataset", "circle", "--num_points", 500, "--timesteps", 50, "--arrows")
    _, noise, samples = dots(figures["trajectories"].axes[0])
    assert noise.shape == samples.shape == (PATHS, 2)
    assert np.hypot(*samples.T) == pytest.approx(np.ones(PATHS), abs=0.02)
    assert np.hypot(*noise.T).std() > 0.2
    scores = figures["score_field"].axes[0]
    (arrows,) = (one for one in scores.collections if isinstance(one, Quiver))
    feet = np.asarray(arrows.get_offsets())
    # Outside of a circle the score points at it: inwards.
    outside = np.hypot(*feet.T) > 1.5
    inwards = -(feet[:, 0] * arrows.U + feet[:, 1] * arrows.V) / np.hypot(*feet.T)
    assert inwards[outside].min() > 0.9


def test_the_field_stands_over_the_density_of_the_data_with_the_noise_of_its_panel(figures):
    """Computed another way: by counting noisy points."""
    visualize("--dataset", "dino", "--num_points", 2000, "--arrows")
    diffusion = Diffusion(schedule_of_points(), "v")
    data = load_points("dino", 2000, 0.0, 0)
    units, correlations = data.units(), []
    *panels, _ = figures["score_field"].axes
    for axes in panels:
        t = torch.tensor(int(re.match(r"t = (\d+) ", axes.get_title())[1]))
        x0 = units.to_model(data.examples.repeat(100, 1))
        noisy = units.to_data(diffusion.add_noise(x0, t.expand(len(x0)), torch.randn_like(x0)))
        across, up = (axes.get_xlim(), axes.get_ylim())
        counts, _, _ = np.histogram2d(*noisy.T.numpy(), bins=100, range=[across, up])
        found = [picture(one) ** 2 for one in panels]
        row = [np.corrcoef(counts.T.ravel(), density.ravel())[0, 1] for density in found]
        correlations.append(row)
    correlations = np.array(correlations)
    assert np.diag(correlations).min() > 0.97
    assert (correlations.argmax(1) == np.arange(3)).all()  # each is the density of its own t


def test_the_reverse_process_of_a_model_of_classes_has_its_labels(figures, frames):
    write_model("m.pt", *IMAGES, "--class_conditional")
    visualize("--checkpoint", "m.pt", "--num_images", 12, "--gif")
    axes = figures["reverse_diffusion"].axes[0]
    assert texts_beside(axes) == [str(k % 10) for k in range(12)]
    assert texts_above(axes)[-1] == "sample"
    there_and_back = [frame for frame in frames if frame.title.startswith("There")]
    assert there_and_back[0].caption.startswith("data to noise   t = 0")
    assert there_and_back[-1].caption == "noise to samples   sample"
    assert len(there_and_back) == 50 + 51


@pytest.mark.parametrize(
    ("data", "plan"),
    [(("--dataset", "moons", *POINTS), "dpmpp, 50 steps, eta 1"), (IMAGES, "ddim, 50 steps")],
)
def test_the_reverse_process_says_its_sampler(data, plan, figures):
    write_model("m.pt", *data)
    visualize("--checkpoint", "m.pt")
    text = f"Reverse process ({plan}): from noise to samples"
    assert title(figures["reverse_diffusion"]) == text


@pytest.mark.parametrize("options", [["digits"], ["dino", "--num_points", 300]])
def test_schedules_side_by_side(options, figures):
    visualize("--compare_schedules", "--timesteps", 50, "--dataset", *options)
    _, right, *cells = figures["schedules"].axes
    fixed = [name for name in SCHEDULES if name != "learned"]
    assert [line.get_label() for line in right.lines] == fixed
    assert [axes.get_ylabel() for axes in cells[::9]] == fixed
    firsts = [picture(axes) for axes in cells[::9]]
    # At t = 0 every schedule shows nearly the same, and linear, at last, hardly anything of it.
    for first in firsts:
        assert np.corrcoef(first.ravel(), firsts[0].ravel())[0, 1] > 0.95


def test_the_schedule_of_a_run_stands_beside_the_others(figures):
    config = write_model("m.pt", *POINTS, "--dataset", "dino", "--schedule", "learned")
    checkpoint = torch.load("m.pt", weights_only=True)
    config["timestep_density"] = [0.5] * 25 + [2.0] * 25
    torch.save(checkpoint | {"config": config}, "m.pt")
    visualize("--compare_schedules", "--checkpoint", "m.pt")
    _, right, *cells = figures["schedules"].axes
    assert right.lines[-1].get_label() == "this model's\nlearned" == cells[-9].get_ylabel()
    shown = learned_schedule(200, config["timestep_density"]).half_log_snr.clamp(-9, 9)
    assert right.lines[-1].get_ydata() == pytest.approx(shown.numpy())


def test_the_gallery(figures):
    visualize("--gallery", "--num_points", 100)
    assert [axes.get_title() for axes in figures["gallery"].axes] == list(datasets_of("points"))


@pytest.mark.parametrize("gif", ["--gif", "--no-gif"])
def test_files_are_written_beside_the_still(gif):
    few = ("--dataset", "line", "--num_points", 200, "--timesteps", 3)
    visualize(*few, "--save_path", "a/b.png", "--arrows", gif)
    stills = {"b.png", "arrows.png", "score_field.png", "trajectories.png"}
    films = {"b.gif"} if gif == "--gif" else set()
    assert {path.name for path in Path("a").iterdir()} == stills | films
    for name in stills:
        assert min(iio.imread(f"a/{name}").shape[:2]) > 200


@pytest.mark.parametrize("seed", [0, 9])
def test_every_option_of_images_reaches_the_picture(seed, figures):
    options = "--schedule linear --num_timesteps 2 --beta_end 0.5 --beta_start 0.2".split()
    visualize("--dataset", "digits", *options, "--num_images", 20, "--seed", seed)
    axes = figures["forward_diffusion"].axes[0]
    assert texts_above(axes) == ["t = 0\nσ = 0.45", "t = 1\nσ = 0.77"]  # beta 0.2, then 0.5
    assert picture(axes).shape == (20 * 30 + GAP, 2 * 30 + GAP)
    torch.manual_seed(seed)
    image = load_images("digits", Path("data"), subset=1000).examples[torch.randperm(1000)[0]]
    found = picture(axes)[GAP:, GAP:][:28, :28].astype(float)
    assert np.corrcoef(found.ravel(), image.numpy().ravel())[0, 1] > 0.6


def test_every_option_of_points_reaches_the_picture(figures):
    options = "--schedule log_linear --sigma_min 0.01 --sigma_max 3 --timesteps 20 --seed 5".split()
    visualize("--dataset", "gaussians", "--num_points", 400, "--arrows", *options)
    panels = figures["forward_diffusion"].axes
    assert panels[0].get_title() == "t = 0\nσ = 0.01"
    assert panels[-1].get_title() == "t = 19\nσ = 3.00"
    expected = load_points("gaussians", 400, 0.0, 5).examples.numpy()
    assert dots(panels[0])[0] == pytest.approx(expected, abs=0.1)
    assert dots(panels[-1])[0].std() > 2.5 * expected.std()
    assert "reverse_diffusion" not in figures


# ---------------------------------------------------------------------- what does not go together


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--gallery --compare_schedules", "--compare_schedules cannot go with --gallery"),
        ("--gallery --checkpoint m.pt", "--checkpoint cannot go with --gallery"),
        ("--gallery --arrows", "--arrows cannot go with --gallery"),
        ("--gallery --dataset dino", "--dataset cannot go with --gallery"),
        ("--gallery --num_images 3", "--num_images cannot go with --gallery"),
        ("--gallery --timesteps 100", "--timesteps cannot go with --gallery"),
        ("--gallery --image_size 32", "--image_size cannot go with --gallery"),
        ("--compare_schedules --num_images 3", "--num_images cannot go with --compare_schedules"),
        ("--compare_schedules --dataset dino --arrows", "--arrows cannot go with --compare_s"),
        ("--html --gallery", "--gallery cannot go with --html"),
        ("--html --compare_schedules", "--compare_schedules cannot go with --html"),
    ],
)
def test_what_would_do_nothing_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        visualize(*options.split())
    assert list(Path().iterdir()) == []


def ink(path):
    """A drawing, and what is in its file."""
    pixels = np.full((40, 40), 255, dtype=np.uint8)
    pixels[10:20, 5:35] = 0
    Path(path).parent.mkdir(exist_ok=True)
    iio.imwrite(path, pixels)
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("mine.png", "--save_path mine.png"),
        ("mine.gif", "--save_path mine.png --gif"),
        ("outputs/arrows.png", "--arrows"),
        ("outputs/forward_diffusion.gif", "--gif"),
        ("outputs/forward_diffusion.png", "--save_path ../{folder}/outputs/forward_diffusion.png"),
    ],
)
def test_a_drawing_is_not_overwritten(source, options, tmp_path):
    before = ink(source)
    few = ["--num_points", 50, "--timesteps", 3]
    with pytest.raises(InputError, match=f"{source} is read, and would be overwritten"):
        visualize("--dataset", source, *few, *options.format(folder=tmp_path.name).split())
    assert Path(source).read_bytes() == before


def test_a_drawing_that_nothing_is_written_to_is_shown():
    before = ink("mine.gif")
    visualize(
        "--dataset", "mine.gif", "--num_points", 50, "--timesteps", 3, "--save_path", "mine.png"
    )
    assert Path("mine.png").is_file()
    assert Path("mine.gif").read_bytes() == before


def test_the_drawing_and_the_checkpoint_of_a_model_are_not_overwritten():
    ink("mine.png")
    run = ("--dataset", "mine.png", *POINTS)
    write_model("m.pt", *run)
    Path("m.pt").rename("m.html")
    for options in (["--save_path", "mine.png"], ["--html", "m.html"]):
        with pytest.raises(InputError, match="would be overwritten"):
            visualize("--checkpoint", "m.html", *options)


@pytest.mark.parametrize(
    "options",
    [
        "--schedule linear --timesteps 10000 --beta_end 0.5",
        "--schedule sigmoid --beta_start 0.9999 --beta_end 0.9999",
    ],
)
def test_a_schedule_that_leaves_nothing_of_the_data_is_refused(options, tmp_path):
    save = ["--dataset", "dino", "--save_path", str(tmp_path / "a.png")]
    with pytest.raises(InputError, match=r"--schedule \w+: .* use smaller betas"):
        visualize_diffusion.main([*save, *options.split()])


def test_folders_in_the_places_of_pictures_are_refused_before_the_work(tmp_path):
    for name, options in (("a.gif", ()), ("arrows.png", ("--arrows",))):
        (tmp_path / name).mkdir()
        save = ["--dataset", "dino", "--save_path", str(tmp_path / "a.png")]
        with pytest.raises(InputError, match=f"{name} is a folder"):
            visualize_diffusion.main([*save, *options])
        (tmp_path / name).rmdir()
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ where noise lands


def test_the_map_shows_the_noise_in_the_colour_of_its_landing(figures):
    """With a walk that leaves everything where it is, and with one that turns it about."""
    units = PointUnits([10, 20], 2.0)
    pictures = PointPictures(units)
    diffusion = Diffusion(make_schedule("cosine", 10), "x0")
    walks = [
        Walk("stays", diffusion, lambda x, t: (x, 0 * x), "ddim", 1),
        Walk("turns", diffusion, lambda x, t: (-x, 0 * x), "ddim", 1),
    ]
    draw_noise_map(walks, torch.randn(50, 2), pictures, Path("map.png"), "title")
    axes = figures["map"].axes
    places = torch.tensor([[1.5, 2.0], [-2.0, 0.5], [0.3, -2.5], [2.0, -0.1]])
    for row, sign in ((axes[:3], 1), (axes[3:], -1)):
        (image,) = row[0].images
        pixels, (left, right, bottom, top) = image.get_array(), image.get_extent()
        assert image.origin == "lower"
        for place, colour in zip(places, colours(sign * places), strict=True):
            column = int((place[0] - left) / (right - left) * pixels.shape[1])
            line = int((place[1] - bottom) / (top - bottom) * pixels.shape[0])
            assert abs(pixels[line, column] - colour).max() < 0.06
        ends = dots(row[2])[0]
        drawn = row[2].collections[0].get_facecolors()[:, :3]
        where = (torch.as_tensor(np.asarray(ends)) - torch.tensor([10, 20])) / 2
        assert abs(drawn - colours(where.float())).max() < 1e-3
    assert axes[0].get_ylabel() == "stays"


@pytest.mark.parametrize("name", ["moons", "dino"])
def test_the_density_is_drawn_beside_the_data(name, figures):
    write_model("m.pt", "--dataset", name, *POINTS, "--timesteps", 20)
    visualize("--checkpoint", "m.pt", "--density")
    *axes, bar = figures["density"].axes
    known = ["true"] if name == "moons" else []
    assert [one.get_title() for one in axes] == ["data", "learned", *known]
    assert "nats" in bar.get_ylabel()
    maps = [one.images[0] for one in axes[1:]]
    assert len({image.get_clim() for image in maps}) == 1
    assert all(np.isfinite(image.get_array()).all() for image in maps)
    assert len({one.get_xlim() + one.get_ylim() for one in axes}) == 1
    if not known:
        return
    pixels, (left, right, bottom, top) = maps[1].get_array(), maps[1].get_extent()
    assert maps[1].origin == "lower"
    for line, column in ((60, 40), (30, 70), (50, 50)):
        x = left + (column + 0.5) / 100 * (right - left)
        y = bottom + (line + 0.5) / 100 * (top - bottom)
        expected = LOG_DENSITIES["moons"](torch.tensor([[x, y]])).item()
        assert pixels[line, column] == pytest.approx(expected, rel=1e-3)


def test_the_map_compares_a_model_with_one_for_few_steps(figures):
    write_model("m.pt", "--dataset", "moons", *POINTS)
    write_model("few.pt", "--dataset", "moons", *POINTS, "--objective", "shortcut")
    visualize("--checkpoint", "m.pt", "--noise_map", "few.pt")
    axes = figures["noise_map"].axes
    assert [one.get_ylabel() for one in axes[::3]] == ["200 steps of ddim", "1 step of shortcut"]
    # The ways of the second are straight: a beginning and an end.
    assert {len(line.get_xydata()) for line in axes[1].lines} == {201}
    assert {len(line.get_xydata()) for line in axes[4].lines} == {2}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--dataset moons --noise_map few.pt", "--noise_map needs --checkpoint"),
        ("--checkpoint m.pt --noise_map m.pt", "m.pt was not trained for few steps"),
        ("--checkpoint m.pt --noise_map other.pt", "other.pt was trained on other data"),
        ("--checkpoint m.pt --noise_map none.pt", "no checkpoint at none.pt"),
        ("--checkpoint m.pt --noise_map always.pt", "always.pt knows no points without a class"),
        ("--checkpoint i.pt --noise_map few.pt", "--noise_map is for sets of points"),
        ("--dataset moons --density", "--density needs --checkpoint"),
        ("--checkpoint i.pt --density", "--density is for sets of points"),
        ("--checkpoint always.pt --density", "without a class"),
        ("--checkpoint i.pt --html x.html --noise_map few.pt", "cannot go with --html"),
    ],
)
def test_the_map_refuses_what_it_cannot_compare(options, says, figures):
    write_model("m.pt", "--dataset", "moons", *POINTS)
    write_model("other.pt", "--dataset", "dino", *POINTS, "--objective", "shortcut")
    write_model("i.pt", *IMAGES)
    classes = ("--class_conditional", "--label_dropout", 0)
    write_model("always.pt", "--dataset", "moons", *POINTS, "--objective", "shortcut", *classes)
    with pytest.raises(InputError, match=says):
        visualize(*options.split())


# ----------------------------------------------------------------------- models for few steps


def test_a_tuned_model_is_shown_in_its_two_steps_and_not_as_a_denoiser(figures):
    write_model("outputs/model_final.pt", "--dataset", "dino", *POINTS)
    write_model("few.pt", "--consistency", "outputs/model_final.pt")
    visualize("--checkpoint", "few.pt")
    assert "Reverse process (consistency, 2 steps)" in title(figures["reverse_diffusion"])
    assert len(figures["reverse_diffusion"].axes) == 3  # the noise, the state between, the sample
    with pytest.raises(InputError, match="--arrows draws a denoiser"):
        visualize("--checkpoint", "few.pt", "--arrows")


def test_schedules_of_points_are_compared_by_the_defaults_for_points(monkeypatch):
    import plots.schedules

    seen = {}
    keep = lambda schedules, *_: seen.update(schedules)  # noqa: E731
    monkeypatch.setattr(plots.schedules, "save_schedules", keep)
    visualize("--compare_schedules", "--dataset", "dino", "--timesteps", 200)
    assert torch.equal(seen["quadratic"].alphas, schedule_of_points().alphas)
    assert not torch.equal(seen["quadratic"].alphas, make_schedule("quadratic", 200).alphas)
