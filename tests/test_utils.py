"""utils.py: noise, EMA, atomic files, the run folder and checkpoints."""

import os
import pickle

import pytest
import torch
from torch import nn

from errors import InputError
from utils import (
    EMA,
    SeededNoise,
    atomic_write,
    check_writable,
    choose_device,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    set_earlier_run_aside,
    write_json,
)


def test_cpu_is_always_there():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cuda", "mps", "cpu")


def test_a_missing_device_names_those_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="no cuda device here; --device can be cpu"):
        choose_device("cuda")


def test_noise_of_a_sample_does_not_depend_on_its_batch():
    together = SeededNoise(5, 0, 200, "cpu")
    alone = SeededNoise(5, 70, 30, "cpu")
    for _ in range(3):
        whole = together.draw(1, 2, 2)
        torch.testing.assert_close(alone.randn_like(torch.empty(30, 1, 2, 2)), whole[70:100])


def test_noise_is_normal_and_new_for_every_seed_block_and_draw():
    noise = SeededNoise(0, 0, 128, "cpu")
    first, second = noise.draw(200), noise.draw(200)
    other = SeededNoise(1, 0, 128, "cpu").draw(200)
    for a, b in ((first, second), (first, other), (first[:64], first[64:])):
        correlation = (a * b).mean() * (a.numel() ** 0.5)  # in standard errors
        assert abs(correlation.item()) < 4
    assert abs(first.var().item() - 1) < 4 * (2 / first.numel()) ** 0.5


def test_ema_warms_up_and_then_keeps_its_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = EMA(model, decay=0.5)
    expected = 0.0
    for n in range(1, 30):
        nn.init.constant_(model.weight, float(n))
        ema.update(model)
        decay = min(0.5, (1 - 1 / n) ** 7.94)
        expected = decay * expected + (1 - decay) * n
        assert ema.model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == 29  # the network itself is not touched


def test_ema_weighs_by_a_power_of_the_step():
    """Against the integral that defines it: weights after step k count as k^6.94."""
    model = nn.Linear(1, 1, bias=False)
    ema = EMA(model, decay=0.9999)
    values = torch.sin(torch.arange(1, 2001) / 150)
    for value in values:
        nn.init.constant_(model.weight, value.item())
        ema.update(model)
    weights = torch.arange(1, 2001).double() ** EMA.POWER
    expected = (weights * values).sum() / weights.sum()
    assert ema.model.weight.item() == pytest.approx(expected.item(), abs=2e-3)


def test_atomic_write_replaces_whole_files_only(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"

    def fail_half_way() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail_half_way()
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file.txt"]


def test_check_writable(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write into"):
        check_writable(tmp_path / "file" / "sub")


def test_earlier_runs_are_moved_aside_and_kept(tmp_path):
    assert set_earlier_run_aside(tmp_path) is None
    (tmp_path / "forward_diffusion.png").write_text("not of a run")
    for number in (1, 2):
        (tmp_path / "samples").mkdir()
        (tmp_path / "samples" / "epoch_001.png").write_text(f"run {number}")
        assert set_earlier_run_aside(tmp_path) == tmp_path / f"earlier_{number:03d}"
    kept = [tmp_path / f"earlier_{n:03d}" / "samples" / "epoch_001.png" for n in (1, 2)]
    assert [path.read_text() for path in kept] == ["run 1", "run 2"]
    assert (tmp_path / "forward_diffusion.png").exists()


# ---------------------------------------------------------------------------------- checkpoints


def test_checkpoints_come_back_as_they_were(tmp_path):
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9)
    nn.init.ones_(model.weight)
    save_checkpoint(tmp_path / "c.pt", {"kind": "images", "timesteps": 7}, model, ema)
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    assert checkpoint["config"] == {"kind": "images", "timesteps": 7}
    assert torch.equal(checkpoint["model"]["weight"], torch.ones(2, 2))
    assert torch.equal(checkpoint["ema"]["weight"], ema.model.weight)


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
    ],
    ids="missing folder empty text binary pickle code tensor dict newer".split(),
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
    save_checkpoint(tmp_path / "c.pt", {}, model, EMA(model, 0.9))
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


def test_json_is_readable_by_people(tmp_path):
    write_json(tmp_path / "config.json", {"epochs": 3, "lr": 0.1})
    assert (tmp_path / "config.json").read_text() == '{\n  "epochs": 3,\n  "lr": 0.1\n}\n'
