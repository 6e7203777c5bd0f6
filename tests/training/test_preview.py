"""preview.py: the sheets of samples after an epoch."""

import numpy as np
import pytest
import torch
from studio import dots, picture, texts_above, texts_beside, title

import samplers
from datasets.units import ImageUnits, PointUnits
from diffusion import Diffusion, make_schedule
from plots.pictures import make_pictures
from samplers import exact_denoiser
from system.errors import RunError
from training.preview import Preview
from training.settings import TrainSettings
from utils import SeededNoise

CORNERS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


def answers_with_the_label(x, t, labels=None):
    """A network of x0 whose images are the brighter, the larger their label."""
    value = torch.zeros(len(x)) if labels is None else labels / 5 - 0.9
    return value.view(-1, *[1] * (x.ndim - 1)).expand_as(x)


def draw(folder, units, labels=(), count=9, network=answers_with_the_label, stride=None):
    diffusion = Diffusion(make_schedule("cosine", 100), "x0")
    settings = TrainSettings(
        output_dir=folder, epochs=9, batch_size=9, lr=0.1, num_samples=count, show_image_step=stride
    )
    preview = Preview(network, diffusion, make_pictures(units), labels, settings)
    return preview.draw(3, folder)


@pytest.mark.parametrize(("count", "columns"), [(64, 7), (70, 7), (20, 2), (11, 2)])
def test_every_class_has_a_full_row_of_its_own_samples(count, columns, figures, tmp_path):
    draw(tmp_path, ImageUnits((1, 28, 28)), labels=range(10), count=count)
    axes = figures["epoch_003"].axes[0]
    assert texts_beside(axes) == [str(k) for k in range(10)]
    cells = picture(axes)[2:, 2:].reshape(10, 30, columns, 30)[:, :28, :, :28]
    greys = cells.transpose(0, 2, 1, 3).reshape(10, -1)
    assert (greys == greys[:, :1]).all()  # no place is left empty
    assert greys[:, 0].tolist() == sorted(set(greys[:, 0].tolist()))
    assert title(figures["epoch_003"]) == "Samples after epoch 3 (ddim, 20 steps)"


def test_fewer_samples_than_classes_stay_so_few(figures, tmp_path):
    draw(tmp_path, ImageUnits((1, 28, 28)), labels=range(10), count=4)
    axes = figures["epoch_003"].axes[0]
    assert picture(axes).shape == (32, 4 * 30 + 2)
    assert texts_above(axes) == ["0", "1", "2", "3"]


def test_the_process_has_its_labels(figures, tmp_path):
    draw(tmp_path, ImageUnits((1, 28, 28)), labels=range(10), count=20, stride=50)
    axes = figures["epoch_003_process"].axes[0]
    assert texts_beside(axes) == [str(k) for k in range(8)]
    assert texts_above(axes) == ["t = 99", "t = 49", "sample"]


def test_without_classes_there_are_as_many_as_asked_for(figures, tmp_path):
    draw(tmp_path, ImageUnits((1, 28, 28)), count=64)
    axes = figures["epoch_003"].axes[0]
    assert picture(axes).shape == (8 * 30 + 2, 8 * 30 + 2)
    assert texts_beside(axes) == []


def test_points_are_drawn_by_the_sampler_that_leaves_few_astray(figures, tmp_path):
    """With fresh noise, but always from the same, whatever else has been drawn."""
    exact = exact_denoiser(CORNERS, make_schedule("cosine", 100))

    def network(x, t, labels=None):
        return exact(x, t.item())[0]

    units, drawn = PointUnits([0, 0], 1.0), []
    for _ in range(2):
        draw(tmp_path, units, count=300, network=network, stride=20)
        drawn.append(dots(figures["epoch_003"].axes[0])[0])
        torch.rand(7)
    assert np.array_equal(*drawn)
    assert title(figures["epoch_003"]) == "Samples after epoch 3 (dpmpp, 50 steps, eta 1)"
    plan = samplers.dpmpp, samplers.trailing_timesteps(100, 50)
    noise = SeededNoise(0, 0, 300, "cpu")
    x, schedule = noise.draw(2), make_schedule("cosine", 100)
    expected = plan[0](exact, x, schedule, plan[1], eta=1.0, randn_like=noise.randn_like)
    assert drawn[0] == pytest.approx(samplers.final(expected).numpy(), abs=1e-5)
    captions = [axes.get_title() for axes in figures["epoch_003_process"].axes]
    assert captions == [*(f"t = {t}" for t in (99, 79, 59, 39, 19)), "sample"]


def test_a_short_process_has_no_more_steps_than_timesteps(figures, tmp_path):
    settings = TrainSettings(output_dir=tmp_path, epochs=9, batch_size=9, lr=0.1, num_samples=9)
    diffusion = Diffusion(make_schedule("cosine", 7), "x0")
    pictures = make_pictures(PointUnits([0, 0], 1.0))
    Preview(answers_with_the_label, diffusion, pictures, (), settings).draw(3, tmp_path)
    assert title(figures["epoch_003"]) == "Samples after epoch 3 (dpmpp, 7 steps, eta 1)"


def test_samples_that_are_not_finite_are_not_drawn(figures, tmp_path):
    broken = lambda x, t: torch.full_like(x, torch.nan)  # noqa: E731
    with pytest.raises(RunError, match="after epoch 3 are not finite"):
        draw(tmp_path, PointUnits([0, 0], 1.0), network=broken)
    assert not figures


def test_a_tuned_network_is_drawn_in_one_and_in_two_steps(figures, tmp_path):
    settings = TrainSettings(
        output_dir=tmp_path, epochs=9, batch_size=9, lr=0.1, num_samples=20, objective="consistency"
    )
    diffusion = Diffusion(make_schedule("cosine", 100), "x0")
    seen = []

    def network(x, t, labels=None):
        seen.append(t.item())
        return answers_with_the_label(x, t, labels)

    pictures = make_pictures(ImageUnits((1, 28, 28)))
    Preview(network, diffusion, pictures, range(10), settings).draw(3, tmp_path)
    assert title(figures["epoch_003"]) == "Samples after epoch 3 (consistency, 2 steps)"
    assert title(figures["epoch_003_one_step"]) == "Samples after epoch 3 (consistency, 1 step)"
    levels = diffusion.schedule.noise_levels
    assert seen[0] == seen[1] == int((levels <= 80).sum()) - 1
    assert seen[2:] == [int((levels.log()).abs().argmin())]
    for name in ("epoch_003", "epoch_003_one_step"):
        assert texts_beside(figures[name].axes[0]) == [str(k) for k in range(10)]
