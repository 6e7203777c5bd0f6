"""Built-in digits: a dataset like MNIST that needs no download.

The ten digits are typeset in fonts that come with matplotlib. Every image gets its own slant,
rotation, size, position, stroke weight and elastic distortion (Simard et al. 2003). The images are
the same every time, and take seconds to make.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datasets.blocks import BLOCK, first_drawn

SIZE = 28  # pixels, height and width of an image
SHAPE = (1, SIZE, SIZE)
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    "cmr10",
    "cmb10",
    "cmss10",
    "cmtt10",
    "cmti10",
)

CANVAS = 64  # pixels, side of the square on which a glyph is typeset
GLYPH_HEIGHT = 44  # canvas pixels, about 19 of the 28 pixels of an image; MNIST has 20
BLUR = 2.0  # canvas pixels; with it a threshold can make strokes thinner or thicker


def font_folder() -> Path:
    """The folder of matplotlib's fonts, found without importing matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("matplotlib, whose fonts the built-in digits use")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


def typeset(digit: int, font: ImageFont.FreeTypeFont) -> Tensor:
    """One digit as a float tensor (CANVAS, CANVAS) in [0, 1], GLYPH_HEIGHT tall and centred."""
    left, top, right, bottom = (round(edge) for edge in font.getbbox(str(digit)))
    glyph = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(glyph).text((-left, -top), str(digit), fill=255, font=font)
    width = max(1, round(glyph.width * GLYPH_HEIGHT / glyph.height))
    canvas = Image.new("L", (CANVAS, CANVAS))
    corner = ((CANVAS - width) // 2, (CANVAS - GLYPH_HEIGHT) // 2)
    canvas.paste(glyph.resize((width, GLYPH_HEIGHT), Image.Resampling.LANCZOS), corner)
    return torch.tensor(list(canvas.tobytes()), dtype=torch.float32).view(CANVAS, CANVAS) / 255


@cache
def glyphs() -> Tensor:
    """All digits in all fonts, blurred: shape (10, fonts, CANVAS, CANVAS)."""
    fonts = [ImageFont.truetype(str(font_folder() / f"{name}.ttf"), 96) for name in FONTS]
    sharp = torch.stack([torch.stack([typeset(d, font) for font in fonts]) for d in range(10)])
    offsets = torch.arange(-6, 7, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / BLUR) ** 2)
    kernel = kernel / kernel.sum()
    flat = sharp.view(-1, 1, CANVAS, CANVAS)
    flat = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, 6))
    flat = F.conv2d(flat, kernel.view(1, 1, -1, 1), padding=(6, 0))
    return flat.view_as(sharp)


def random_grids(count: int, generator: torch.Generator) -> Tensor:
    """The place on the canvas of each pixel of each image, (count, SIZE, SIZE, 2) in [-1, 1]."""

    def normal(scale: float) -> Tensor:
        return scale * torch.randn(count, generator=generator)

    angle, slant = normal(0.10), normal(0.18)
    wide, tall = torch.exp(normal(0.10)), torch.exp(normal(0.06))
    cos, sin = angle.cos(), angle.sin()
    # Inverse map, image -> canvas: rotate, then slant, then divide by the size.
    across = torch.stack([(cos + slant * sin) / wide, (-sin + slant * cos) / wide, normal(0.06)])
    down = torch.stack([sin / tall, cos / tall, normal(0.06)])
    affine = torch.stack([across.T, down.T], dim=1)
    grids = F.affine_grid(affine, [count, 1, SIZE, SIZE], align_corners=False)
    coarse = 0.055 * torch.randn(count, 2, 5, 5, generator=generator)
    elastic = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=True)
    return grids + elastic.permute(0, 2, 3, 1)


def make_block(seed: int) -> tuple[Tensor, Tensor]:
    """BLOCK images, uint8 (BLOCK, SIZE, SIZE), and their labels, int64 (BLOCK,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (BLOCK,), generator=generator)
    fonts = torch.randint(len(FONTS), (BLOCK,), generator=generator)
    grids = random_grids(BLOCK, generator)
    canvases = glyphs()[labels, fonts][:, None]
    ink = F.grid_sample(canvases, grids, align_corners=False)[:, 0]
    # A low threshold on the blurred ink gives thick strokes, a high one thin strokes.
    threshold = torch.empty(BLOCK, 1, 1).uniform_(0.22, 0.45, generator=generator)
    return torch.sigmoid(14 * (ink - threshold)).sub(0.03).mul(270).clamp(0, 255).byte(), labels


def make_digits(train: bool, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `count` built-in digits (default: all) of the training or the test split.

    Returns:
        Images, uint8 (N, 28, 28), white on black, and labels, int64 (N,).
    """
    return first_drawn(make_block, train, count)
