"""drawings.py: tables and pictures from users, valid and invalid."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

import datasets.drawings
from datasets.drawings import read_drawing, resample
from system.errors import InputError

SQUARE = np.array([[0, 0], [0, 10], [10, 10], [10.5, -2.25]])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n0,0\n0,10\n10,10\n10.5,-2.25\n",
        "0,0\n0,10\n10,10\n10.5,-2.25",
        "x;y\r\n0;0\r\n0;10\r\n10;10\r\n10.5;-2.25\r\n",
        "\ufeffX\tY\n0\t0\n0\t10\n10\t10\n10.5\t-2.25\n",
        "name,y,x\na,0,0\nb,10,0\nc,10,10\nd,-2.25,10.5\n",
        "name,u,v\na,0,0\nb,0,10\nc,10,10\nd,10.5,-2.25\n",
        "0 0\n0   10\n\n10 10\n 10.5 -2.25 \n\n",
        '"x", "y"\n"0", "0"\n0, 1e1\n10, 10\n10.5, -2.25\n',
    ],
    ids="plain headerless windows tabs-bom reversed named spaces quoted".split(),
)
def test_tables_of_many_kinds(text, tmp_path):
    (tmp_path / "d.csv").write_bytes(text.encode("utf-8"))
    assert np.array_equal(read_drawing(tmp_path / "d.csv", rng()), SQUARE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "is empty"),
        (b"x,y\n", "only a header"),
        (b"x,y\n1,2\n", "fewer than 3 different points"),
        (b"1,2\n1,2\n1,2\n1,2\n", "fewer than 3 different points"),
        (b"1,2\n3,4\n1,2\n", "fewer than 3 different points"),
        (b"x\n1\n2\n3\n", "two columns of numbers"),
        (b"a,b\nc,d\n", "two columns of numbers"),
        (b"x,y\n1,2\n3,four\n5,6\n", "line 3: y is 'four', not a number"),
        (b"1,2\n\n3\n5,6\n", "line 3: no value for y"),
        (b"1,2\n,3\n5,6\n", "line 2: no value for x"),
        (b"1,2\n3,nan\n5,6\n", "line 2: y is nan, not a finite number"),
        (b"1,2\n-inf,3\n5,6\n", "line 2: x is -inf, not a finite number"),
        (bytes(range(128, 256)) * 20, "line 1: not text"),
        (b"1,2\n3,4\n\xff\xfe\n", "not text"),
        (b"1,2\n\0\0\0\n", "line 2: not text"),
        (b"1" * 50_000, "line 1: longer than"),
        (b'"x,y\n1,2\n3,4\n5,5\n', "line 1: not a row of a table"),
        (b'"1,2\n3,4\n5,5\n9,8\n', "line 1: not a row of a table"),
        (b'"1 2\n3 4\n5 5\n9 8\n', "line 1: not a row of a table"),
        (b'1,2\n3,"4\n5,5\n9,8\n', "line 2: not a row of a table"),
        (b'x,y\n1,2\n3,4\n5,"5\n', "line 4: not a row of a table"),
        (b'"1,2"\n3,4\n5,5\n9,8\n', "two columns of numbers"),
        (b"1e300,0\n2e300,1\n3e300,5\n", "too large"),
        (b"1e9,1e9\n1000000001,1000000001\n1000000002,1000000000\n", "too close together"),
    ],
)
def test_bad_tables_are_refused_with_line_and_reason(content, says, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_drawing(path, rng())
    assert "bad.csv" in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_drawing(tmp_path / "no.csv", rng())
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="a folder"):
        read_drawing(tmp_path / "folder.csv", rng())


def test_of_a_very_long_table_a_fair_sample_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.drawings, "MAX_KEPT", 500)
    path = tmp_path / "long.csv"
    path.write_text("".join(f"{k},{k % 7}\n" for k in range(20_000)))
    points = read_drawing(path, rng())
    assert len(points) == 500
    # Uniform over 0 ... 20000: the mean has a standard error of 20000 / sqrt(12 * 500) = 258.
    assert abs(points[:, 0].mean() - 10_000) < 4 * 258
    assert len(np.unique(points[:, 0])) == 500


def test_a_picture_becomes_points_on_its_ink(tmp_path):
    picture = Image.new("L", (100, 60), 255)
    ImageDraw.Draw(picture).rectangle((10, 5, 29, 24), fill=0)
    ImageDraw.Draw(picture).rectangle((60, 40, 79, 59), fill=128)
    picture.save(tmp_path / "p.png")
    x, y = read_drawing(tmp_path / "p.png", rng()).T
    black = (x >= 10) & (x < 30) & (y >= 35) & (y < 55)  # y points up
    grey = (x >= 60) & (x < 80) & (y >= 0) & (y < 20)
    assert (black | grey).all()
    assert black.mean() == pytest.approx(255 / (255 + 127), abs=0.01)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(40, 20), (1200, 600)])  # the larger one is shrunk first
def test_photographs_are_turned_as_their_camera_was(orientation, size, tmp_path):
    """The same scene, with ink at its top left, however the camera was held."""
    upright = Image.new("L", size, 255)
    ImageDraw.Draw(upright).rectangle((0, 0, size[0] // 4, size[1] // 2), fill=0)
    turns = Image.Transpose
    stored = {  # what to do with the scene so that the tag undoes it
        1: (),
        2: (turns.FLIP_LEFT_RIGHT,),
        3: (turns.ROTATE_180,),
        4: (turns.FLIP_TOP_BOTTOM,),
        5: (turns.TRANSPOSE,),
        6: (turns.ROTATE_90,),
        7: (turns.TRANSVERSE,),
        8: (turns.ROTATE_270,),
    }[orientation]
    for turn in stored:
        upright = upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    grey = np.asarray(
        datasets.drawings.over("white", datasets.drawings.open_picture(tmp_path / "photo.jpg"))
    )
    height, width = grey.shape
    assert width == 2 * height
    dark = grey < 128
    assert dark[: height // 2, : width // 4].mean() > 0.95
    assert dark.mean() == pytest.approx(1 / 8, abs=0.05)


def test_transparent_paper_is_white(tmp_path):
    picture = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    picture.putpixel((3, 4), (0, 0, 0, 255))
    picture.putpixel((4, 4), (255, 0, 0, 255))
    picture.save(tmp_path / "p.png")
    x, y = read_drawing(tmp_path / "p.png", rng()).T
    assert ((x >= 3) & (x <= 5) & (y >= 15) & (y <= 16)).all()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: Image.new("L", (9, 9), 255).save(path), "all white"),
        (lambda path: path.write_bytes(b"not a picture"), "cannot be read as a picture"),
        (lambda path: path.write_bytes(b""), "cannot be read as a picture"),
    ],
)
def test_bad_pictures_are_refused(make, says, tmp_path):
    make(tmp_path / "p.png")
    with pytest.raises(InputError, match=says):
        read_drawing(tmp_path / "p.png", rng())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    """A picture of 4 x 4 pixels with these chunks before its data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(4 * 5)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(10**8))  # 100 MB that are packed into 100 kB


