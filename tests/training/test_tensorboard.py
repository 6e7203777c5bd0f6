"""--tensorboard: what TensorBoard will find, and what happens without it."""

import sys

import pytest
from scripts import succeed

import train
import training.tensorboard
from system.errors import InputError, RunError
from system.locks import locked

TRAIN = "--dataset line --num_points 200 --batch_size 20 --hidden_size 8 --save_interval 1".split()


def test_losses_rates_and_samples_are_recorded_once_each(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = (*TRAIN, "--sample_interval", 1, "--tensorboard")
    succeed("train.py", *options, "--epochs", 2, cwd=tmp_path)
    succeed("train.py", "--resume", "--epochs", 3, cwd=tmp_path)
    found = EventAccumulator(str(tmp_path / "outputs" / "tensorboard"))
    found.Reload()
    for name in ("loss", "learning rate", "epoch", "images per second"):
        assert [event.step for event in found.Scalars(name)] == list(range(1, 31))
    rows = (tmp_path / "outputs" / "history.csv").read_text().splitlines()[1:]
    for row, event in zip(rows, found.Scalars("loss"), strict=True):
        assert event.value == pytest.approx(float(row.split(",")[2]), rel=1e-5)
    assert [event.step for event in found.Images("samples")] == [10, 20, 30]


def test_without_the_package_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        training.tensorboard.TensorBoard(tmp_path, 0)


def test_a_folder_that_is_gone_ends_a_run_in_a_line(tmp_path):
    """And not with a traceback from the thread that writes for TensorBoard."""
    pytest.importorskip("tensorboard")
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"):
        record = training.tensorboard.TensorBoard(tmp_path / "run" / "tensorboard", 0)
        record.losses([(1, 1, 0.5, 0.1, 1.0, 10.0)])
        record.writer.flush()
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        for record_more in (lambda: record.losses([]), lambda: record.picture(tmp_path, 1)):
            with pytest.raises(RunError, match="was deleted or renamed"):
                record_more()
        (tmp_path / "elsewhere").rename(tmp_path / "run")
        record.close()


def test_a_missing_package_is_noticed_before_the_earlier_run_is_moved(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    folder = tmp_path / "outputs"
    options = [*TRAIN, "--epochs", "1", "--output_dir", str(folder)]
    train.make_trainer(train.parse_arguments(options))
    with pytest.raises(InputError, match="pip install tensorboard"):
        train.make_trainer(train.parse_arguments([*options, "--tensorboard"]))
