"""Pictures of every format as small squares, compared with the results of Pillow alone."""

import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from albums import expected, pack, paint, png_header, source_of, write_album
from PIL import Image

from datasets.pictures import (
    attempt_all,
    fitted,
    is_grey,
    nearest_side,
    read_all,
    read_picture,
    short_side,
)
from datasets.sources import Source, find_pictures
from system.errors import InputError


def read(path, side=28, background="white"):
    return read_picture(source_of(path), side, background)


def in_memory(content: bytes, name: str = "picture.png") -> Source:
    return Source(name, "", lambda: io.BytesIO(content))


# --------------------------------------------------------------------------------- every format


@pytest.mark.parametrize("size", [(40, 32), (32, 40), (28, 28), (10, 9), (1, 300), (200, 199)])
@pytest.mark.parametrize("side", [16, 28, 64])
def test_the_middle_square_is_resized_as_pillow_does(size, side, tmp_path):
    picture = paint(1, *size)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png", side), expected(picture, side))


@pytest.mark.parametrize("suffix", "png jpg jpeg webp bmp gif".split())
@pytest.mark.parametrize("bands", [1, 3])
def test_every_format_is_read(suffix, bands, tmp_path):
    path = tmp_path / f"a.{suffix}"
    paint(2, bands=bands).save(path)
    with Image.open(path) as again:
        wanted = expected(again.convert("RGB"), 28)
    assert np.array_equal(read(path), wanted)
    original = expected(paint(2, bands=bands).convert("RGB"), 28).astype(float)
    assert np.abs(read(path) - original).mean() < 8  # of 255: what the format loses


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.png"):
        more = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **more)
        assert (read(tmp_path / name) == [255, 0, 0]).all()


def test_one_bit_is_black_and_white(tmp_path):
    picture = Image.fromarray(np.eye(28) > 0)
    assert picture.mode == "1"
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png")[..., 0], np.eye(28) * 255)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 28 * 28).round().astype(np.uint16).reshape(28, 28)
    picture = Image.fromarray(values)
    picture.save(tmp_path / "a.png")
    wanted = np.round(values / 257)
    assert (wanted.min(), wanted.max()) == (0, 255)
    assert np.array_equal(read(tmp_path / "a.png")[..., 0], wanted)
    picture.save(tmp_path / "b.png", transparency=int(values[3, 4]))
    hole = read(tmp_path / "b.png", background="#0000ff")
    assert hole[3, 4].tolist() == [0, 0, 255]
    assert np.array_equal(hole[4:, :, 0], wanted[4:])


def over(colour: tuple[int, int, int], picture: np.ndarray) -> np.ndarray:
    """(H, W, 4) laid over a colour: alpha a + (1 - alpha) b."""
    alpha = picture[..., 3:] / 255
    return picture[..., :3] * alpha + np.array(colour) * (1 - alpha)


@pytest.mark.parametrize(("name", "colour"), [("white", (255,) * 3), ("#ffd700", (255, 215, 0))])
def test_the_background_shows_where_a_picture_is_transparent(name, colour, tmp_path):
    rgba = paint(3, 28, 28, bands=4)
    rgba.save(tmp_path / "a.png")
    wanted = over(colour, np.asarray(rgba).astype(float))
    assert np.abs(read(tmp_path / "a.png", background=name) - wanted).max() <= 1
    rgba.save(tmp_path / "a.webp", lossless=True, exact=True)
    assert np.abs(read(tmp_path / "a.webp", background=name) - wanted).max() <= 1
    grey = rgba.convert("LA")
    grey.save(tmp_path / "la.png")
    wanted = over(colour, np.asarray(grey)[..., [0, 0, 0, 1]].astype(float))
    assert np.abs(read(tmp_path / "la.png", background=name) - wanted).max() <= 1


