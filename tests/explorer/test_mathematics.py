"""The mathematics in the page against PyTorch's, in a browser."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pages import (
    T,
    config_of,
    embedded,
    images_config,
    in_half,
    numbers,
    random_network,
    write_images,
    write_points,
)

import explorer
from diffusion import CLEAN, make_diffusion
from guidance import Conditioned, guided
from models import embeddings, unet
from samplers import (
    consistency,
    ddim,
    ddpm,
    dpmpp,
    exact_denoiser,
    final,
    heun,
    levelled_timesteps,
    repaint,
    shortcut,
    trailing_timesteps,
)


@pytest.fixture(scope="module")
def layers(browser):
    """Calls a function of the page: names of JavaScript, with numbers in and out."""
    page = browser.new_page()
    page.add_script_tag(content=explorer.read(explorer.SHARED))

    def call(code, *arguments):
        lists = [a.tolist() if isinstance(a, torch.Tensor) else a for a in arguments]
        found = page.evaluate(f"(given) => Array.from(({code})(...given))", lists)
        return torch.tensor(found, dtype=torch.float32)

    yield call
    page.close()


MAP = "const map = { data: Float32Array.from(x), height, width };"
WEIGHT = "const weight = (data, ...shape) => ({ data: Float32Array.from(data), shape });"


def rows(x):
    """A feature map (1, C, H, W) in the layout of the page: position by position."""
    return x[0].permute(1, 2, 0).flatten()


def same(found, expected, atol=1e-5):
    assert expected.abs().mean() > 0.05
    torch.testing.assert_close(found, expected.flatten(), rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("count", "inputs", "outputs"), [(1, 5, 3), (2, 8, 4), (5, 7, 9), (4, 3, 2), (7, 16, 8)]
)
def test_linear(count, inputs, outputs, layers):
    torch.manual_seed(0)
    x, w, b = torch.randn(count, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
    code = f"""(x, w, b, ...shape) => {{ {WEIGHT}
      return linear(Float32Array.from(x), weight(w, ...shape), weight(b)); }}"""
    found = layers(code, x.flatten(), w.flatten(), b, outputs, inputs)
    same(found, F.linear(x, w, b))


def test_convolution_by_patches(layers):
    torch.manual_seed(0)
    x, w = torch.randn(1, 6, 4, 5), torch.randn(7, 6, 3, 3)
    code = f"""(x, height, width, w, shape) => {{ {MAP}
      return linear(patches(map), forPatches(Float32Array.from(w), shape)); }}"""
    found = layers(code, rows(x), 4, 5, w.flatten(), list(w.shape))
    same(found, rows(F.conv2d(x, w, padding=1)), atol=1e-4)


@pytest.mark.parametrize("channels", [12, 16, 48])
def test_group_norm(channels, layers):
    torch.manual_seed(0)
    x, norm = torch.randn(1, channels, 3, 4) * 2 + 1, unet.group_norm(channels)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    code = f"""(x, height, width, scale, shift) => {{ {MAP} {WEIGHT}
      return groupNorm(map, weight(scale), weight(shift)).data; }}"""
    found = layers(code, rows(x), 3, 4, norm.weight, norm.bias)
    same(found, rows(norm(x)))


def test_attention(layers):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 4, 6, 8)  # heads, positions, channels of a head
    expected = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    qkv = torch.cat([part.transpose(1, 2).flatten(2) for part in (q, k, v)], dim=2)
    found = layers("(x, ...sizes) => attend(Float32Array.from(x), ...sizes)", qkv.flatten(), 6, 4)
    same(found, expected)


def test_fold_and_unfold(layers):
    x = torch.arange(2 * 4 * 6, dtype=torch.float32).view(1, 2, 4, 6)
    folded = layers(f"(x, height, width) => {{ {MAP} return fold(map).data; }}", rows(x), 4, 6)
    assert folded.tolist() == rows(unet.fold(x)).tolist()
    y = torch.arange(8 * 2 * 3, dtype=torch.float32).view(1, 8, 2, 3)
    opened = layers(f"(x, height, width) => {{ {MAP} return unfold(map).data; }}", rows(y), 2, 3)
    assert opened.tolist() == rows(unet.unfold(y)).tolist()


@pytest.mark.parametrize("t", [0, 1, 37, 999])
def test_sinusoidal_embedding(t, layers):
    found = layers("(t, size) => sinusoidal(t, size)", t, 64)
    # Its angles have 32 bits, so as they grow they are less exact.
    same(found, embeddings.sinusoidal_embedding(torch.tensor([t]), 64), atol=1e-6 + 2e-7 * t)


def test_half_precision(layers):
    """All 65,536 half-precision numbers, except those that are not finite."""
    every = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.float16)
    every = every[every.isfinite()]
    found = layers("halves", explorer.encode(every, np.float16))
    assert torch.equal(found, every.float())


def test_levelled_timesteps(layers):
    schedule = make_diffusion(config_of(timesteps=1000)).schedule
    text = explorer.schedule_part(schedule)
    for steps in (1, 2, 3, 4, 8, 20):
        found = layers("(table, n) => levelledTimesteps(readSchedule(table), n)", text, steps)
        assert found.tolist() == levelled_timesteps(schedule, steps)


def test_noise_is_normal_and_belongs_to_its_image(layers):
    found = layers("imageNoise", 3, 0, 40, 99).view(40, 99)
    assert abs(found.mean()) < 0.05
    assert abs(found.std() - 1) < 0.03
    assert abs(torch.corrcoef(found) - torch.eye(40)).max() < 0.45
    assert torch.equal(layers("imageNoise", 3, 0, 7, 99), found[:7].flatten())
    assert not torch.equal(layers("imageNoise", 3, 1, 1, 99), found[0])
    assert not torch.equal(layers("imageNoise", 4, 0, 1, 99), found[0])


# ------------------------------------------------------------------------------------- networks

ASK = """([x, t, s, labels]) =>
  Array.from(window.network(Float64Array.from(x), t, s ?? undefined, labels))"""


def check_network(visit, path, model, shape, jumps, counts, atol):
    x = torch.randn(3, *shape) * 1.5
    some = torch.tensor([2, 0, 1]) if counts else None
    with visit(path) as page:
        page.evaluate(
            "() => { window.network = readNetwork(page.network); view.workshop?.stop(); }"
        )
        for t, labels, s in product((0, 7, 39), (None, some), (None, -1) if jumps else (None,)):
            times = torch.tensor([t] if s is None else [[t, s]])
            expected = Conditioned(model, labels)(x, times)
            assert expected.abs().mean() > 0.05
            asked = [x.flatten().tolist(), t, s, None if labels is None else labels.tolist()]
            found = page.evaluate(ASK, asked)
            found = torch.tensor(found).view_as(expected)
            torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("time_embedding", "coordinates", "counts", "objective"),
    [
        ("sinusoidal", "sinusoidal", [], "denoising"),
        ("learned", "raw", [], "shortcut"),
        ("linear", "raw", [5, 5, 5], "shortcut"),
        ("log_sigma", "sinusoidal", [5, 5, 5], "denoising"),
    ],
)
def test_the_mlp_of_points(time_embedding, coordinates, counts, objective, visit, tmp_path):
    config = config_of(
        time_embedding=time_embedding,
        coordinates=coordinates,
        label_counts=counts,
        objective=objective,
    )
    model = random_network(config)
    path = write_points(tmp_path / "page.html", config, model)
    check_network(visit, path, model, (2,), objective == "shortcut", counts, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ([1, 16, 16], {"label_counts": [5, 5, 5]}),
        ([1, 28, 28], {"no_attention": True}),
        ([3, 17, 22], {"objective": "shortcut"}),  # padded on both sides
        ([3, 36, 40], {"label_counts": [5, 5, 5]}),  # three levels
        ([3, 16, 22], {"model": "dit", "label_counts": [5, 5, 5], "objective": "shortcut"}),
        ([1, 28, 28], {"model": "dit"}),
        ([3, 16, 20], {"model": "mlp", "hidden_dims": [32, 32], "label_counts": [5, 5, 5]}),
    ],
)
def test_networks_of_images(shape, changes, visit, tmp_path):
    """With weights in half precision, as in the page."""
    config = images_config(shape=shape, **changes)
    model = in_half(random_network(config))
    path = write_images(tmp_path / "page.html", config, model)
    jumps = config["objective"] == "shortcut"
    check_network(visit, path, model, shape, jumps, config["label_counts"], atol=1e-3)


# ------------------------------------------------------------------------------------- samplers

SAMPLE = """([x, name, steps, eta, fresh]) => {
  const ids = range(x.length / 2);
  const noise = () => Float64Array.from(fresh.shift());
  const timesteps = timestepsOf(name, schedule, steps);
  const start = Float64Array.from(x);
  const states = runSampler(name, view.denoiser(ids), start, schedule, timesteps, eta, noise);
  return Array.from([...states].at(-1).x);
}"""


def states_of(name, denoise, x, schedule, steps, eta, noise):
    """The sampler of that name, in PyTorch."""
    if name == "consistency":
        return consistency(denoise, x, schedule, levelled_timesteps(schedule, steps), noise)
    timesteps = trailing_timesteps(len(schedule), steps)
    if name in ("ddim", "dpmpp"):
        return {"ddim": ddim, "dpmpp": dpmpp}[name](denoise, x, schedule, timesteps, eta, noise)
    of_name = {"ddpm": ddpm, "heun": heun, "shortcut": shortcut}
    return of_name[name](denoise, x, schedule, timesteps, noise)


SAMPLERS = [
    ("ddim", 13, 0),
    ("ddim", 10, 0.5),
    ("ddpm", T, 1),
    ("dpmpp", 9, 0),
    ("dpmpp", 7, 0.7),
    ("heun", 6, 0),
    ("consistency", 1, 0),
    ("consistency", 3, 0),
]


@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [
        ("cosine", "v"),
        ("flow", "v"),
        ("log_linear", "eps"),
        ("linear", "x0"),
        ("quadratic", None),
        ("cosine", "jumps"),
    ],
)
def test_sampling_in_the_page_gives_pytorchs_points(schedule, prediction, visit, tmp_path):
    """From the same noise; without a prediction, with the exact denoiser of the data."""
    jumps = prediction == "jumps"
    config = config_of(schedule=schedule, prediction="v", sigma_max=3.0)
    if jumps:
        config |= {"objective": "shortcut"}
    elif prediction:
        config |= {"prediction": prediction}
    model = random_network(config) if prediction else None
    diffusion = make_diffusion(config)
    x = diffusion.starting_noise(torch.randn(15, 2))
    path = write_points(tmp_path / "page.html", config, model)
    data = torch.tensor(numbers(embedded(path)["points"]["positions"])).view(-1, 2)
    exact = exact_denoiser(data.double(), diffusion.schedule)
    denoise = diffusion.denoiser(model) if model else exact
    start = x if model else x.double()
    asked = [("shortcut", 1, 0), ("shortcut", 4, 0), ("shortcut", T, 0)] if jumps else SAMPLERS
    with visit(path) as page:
        for name, steps, eta in asked:
            fresh = torch.randn(steps, 15, 2)
            noises = iter(fresh)
            noise = lambda _: next(noises)  # noqa: B023, E731
            expected = final(states_of(name, denoise, start, diffusion.schedule, steps, eta, noise))
            given = [x.flatten().tolist(), name, steps, eta, fresh.flatten(1).tolist()]
            answer = torch.tensor(page.evaluate(SAMPLE, given)).view(15, 2)
            torch.testing.assert_close(answer, expected.float(), rtol=1e-4, atol=1e-4)


def test_each_step_of_a_sampler(visit, tmp_path):
    """All states are compared, not only the last; and dpmpp shows the network's own estimate."""
    config = config_of()
    diffusion = make_diffusion(config)
    x = torch.randn(15, 2)
    path = write_points(tmp_path / "page.html", config)
    data = torch.tensor(numbers(embedded(path)["points"]["positions"])).view(-1, 2)
    denoise = exact_denoiser(data.double(), diffusion.schedule)
    code = """(x) => {
      const timesteps = trailingTimesteps(schedule.length, 5);
      const start = Float64Array.from(x);
      const found = [...runSampler("dpmpp", view.denoiser(), start, schedule, timesteps, 0)];
      return found.map(({ t, x, x0 }) => [t, Array.from(x), Array.from(x0)]);
    }"""
    with visit(path) as page:
        found = page.evaluate(code, x.flatten().tolist())
    timesteps = trailing_timesteps(T, 5)
    states = [x.double(), *dpmpp(denoise, x.double(), diffusion.schedule, timesteps)]
    for (t, state, x0), s, expected in zip(found, [*timesteps, CLEAN], states, strict=True):
        assert t == s
        torch.testing.assert_close(torch.tensor(state, dtype=torch.float64), expected.flatten())
        estimate = expected if s == CLEAN else denoise(expected, s)[0]
        torch.testing.assert_close(torch.tensor(x0, dtype=torch.float64), estimate.flatten())


