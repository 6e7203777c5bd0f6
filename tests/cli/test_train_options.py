"""train_options.py: what a person chose, what follows from it, and what is refused."""

import json

import pytest

import train
from cli.train_options import parse_arguments
from system.errors import InputError


def parse(*options):
    return parse_arguments(list(map(str, options)))


def config_of(folder, *options):
    """The config.json of a run with these options, as a file."""
    args = parse(*options)
    path = folder / "config.json"
    path.write_text(json.dumps(train.make_config(args)))
    return path


def chosen(args):
    return {name: value for name, value in vars(args).items() if name not in ("config", "given")}


@pytest.mark.parametrize(
    "options",
    [
        "--dataset digits --prediction eps --epochs 3",
        "--dataset dino --hidden_size 8 --hidden_layers 2 --schedule linear --beta_end 0.05",
        "--dataset dino --hidden_dims 8,16",
        "--dataset moons --class_conditional --label_dropout 0.3 --optimizer muon",
    ],
)
def test_a_configuration_alone_is_the_same_run(options, tmp_path):
    path = config_of(tmp_path, *options.split())
    assert chosen(parse("--config", path)) == chosen(parse(*options.split()))


@pytest.mark.parametrize(
    ("before", "override"),
    [
        ("--dataset digits", "--prediction eps"),  # and so other weights of the loss
        ("--dataset dino", "--schedule cosine"),  # which has no beta_start
        ("--dataset dino", "--timesteps 50"),  # and so another beta_start
        ("--dataset digits", "--model mlp"),  # with another optimizer, and no --base_channels
        ("--dataset digits", "--dataset dino"),
        ("--dataset dino --hidden_layers 2", "--hidden_size 32"),
        ("--dataset dino --hidden_size 8", "--hidden_layers 5"),
        ("--dataset dino", "--hidden_dims 8,16"),
    ],
)
def test_what_was_not_chosen_is_derived_anew(before, override, tmp_path):
    path = config_of(tmp_path, *before.split())
    found = parse("--config", path, *override.split())
    assert chosen(found) == chosen(parse(*before.split(), *override.split()))


def test_what_was_chosen_stays(tmp_path):
    path = config_of(tmp_path, "--dataset", "digits", "--loss_weighting", "min_snr", "--epochs", 7)
    found = parse("--config", path, "--prediction", "eps")
    assert (found.loss_weighting, found.epochs) == ("min_snr", 7)
    path = config_of(tmp_path, "--dataset", "dino", "--beta_start", "1e-3")
    with pytest.raises(InputError, match="--beta_start does not apply to cosine"):
        parse("--config", path, "--schedule", "cosine")


def test_what_was_changed_by_hand_is_a_choice(tmp_path):
    path = config_of(tmp_path, "--dataset", "digits")
    config = json.loads(path.read_text())
    assert config["derived"]["loss_weighting"] == config["loss_weighting"] == "inverse_sigma"
    path.write_text(json.dumps({**config, "loss_weighting": "min_snr"}))
    assert parse("--config", path, "--prediction", "eps").loss_weighting == "min_snr"
    path = config_of(tmp_path, "--dataset", "dino", "--hidden_size", 8)
    assert parse("--config", path, "--hidden_dims", "4,9").hidden_dims == [4, 9]
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "hidden_dims": [5, 6]}))
    assert parse("--config", path).hidden_dims == [5, 6]


@pytest.mark.parametrize(
    "options",
    [
        "--dataset dino --schedule linear --timesteps 10 --beta_start 0.9995",
        "--dataset dino --schedule linear --timesteps 10000 --beta_end 0.5",
        "--dataset dino --schedule sigmoid --beta_start 0.9999 --beta_end 0.9999",
        "--dataset dino --subset 1",
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(options, tmp_path):
    with pytest.raises(InputError, match=r"^--\w+") as error:
        train.make_trainer(parse(*options.split(), "--output_dir", tmp_path))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "option",
    [
        "--sigma_min 1e-300 --schedule log_linear",
        "--beta_start 1e-300 --schedule linear",
        "--num_points 1000000000000 --dataset dino",
        "--num_samples 1000000000000",
        "--label_dropout 1 --class_conditional",
    ],
)
def test_what_no_machine_could_do_is_refused(option, capsys):
    with pytest.raises(SystemExit):
        parse(*option.split())
    assert option.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1e20])
def test_coordinates_that_float32_cannot_square_are_refused(size, tmp_path):
    path = tmp_path / "drawing.csv"
    path.write_text("".join(f"{x * size},{y * size}\n" for x, y in ((1, 2), (3, 4), (5, 9))))
    with pytest.raises(InputError, match=r"drawing\.csv: its numbers are too"):
        train.make_trainer(parse("--dataset", path))
