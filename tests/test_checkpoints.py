"""checkpoints.py and schema.py: what is written comes back, and what is hostile is refused."""

import os
import pickle
import sys
import zipfile

import pytest
import torch
from scripts import refuse, succeed
from torch import nn

from checkpoints import (
    export_safetensors,
    find_checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from errors import InputError
from models import build_model, fewest_weights, load_model
from schema import check_config
from utils import EMA

CONFIG = {
    **{"kind": "images", "dataset": "digits", "label_counts": [], "timesteps": 100},
    **{"schedule": "linear", "beta_start": None, "beta_end": None, "sigma_min": None},
    **{"sigma_max": None, "prediction": "eps", "loss_weighting": "uniform"},
    **{"model": "unet", "base_channels": 8, "dropout": 0.0, "no_attention": False},
}
POINTS = {
    **{**CONFIG, "kind": "points", "dataset": "dino", "model": "mlp", "hidden_dims": [16, 16]},
    **{"embedding_size": 16, "time_embedding": "sinusoidal", "coordinates": "sinusoidal"},
    **{"embedding_scale": 1.0, "mean": [0.0, 1.0], "scale": 2.0, "jitter": None, "seed": 0},
}


def test_checkpoints_come_back_as_they_were(tmp_path):
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9)
    nn.init.ones_(model.weight)
    save_checkpoint(tmp_path / "c.pt", CONFIG, model, ema)
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    assert checkpoint["config"] == CONFIG
    assert torch.equal(checkpoint["model"]["weight"], torch.ones(2, 2))
    assert torch.equal(checkpoint["ema"]["weight"], ema.model.weight)


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


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no checkpoint at"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("hello " * 100), "cannot be read"),
        (lambda path: path.write_bytes(bytes(range(256)) * 9), "cannot be read"),
        (lambda path: path.write_bytes(pickle.dumps(Malicious())), "cannot be read"),
        (lambda path: torch.save(Malicious(), path), "cannot be read"),
        (lambda path: torch.save(torch.ones(3), path), "not a checkpoint of this project"),
        (lambda path: torch.save({"weights": 1}, path), "not a checkpoint of this project"),
        (lambda path: torch.save({"format": 99, "config": {}, "model": {}}, path), "format 99"),
        (lambda path: torch.save({"format": 1, "config": CONFIG}, path), "no weights"),
        (lambda path: torch.save({"format": 1, "model": 3, "ema": {}}, path), "no weights"),
        (lambda path: torch.save({"format": 1, "model": {}, "ema": {}}, path), "not a dictionary"),
        (lambda path: write_bomb(path), "cannot be read"),
        (lambda path: write_overlapping(path), "cannot be read"),
    ],
    ids=(
        "missing folder empty text binary pickle code tensor dict newer weightless number bare"
        " bomb overlap"
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
    model = nn.Linear(50, 50)
    save_checkpoint(tmp_path / "c.pt", CONFIG, model, EMA(model, 0.9))
    content = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path / "c.pt")


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
        (CONFIG, {"label_counts": [1, -1]}, "each value is a whole number"),
        (CONFIG, {"dataset": 7}, "dataset must be a text"),
        (POINTS, {"model": "unet", "base_channels": 8}, "model must be one of mlp"),
        (POINTS, {"hidden_dims": []}, "hidden_dims must be a list"),
        (POINTS, {"hidden_dims": [10**7]}, "each value is a whole number"),
        (POINTS, {"scale": float("inf")}, "scale must be a number"),
        (POINTS, {"mean": [1.0]}, "mean must be a list of 2 to 2"),
    ],
)
def test_bad_configurations_are_refused(config, changes, says, tmp_path):
    config = {**config, **changes}
    with pytest.raises(ValueError, match=says):
        check_config(config)


@pytest.mark.parametrize("name", sorted(CONFIG))
def test_missing_settings_are_named(name):
    with pytest.raises(ValueError, match=f"{name} is missing"):
        check_config({k: v for k, v in CONFIG.items() if k != name})


def test_a_configuration_that_asks_for_terabytes_gets_nothing(tmp_path):
    """It is refused before anything of that size is made."""
    config = {**POINTS, "hidden_dims": [8192] * 100, "embedding_size": 8192}
    weights = build_model(POINTS).state_dict()
    torch.save({"format": 1, "config": config, "model": weights, "ema": weights}, tmp_path / "c.pt")
    assert "too few" in refuse("sample.py", "--checkpoint", "c.pt", cwd=tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        {**CONFIG, "label_counts": [5, 5]},
        POINTS,
        {**POINTS, "hidden_dims": [8, 32, 16], "label_counts": [1] * 50},
        {**POINTS, "time_embedding": "learned"},
    ],
)
def test_no_network_has_fewer_weights_than_its_least_number(config):
    count = sum(weight.numel() for weight in build_model(config).state_dict().values())
    assert count / 10 < fewest_weights(config) < count


def test_weights_that_only_pretend_to_be_large_are_refused():
    model = build_model(CONFIG)
    weights = model.state_dict()
    weights["stem.bias"] = torch.zeros(1).expand(8)
    with pytest.raises(InputError, match=r"stem\.bias is not a whole tensor"):
        load_model({"config": CONFIG, "model": weights, "ema": weights})
    weights["stem.bias"] = torch.zeros(8, dtype=torch.int64)
    with pytest.raises(InputError, match=r"stem\.bias is not a whole tensor"):
        load_model({"config": CONFIG, "model": weights, "ema": weights})


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


def test_what_is_not_our_safetensors_file_is_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)
    safetensors.save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(InputError, match="not of a model of this project"):
        load_checkpoint(path)
    export_safetensors(path, {**CONFIG, "timesteps": -1}, {"weight": torch.ones(3)})
    with pytest.raises(InputError, match="timesteps must be"):
        load_checkpoint(path)


def test_without_the_package_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(InputError, match="pip install safetensors"):
        export_safetensors(tmp_path / "m.safetensors", CONFIG, {})