def test_a_palette_may_be_transparent(tmp_path):
    pixels = np.repeat(np.arange(28, dtype=np.uint8)[:, None] // 10, 28, 1)
    picture = Image.frombytes("P", (28, 28), pixels.tobytes())
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])
    for name in ("a.png", "a.gif"):
        picture.save(tmp_path / name)
        assert np.array_equal(read(tmp_path / name, background="black"), colours[pixels])
        picture.save(tmp_path / name, transparency=1)
        found = read(tmp_path / name, background="black")
        assert np.array_equal(found, np.where((pixels == 1)[..., None], 0, colours[pixels]))
    picture.save(tmp_path / "b.png", transparency=bytes([255, 128, 0]))
    found = read(tmp_path / "b.png", background="black")
    assert [found[row, 0].tolist() for row in (0, 10, 20)] == [[255, 0, 0], [0, 128, 0], [0, 0, 0]]


def test_the_colours_of_print_become_those_of_screens(tmp_path):
    picture = paint(4, 32, 32)
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert Image.open(tmp_path / "a.jpg").mode == "CMYK"
    difference = read(tmp_path / "a.jpg", 32).astype(float) - np.asarray(picture)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a.swapaxes(0, 1), 2)),
        (8, np.rot90),
    ],
)
def test_pictures_are_turned_upright(orientation, turn, tmp_path):
    picture = paint(5, 28, 28)
    tags = Image.Exif()
    tags[0x112] = orientation
    picture.save(tmp_path / "a.jpg", exif=tags, quality=100)
    with Image.open(tmp_path / "a.jpg") as plain:
        wanted = turn(np.asarray(plain))
    assert np.array_equal(read(tmp_path / "a.jpg"), wanted)
    picture.save(tmp_path / "a.png", exif=tags)
    assert np.array_equal(read(tmp_path / "a.png"), turn(np.asarray(picture)))


def test_an_archive_gives_the_same_pixels(tmp_path):
    album = write_album(tmp_path / "album", 6, ("a", "b"))
    packed = find_pictures(pack(album, tmp_path / "album.zip"))
    for one, other in zip(find_pictures(album), packed, strict=True):
        assert np.array_equal(read_picture(one, 28, "white"), read_picture(other, 28, "white"))


# --------------------------------------------------------------------------- one size, grey or not


@pytest.mark.parametrize(
    ("sides", "side"),
    [
        ([28], 28),
        ([1, 1], 28),
        ([30], 28),
        ([31, 31, 9999], 32),
        ([40], 32),
        ([41], 48),
        ([60], 64),
        ([5000] * 3, 64),
        ([], 28),
    ],
)
def test_the_usual_side_nearest_to_the_median(sides, side):
    assert nearest_side(sides) == side


def test_the_short_side_is_what_counts(tmp_path):
    paint(0, 90, 20).save(tmp_path / "a.png")
    assert short_side(source_of(tmp_path / "a.png")) == 20


def test_grey_is_found_out():
    grey = np.repeat(np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1), 3, -1)
    assert is_grey(grey)
    grey[2, 3, 3, 1] += 1
    assert not is_grey(grey)


@pytest.mark.parametrize("channels", ["auto", "1", "3"])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("side", [32, 20])
def test_images_are_fitted_as_pillow_does(channels, bands, side):
    pictures = [paint(seed, 32, 32, bands) for seed in range(3)]
    found = fitted(np.stack([np.asarray(one) for one in pictures]), side, channels)
    mode = {"auto": "L" if bands == 1 else "RGB", "1": "L", "3": "RGB"}[channels]
    wanted = [
        np.asarray(one.resize((side, side), Image.Resampling.LANCZOS).convert(mode))
        for one in pictures
    ]
    assert np.array_equal(found, np.stack(wanted))


# ------------------------------------------------------------------------------- damaged pictures


@pytest.mark.parametrize("size", [(40_000, 40_000), (20_000, 6_000), (10_001, 10_000)])
def test_pictures_that_would_fill_the_memory_are_not_decoded(size, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"1 of 1 pictures .* picture\.png \(.*pixels"):
        read_all([in_memory(png_header(*size))], short_side, Path("album"))


