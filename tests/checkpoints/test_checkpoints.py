"""checkpoints: what is written can be read again, and hostile files are refused."""

import os
import pickle
import random
import re
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from scripts import REPOSITORY, refuse, succeed
from torch import nn

import pretrained
from checkpoints import (
    completed,
    export_weights,
    find_checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from checkpoints.schema import check_config
from models import build_model
from system.errors import InputError
from utils import EMA

OF_IMAGES = {"background": None, "holdout": None, "flip": False}
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CONFIG = {
    **OF_IMAGES,
    **{"kind": "images", "dataset": "digits", "label_counts": [], "label_dropout": None},
    **{"subset": None, "seed": 0, "timesteps": 100, "timestep_sampling": "uniform"},
    **{"schedule": "linear", "beta_start": None, "beta_end": None},
    **{"sigma_min": None, "sigma_max": None},
    **{"prediction": "eps", "loss_weighting": "uniform", "model": "unet"},
    **{"objective": "denoising", "guidance": None},
    **{"base_channels": 8, "dropout": 0.0, "no_attention": False},
    **{"shape": [1, 28, 28], "value_range": [-1.0, 1.0], "class_names": list("0123456789")},
}
POINTS = {
    **{**CONFIG, "kind": "points", "dataset": "dino", "model": "mlp", "hidden_dims": [16, 16]},
    **{"embedding_size": 16, "time_embedding": "sinusoidal", "coordinates": "sinusoidal"},
    **{"embedding_scale": 1.0, "mean": [0.0, 1.0], "scale": 2.0, "num_points": 100},
    **{"jitter": None, "shape": [2], "value_range": None, "class_names": []},
}
for name in OF_IMAGES:
    del POINTS[name]


def content(config=POINTS, changes=(), **others):
    """The content of a checkpoint, with `changes` to its weights."""
    weights = {**build_model(config).state_dict(), **dict(changes)}
    return {"format": 2, "config": config, "model": weights, "ema": weights, **others}


def test_checkpoints_come_back_as_they_were(tmp_path):
    model = build_model(CONFIG)
    ema = EMA(model, 0.9)
    nn.init.ones_(model.stem.weight)
    save_checkpoint(tmp_path / "c.pt", CONFIG, model, ema)
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    assert checkpoint["config"] == CONFIG
    assert torch.equal(checkpoint["model"]["stem.weight"], torch.ones_like(model.stem.weight))
    assert torch.equal(checkpoint["ema"]["stem.weight"], ema.model.stem.weight)
    assert not torch.equal(ema.model.stem.weight, model.stem.weight)


@pytest.mark.parametrize("config", [CONFIG, POINTS], ids=["images", "points"])
def test_what_earlier_releases_did_not_write_follows_from_the_dataset(config):
    new = ("shape", "value_range", "class_names", "objective", "guidance", *OF_IMAGES)
    before = {name: value for name, value in config.items() if name not in new}
    assert completed(before) == config
    assert completed({**config, "class_names": ["mine"]})["class_names"] == ["mine"]
    assert "shape" not in completed({**before, "kind": "images", "dataset": ["digits"]})


def test_v_of_log_linear_meant_something_else_in_the_release_before(tmp_path):
    config = {**POINTS, "schedule": "log_linear", "prediction": "v"}
    torch.save(content(config, format=1), tmp_path / "c.pt")
    with pytest.raises(InputError, match="train again"):
        load_checkpoint(tmp_path / "c.pt")
    for other in (content(config), content({**config, "prediction": "eps"}, format=1)):
        torch.save(other, tmp_path / "c.pt")
        load_checkpoint(tmp_path / "c.pt")


def write_bomb(path):
    """A valid checkpoint in a compressed archive, where 40 MB of zeros take 40 kB."""
    plain = path.with_suffix(".plain")
    content = {"format": 1, "config": CONFIG, "model": {"weight": torch.zeros(10_000_000)}}
    torch.save(content, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert path.stat().st_size < 100_000


def write_overlapping(path):
    """An archive whose directory lists one member, of nearly all its bytes, twice."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", bytes(1000))
        archive.filelist.append(archive.filelist[0])


def laughs():
    """A billion strings in a few nested lists, each containing the previous one ten times."""
    value = ["ha"] * 10
    for _ in range(8):
        value = [value] * 10
    return value


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def itself():
    value = []
    value.append(value)
    return value


def save_with(widths, path):
    torch.save({**content(), "config": {**POINTS, "hidden_dims": widths}}, path)


def write_after_another(path):
    """A file in torch's old format, which torch reads first, followed by a valid checkpoint."""
    torch.save(content(), path)
    whole = path.read_bytes()
    torch.save(content(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes() + whole)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no checkpoint at"),
        (lambda path: path.mkdir(), "no checkpoint at"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_text("hello " * 100), "cannot be read"),
        (lambda path: path.write_bytes(bytes(range(256)) * 9), "cannot be read"),
        (lambda path: path.write_bytes(pickle.dumps(Malicious())), "cannot be read"),
        (lambda path: torch.save(Malicious(), path), "cannot be read"),
        (lambda path: torch.save(content(more=bytearray(9)), path), r"it contains \w+ bytearray"),
        (lambda path: torch.save(content(more=b"hex"), path), "it contains _codecs encode"),
        (lambda path: torch.save(content(more=torch.Size([1])), path), "it contains torch Size"),
        (lambda path: write_after_another(path), "it is damaged"),
        (lambda path: os.mkfifo(path), "no checkpoint at"),
        (lambda path: torch.save(torch.ones(3), path), "not a checkpoint of this project"),
        (lambda path: torch.save({"weights": 1}, path), "not a checkpoint of this project"),
        (lambda path: torch.save(content(format=99), path), "a later version"),
        (lambda path: torch.save(content(format=torch.ones(2)), path), "cannot be read"),
        (lambda path: torch.save(content(format=laughs()), path), "not a checkpoint"),
        (lambda path: torch.save({"format": 1, "config": POINTS}, path), "model is missing"),
        (lambda path: torch.save(content(model=3), path), "model is missing"),
        (lambda path: torch.save({"format": 1, "model": {}, "ema": {}}, path), "lacks kind"),
        (lambda path: torch.save(content() | {"config": 3}, path), "not a dictionary"),
        (lambda path: save_with(laughs(), path), "hidden_dims must be a list"),
        (lambda path: save_with(nested(200), path), "hidden_dims must be a list"),
        (lambda path: save_with(itself(), path), "hidden_dims must be a list"),
        (lambda path: write_bomb(path), "cannot be read"),
        (lambda path: write_overlapping(path), "cannot be read"),
    ],
    ids=(
        "missing folder empty text binary pickle code bytearray bytes size behind pipe tensor dict"
        " newer formats laughs weightless number bare configless laughing nested endless bomb"
        " overlap"
    ).split(),
)
def test_what_is_not_a_checkpoint_is_refused(tmp_path, monkeypatch, make, says):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "c.pt")
    with pytest.raises(InputError, match=says):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_truncated_checkpoints_are_refused(tmp_path, kept):
    whole = (REPOSITORY / "tests" / "release_1" / "points.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_bit_that_flipped_never_changes_the_weights_unseen(kind, tmp_path):
    path = tmp_path / f"c.{kind}"
    if kind == "pt":
        torch.save(content(), path)
    else:
        pytest.importorskip("safetensors")
        export_weights(path, POINTS, content()["ema"])
    whole, before = path.read_bytes(), load_checkpoint(path)
    chance, refused = random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            after = load_checkpoint(path)
        except InputError:
            refused += 1
            continue
        # Where it hit what says nothing, such as the padding between tensors.
        assert after["config"] == before["config"]
        assert all(torch.equal(after["ema"][name], x) for name, x in before["ema"].items())
    assert refused > 30


def test_the_newest_checkpoint_stands_in_for_a_final_one(tmp_path, capsys):
    final = tmp_path / "model_final.pt"
    assert find_checkpoint(final) == final  # nothing there: loading it will say so
    (tmp_path / "checkpoints").mkdir()
    for age, name in ((1, "model_epoch_010.pt"), (2, "model_epoch_005.pt")):
        path = tmp_path / "checkpoints" / name
        path.write_text("")
        os.utime(path, (1000 - age, 1000 - age))
    assert find_checkpoint(final).name == "model_epoch_010.pt"
    assert "model_epoch_010.pt" in capsys.readouterr().out
    final.write_text("")
    assert find_checkpoint(final) == final


def test_half_written_files_are_no_checkpoints(tmp_path):
    (tmp_path / ".model_epoch_010.123.tmp.pt").write_text("half")
    assert newest_checkpoint(tmp_path) is None


# ---------------------------------------------------------------------------------- the schema


@pytest.mark.parametrize("config", [CONFIG, POINTS], ids=["images", "points"])
def test_good_configurations_pass(config):
    check_config(config)


@pytest.mark.parametrize(
    ("config", "changes", "says"),
    [
        (CONFIG, {"timesteps": "1000"}, "timesteps must be a whole number from 2 to 100000"),
        (CONFIG, {"timesteps": True}, "timesteps must be"),
        (CONFIG, {"timesteps": 10**9}, "timesteps must be"),
        (CONFIG, {"base_channels": 10**9}, "base_channels must be"),
        (CONFIG, {"base_channels": 8.0}, "base_channels must be"),
        (CONFIG, {"dropout": 1.5}, "dropout must be"),
        (CONFIG, {"no_attention": 1}, "no_attention must be true or false"),
        (CONFIG, {"kind": "sounds"}, "kind must be one of images, points"),
        (CONFIG, {"kind": ["images"]}, "kind must be one of"),
        (CONFIG, {"schedule": "cosin"}, "schedule must be one of linear"),
        (CONFIG, {"beta_start": float("nan")}, "beta_start must be a number"),
        (CONFIG, {"label_counts": [1] * 10_001}, "label_counts must be a list of 0 to 10000"),
        (CONFIG, {"label_counts": [1, -1]}, "each a whole number"),
        (CONFIG, {"dataset": 7}, "dataset must be a set of images"),
        (CONFIG, {"dataset": "dino"}, "dataset must be a set of images"),
        (CONFIG, {"background": "octarine"}, "background must be a colour"),
        (CONFIG, {"holdout": 1.0}, "holdout must be a number from 0 to 0.9"),
        (POINTS, {"dataset": "digits"}, "dataset must be a set of points"),
        (POINTS, {"dataset": "model.pt"}, "dataset must be a set of points"),
        (POINTS, {"model": "unet", "base_channels": 8}, "model must be one of mlp"),
        (POINTS, {"hidden_dims": []}, "hidden_dims must be a list"),
        (POINTS, {"hidden_dims": [10**7]}, "each a whole number"),
        (POINTS, {"scale": 0}, "scale must be a number"),
        (POINTS, {"mean": [0.0, 1e30]}, "mean must be a list"),
        (POINTS, {"scale": float("inf")}, "scale must be a number"),
        (POINTS, {"mean": [1.0]}, "mean must be a list of 2 to 2"),
        (POINTS, {"shape": [3]}, r"shape must be \[2\]"),
        (POINTS, {"shape": [1, 28, 28]}, r"shape must be \[2\]"),
        (POINTS, {"class_names": ["x" * 256]}, "class_names must be a list"),
        (CONFIG, {"shape": [2]}, "shape must be .channels, height, width. with 1 or 3"),
        (CONFIG, {"shape": [2, 28, 28]}, "shape must be .channels, height, width. with 1 or 3"),
        (CONFIG, {"shape": [1, 28, 65]}, "with 1 or 3 channels and sides of up to 64"),
        (CONFIG, {"shape": [1, 28, 28.0]}, "shape must be"),
        (CONFIG, {"value_range": [0.0]}, "value_range must be a list of 2 to 2"),
        (CONFIG, {"value_range": [0.0, float("nan")]}, "value_range must be a list"),
        (CONFIG, {"class_names": [7]}, "class_names must be a list"),
        (CONFIG, {"class_names": ["two\nlines"]}, "class_names must be a list"),
    ],
)
def test_bad_configurations_are_refused(config, changes, says, tmp_path):
    config = {**config, **changes}
    with pytest.raises(ValueError, match=says):
        check_config(config)


@pytest.mark.parametrize("name", sorted(CONFIG))
def test_missing_settings_are_named(name):
    with pytest.raises(ValueError, match=f"lacks {name}"):
        check_config({k: v for k, v in CONFIG.items() if k != name})


@pytest.mark.parametrize(
    "make",
    [
        lambda shape: torch.zeros(1).expand(shape),
        lambda shape: torch.empty(shape, device="meta"),
        lambda shape: torch.sparse_coo_tensor(size=shape),
    ],
    ids="expanded meta sparse".split(),
)
def test_a_configuration_that_asks_for_terabytes_gets_nothing(make, tmp_path):
    """It is refused before anything of that size is allocated, whatever its weights claim to be."""
    config = {**POINTS, "hidden_dims": [8192] * 100, "embedding_size": 8192}
    shapes = build_model(config, device="meta").state_dict()
    weights = {name: make(weight.shape) for name, weight in shapes.items()}
    save = {"format": 2, "config": config, "model": weights, "ema": weights}
    torch.save(save, tmp_path / "c.pt")
    assert (tmp_path / "c.pt").stat().st_size < 1e6
    with pytest.raises(InputError, match=r"too few|it contains"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize(
    "make",
    [
        lambda weight: weight[:1].clone().expand(weight.shape),
        lambda weight: weight.to_sparse(),
        lambda weight: weight.to_sparse_csr(),
        lambda weight: weight.to("meta"),
        lambda weight: torch.nested.nested_tensor([weight]),
        lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        lambda weight: weight.long(),
        lambda weight: weight.double(),
        lambda weight: weight[1:],
        lambda weight: weight * float("nan"),
        lambda weight: weight.tolist(),
    ],
    ids="expanded sparse csr meta nested quantized integer double short nan list".split(),
)
@pytest.mark.filterwarnings("ignore")  # torch calls some of these kinds prototypes
def test_weights_must_be_whole_tensors_of_numbers(make, tmp_path):
    weight = build_model(POINTS).state_dict()["blocks.0.linear.weight"]
    changed = content(changes={"blocks.0.linear.weight": make(weight)})
    torch.save(changed, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"c\.pt cannot be read"):
        load_checkpoint(tmp_path / "c.pt")


def test_weights_missing_and_too_many_are_named(tmp_path):
    more = content(changes={"x\nx" * 900: torch.ones(1)})
    fewer = content()
    del fewer["ema"]["stem.bias"]
    for wrong, says in ((more, "unexpected entry"), (fewer, r"stem\.bias is missing")):
        torch.save(wrong, tmp_path / "c.pt")
        with pytest.raises(InputError, match=says) as error:
            load_checkpoint(tmp_path / "c.pt")
        assert "Error" not in str(error.value)


# ---------------------------------------------------------------------------------- safetensors


def test_exported_weights_sample_the_same(tmp_path):
    pytest.importorskip("safetensors")
    train = "--dataset line --num_points 300 --epochs 1 --sample_interval 1".split()
    succeed("train.py", *train, cwd=tmp_path)
    assert "wrote m.safetensors" in succeed("sample.py", "--export", "m.safetensors", cwd=tmp_path)
    for checkpoint, output in (("m.safetensors", "a.npy"), ("outputs/model_final.pt", "b.npy")):
        options = ("--steps", 5, "--checkpoint", checkpoint, "--output", output)
        succeed("sample.py", *options, cwd=tmp_path)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    says = refuse("train.py", "--resume", "m.safetensors", cwd=tmp_path)
    assert "the weights only" in says


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("half", [False, True])
def test_exported_weights_are_those_of_the_average(suffix, half, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    weights = build_model(POINTS).state_dict()
    path = tmp_path / f"m{suffix}"
    export_weights(path, POINTS, weights, half)
    size = sum(weight.nbytes for weight in weights.values()) / (2 if half else 1)
    assert size < path.stat().st_size < size + 12_000  # once, though there are two parts
    read = load_checkpoint(path)
    for part in ("model", "ema"):
        for name, weight in weights.items():
            assert read[part][name].dtype == torch.float32
            expected = weight.half().float() if half else weight
            assert torch.equal(read[part][name], expected)
    assert "training" not in read


def test_weights_too_large_for_half_precision_are_refused(tmp_path):
    weights = {"weight": torch.tensor([1.0, 70_000.0])}
    with pytest.raises(InputError, match="too large for half"):
        export_weights(tmp_path / "m.pt", POINTS, weights, half=True)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_which_some_are_in_half_precision_are_refused(tmp_path):
    weights = build_model(POINTS).state_dict()
    export_weights(tmp_path / "m.pt", POINTS, weights, half=True)
    changed = torch.load(tmp_path / "m.pt", weights_only=True)
    changed["model"]["stem.bias"] = changed["model"]["stem.bias"].float()
    torch.save(changed, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"m\.pt cannot be read"):
        load_checkpoint(tmp_path / "m.pt")


def test_half_precision_takes_no_memory_before_it_is_checked(tmp_path, monkeypatch):
    """A tensor of a few bytes can claim to have any number of elements."""
    weights = build_model(POINTS).state_dict()
    export_weights(tmp_path / "m.pt", POINTS, weights, half=True)
    changed = torch.load(tmp_path / "m.pt", weights_only=True)
    changed["model"]["stem.bias"] = torch.zeros(1).half().expand(25_000_000)
    torch.save(changed, tmp_path / "m.pt")

    convert = torch.Tensor.float

    def wary(tensor):
        assert tensor.dtype != torch.float16, "converted too early"
        return convert(tensor)

    monkeypatch.setattr(torch.Tensor, "float", wary)
    with pytest.raises(InputError, match=r"stem\.bias is missing or is not a valid"):
        load_checkpoint(tmp_path / "m.pt")


def test_half_a_file_makes_no_network_that_is_too_large_for_it(tmp_path):
    weights = build_model(POINTS).state_dict()
    export_weights(tmp_path / "m.pt", POINTS, weights, half=True)
    changed = torch.load(tmp_path / "m.pt", weights_only=True)
    changed["config"]["hidden_dims"] = [4096, 4096, 4096]
    torch.save(changed, tmp_path / "m.pt")
    with pytest.raises(InputError, match="too few weights"):
        load_checkpoint(tmp_path / "m.pt")


def test_a_model_that_comes_with_the_project_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    weights = build_model(POINTS).state_dict()
    (tmp_path / "here").mkdir()
    for name in ("one", "two"):
        export_weights(tmp_path / f"{name}.pt", POINTS, weights)
    assert pretrained.names() == ["one", "two"]
    assert load_checkpoint(Path("two"))["config"]["kind"] == "points"
    for path in ("three", "here/one", "two.safetensors"):
        with pytest.raises(InputError, match=r"no checkpoint at .*; .*name one of one, two"):
            load_checkpoint(Path(path))
    # A folder of that name, of a run say, does not hide it; a file does.
    (tmp_path / "one").mkdir()
    assert load_checkpoint(Path("one"))["config"]["kind"] == "points"
    with pytest.raises(InputError, match=r"no checkpoint at x{300}"):
        load_checkpoint(Path("x" * 300))
    (tmp_path / "two").write_bytes(b"mine")
    with pytest.raises(InputError, match="two cannot be read"):
        load_checkpoint(Path("two"))


def test_the_models_that_come_with_the_project_are_whole_and_both_readmes_name_them():
    names = pretrained.names()
    assert {"mnist", "mnist_one_step"} <= set(names)
    tables = (REPOSITORY / "pretrained" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)) == set(names)
    (row,) = re.findall(r"^\| `--checkpoint` .*pretrained/.*$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row.partition("pretrained/")[2])) == set(names)
    for name in names:
        assert (REPOSITORY / "pretrained" / f"{name}.pt").stat().st_size < 4_000_000
        config = load_checkpoint(Path(name))["config"]
        assert config["objective"] == ("consistency" if "one_step" in name else "denoising")
        assert config["dataset"] == name.removesuffix("_one_step")


def test_exported_weights_say_nothing_of_a_persons_folders(tmp_path):
    pytest.importorskip("safetensors")
    home = {
        "dataset": "/home/lovelace/dino.csv",
        "output_dir": "/home/lovelace",
        "data_dir": "/home/lovelace",
    }
    config = {**POINTS, **home, "derived": {"output_dir": "/home/lovelace"}}
    export_weights(tmp_path / "m.safetensors", config, content()["ema"])
    assert b"lovelace" not in (tmp_path / "m.safetensors").read_bytes()
    kept = load_checkpoint(tmp_path / "m.safetensors")["config"]
    assert kept.items() <= {**POINTS, "dataset": "dino.csv"}.items()


def test_what_is_not_our_safetensors_file_is_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)
    safetensors.save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)
    export_weights(path, {**CONFIG, "timesteps": -1}, {"weight": torch.ones(3)})
    with pytest.raises(InputError, match="timesteps must be"):
        load_checkpoint(path)


def test_without_the_package_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(InputError, match="pip install safetensors"):
        export_weights(tmp_path / "m.safetensors", CONFIG, {})