@pytest.mark.parametrize(
    "content",
    [
        png(chunk(b"zTXt", b"a\0\0" + BOMB)),
        png(chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
        png(chunk(b"iCCP", b"a\0\0" + BOMB)),
        png(chunk(b"acTL", b"")),
        png(chunk(b"fcTL", bytes(26))),
        png(chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", b"\0\0\0\5" + bytes(22))),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0\0\4"),
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\4\1\2\3\4" + bytes(8),
        png()[:-30],
    ],
    ids="zTXt iTXt iCCP acTL fcTL sequence header name truncated".split(),
)
def test_damaged_pictures_are_read_or_refused_in_a_line(content, tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(content)
    with contextlib.suppress(InputError):  # which it is differs between versions of Pillow
        assert read_drawing(path, rng()).shape[1] == 2


@pytest.mark.parametrize("flaw", [ValueError, SyntaxError, EOFError, OverflowError, zlib.error])
def test_whatever_goes_wrong_in_a_picture_is_its_files_fault(flaw, tmp_path, monkeypatch):
    Image.new("L", (9, 9), 0).save(tmp_path / "p.png")

    def fail(*_: object) -> None:
        raise flaw

    monkeypatch.setattr(Image.Image, "thumbnail", fail)
    with pytest.raises(InputError, match=r"p\.png cannot be read as a picture"):
        read_drawing(tmp_path / "p.png", rng())


def test_too_little_memory_is_not_the_pictures_fault(tmp_path, monkeypatch):
    Image.new("L", (9, 9), 0).save(tmp_path / "p.png")

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "thumbnail", fail)
    with pytest.raises(MemoryError):
        read_drawing(tmp_path / "p.png", rng())


def test_resampling_adds_noise_of_the_size_asked_for():
    square = SQUARE - SQUARE.mean(0)
    drawn = resample(square, 40_000, 0.01, rng())
    assert drawn.shape == (40_000, 2)
    offsets = drawn[:, None] - square[None]
    nearest = offsets[np.arange(40_000), (offsets**2).sum(-1).argmin(1)]
    spread = np.sqrt(square.var(0).mean())
    assert nearest.std() == pytest.approx(0.01 * spread, rel=0.02)
    assert np.isin(resample(square, 100, 0.0, rng()), square).all()