def test_a_very_long_side_alone_is_no_reason(tmp_path):
    paint(0, 40_000, 3).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (28, 28, 3)


def test_a_member_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "album.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.png", "w") as member,
    ):
        for _ in range(510):
            member.write(bytes(10**6))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    assert path.stat().st_size < 10**7
    with pytest.raises(ValueError, match="510,000,000 bytes are too many"):
        read_picture(find_pictures(path)[0], 28, "white")


def encrypted(path):
    """Mark the only member of an archive as encrypted."""
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


def test_an_encrypted_member_cannot_be_read(tmp_path):
    path = pack(write_album(tmp_path / "album", 1), tmp_path / "album.zip")
    encrypted(path)
    with pytest.raises(InputError, match=r"1 of 1 pictures .* cannot be read: 000\.png .*password"):
        read_all(find_pictures(path), short_side, path)


def reader(source):
    if source.name.startswith("bad"):
        raise ValueError("it is not a picture")
    return source.name


def sources(good, bad):
    return [
        in_memory(b"", f"{kind}{k}.png")
        for kind, n in (("good", good), ("bad", bad))
        for k in range(n)
    ]


def test_up_to_a_tenth_may_be_unreadable(tmp_path, capsys):
    kept, found = read_all(sources(18, 2), reader, tmp_path)
    assert found == [source.name for source in kept] == [f"good{k}.png" for k in range(18)]
    assert capsys.readouterr().out == (
        f"2 of 20 pictures in {tmp_path} cannot be read: bad0.png (it is not a picture); bad1.png"
        " (it is not a picture)\n"
    )
    with pytest.raises(InputError, match=r"^3 of 20 pictures in .* cannot be read: bad0"):
        read_all(sources(17, 3), reader, tmp_path)
    assert capsys.readouterr().out == ""


def test_of_many_some_are_named(tmp_path, capsys):
    read_all(sources(100, 7), reader, tmp_path)
    out = capsys.readouterr().out
    assert out.count("bad") == 3
    assert out.endswith("; and 4 more\n")


def test_names_that_are_no_text_are_printed_in_one_line(tmp_path, capsys):
    odd = in_memory(b"", "bad\udcff\n\x1b[31m.png")
    read_all([*sources(20, 0), odd], reader, tmp_path)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert line.encode()


def test_memory_that_runs_out_is_no_fault_of_a_picture(tmp_path):
    def failing(source):
        raise MemoryError

    with pytest.raises(MemoryError):
        read_all(sources(3, 0), failing, tmp_path)


@pytest.mark.parametrize("suffix", "png jpg webp bmp gif".split())
def test_damaged_pictures_are_counted_whatever_is_wrong(suffix, tmp_path, capsys):
    """Cut off, overwritten, empty, of another kind: reading either works or is reported."""
    path = tmp_path / "whole"
    paint(1).save(path, format={"jpg": "jpeg"}.get(suffix, suffix))
    content, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"text", content[:20], content[: len(content) // 2]]
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    album = [in_memory(one, f"{k}.{suffix}") for k, one in enumerate(damaged)]
    album += [in_memory(content)] * 1000
    kept, images = read_all(album, lambda source: read_picture(source, 28, "white"), tmp_path)
    assert len(kept) == len(images) >= 1000
    assert all(image.shape == (28, 28, 3) for image in images)
    line = capsys.readouterr().out
    assert f"0.{suffix} (it is not a picture); 1.{suffix} (it is not a picture)" in line
    assert " object at 0x" not in line


@pytest.mark.skipif(sys.platform != "linux", reason="counts the open files in /proc")
def test_no_file_stays_open(tmp_path):
    """Otherwise thousands of unreadable pictures would use up the files that a process may open."""
    for k in range(30):
        (tmp_path / f"{k}.png").write_bytes(b"none")
    before = len(os.listdir("/proc/self/fd"))
    results = attempt_all(find_pictures(tmp_path), short_side, "reading")
    assert [str(one) for one in results] == ["it is not a picture"] * 30
    assert len(os.listdir("/proc/self/fd")) == before
