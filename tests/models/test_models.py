"""The U-Net and its embeddings."""

import math

import pytest
import torch

from diffusion import make_schedule
from models import build_model, describe, load_model
from models.embeddings import (
    FourierFeatures,
    TimeEmbedding,
    sinusoidal_embedding,
)
from models.unet import UNet
from names import TIME_EMBEDDINGS

CONFIG = {"model": "unet", "base_channels": 8, "label_counts": []}
CONFIG |= {"dropout": 0.0, "no_attention": False, "shape": [1, 28, 28]}


def awakened(model: torch.nn.Module) -> torch.nn.Module:
    """The model with its zero-initialised layers filled, so that every branch is alive."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_default_size_is_about_two_million_parameters():
    count = sum(p.numel() for p in UNet().parameters())
    assert 1.7e6 <= count <= 2.3e6


@pytest.mark.parametrize("batch", [1, 3, 17])
@pytest.mark.parametrize("base_channels", [1, 12, 64])
def test_output_has_the_shape_of_the_input(batch, base_channels):
    model = awakened(UNet(base_channels=base_channels))
    out = model(torch.randn(batch, 1, 28, 28), torch.arange(batch))
    assert out.shape == (batch, 1, 28, 28)
    assert torch.isfinite(out).all()
    assert out.std() > 0


def test_a_new_network_answers_zero():
    """The last layer starts at zero, so the first loss is that of predicting zero."""
    assert not UNet(base_channels=8)(torch.randn(2, 1, 28, 28), torch.tensor([0, 9])).any()


def test_every_parameter_gets_a_gradient():
    model = awakened(UNet(base_channels=16))
    out = model(torch.randn(4, 1, 28, 28), torch.tensor([0, 10, 500, 999]))
    (out**2).mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_dropout_is_for_training_only():
    model = awakened(UNet(base_channels=16, dropout=0.3))
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([5, 500])
    one, other = model.train()(x, t), model(x, t)
    assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(model.eval()(x, t), model(x, t))


def test_attention_can_be_left_out():
    with_it, without = (build_model({**CONFIG, "no_attention": choice}) for choice in (False, True))
    names = {name for name, _ in with_it.named_parameters()}
    lost = names - {name for name, _ in without.named_parameters()}
    assert lost == {name for name in names if name.startswith("attention.")} != set()
    assert awakened(without)(torch.randn(2, 1, 28, 28), torch.tensor([0, 9])).std() > 0


def test_time_changes_the_output():
    model = awakened(UNet(base_channels=16))
    x = torch.randn(1, 1, 28, 28).expand(3, -1, -1, -1)
    a, b, c = model(x, torch.tensor([10, 11, 900]))
    assert not torch.allclose(a, b, atol=1e-6)
    assert not torch.allclose(a, c, atol=1e-3)


def test_examples_of_a_batch_do_not_mix():
    model = awakened(UNet(base_channels=16))
    x, t = torch.randn(5, 1, 28, 28), torch.arange(5)
    torch.testing.assert_close(model(x, t)[2:3], model(x[2:3], t[2:3]), rtol=1e-4, atol=1e-4)


def test_sinusoidal_embedding_is_the_formula():
    embedding = sinusoidal_embedding(torch.tensor([0, 7, 999]), 6)
    for row, t in zip(embedding, (0, 7, 999), strict=True):
        frequencies = [10_000 ** (-k / 3) for k in range(3)]
        expected = [math.cos(t * f) for f in frequencies] + [math.sin(t * f) for f in frequencies]
        assert row.tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_odd_embedding_sizes_are_refused(size):
    with pytest.raises(ValueError, match="even"):
        sinusoidal_embedding(torch.tensor([1]), size)


MLP_CONFIG = {
    **{"model": "mlp", "kind": "points", "hidden_dims": [32, 32], "embedding_size": 16},
    **{"time_embedding": "sinusoidal", "coordinates": "sinusoidal", "embedding_scale": 1.0},
    **{"schedule": "linear", "timesteps": 100, "beta_start": None, "beta_end": None},
    **{"sigma_min": 0.002, "sigma_max": 10.0, "label_counts": [], "shape": [2]},
}


@pytest.mark.parametrize("time_embedding", TIME_EMBEDDINGS)
@pytest.mark.parametrize("coordinates", ["sinusoidal", "raw"])
def test_mlp_of_points(time_embedding, coordinates):
    config = {**MLP_CONFIG, "time_embedding": time_embedding, "coordinates": coordinates}
    model = build_model(config)
    x, t = torch.randn(7, 2), torch.tensor([0, 1, 20, 50, 70, 98, 99])
    assert not model(x, t).any()  # starts at zero
    out = awakened(model)(x, t)
    assert out.shape == (7, 2)
    assert not torch.allclose(out, model(x, t.flip(0)), atol=1e-4)  # time matters
    (out**2).mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_mlp_of_images_has_the_size_its_options_say():
    config = {**MLP_CONFIG, "kind": "images", "shape": [1, 28, 28]}
    config |= {"hidden_dims": [2048] * 5, "embedding_size": 100}
    model = build_model(config)
    assert 24e6 < sum(p.numel() for p in model.parameters()) < 27e6
    x = torch.randn(3, 1, 28, 28)
    assert awakened(model)(x, torch.tensor([0, 50, 99])).shape == x.shape


def test_mlp_widths_may_change_from_layer_to_layer():
    model = build_model({**MLP_CONFIG, "hidden_dims": [128, 256, 256, 256, 128]})
    widths = [block.linear.out_features for block in model.blocks]
    assert widths == [128, 256, 256, 256, 128]
    assert [block.residual for block in model.blocks] == [True, False, True, True, False]


def test_log_sigma_embedding_is_the_formula():
    schedule = make_schedule("log_linear", 50, sigma_min=0.01, sigma_max=5.0)
    embedding = TimeEmbedding("log_sigma", 64, schedule.half_log_snr)
    half_log_sigma = 0.5 * torch.log(schedule.sigmas[[3, 40]]).float()
    expected = torch.stack([half_log_sigma.sin(), half_log_sigma.cos()], dim=1)
    torch.testing.assert_close(embedding(torch.tensor([3, 40])), expected)


def test_fourier_features_are_the_formula():
    features = FourierFeatures(2, 8, scale=3.0)
    assert features.frequencies.std().item() == pytest.approx(3.0, rel=0.9)
    x = torch.tensor([[0.2, -0.7]])
    angles = [2 * math.pi * (0.2 * a - 0.7 * b) for a, b in features.frequencies.T.tolist()]
    expected = [0.2, -0.7, *(math.cos(a) for a in angles), *(math.sin(a) for a in angles)]
    assert features(x)[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("timesteps", [10, 100])
@pytest.mark.parametrize("time_embedding", TIME_EMBEDDINGS)
def test_mlp_answers_alike_however_the_time_is_embedded(time_embedding, timesteps):
    """Row by row, once for each timestep (batches larger than T), or one for all: (1,)."""
    config = {**MLP_CONFIG, "time_embedding": time_embedding, "timesteps": timesteps}
    model = awakened(build_model(config))
    x, t = torch.randn(50, 2), torch.randint(10, (50,))
    one_by_one = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(model(x, t), one_by_one)
    torch.testing.assert_close(model(x, torch.tensor([7])), model(x, torch.full((50,), 7)))


def test_unet_answers_alike_to_a_timestep_shared_by_all():
    model = awakened(UNet(base_channels=8))
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(model(x, torch.tensor([7])), model(x, torch.full((3,), 7)))


def test_load_model_takes_the_weights_asked_for():
    last, average = awakened(build_model(CONFIG)), build_model(CONFIG)
    checkpoint = {"config": CONFIG, "model": last.state_dict(), "ema": average.state_dict()}
    for use_ema, original in ((False, last), (True, average)):
        loaded = load_model(checkpoint, use_ema)
        assert not loaded.training
        for a, b in zip(loaded.parameters(), original.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_network_without_memory_has_the_names_and_shapes_of_a_real_one():
    """Even if the weights would take terabytes."""
    mlp = {
        "model": "mlp",
        "kind": "points",
        "shape": [2],
        "hidden_dims": [8, 16],
        "embedding_size": 8,
    }
    mlp |= {"time_embedding": "learned", "coordinates": "sinusoidal", "embedding_scale": 2.0}
    mlp |= {"label_counts": [3, 4], "schedule": "flow", "timesteps": 10}
    mlp |= dict.fromkeys(("beta_start", "beta_end", "sigma_min", "sigma_max"))
    for config in (CONFIG, {**CONFIG, "label_counts": [1, 2]}, mlp):
        real, planned = (build_model(config, device).state_dict() for device in ("cpu", "meta"))
        assert {k: (v.shape, v.dtype) for k, v in real.items()} == (
            {k: (v.shape, v.dtype) for k, v in planned.items()}
        )
    huge = build_model({**mlp, "hidden_dims": [8192] * 100}, "meta").state_dict()
    assert sum(weight.nbytes for weight in huge.values()) > 25e9


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match="unknown model"):
        build_model({"model": "transformer", "label_counts": []})


@pytest.mark.parametrize(
    "config",
    [
        {**CONFIG, "shape": [3, 32, 32]},
        {**CONFIG, "shape": [1, 18, 40]},
        {**MLP_CONFIG, "kind": "images", "shape": [3, 8, 8], "coordinates": None},
    ],
    ids="unet-colour unet-oblong mlp-colour".split(),
)
def test_networks_learn_images_of_other_shapes(config):
    torch.manual_seed(0)
    model, x0 = build_model(config), torch.randn(8, *config["shape"])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    t, losses = torch.arange(8) * 10, []
    for _ in range(2):
        answer = model(x0, t)
        assert answer.shape == x0.shape
        loss = (answer - x0).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


def test_networks_say_what_they_are():
    assert describe(build_model(CONFIG)).startswith("U-Net with 0.")
    assert describe(build_model(MLP_CONFIG)) == "MLP with 0.00 M parameters"
