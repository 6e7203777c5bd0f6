"""The options of images: which data take them, and what they may be."""

import pytest
from albums import write_album

import visualize_diffusion
from cli.train_options import OWN_STEPS, fill_by_size, parse_arguments
from names import FLIP, OF_IMAGES, is_own_images, kind_of
from system.errors import InputError


@pytest.fixture
def album(tmp_path):
    return write_album(tmp_path / "album", 1)


def parse(*options):
    return parse_arguments(list(map(str, options)))


def test_a_folder_and_packed_files_are_a_persons_own_images(album):
    for name in (str(album), f"{album}/", "a.zip", "a.NPY", "b/c.npz"):
        assert is_own_images(name)
        assert kind_of(name) == "images"
        assert parse("--dataset", name).dataset == name
    for name in ("digits", "dino", "a.csv", "a.png", "nowhere"):
        assert not is_own_images(name)


def test_a_folder_may_be_called_as_a_set_or_a_drawing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "points.csv", "Dino"):
        (tmp_path / name).mkdir()
    assert not is_own_images("digits")
    assert all(map(is_own_images, ("./digits", "points.csv", "Dino")))
    assert parse("--dataset", "./digits").dataset == "./digits"


def test_what_is_not_given_is_filled_in(album):
    args = parse("--dataset", album)
    assert (args.image_size, args.channels) == (None, "auto")
    assert (args.background, args.holdout, args.flip) == ("white", 0.1, False)
    args = parse("--dataset", "digits")
    assert (args.image_size, args.channels) == (None, "auto")
    assert (args.background, args.holdout, args.flip) == (None, None, False)
    args = parse("--dataset", "dino")
    assert {getattr(args, option.name) for option in (*OF_IMAGES, FLIP)} == {None}
    assert args.holdout is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 32),
        ("channels", 3),
        ("background", "black"),
        ("holdout", 0.2),
        ("flip", None),
    ],
)
def test_options_of_images_are_refused_for_other_data(option, value, album):
    given = [f"--{option}", *([] if value is None else [value])]
    assert str(getattr(parse("--dataset", album, *given), option)) == str(value or True)
    own_only = option in ("background", "holdout")
    reason = "is for your own images only" if own_only else "is for images only"
    for data in ("dino", "digits"):
        if data == "digits" and not own_only:
            assert str(getattr(parse("--dataset", data, *given), option)) == str(value or True)
            continue
        with pytest.raises(InputError, match=rf"^--{option} {reason}$"):
            parse("--dataset", data, *given)
        if option in ("holdout", "flip"):
            continue
        args = visualize_diffusion.parse_arguments(["--dataset", data, *map(str, given)])
        with pytest.raises(InputError, match=rf"^--{option} {reason}$"):
            visualize_diffusion.complete(args, None)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 15),
        ("image_size", 65),
        ("channels", 2),
        ("background", "blak"),
        ("background", "#12345"),
        ("background", ""),
        ("background", "x" * 10_000),
        ("holdout", 0.95),
        ("holdout", -0.1),
        ("dataset", "no/such/folder"),
    ],
)
def test_what_these_options_cannot_be(option, value, album, capsys):
    with pytest.raises(SystemExit) as error:
        parse("--dataset", album, f"--{option}", value)
    assert error.value.code == 2
    says = capsys.readouterr().err
    assert f"argument --{option}: " in says
    assert len(says.splitlines()) == 2


@pytest.mark.parametrize(
    ("examples", "epochs"), [(128, OWN_STEPS), (40, OWN_STEPS), (1280, 500), (10**6, 1)]
)
def test_of_own_images_so_many_steps_are_taken(examples, epochs, album):
    args = parse("--dataset", album)
    assert args.epochs is None
    fill_by_size(args, examples, 1)
    assert args.epochs == epochs
    assert args.epochs / 20 <= args.sample_interval < args.epochs / 20 + 1
    assert args.epochs / 5 <= args.save_interval < args.epochs / 5 + 1
    together = parse("--dataset", album)
    fill_by_size(together, 2560, 4)  # a batch is that of one process
    assert together.epochs == 1000
    given = parse("--dataset", album, "--epochs", 3, "--save_interval", 2)
    fill_by_size(given, examples, 1)
    assert (given.epochs, given.save_interval, given.sample_interval) == (3, 2, 1)


def test_a_run_writes_nothing_among_its_pictures(album, monkeypatch):
    monkeypatch.chdir(album)
    for options in (["--dataset", "."], ["--dataset", album, "--output_dir", "../album/a/b"]):
        with pytest.raises(InputError, match=r"^--output_dir \S+ is in \S+, so the next run"):
            parse(*options)
    beside = f"{album}_outputs"
    assert str(parse("--dataset", ".", "--output_dir", beside).output_dir) == beside
