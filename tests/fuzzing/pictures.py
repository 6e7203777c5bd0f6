"""Pictures: as a drawing to train on or to look at, as an image to fill in, as its mask.

Pillow looks at what a file holds, not at its name, so files of all formats that it writes are
damaged here, whatever their suffix.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

from fuzzing.base import TINY, Base, picture
from fuzzing.core import DAMAGE, Case, Content, Recipe

SUFFIXES = {"gif": ".gif", "bmp": ".bmp", "jpeg": ".jpg"}  # all others are called .png
INPAINT = "sample.py --checkpoint images.pt --steps 1 --visits 1 --num_images 1".split()
COMMANDS = (
    *[("train.py", "--dataset", "{}", *TINY)] * 3,
    ("visualize_diffusion.py", "--dataset", "{}", "--no-gif", "--num_points", "50"),
    (*INPAINT, "--output", "made.npy", "--inpaint", "{}", "--mask", "whole.png"),
    (*INPAINT, "--output", "made.npy", "--inpaint", "whole.png", "--mask", "{}"),
)


def case(base: Base, name: str, recipe: Recipe, rng: random.Random, expected: str) -> Case:
    file = "drawn" + next((s for f, s in SUFFIXES.items() if f in name), ".png")
    # What fits a drawing need not fit a mask.
    command = COMMANDS[0] if expected == "accepted" else rng.choice(COMMANDS)
    command = tuple(part.replace("{}", file) for part in command)
    return Case(command, {file: recipe(base, rng)})


# ----------------------------------------------------------------------------- whole pictures


def saved(kind: str, mode: str = "RGB", **options) -> bytes:
    content = io.BytesIO()
    picture(mode).save(content, kind, **options)
    return content.getvalue()


def animated(kind: str) -> bytes:
    more = [picture(shift=shift) for shift in (2, 5)]
    return saved(kind, save_all=True, append_images=more, duration=100)


def png(mode: str) -> Callable[[], bytes]:
    return lambda: saved("PNG", mode)


WHOLE: dict[str, Callable[[], bytes]] = {
    **{f"png-{mode}": png(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    "apng": lambda: animated("PNG"),
    "gif": lambda: saved("GIF", "P"),
    "gif-animated": lambda: animated("GIF"),
    "bmp": lambda: saved("BMP"),
    "bmp-1": lambda: saved("BMP", "1"),
    "bmp-P": lambda: saved("BMP", "P"),
    "jpeg": lambda: saved("JPEG"),
    "jpeg-L": lambda: saved("JPEG", "L", quality=40),
    "jpeg-CMYK": lambda: saved("JPEG", "CMYK"),
    "jpeg-progressive": lambda: saved("JPEG", progressive=True),
    **{f"as-png-{kind}": (lambda kind=kind: saved(kind)) for kind in ("PPM", "TIFF", "TGA", "PCX")},
    **{f"as-png-{kind}": (lambda kind=kind: saved(kind)) for kind in ("DDS", "SGI", "IM", "ICO")},
}
PNGS = [name for name in WHOLE if "png" in name and "as-" not in name]


# --------------------------------------------------------------------------------- PNG chunks

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]  # type and data


def chunks_of(content: bytes) -> list[Chunk]:
    found, at = [], len(SIGNATURE)
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def joined(chunks: list[Chunk]) -> bytes:
    """A PNG file of these chunks, with their right checksums."""
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return SIGNATURE + b"".join(parts)


ANCILLARY = (
    *(b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"tRNS", b"PLTE", b"pHYs", b"sRGB"),
    *(b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IHDR", b"IDAT", b"IEND", b"cICP", b"CgBI", b"\0\0\0\0"),
)


def some_data(rng: random.Random) -> bytes:
    """Short data of a chunk, now and then with the keyword that texts and profiles begin with."""
    data = rng.randbytes(rng.choice([0, 1, 2, 3, 4, 5, 8, 12, 13, 25, 26, 40]))
    return rng.choice([b"", b"name\0", b"name\0\0", b"name\0\1\0en\0\0"]) + data


def operate(content: bytes, rng: random.Random) -> bytes:
    """Chunks dropped, doubled, moved, renamed, cut, damaged or added, with right checksums."""
    chunks = chunks_of(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(chunks))
        kind, data = chunks[at]
        changed = bytearray(data or b"\0")
        changed[rng.randrange(min(len(changed), 30))] = rng.choice([0, 1, 3, 8, 127, 255])
        replacement: list[Chunk] = rng.choice(
            [
                [],
                [(kind, data), (kind, data)],
                [(rng.choice(ANCILLARY), data)],
                [(kind, data[: rng.randrange(len(data) + 1)])],
                [(kind, data + b"\0")],
                [(kind, bytes(changed))],
                [(kind, some_data(rng))],
                [(rng.choice(ANCILLARY), some_data(rng)), (kind, data)],
                [(kind, data), (rng.choice(ANCILLARY), some_data(rng))],
            ]
        )
        chunks[at : at + 1] = replacement
        if not chunks:
            break
        if rng.random() < 0.2:
            rng.shuffle(chunks)
    return joined(chunks)


def with_chunk(kind: bytes, data: bytes, times: int = 1) -> Recipe:
    """A recipe for a PNG with one more chunk, or several, after its header."""

    def make(base: Base, rng: random.Random) -> Content:
        first, *others = chunks_of(WHOLE["png-RGB"]())
        return joined([first, *[(kind, data)] * times, *others])

    return make


def replaced(kind: bytes, change: Callable[[bytes], bytes], whole: str = "png-RGB") -> Recipe:
    """A recipe for a PNG in which the data of some chunks are others."""

    def make(base: Base, rng: random.Random) -> Content:
        chunks = chunks_of(WHOLE[whole]())
        return joined([(name, change(data) if name == kind else data) for name, data in chunks])

    return make


def zeros(size: int) -> bytes:
    """A zlib stream of many zeros, put together from one compressed piece of a megabyte."""
    packer = zlib.compressobj()
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (size // 1_000_000) + packer.flush()


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> Recipe:
    made = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return replaced(b"IHDR", lambda data: made)


def vast(side: int, colour: int, data: bytes) -> Recipe:
    made = struct.pack(">IIBBBBB", side, side, 8, colour, 0, 0, 0)
    return lambda base, rng: joined([(b"IHDR", made), (b"IDAT", data), (b"IEND", b"")])


def patched(whole: str, at: int, new: bytes) -> Recipe:
    """A recipe for a picture with other bytes at one place, such as a size in its header."""

    def make(base: Base, rng: random.Random) -> Content:
        content = WHOLE[whole]()
        return content[:at] + new + content[at + len(new) :]

    return make


def jpeg_of_size(side: int) -> Recipe:
    def make(base: Base, rng: random.Random) -> Content:
        content = WHOLE["jpeg"]()
        at = content.index(b"\xff\xc0") + 5
        return content[:at] + struct.pack(">HH", side, side) + content[at + 4 :]

    return make


# ------------------------------------------------------------------------------------ recipes

RIGHT = {
    f"whole-{name}": lambda base, rng, name=name: WHOLE[name]()
    for name in ("png-RGB", "png-P", "apng", "gif", "bmp", "jpeg")
}
WRONG: dict[str, Recipe] = {
    "empty": lambda base, rng: b"",
    "text": lambda base, rng: b"not a picture at all",
    "png-signature-only": lambda base, rng: SIGNATURE,
    "png-no-data": replaced(b"IDAT", lambda data: b""),
    "png-ihdr-truncated": replaced(b"IHDR", lambda data: data[:9]),
    "png-ihdr-empty": replaced(b"IHDR", lambda data: b""),
    "png-ihdr-depth-17": header(24, 24, depth=17),
    "png-ihdr-colour-9": header(24, 24, colour=9),
    "png-0x0": header(0, 0),
    "png-2147483647": header(2**31 - 1, 2**31 - 1),
    "png-4294967295": header(2**32 - 1, 2**32 - 1),
    "png-20000": header(20_000, 20_000),
    "png-13000-of-nothing": vast(13_000, 6, zlib.compress(b"")),
    "gif-65535": patched("gif", 6, b"\xff\xff\xff\xff"),
    "jpeg-65000": jpeg_of_size(65_000),
}
BOMB = zeros(200_000_000)
EITHER: dict[str, Recipe] = {
    "jpeg-12000": jpeg_of_size(12_000),
    "png-ztxt-bomb": with_chunk(b"zTXt", b"name\0\0" + BOMB),
    "png-itxt-bomb": with_chunk(b"iTXt", b"name\0\1\0en\0\0" + BOMB),
    "png-iccp-bomb": with_chunk(b"iCCP", b"name\0\0" + BOMB),
    "png-texts-of-70-MB": with_chunk(b"tEXt", b"k\0" + bytes(1_000_000), times=70),
    "png-13000-rgba": vast(13_000, 6, zeros(4 * 13_000**2 + 13_000)),
    "png-13000-rgba-half": vast(13_000, 6, zeros(2 * 13_000**2)),
    "png-9000-grey": vast(9000, 0, zeros(9001 * 9000)),
    "png-broken-crc": patched("png-RGB", 29, b"\0\0\0\0"),
    "png-broken-crc-of-data": patched("png-RGB", -30, b"\0\0\0\0"),
    "png-palette-of-4-bytes": replaced(b"PLTE", lambda data: data[:4], "png-P"),
    "png-palette-empty": replaced(b"PLTE", lambda data: b"", "png-P"),
    "png-palette-of-9000": replaced(b"PLTE", lambda data: data * 9000, "png-P"),
    "png-no-end": replaced(b"IEND", lambda data: b"x" * 10),
    "apng-sequence-wrong": replaced(b"fdAT", lambda data: b"\0\0\0\x63" + data[4:], "apng"),
    "apng-control-sequence-wrong": replaced(b"fcTL", lambda data: b"\0\0\0\7" + data[4:], "apng"),
    "apng-frame-too-large": replaced(b"fcTL", lambda data: data[:4] + b"\xff" * 16, "apng"),
    "apng-no-frames": replaced(b"acTL", lambda data: bytes(8), "apng"),
    "apng-many-frames": replaced(b"acTL", lambda data: b"\x7f\xff\xff\xff" * 2, "apng"),
    "apng-control-short": replaced(b"fcTL", lambda data: data[:9], "apng"),
    "apng-data-short": replaced(b"fdAT", lambda data: data[:3], "apng"),
    "png-physical-short": with_chunk(b"pHYs", b"\0"),
    "png-chromaticity-short": with_chunk(b"cHRM", b"\0\0\0"),
    "png-gamma-short": with_chunk(b"gAMA", b""),
    "png-exif-rubbish": with_chunk(b"eXIf", b"MM\0\x2a\xff\xff\xff\xff" + b"\xff" * 20),
    "png-transparency-long": with_chunk(b"tRNS", bytes(300)),
    "png-profile-method": with_chunk(b"iCCP", b"name\0\7rubbish"),
    "bmp-wide": patched("bmp", 18, struct.pack("<ii", 2**31 - 1, 24)),
    "bmp-negative": patched("bmp", 18, struct.pack("<ii", -24, -24)),
    "bmp-13000": patched("bmp", 18, struct.pack("<ii", 13_000, 13_000)),
    "bmp-compression": patched("bmp", 30, struct.pack("<I", 1)),
    "gif-frame-outside": patched("gif-animated", -60, b"\xff" * 20),
    "eps": lambda base, rng: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\n",
}


def damaged(names: list[str], damage: Callable[[bytes, random.Random], bytes]) -> Recipe:
    return lambda base, rng: damage(WHOLE[rng.choice(names)](), rng)


VARIED: dict[str, Recipe] = {
    "png-chunks": damaged(PNGS, operate),
    **{f"png-{name}": damaged(PNGS, damage) for name, damage in DAMAGE.items()},
    "apng-chunks": damaged(["apng"], operate),
    **{
        f"{format_}-{name}": damaged([w for w in WHOLE if w.startswith(format_)], damage)
        for format_ in ("jpeg", "gif", "bmp", "as-png")
        for name, damage in DAMAGE.items()
    },
}
