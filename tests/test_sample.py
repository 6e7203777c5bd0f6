"""sample.py in this process: which samples its pictures show, with which labels and names."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from studio import IMAGES, POINTS, dots, picture, texts_above, texts_beside, title, write_model

import sample
from names import SAMPLERS
from plots.images import GAP
from plots.pictures import ImagePictures
from sampling import SampleSettings, generate, restore
from system.errors import InputError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path):
    """Of images, of ten classes; as it is before training."""
    return write_model("outputs/model_final.pt", *IMAGES, "--class_conditional")


def make(*options):
    sample.main(["--sampler", "dpmpp", "--steps", "3", *map(str, options)])


# ----------------------------------------------------------------------- the process of images


def test_the_animation_shows_all_samples_in_the_rows_of_the_picture(model, figures, frames):
    make("--num_images", 20, "--guidance", 4, "--gif")
    still = figures["generated_samples"].axes[0]
    assert texts_beside(still) == [str(k) for k in range(10)]
    assert len(frames) == 4
    assert np.array_equal(frames[-1].content, picture(still))
    assert texts_beside(frames[-1].axes) == texts_beside(still)
    assert [frame.caption for frame in frames] == ["t = 999", "t = 666", "t = 332", "sample"]
    assert frames[0].title == "The reverse process: from noise to samples"


def test_of_very_many_samples_the_animation_shows_full_rows_and_says_so(
    model, figures, frames, monkeypatch
):
    monkeypatch.setattr(ImagePictures, "most", 29)
    make("--num_images", 40, "--gif")
    rows, columns = (side // 30 for side in frames[-1].content.shape)
    assert (rows, columns) == (10, 2)
    assert "(the first 20 of 40)" in frames[-1].title


def test_the_animation_of_points_keeps_their_colours(figures, frames):
    write_model("outputs/model_final.pt", "--dataset", "moons", "--class_conditional", *POINTS)
    make("--num_images", 50, "--gif", "--show_intermediate")
    still = figures["generated_samples"].axes[0]
    assert frames[-1].content == pytest.approx(dots(still)[0])
    colours = still.collections[0].get_array().tolist()
    assert colours == [0, 1] * 25
    assert frames[-1].axes.collections[0].get_array().tolist() == colours
    for panel in figures["process"].axes:
        assert panel.collections[0].get_array().tolist() == colours


def test_the_strip_of_the_process_has_labels(model, figures):
    make("--labels", "0-7", "--num_images", 16, "--show_intermediate")
    axes = figures["process"].axes[0]
    assert texts_beside(axes) == [str(k) for k in range(8)]
    assert texts_above(axes) == ["t = 999", "t = 666", "t = 332", "sample"]
    still = figures["step_0666"].axes[0]
    assert texts_beside(still) == [str(k) for k in range(8)]
    assert title(figures["step_0666"]) == "Denoising, t = 666"
    # Each row of the strip ends where the row of its class begins.
    made, strip = picture(figures["generated_samples"].axes[0]), picture(axes)
    assert np.array_equal(strip[:, GAP + 3 * 30 :][:, :28], made[:, GAP:][:, :28])


def test_models_without_classes_have_no_labels(figures, frames):
    write_model("outputs/model_final.pt", *IMAGES)
    make("--num_images", 5, "--show_intermediate", "--gif")
    for axes in (figures["process"].axes[0], figures["step_0999"].axes[0], frames[0].axes):
        assert texts_beside(axes) == []


def names(folder="outputs/intermediate"):
    return sorted(path.name for path in Path(folder).iterdir())


def test_the_last_still_is_the_sample_and_no_timestep(model, figures):
    make("--num_images", 2, "--show_intermediate")
    assert names() == ["process.png", "sample.png", *(f"step_{t:04d}.png" for t in (332, 666, 999))]
    assert title(figures["sample"]) == "Denoising, sample"
    made, last = (picture(figures[name].axes[0]) for name in ("generated_samples", "sample"))
    assert np.array_equal(made, last)


def test_where_every_timestep_is_visited_the_sample_and_x_0_are_two_states(figures):
    write_model("outputs/model_final.pt", *IMAGES, "--timesteps", 4)
    sample.main(["--num_images", "2", "--show_intermediate"])
    assert names() == ["process.png", "sample.png", *(f"step_{t:04d}.png" for t in range(4))]
    at_zero, made = (picture(figures[name].axes[0]) for name in ("step_0000", "sample"))
    assert title(figures["step_0000"]) == "Denoising, t = 0"
    assert not np.array_equal(at_zero, made)
    assert texts_above(figures["process"].axes[0]) == ["t = 3", "t = 2", "t = 1", "t = 0", "sample"]


def test_stills_of_an_earlier_call_are_removed_and_nothing_else(model, figures):
    make("--num_images", 2, "--show_intermediate")
    mine = ["step_0001.txt", "step_one.png", "my_step_0999.png", "step_0999.png.png", "photo.png"]
    for name in mine:
        Path("outputs/intermediate", name).write_text("mine")
    make("--num_images", 2, "--show_image_step", 2, "--steps", 5)
    stills = {"process.png", "sample.png", "step_0999.png", "step_0599.png", "step_0199.png"}
    assert set(names()) == {*stills, *mine}
    assert all(Path("outputs/intermediate", name).read_text() == "mine" for name in mine)


# --------------------------------------------------------------------- between, and filling in


def test_the_bar_of_an_interpolation_is_full_where_the_caption_says_1(model, figures, frames):
    make("--interpolate", 3, 8, "--num_images", 2)
    assert frames[0].caption == frames[-1].caption == "0.00"
    assert {f"{frame.progress:.2f}" == frame.caption for frame in frames} == {True}
    assert max(frame.progress for frame in frames) == 1
    axes = figures["interpolation"].axes[0]
    assert texts_beside(axes) == ["0", "1"]
    assert texts_above(axes)[::4] == ["0", "0.5", "1"]


def inpaint(*options):
    sample.main(["--inpaint", *map(str, options), "--steps", "2", "--visits", "1"])


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("upper_half", slice(0, 14), slice(0, 28)),
        ("lower_half", slice(14, 28), slice(0, 28)),
        ("left_half", slice(0, 28), slice(0, 14)),
        ("right_half", slice(0, 28), slice(14, 28)),
        ("centre", slice(7, 21), slice(7, 21)),
    ],
)
def test_a_part_of_a_test_image_is_made_anew(name, rows, columns, model, figures):
    from datasets.digits import make_digits

    inpaint(7, "--mask", name, "--output", "filled.npy", "--num_images", 2)
    image = make_digits(False, 8)[0][7].numpy()
    hole = np.zeros((28, 28), dtype=bool)
    hole[rows, columns] = True
    for filled in np.load("filled.npy"):
        assert np.array_equal(filled[~hole], image[~hole])
        assert not np.array_equal(filled[hole], image[hole])
    inpaint(7, "--mask", name)
    given, cut = (picture(figures["inpainting"].axes[0])[GAP:, GAP + x :] for x in (0, 30))
    assert np.array_equal(given[:28, :28], image)
    assert np.array_equal(cut[:28, :28], np.where(hole, 128, image))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((10_000, "--mask", "centre"), "test images of digits are 0-9999; there is no 10000"),
        (("9" * 5000, "--mask", "centre"), "test images of digits are 0-9999; there is no 9"),
        (
            (0, "--mask", "middle"),
            "--mask: middle is neither a picture nor one of upper_half, lower_half",
        ),
        ((0, "--mask", "x" * 5000), "--mask: x+ is neither a picture"),
        ((0,), "--inpaint needs a --mask: upper_half"),
        (("./7", "--mask", "centre"), "7 cannot be read as a picture"),
    ],
)
def test_images_and_masks_that_are_not_there_are_refused(options, says, model):
    with pytest.raises(InputError, match=says):
        inpaint(*options)
    assert not Path("outputs", "inpainting.png").exists()


def test_the_examples_of_the_help_can_be_run_as_they_are(model, monkeypatch):
    """In fewer steps, which is all that is changed."""
    examples = [line.split("  ")[0].split() for line in sample.__doc__.splitlines()[2:] if line]
    assert len(examples) == 7
    for name, sampler in SAMPLERS.items():
        monkeypatch.setitem(SAMPLERS, name, sampler._replace(steps=2))
    monkeypatch.setattr(sample, "INPAINT_STEPS", 2)
    for python, script, *options in examples:
        assert (python, script) == ("python", "sample.py")
        sample.main(options)


# ------------------------------------------------------------------------------- what is refused


def test_an_interpolation_needs_two_seeds():
    with pytest.raises(InputError, match="--interpolate needs two different seeds"):
        sample.main(["--interpolate", "3", "3"])


@pytest.mark.parametrize(
    "options",
    [
        "--inpaint mine.png --mask centre --output mine.png",
        "--inpaint 0 --mask mine.png --output mine.png",
        "--inpaint outputs/inpainting.png --mask centre",
        "--inversion mine.png --output mine.png",
        "--checkpoint m.safetensors --export m.safetensors",
        "--checkpoint mine.gif --gif --output mine.png",
        "--checkpoint mine.gif --interpolate 1 2 --output mine.png",
        "--guide mine.png --output mine.png",
    ],
)
def test_an_input_is_not_overwritten(options):
    Path("outputs").mkdir()
    inputs = [Path(name) for name in ("mine.png", "mine.gif", "m.safetensors")]
    for path in (*inputs, Path("outputs", "inpainting.png")):
        path.write_text("mine")
    with pytest.raises(InputError, match="is read, and would be overwritten"):
        sample.main(options.split())
    assert all(path.read_text() == "mine" for path in inputs)


@pytest.mark.parametrize("place", ["intermediate/process.png/", "intermediate"])
def test_what_is_in_the_place_of_the_stills_is_noticed_before_the_work(place, tmp_path):
    if place.endswith("/"):
        (tmp_path / place).mkdir(parents=True)
    else:
        (tmp_path / place).write_text("a file")
    options = ["--output", str(tmp_path / "a.png"), "--show_intermediate"]
    with pytest.raises(InputError, match=r"is a folder|cannot write into .*intermediate"):
        sample.parse_arguments(options)


# ------------------------------------------------------------------------- tuned for few steps


@pytest.fixture
def tuned(tmp_path):
    """A model that was tuned, with guidance 2 in it; as it is before that."""
    options = (*IMAGES, "--class_conditional")
    write_model("outputs/model_final.pt", *options)
    tune = ("--consistency", "outputs/model_final.pt", "--guidance", 2)
    return write_model("outputs/consistency/model_final.pt", *tune)


TUNED = ("--checkpoint", "outputs/consistency/model_final.pt")


def test_a_tuned_model_is_sampled_in_two_steps_unless_told_otherwise(tuned, figures, capsys):
    sample.main([*TUNED, "--num_images", "20", "--output", "two.png"])
    assert title(figures["two"]) == "20 samples (consistency, 2 steps, seed 0)"
    assert "trained for few steps" in capsys.readouterr().out
    sample.main([*TUNED, "--num_images", "20", "--steps", "1", "--output", "one.png"])
    assert title(figures["one"]) == "20 samples (consistency, 1 step, seed 0)"
    sample.main([*TUNED, "--num_images", "20", "--sampler", "ddim", "--steps", "3"])
    assert "ddim, 3 steps" in title(figures["generated_samples"])
    sample.main([*TUNED, "--interpolate", "1", "2", "--num_images", "2"])
    assert "consistency, 1 step" in title(figures["interpolation"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--guidance 3", "with guidance 2;"),
        ("--guide outputs/consistency/model_final.pt", "with guidance 2;"),
        ("--guide outputs/model_final.pt", "its objective is denoising"),
        ("--eta 0.5", "--eta applies to --sampler ddim and dpmpp only"),
        ("--interpolate 1 2 --steps 2", "takes one step with this sampler"),
        ("--inpaint 0 --mask upper_half", "from before tuning"),
    ],
)
def test_what_a_tuned_model_cannot_do_is_refused(options, says, tuned):
    with pytest.raises(InputError, match=says):
        sample.main([*TUNED, *options.split()])


def test_a_tuned_model_is_no_guide(tuned):
    with pytest.raises(InputError, match="its objective is consistency"):
        make("--guide", "outputs/consistency/model_final.pt")


# ------------------------------------------------------------------- models that learned jumps


@pytest.mark.parametrize(
    ("options", "name", "says"),
    [
        ("", "generated_samples", "shortcut, 2 steps"),
        ("--steps 3 --labels 3,4", "generated_samples", "shortcut, 3 steps"),
        ("--guidance 2", "generated_samples", "guidance 2"),
        ("--guidance 2 --guidance_interval 0 600", "generated_samples", "at t = 0-600"),
        ("--guide outputs/model_final.pt", "generated_samples", "by model_final.pt"),
        ("--interpolate 1 2", "interpolation", "shortcut, 2 steps"),
        ("--from_image x.png", "from_image", "shortcut, 2 steps"),
        ("--inpaint x.png --mask centre --steps 3", "inpainting", "3 steps"),
        ("--sampler dpmpp --steps 3", "generated_samples", "dpmpp, 3 steps"),
    ],
)
def test_a_model_that_jumps_does_what_others_do(options, name, says, figures, frames):
    write_model("outputs/model_final.pt", *IMAGES, "--class_conditional", "--objective", "shortcut")
    iio.imwrite("x.png", np.full((28, 28), 90, dtype=np.uint8))
    sample.main(["--num_images", "4", *options.split()])
    assert says in title(figures[name])


@pytest.mark.parametrize("compile", ["on", "off"])
def test_a_sampler_that_jumps_needs_a_model_that_learned_it(compile, model):
    with pytest.raises(InputError, match="needs a model trained with --objective shortcut"):
        sample.main(["--sampler", "shortcut", "--compile", compile])
    settings = SampleSettings(2, "shortcut")
    with pytest.raises(InputError, match="needs a model trained with --objective shortcut"):
        generate(restore(Path("outputs/model_final.pt")), settings)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_export_never_replaces_the_model_that_it_is_made_of(suffix, model):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    before = Path("outputs/model_final.pt").read_bytes()
    with pytest.raises(InputError, match=r"outputs/model_final\.pt"):
        sample.main(["--export", "outputs/model_final.pt", "--half"])
    sample.main(["--export", f"outputs/half{suffix}", "--half"])
    with pytest.raises(InputError, match="half"):
        sample.main(["--checkpoint", f"outputs/half{suffix}", "--export", f"outputs/half{suffix}"])
    assert Path("outputs/model_final.pt").read_bytes() == before
    assert Path(f"outputs/half{suffix}").stat().st_size < 0.3 * len(before)
    with pytest.raises(InputError, match="--half belongs to --export"):
        sample.main(["--half"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--export m.pt --gif", "--gif has no effect with --export"),
        ("--export m.pt --num_images 3", "--num_images has no effect with --export"),
        ("--export m.pt --guidance 2", "--guidance has no effect with --export"),
        ("--interpolate 1 2 --batch_size 8", "--batch_size is not for --interpolate"),
    ],
)
def test_options_without_effect_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        sample.parse_arguments(options.split())


def test_an_inversion_takes_one_image_or_a_set_of_points():
    write_model("images.pt", *IMAGES)
    write_model("points.pt", "--dataset", "line", *POINTS)
    for options, says in (
        ("images.pt --inversion 0 --num_images 5", "--num_images is not for --inversion of an"),
        ("points.pt --inversion 7", "--inversion 7: this is a model of points"),
        ("points.pt --inversion line --labels 0", "--labels with --inversion is for models of"),
    ):
        with pytest.raises(InputError, match=says):
            sample.main(["--checkpoint", *options.split()])


def test_an_inversion_of_points_can_be_guided_by_another_model(capsys):
    for name in ("points.pt", "worse.pt"):
        write_model(name, "--dataset", "line", *POINTS)
    options = "--checkpoint points.pt --inversion line --guide worse.pt --num_images 20 --steps 3"
    sample.main(options.split())
    assert "guidance 2 by worse.pt" in capsys.readouterr().out


def test_a_variation_has_every_class_that_is_asked_for(model, capsys):
    make("--from_image", 0, "--labels", "0-9")
    assert "10 images" in capsys.readouterr().out
