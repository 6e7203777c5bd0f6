"""evaluate.py --features inception: the package that has the network, its weights, the figures.

The weights cannot be had here, so networks are stand-ins, or the package's own with random weights.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from scripts import REPOSITORY, refuse
from studio import write_model

import datasets.downloads
import evaluate
import evaluation.images
import evaluation.inception
from datasets import Dataset, load_images
from evaluation.image_metrics import frechet_distance, kernel_distance, precision_and_recall
from evaluation.images import Reference, evaluate_images
from evaluation.inception import features_of, find_weights, load_inception
from system.distributed import Group
from system.errors import InputError

PACKAGE = "torch_fidelity.feature_extractor_inceptionv3"
NAMES = ["FID", "KID x 1000", "precision", "recall", "median distance to a training image"]


def projection(pixels: torch.Tensor) -> torch.Tensor:
    """Twelve features of images (N, ...), random but always the same."""
    x = pixels.flatten(1).float() / 255
    return x @ torch.randn(x.shape[1], 12, generator=torch.Generator().manual_seed(0))


class StandIn:
    """What evaluation.inception uses of the package's network."""

    def __init__(self, name, features, feature_extractor_weights_path):
        assert (name, features) == ("inception-v3-compat", ["2048"])
        self.content = Path(feature_extractor_weights_path).read_bytes()

    def to(self, device):
        return self

    def __call__(self, images):
        assert images.dtype == torch.uint8
        return (projection(images),)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Where the weights are looked for; a package that looks there; and what they should be."""
    home = tmp_path / "torch"
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    # On a busy machine the import of torch alone can take that long.
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 120.0)
    monkeypatch.setattr(evaluation.inception, "SHA256", hashlib.sha256(b"right").hexdigest())
    package, module = ModuleType("torch_fidelity"), ModuleType(PACKAGE)
    module.FeatureExtractorInceptionV3 = StandIn
    module.URL_INCEPTION_V3 = (tmp_path / "far away" / "weights.pth").as_uri()
    package.feature_extractor_inceptionv3 = module
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, PACKAGE, module)
    return home / "hub" / "checkpoints" / "weights.pth"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


# --------------------------------------------------------------------------------------- figures


def pictures(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(100 + 50 * seed, (count, 6, 4, 3), generator=generator, dtype=torch.uint8)


def figures_anew(found: torch.Tensor, real: torch.Tensor) -> list[float]:
    """The figures of as many features as there are real ones, all computed a second way."""
    x, y = found.double(), real.double()
    n = len(x)
    a, b = ((z - z.mean(0)) / (n - 1) ** 0.5 for z in (x, y))
    # The trace of (A'A B'B)^(1/2) is the sum of the singular values of A B'.
    fid = (x.mean(0) - y.mean(0)).square().sum() + a.square().sum() + b.square().sum()
    fid -= 2 * torch.linalg.svdvals(a @ b.T).sum()
    kernel = [((u * v).sum() / 12 + 1) ** 3 for u in (*x, *y) for v in (*x, *y)]
    kernel = torch.stack(kernel).view(2 * n, 2 * n).fill_diagonal_(0)
    within = (kernel[:n, :n].sum() + kernel[n:, n:].sum()) / (n * (n - 1))
    cross = [((u * v).sum() / 12 + 1) ** 3 for u in x for v in y]
    kid = within - 2 * torch.stack(cross).mean()

    def share(points, centres):
        apart = (centres[:, None] - centres).norm(dim=2).sort(1).values[:, 3]
        return ((points[:, None] - centres).norm(dim=2) <= apart).any(1).double().mean()

    nearest = (x[:, None] - y).norm(dim=2).min(1).values.median()
    return [v.item() for v in (fid, 1000 * kid, share(x, y), share(y, x), nearest)]


def test_figures_are_of_samples_and_of_unseen_images_against_the_training_images(
    tmp_path, monkeypatch, capsys
):
    """Of a data set without labels, for which there could be no classifier."""
    count = 60
    splits = {train: pictures(count, int(train)) for train in (True, False)}
    train, test = (Dataset("mine", splits[x], torch.zeros(count).long()) for x in (True, False))
    monkeypatch.setattr(evaluation.images, "load_classifier", None)
    samples = pictures(count, 3)  # less like the training images than the test images are
    where = (tmp_path, tmp_path / "picture.png", torch.device("cpu"))
    found = evaluate_images(samples, Reference(train, test, projection), *where)
    assert list(found) == NAMES
    real = projection(splits[True])
    for column, other in enumerate((samples, splits[False])):
        values = [pair[column] for pair in found.values()]
        assert values == pytest.approx(figures_anew(projection(other), real), rel=1e-4, abs=1e-6)
    assert found["FID"][0] > 1.5 * found["FID"][1]
    assert (tmp_path / "picture.png").is_file()
    said = capsys.readouterr().out
    assert "real data: 60 images of the test split\n" in said
    assert "all 60 training images" in said


def test_training_images_as_samples_are_recognised(tmp_path):
    train = pictures(50, 1)
    data = Dataset("mine", train, torch.zeros(50).long())
    where = (tmp_path, tmp_path / "picture.png", torch.device("cpu"))
    found = evaluate_images(train, Reference(data, data, projection), *where)
    values = [found[name][0] for name in NAMES if name != "KID x 1000"]
    assert values == pytest.approx([0, 1, 1, 0], abs=1e-4)


def test_features_are_those_of_each_image_in_order():
    """Whatever the batches; grey is the same as grey in three channels."""
    sizes = []

    def network(images):
        sizes.append(tuple(images.shape))
        return (images[:, :, 2, 3].float(),)

    colour = torch.arange(3 * 150).mul(7).remainder(256).byte().view(150, 1, 1, 3)
    colour = torch.nn.functional.pad(colour, (0, 0, 3, 0, 2, 0)).contiguous()  # (150, 3, 4, 3)
    assert torch.equal(features_of(network, colour, "cpu"), colour[:, 2, 3].float())
    assert sizes == [(64, 3, 3, 4), (64, 3, 3, 4), (22, 3, 3, 4)]
    grey = colour[..., 1].contiguous()
    assert torch.equal(features_of(network, grey, "cpu"), grey[:, 2, 3, None].float().expand(-1, 3))


def test_the_script_compares_in_these_features_and_trains_no_classifier(
    tmp_path, monkeypatch, weights, capsys
):
    monkeypatch.chdir(tmp_path)
    put(weights, b"right")
    splits = {train: load_images("digits", tmp_path, train, subset=150) for train in (True, False)}
    monkeypatch.setattr(
        evaluation.images,
        "load_images",
        lambda name, where, train=True, settings=None: splits[train],
    )
    monkeypatch.setattr(evaluation.images, "load_classifier", None)
    write_model("model.pt", "--dataset", "digits", "--base_channels", 8, "--class_conditional")
    options = "--checkpoint model.pt --features inception --num_samples 110 --steps 1".split()
    evaluate.evaluate(evaluate.parse_arguments(options), torch.device("cpu"), Group())
    found = json.loads(Path("outputs/evaluation.json").read_text())
    assert found["features"] == "inception"
    assert list(found["figures"]) == [
        *NAMES,
        "closer to a training image than its neighbour",
        "bits per dimension of unseen images, at most",
    ]
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0))[:110]
    unseen, seen = (
        projection(pixels[:, None].expand(-1, 3, -1, -1))
        for pixels in (splits[False].examples[order], splits[True].examples)
    )
    real = {name: pair["real"] for name, pair in found["figures"].items()}
    assert real["FID"] == pytest.approx(frechet_distance(unseen, seen), rel=1e-6)
    assert real["KID x 1000"] == pytest.approx(1000 * kernel_distance(unseen, seen), rel=1e-6)
    assert (real["precision"], real["recall"]) == precision_and_recall(seen, unseen)
    assert found["figures"]["FID"]["samples"] > 10 * real["FID"]  # of a network before training
    assert not (tmp_path / "data").exists()
    assert "110 images of the test split" in capsys.readouterr().out


def test_only_images_have_these_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model("points.pt", "--dataset", "line", "--num_points", 50, "--hidden_size", 4)
    for features in ("inception", "classifier"):
        options = ("--checkpoint", "points.pt", "--features", features)
        said = refuse("evaluate.py", *options, cwd=tmp_path)
        assert "--features is for models of images only" in said
    assert "Did you mean 'inception'?" in refuse("evaluate.py", "--features", "Incepton", cwd=".")


# ---------------------------------------------------------------------- the package, its weights


def test_the_weights_are_found_where_the_package_puts_them(weights):
    put(weights, b"right")
    features = load_inception("cpu")
    pixels = pictures(5, 1)
    assert torch.equal(features(pixels), projection(pixels.movedim(-1, 1)))


def test_the_weights_are_downloaded_whole_and_once(tmp_path, weights, capsys):
    put(tmp_path / "far away" / "weights.pth", b"right")
    load_inception("cpu")
    assert weights.read_bytes() == b"right"
    assert [path.name for path in weights.parent.iterdir()] == ["weights.pth"]
    assert "Downloading Inception v3 (96 MB)" in capsys.readouterr().out
    (tmp_path / "far away" / "weights.pth").unlink()
    load_inception("cpu")
    assert "Downloading" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"wrong"])
def test_weights_that_cannot_be_downloaded_are_an_error_with_the_ways_out(
    content, tmp_path, weights
):
    if content:
        put(tmp_path / "far away" / "weights.pth", content)
    with pytest.raises(InputError) as caught:
        load_inception("cpu")
    said = str(caught.value)
    for part in (
        "far%20away/weights.pth",
        str(weights.parent),
        "Download weights.pth into",
        "classifier",
    ):
        assert part in said
    assert "invalid hash value" in said if content else "No such file" in said
    assert not list(weights.parent.iterdir())


def test_a_silent_download_of_weights_is_given_up(weights, monkeypatch):
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 0.5)
    popen = subprocess.Popen
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: popen(sleep, **options))
    with pytest.raises(InputError, match=r"nothing arrived for 0\.5 seconds"):
        load_inception("cpu")


def test_weights_that_cannot_be_kept_are_an_error_with_the_ways_out(tmp_path, weights):
    (tmp_path / "torch").write_text("a file where the folder would be")
    with pytest.raises(
        InputError, match=r"torch.* could not be downloaded .*Download weights\.pth"
    ):
        load_inception("cpu")


def test_weights_that_are_not_the_right_ones_are_not_read(weights):
    put(weights, b"right but for more")
    begins = hashlib.sha256(b"right but for more").hexdigest()[:8]
    with pytest.raises(InputError, match=f"begins with {begins}, not .*delete it"):
        find_weights(sys.modules[PACKAGE].URL_INCEPTION_V3)


MISSING = "sys.modules['torch_fidelity'] = None"
UNREACHABLE = f"""
package, module = types.ModuleType("torch_fidelity"), types.ModuleType({PACKAGE!r})
module.URL_INCEPTION_V3 = "http://localhost:9/weights.pth"
package.feature_extractor_inceptionv3 = module
sys.modules.update({{"torch_fidelity": package, {PACKAGE!r}: module}})
os.environ["TORCH_HOME"] = os.getcwd()
"""


@pytest.mark.parametrize(
    ("before", "says"),
    [(MISSING, "pip install torch-fidelity"), (UNREACHABLE, "Download weights.pth into")],
)
def test_what_is_missing_ends_the_script_before_any_work(before, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model("model.pt", "--dataset", "digits", "--base_channels", 8)
    arguments = "evaluate.py --checkpoint model.pt --features inception".split()
    script = str(REPOSITORY / "evaluate.py")
    code = (
        f"import os, runpy, sys, types\n{before}\nsys.argv = {arguments!r}\n"
        f"sys.path[0] = {str(REPOSITORY)!r}\nrunpy.run_path({script!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert "10,000 images" not in done.stdout


# ------------------------------------------------------------------------------ the package itself


@pytest.fixture
def random_weights(tmp_path, monkeypatch):
    """The file of weights for the package's own network, with random numbers for the right ones."""
    package = pytest.importorskip(PACKAGE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    cls = package.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(package, "load_state_dict_from_url", lambda *where, **how: None)
        patch.setattr(cls, "load_state_dict", lambda self, state: None)
        network = cls("random", ["2048"])
        for name, weight in network.named_parameters():
            if name.endswith("conv.weight"):  # keeping the size of what passes through
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
    path = tmp_path / "hub" / "checkpoints" / package.URL_INCEPTION_V3.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(evaluation.inception, "SHA256", digest)
    return path


class Images(torch.utils.data.Dataset):
    """Images as the package takes them: uint8 (3, H, W) each."""

    def __init__(self, pixels):
        self.pixels = pixels.movedim(-1, 1)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.pixels[index]


def smooth_pictures(count: int, seed: int) -> torch.Tensor:
    small = pictures(count, seed).movedim(-1, 1).float()
    large = torch.nn.functional.interpolate(small, size=(32, 24), mode="bilinear")
    return large.byte().movedim(1, -1)


def test_features_are_those_that_the_package_itself_gives(random_weights):
    from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset

    pixels = smooth_pictures(6, 1)
    pixels[3:] = pixels[3:, :, :, :1]  # grey
    features = load_inception(torch.device("cpu"))
    ours = features(pixels)
    assert ours.shape == (6, 2048)
    assert (ours >= 0).all()
    assert ours.std(0).mean() > 0.01
    torch.testing.assert_close(features(pixels[3:, :, :, 0]), ours[3:])
    network = create_feature_extractor(
        "inception-v3-compat",
        ["2048"],
        cuda=False,
        feature_extractor_weights_path=str(random_weights),
    )
    how = {"batch_size": 4, "cuda": False, "save_cpu_ram": True, "verbose": False}
    theirs = get_featuresdict_from_dataset(Images(pixels), network, **how)
    torch.testing.assert_close(ours, theirs["2048"])


@pytest.mark.slow
def test_figures_are_those_that_the_package_itself_gives(random_weights):
    import torch_fidelity

    count = 8
    samples, real = smooth_pictures(count, 1), smooth_pictures(count, 2)
    theirs = torch_fidelity.calculate_metrics(
        input1=Images(samples),
        input2=Images(real),
        **dict.fromkeys(("fid", "kid", "prc"), True),
        **{"kid_subset_size": count, "kid_subsets": 1, "batch_size": 5},
        **dict.fromkeys(("cuda", "cache", "verbose"), False),
        save_cpu_ram=True,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(random_weights),
    )
    a, b = map(load_inception(torch.device("cpu")), (samples, real))
    assert frechet_distance(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    kid = theirs["kernel_inception_distance_mean"]
    assert kernel_distance(a, b) == pytest.approx(kid, rel=1e-4)
    assert precision_and_recall(b, a) == pytest.approx((theirs["precision"], theirs["recall"]))


def test_the_weights_asked_for_are_those_whose_digest_is_known():
    package = pytest.importorskip(PACKAGE)
    assert package.URL_INCEPTION_V3.endswith(f"-{evaluation.inception.SHA256[:8]}.pth")