def test_a_hole_is_filled_as_by_pytorch(visit, tmp_path):
    config = config_of()
    diffusion = make_diffusion(config)
    x, fresh = torch.randn(15, 2).double(), torch.randn(100, 15, 2).double()
    known, hole = torch.randn(15, 2).double(), torch.rand(15, 2) < 0.5
    path = write_points(tmp_path / "page.html", config)
    data = torch.tensor(numbers(embedded(path)["points"]["positions"])).view(-1, 2)
    denoise, noises = exact_denoiser(data.double(), diffusion.schedule), iter(fresh)
    states = repaint(
        denoise,
        x,
        diffusion.schedule,
        trailing_timesteps(T, 6),
        known,
        hole,
        visits=3,
        randn_like=lambda _: next(noises),
    )
    code = """([x, known, hole, fresh]) => {
      const noise = () => Float64Array.from(fresh.shift());
      const edit = { known: Float64Array.from(known), hole, visits: 3 };
      const timesteps = trailingTimesteps(schedule.length, 6);
      const start = Float64Array.from(x);
      return Array.from(
        [...repaint(view.denoiser(), start, schedule, timesteps, edit, noise)].at(-1).x);
    }"""
    given = [part.flatten().tolist() for part in (x, known, hole)]
    with visit(path) as page:
        answer = page.evaluate(code, [*given, fresh.flatten(1).tolist()])
    expected = final(states)
    assert torch.equal(expected[~hole], known[~hole])
    torch.testing.assert_close(torch.tensor(answer, dtype=torch.float64).view(15, 2), expected)


