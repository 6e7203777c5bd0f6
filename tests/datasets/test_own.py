"""The user's own images as a dataset: from the folder to the batch, the cache, the splits."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from albums import expected, pack, paint, png_header, write_album

import datasets.own
import system.memory
from datasets import load_dataset, load_images
from datasets.own import held_out, load_own
from datasets.settings import ImageSettings, PointSettings
from system.errors import InputError

ALL = ImageSettings(holdout=0.0)


def load(place, folder, train=True, **settings):
    return load_own(place, folder / "data", train, ImageSettings(**{"holdout": 0.0, **settings}))


def by_content(pixels: torch.Tensor) -> Counter:
    """Images regardless of their order."""
    return Counter(image.numpy().tobytes() for image in pixels)


def no_reading(monkeypatch):
    """From now on no picture can be read."""

    def fail(*_, **__):
        raise AssertionError("a picture is read")

    for name in ("read_picture", "short_side"):
        monkeypatch.setattr(datasets.own, name, fail)


# -------------------------------------------------------------------------- from folder to picture


@pytest.mark.parametrize("packed", [False, True])
def test_from_the_folder_to_the_batch_and_back_pixels_are_pillows(packed, tmp_path):
    album = write_album(tmp_path / "album", 10, ("été", "salt, pepper"))
    place = pack(album, tmp_path / "album.zip") if packed else album
    wanted = {
        expected(paint(100 * label + n), 32).tobytes(): label for label in (1, 0) for n in range(10)
    }
    # The folders in the order of their names.
    order = {0: 1, 1: 0}
    for _ in range(2):  # read, and then from the cache
        data = load_dataset(str(place), tmp_path / "data", None, PointSettings(0), ALL)
        assert data.class_names == ("salt, pepper", "été")
        assert (data.kind, data.shape, len(data)) == ("images", (3, 32, 32), 20)
        assert data.labels.dtype == torch.int64
        units = data.units()
        images = units.to_data(units.to_model(data.examples))
        assert torch.equal(images, data.examples)
        found = {
            image.numpy().tobytes(): order[label]
            for image, label in zip(images, data.labels.tolist(), strict=True)
        }
        assert found == wanted


def test_without_folders_there_are_no_classes(tmp_path):
    pixels, labels, names = load(write_album(tmp_path / "album"), tmp_path)
    assert (len(pixels), labels.tolist(), names) == (12, [0] * 12, ())


def test_grey_pictures_have_one_channel_unless_three_are_asked_for(tmp_path):
    album = write_album(tmp_path / "album", bands=1)
    pillows = [torch.tensor(expected(paint(n, bands=1), 32)) for n in range(12)]
    grey, *_ = load(album, tmp_path)
    assert grey.shape == (12, 32, 32)
    assert by_content(grey) == by_content(torch.stack(pillows))
    colour, *_ = load(album, tmp_path, channels="3")
    assert torch.equal(colour, grey[..., None].expand(-1, -1, -1, 3))
    paint(1).save(album / "000.png")
    assert load(album, tmp_path)[0].shape == (12, 32, 32, 3)
    assert load(album, tmp_path, channels="1")[0].shape == (12, 32, 32)


@pytest.mark.parametrize(("wide", "side"), [(20, 28), (33, 32), (44, 48), (500, 64)])
def test_the_side_is_the_usual_one_nearest_to_the_median(wide, side, tmp_path):
    album = write_album(tmp_path / "album", 10, width=wide, height=wide + 7)
    assert load(album, tmp_path)[0].shape[1:3] == (side, side)
    assert load(album, tmp_path, image_size=17)[0].shape[1:3] == (17, 17)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize(("shape", "side"), [((20, 20), 20), ((20, 33), 28), ((70, 70), 64)])
def test_arrays_keep_a_possible_size(suffix, bands, shape, side, tmp_path):
    height, width = shape
    pictures = [paint(n, width, height, bands) for n in range(10)]
    path = tmp_path / f"cats.{suffix}"
    images = np.stack([np.asarray(one) for one in pictures])
    np.save(path, images) if suffix == "npy" else np.savez(path, images=images)
    found, labels, names = load(path, tmp_path, background="black")
    assert (len(labels), names) == (10, ())
    flat = pictures
    if bands == 4:
        from PIL import Image

        flat = [Image.new("RGB", shape[::-1], "black") for _ in pictures]
        for below, above in zip(flat, pictures, strict=True):
            below.paste(above, mask=above.getchannel("A"))
    wanted = np.stack([expected(one, side) for one in flat]).astype(float)
    found = found.numpy().astype(float)
    order, pillows = (np.argsort(x.reshape(10, -1).mean(1)) for x in (found, wanted))
    # Two ways to lay a picture over a colour may round apart.
    difference = np.abs(found[order] - wanted[pillows])
    assert difference.max() <= (2 if bands == 4 else 0)
    assert not (tmp_path / "data").exists()  # arrays need no cache


def test_arrays_of_grey_in_three_channels_are_grey(tmp_path):
    grey = np.stack([np.asarray(paint(n, 20, 20, bands=1)) for n in range(10)])
    np.save(tmp_path / "cats.npy", np.repeat(grey[..., None], 3, -1))
    found, *_ = load(tmp_path / "cats.npy", tmp_path)
    assert by_content(found) == by_content(torch.from_numpy(grey))
    assert load(tmp_path / "cats.npy", tmp_path, channels="3")[0].shape == (10, 20, 20, 3)


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("count", "says"), [(0, "has no pictures"), (9, r"has only 9 pictures .*; 10 are needed")]
)
def test_too_few_pictures_are_refused(count, says, tmp_path):
    album = write_album(tmp_path / "album", count)
    with pytest.raises(InputError, match=says):
        load(album, tmp_path)
    packed = pack(album, tmp_path / "album.zip")
    with pytest.raises(InputError, match=says):
        load(packed, tmp_path)
    np.save(tmp_path / "a.npy", np.zeros((9, 20, 20), dtype=np.uint8))
    with pytest.raises(InputError, match="has only 9 images; 10 are needed"):
        load(tmp_path / "a.npy", tmp_path)


def test_too_few_that_can_be_read_are_refused(tmp_path):
    album = write_album(tmp_path / "album", 9)
    (album / "x.png").write_bytes(b"none")
    with pytest.raises(InputError, match="has only 9 images"):
        load(album, tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "x.zip", "x.npy", "x" * 5000, "a\0b"])
def test_what_is_not_there_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"does not exist$"):
        load(Path(name), tmp_path)


def test_unreadable_pictures_are_named_once_and_the_rest_is_taken(tmp_path, capsys):
    album = write_album(tmp_path / "album", 36)
    (album / "a.png").write_bytes(b"none")
    whole = (album / "000.png").read_bytes()
    (album / "b.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    (album / "c.png").write_bytes(png_header(40_000, 40_000))
    assert len(load(album, tmp_path)[0]) == 36
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"3 of 39 pictures in {album} cannot be read: a.png (")
    for name in ("d.png", "e.png"):
        (album / name).write_bytes(b"none")
    with pytest.raises(InputError, match=r"^5 of 41 pictures in"):
        load(album, tmp_path)


def test_if_no_picture_can_be_read_that_is_said(tmp_path):
    for n in range(12):
        (tmp_path / f"{n}.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"^12 of 12 pictures .* 0\.png \(it is not a picture\)"):
        load(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("memory", "way"),
    [(3 * 12 * 50 * 50 * 3, "--image_size 48 would fit"), (1000, "take fewer of them")],
)
def test_what_would_fill_the_memory_is_refused_with_what_fits(memory, way, tmp_path, monkeypatch):
    monkeypatch.setattr(system.memory, "total_memory", lambda: memory)
    album = write_album(tmp_path / "album", width=70, height=70)
    says = rf"12 images of 64 x 64 pixels take 0\.0 GB, .* a third of the memory; {way}$"
    with pytest.raises(InputError, match=says):
        load(album, tmp_path)
    if "48" in way:
        assert load(album, tmp_path, image_size=48)[0].shape == (12, 48, 48, 3)


def test_the_figure_of_what_does_not_fit(monkeypatch):
    monkeypatch.setattr(system.memory, "total_memory", lambda: 12e9)
    with pytest.raises(InputError, match=r"^1,000,000 images .* 12\.3 GB.*--image_size 32 would"):
        datasets.own.check_memory(1_000_000, 64)
    datasets.own.check_memory(1_000_000, 32)


# ------------------------------------------------------------------------------------- the cache


def caches(folder):
    return sorted((folder / "data" / "pictures").iterdir())


def test_a_second_run_reads_no_picture(tmp_path, monkeypatch):
    album = write_album(tmp_path / "album", 6, ("a", "b"))
    first = load(album, tmp_path)
    no_reading(monkeypatch)
    pixels, labels, names = load(album, tmp_path)
    assert torch.equal(pixels, first[0])
    assert torch.equal(labels, first[1])
    assert names == first[2] == ("a", "b")
    load(album, tmp_path, holdout=0.5, flip=True)  # which change no pixel


def change(album):
    paint(99).save(album / "000.png")


def touch(album):
    os.utime(album / "000.png", (1, 1))


def add(album):
    paint(99).save(album / "new.png")


def rename(album):
    (album / "000.png").rename(album / "other.png")


def remove(album):
    (album / "000.png").unlink()


@pytest.mark.parametrize("alter", [change, touch, add, rename, remove])
def test_other_pictures_are_read_anew(alter, tmp_path):
    album = write_album(tmp_path / "album")
    load(album, tmp_path)
    alter(album)
    pixels, *_ = load(album, tmp_path)
    assert by_content(pixels) == by_content(load(album, tmp_path / "fresh")[0])
    assert len(caches(tmp_path)) == 2


@pytest.mark.parametrize(
    "other", [{"image_size": 40}, {"channels": "1"}, {"background": "black"}], ids=str
)
def test_other_options_have_another_cache(other, tmp_path):
    album = write_album(tmp_path / "album", bands=4)
    plain = load(album, tmp_path)[0]
    changed = load(album, tmp_path, **other)[0]
    assert not torch.equal(plain, changed) if plain.shape == changed.shape else True
    assert len(caches(tmp_path)) == 2
    assert torch.equal(load(album, tmp_path)[0], plain)
    assert torch.equal(load(album, tmp_path, **other)[0], changed)


def test_a_damaged_cache_is_read_past(tmp_path):
    album = write_album(tmp_path / "album")
    first = load(album, tmp_path)[0]
    (path,) = caches(tmp_path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"x", content[:100], content[:-1], content[: len(content) // 2]]
    damaged += [b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}"]
    for _ in range(60):
        changed = bytearray(content)
        for place in (*rng.integers(0, len(content), 2), *rng.integers(-500, 100, 2)):
            changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    for one in damaged:
        path.write_bytes(one)
        assert torch.equal(load(album, tmp_path)[0], first)


def test_where_no_cache_can_be_written_a_line_says_so(tmp_path, capsys):
    album = write_album(tmp_path / "album")
    (tmp_path / "data").write_text("a file in its place")
    assert len(load(album, tmp_path)[0]) == 12
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"cannot write into {tmp_path / 'data' / 'pictures'} (")
    assert line.endswith("): the next run reads the pictures again")


def test_a_full_disk_costs_a_line_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets.own.np, "savez", full)
    assert len(load(write_album(tmp_path / "album"), tmp_path)[0]) == 12
    assert "(No space left on device): the next run reads" in capsys.readouterr().out
    assert caches(tmp_path) == []


def test_a_run_killed_while_it_writes_leaves_no_half_cache(tmp_path):
    """A copy of this process dies in the middle of writing."""
    album = write_album(tmp_path / "album")
    child = os.fork()
    if child == 0:
        datasets.own.np.savez = lambda path, **_: (Path(path).write_bytes(b"half"), os._exit(9))
        try:
            load(album, tmp_path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = caches(tmp_path)
    assert [path.name.startswith(".") for path in left] == [True]
    assert len(load(album, tmp_path)[0]) == 12
    assert len(caches(tmp_path)) == 2


# ------------------------------------------------------------------------------------ the splits


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [(40,), (20, 40, 60), (1000, 10, 10), (1, 1, 98)])
def test_of_each_class_the_same_share_is_held_out(share, sizes):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    held = held_out(labels, share)
    assert held.sum() == round(share * len(labels))
    for label, size in enumerate(sizes):
        assert abs(held[labels == label].sum() - share * size) < 1


@pytest.mark.parametrize("count", [10, 11, 4999])
def test_nothing_may_be_held_out_but_never_everything(count):
    labels = np.zeros(count, dtype=np.int64)
    assert not held_out(labels, 0.0).any()
    assert not held_out(labels, 0.9).all()


def test_the_splits_are_disjoint_complete_and_the_same_every_time(tmp_path, monkeypatch):
    album = write_album(tmp_path / "album", 20, ("a", "b", "c"))
    train, test = (load(album, tmp_path, train=which, holdout=0.2) for which in (True, False))
    assert train[1].bincount().tolist() == [16] * 3
    assert test[1].bincount().tolist() == [4] * 3
    every = by_content(load(album, tmp_path)[0])
    assert len(every) == 60
    assert by_content(train[0]) + by_content(test[0]) == every
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert torch.equal(load(album, tmp_path, holdout=0.2)[0], train[0])
    assert torch.equal(load(album, tmp_path, train=False, holdout=0.2)[0], test[0])
    assert torch.equal(load(album, tmp_path / "anew", holdout=0.2)[0], train[0])
    # Shuffled, so that the first of them are of all classes.
    assert set(train[1][:20].tolist()) == {0, 1, 2}
    assert train[2] == test[2] == ("a", "b", "c")


def test_where_nothing_is_held_out_there_is_no_test_split(tmp_path):
    album = write_album(tmp_path / "album")
    with pytest.raises(InputError, match=r"no image in .* was held out from training"):
        load(album, tmp_path, train=False)


def test_a_subset_is_the_first(tmp_path):
    album = write_album(tmp_path / "album")
    every = load_images(str(album), tmp_path, settings=ALL)
    first = load_images(str(album), tmp_path, subset=4, settings=ALL)
    assert torch.equal(first.examples, every.examples[:4])


# ----------------------------------------------------------------------------- built-in sets


def test_built_in_sets_of_another_size_and_channels(tmp_path):
    """Equal to the images of the set, converted by Pillow."""
    from PIL import Image

    for name, side, channels, mode in (("digits", 32, "3", "RGB"), ("sprites", 32, "1", "L")):
        own = load_images(name, tmp_path, subset=5)
        settings = ImageSettings(image_size=side, channels=channels)
        made = load_images(name, tmp_path, subset=5, settings=settings)
        images = [Image.fromarray(one.numpy()) for one in own.examples]
        wanted = [
            one.resize((side, side), Image.Resampling.LANCZOS).convert(mode) for one in images
        ]
        assert np.array_equal(made.examples, np.stack([np.asarray(one) for one in wanted]))
        assert made.shape == (int(channels), side, side)
        assert torch.equal(made.labels, own.labels)
        as_it_is = ImageSettings(own.shape[1], str(own.shape[0]))
        same = load_images(name, tmp_path, subset=5, settings=as_it_is)
        assert torch.equal(same.examples, own.examples)
