"""Pictures on disk, for the tests of `--dataset FOLDER`."""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.sources import Source, find_pictures


def paint(seed: int, width: int = 40, height: int = 32, bands: int = 3) -> Image.Image:
    """A smooth picture that depends on the seed, with 1 (grey), 3 (colour) or 4 (alpha) bands."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [np.sin(rng.normal() * 6 * x + rng.normal() * 6 * y + seed) for _ in range(bands)]
    pixels = np.uint8(127.5 * (np.stack(waves, -1) + 1))
    return Image.fromarray(pixels[..., 0] if bands == 1 else pixels)


def write_album(folder: Path, count: int = 12, classes: tuple[str, ...] = (), **details: int):
    """Write .png pictures into a folder, or into one subfolder per class; return the folder."""
    for k, name in enumerate(classes or ("",)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            paint(100 * k + n, **details).save(folder / name / f"{n:03d}.png")
    return folder


def pack(folder: Path, path: Path) -> Path:
    """All files below a folder as a .zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def source_of(path: Path) -> Source:
    """The source of one picture file in its folder."""
    return next(one for one in find_pictures(path.parent) if one.name == path.name)


def expected(picture: Image.Image, side: int) -> np.ndarray:
    """The central square of a picture, resized by Pillow alone."""
    width, height = picture.size
    short = min(width, height)
    left, upper = (width - short) // 2, (height - short) // 2
    square = picture.crop((left, upper, left + short, upper + short))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header gives a size, but which has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