def test_classes_and_guidance(visit, tmp_path):
    config = config_of(label_counts=[5, 5, 5])
    model = random_network(config)
    diffusion = make_diffusion(config)
    x = torch.randn(6, 2)
    told = guided(model, torch.full((6,), 2), 3, 2.5)
    states = ddim(diffusion.denoiser(told), x, diffusion.schedule, trailing_timesteps(T, 5))
    with visit(write_points(tmp_path / "page.html", config, model)) as page:
        page.get_by_label("Class").select_option("2")
        page.get_by_label("Guidance").fill("2.5")
        page.get_by_label("Guidance").blur()
        answer = page.evaluate(SAMPLE, [x.flatten().tolist(), "ddim", 5, 0, []])
    torch.testing.assert_close(torch.tensor(answer).view(6, 2), final(states), rtol=0, atol=1e-4)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_density_is_that_of_the_noisy_data(spread, layers):
    torch.manual_seed(0)
    points = torch.randn(30, 2)
    code = f"(() => {{ {explorer.read(['field.js'])} return density; }})()"
    found = layers(f"(x, ...more) => {code}(x, ...more)", points.flatten(), 0.8, spread, 3)
    cells = round(len(found) ** 0.5)
    middles = ((torch.arange(cells) * 2 + 1) / cells - 1) * 3
    at = torch.cartesian_prod(-middles, middles).flip(1)  # row after row from the top
    squares = torch.cdist(at, 0.8 * points).square()
    expected = (-squares / (2 * spread**2)).exp().sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
