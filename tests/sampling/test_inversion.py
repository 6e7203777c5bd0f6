"""sample.py --inversion: from data to noise, and from the noise back to the data."""

import numpy as np
import pytest
import torch
from studio import IMAGES, POINTS, record_figures, texts_above, write_model

import sample
from diffusion import Diffusion, make_schedule
from samplers import ddim, ddim_inverse, exact_denoiser, final, trailing_timesteps
from system.errors import InputError


def gaussian_denoiser(schedule, variance):
    """The mean of normal data with these variances, given x_t."""

    def denoise(x, t):
        alpha, sigma = schedule.at(t)
        x0 = alpha * variance / (alpha**2 * variance + sigma**2) * x
        return x0, (x - alpha * x0) / sigma

    return denoise


@pytest.mark.parametrize("schedule", ["cosine", "flow", "log_linear", "quadratic"])
def test_gaussian_data_become_normal_noise_and_come_back(schedule):
    schedule, variance = make_schedule(schedule, 1000), torch.tensor([0.7, 1.3]).double()
    denoise, timesteps = gaussian_denoiser(schedule, variance), trailing_timesteps(1000, 200)
    torch.manual_seed(0)
    x0 = variance.sqrt() * torch.randn(20_000, 2).double()
    noise = final(ddim_inverse(denoise, x0, schedule, timesteps))
    start = Diffusion(schedule, "x0").starting_noise(torch.ones(1).double())
    assert (noise / start).std(0).tolist() == pytest.approx([1, 1], abs=0.05)
    assert torch.corrcoef(torch.cat([noise, x0], dim=1).T)[0, 2] > 0.99
    back = final(ddim(denoise, noise, schedule, timesteps))
    assert (back - x0).square().mean().sqrt() < 0.05


def test_each_step_back_undoes_one():
    """From any state except the data, ddim returns from the result of its inverse."""
    schedule, timesteps = make_schedule("cosine", 1000), trailing_timesteps(1000, 50)
    torch.manual_seed(0)
    variance = torch.tensor([0.5, 1.5]).double()
    data, denoise = (
        variance.sqrt() * torch.randn(30, 2).double(),
        gaussian_denoiser(schedule, variance),
    )
    errors = []
    for looks in (1, 3, 40):
        states = list(ddim_inverse(denoise, data, schedule, timesteps, looks=looks))
        undone = list(ddim(denoise, states[-1], schedule, timesteps))[:-1]
        errors.append((torch.stack(undone[::-1]) - torch.stack(states[:-1])).abs().max().item())
    assert errors[2] < 1e-4
    assert errors[2] < errors[1] < errors[0]


def test_pixels_that_are_always_black_become_noise_too():
    schedule, timesteps = make_schedule("cosine", 1000), trailing_timesteps(1000, 50)
    denoise = exact_denoiser(torch.full((4, 3), -1.0), schedule)
    noise = final(ddim_inverse(denoise, torch.full((5000, 3), -1.0), schedule, timesteps))
    assert noise.std(0).tolist() == pytest.approx([1, 1, 1], abs=0.05)


@pytest.fixture
def figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return record_figures(monkeypatch)


def run(*options):
    sample.main(["--device", "cpu", *options])


def test_an_image_as_noise_and_as_other_classes(figures, capsys):
    write_model("m.pt", *IMAGES, "--class_conditional")
    run("--checkpoint", "m.pt", "--inversion", "3", "--labels", "0,4", "--steps", "5")
    assert texts_above(figures["inversion"].axes[0]) == [
        "given",
        "as noise",
        "and back",
        "as 0",
        "as 4",
    ]
    assert "root mean square error after encoding and decoding: " in capsys.readouterr().out
    run("--checkpoint", "m.pt", "--inversion", "3", "--steps", "5")
    assert texts_above(figures["inversion"].axes[0]) == ["given", "as noise", "and back"]


def test_points_as_noise(figures, capsys):
    write_model("m.pt", "--dataset", "moons", *POINTS)
    run("--checkpoint", "m.pt", "--inversion", "moons", "--num_images", "70", "--steps", "5")
    axes = figures["inversion"].axes
    assert [one.get_title() for one in axes] == ["given", "as noise", "and back"]
    assert {len(np.asarray(one.collections[0].get_offsets())) for one in axes} == {70}
    assert "of the spread of the data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--inversion 3 --sampler ddpm", "ddim run backwards"),
        ("--inversion 3 --sampler heun", "ddim run backwards"),
        ("--inversion 3 --eta 0.5 --sampler ddim", "ddim run backwards"),
        ("--inversion 3 --from_image 3", "cannot go with --inversion"),
        ("--inversion 3 --inpaint 3 --mask lower_half", "cannot go with --inpaint|--inversion"),
        ("--inversion 3 --output a.npy", "--output of --inversion"),
        ("--inversion 3 --gif", "not for inversion"),
        ("--inversion 99999999", "there is no 99999999"),
        ("--inversion 3 --checkpoint always.pt", "encodes without a class"),
    ],
)
def test_what_cannot_be_inverted_is_refused(options, said, figures):
    write_model("m.pt", *IMAGES)
    write_model("always.pt", *IMAGES, "--class_conditional", "--label_dropout", 0)
    with pytest.raises(InputError, match=said):
        run("--checkpoint", "m.pt", *options.split())
