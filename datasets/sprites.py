"""Built-in sprites: small drawings in colour, of ten kinds of things, that need no download.

Each drawing is a stack of flat shapes (ellipses, boxes, polygons, lines), painted one over the
other with soft edges. Every image has its own colours, proportions, details, position, size and
slant. The images are the same every time, and take seconds to make: many are painted at once, from
the distances of all pixels to the edge of each shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from datasets.blocks import BLOCK, first_drawn

SIZE = 32
SHAPE = (3, SIZE, SIZE)  # of one image for a network: channels, height, width
PIXEL = 2 / SIZE  # the side of a pixel: a drawing is 2 x 2 units, with (0, 0) in its middle

Number = Tensor | float


class Brush:
    """Paints on N images at once; all random numbers of a block come from one generator.

    Coordinates are relative to the thing that is drawn, (N, SIZE, SIZE), with y upwards, so that
    each image has its own position, size and slant. Numbers that differ between images have the
    shape (N, 1, 1), colours (N, 3, 1, 1) in [0, 1].
    """

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator
        line = (torch.arange(SIZE) + 0.5) * PIXEL - 1
        self.down, self.across = torch.meshgrid(line, line, indexing="ij")
        self.x = self.across.expand(count, -1, -1)
        self.y = -self.down.expand(count, -1, -1)
        self.scale: Number = 1.0
        self.pixels = torch.zeros(count, 3, SIZE, SIZE)

    # ------------------------------------------------------------------------- random choices

    def between(self, low: float, high: float) -> Tensor:
        """A random number for each image."""
        return low + (high - low) * torch.rand(self.count, 1, 1, generator=self.generator)

    def chance(self, share: float) -> Tensor:
        """Yes or no for each image."""
        return torch.rand(self.count, 1, 1, generator=self.generator) < share

    def colour(
        self,
        hue: tuple[float, float] = (0, 1),
        saturation: tuple[float, float] = (0.55, 0.95),
        value: tuple[float, float] = (0.65, 1.0),
    ) -> Tensor:
        """A random colour for each image; hues go from red (0) through yellow (1/6), green (1/3),
        cyan and blue (2/3) back to red (1)."""
        h, s, v = (self.between(*ends)[..., None] for ends in (hue, saturation, value))
        channels = torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)
        k = (channels + 6 * h) % 6
        return v - v * s * torch.minimum(k, 4 - k).clamp(0, 1)

    def either(self, *colours: Tensor) -> Tensor:
        """One of these colours, chosen at random, for each image."""
        chosen = torch.randint(len(colours), (self.count,), generator=self.generator)
        return torch.stack(colours)[chosen, torch.arange(self.count)]

    # ------------------------------------------------------------------------------- painting

    def place(self, size: tuple[float, float], shift: float, tilt: float) -> None:
        """Give the thing in each image its size, position and slant (in radians)."""
        scale, angle = self.between(*size), self.between(-tilt, tilt)
        x = self.across - self.between(-shift, shift)
        y = -self.down - self.between(-shift, shift)
        self.x = (angle.cos() * x + angle.sin() * y) / scale
        self.y = (angle.cos() * y - angle.sin() * x) / scale
        self.scale = scale

    def wash(self, top: Tensor, bottom: Tensor) -> None:
        """Fill the images with a gradient."""
        share = (self.down + 1) / 2
        self.pixels = torch.lerp(top, bottom, share.expand(self.count, 3, -1, -1))

    def paint(self, distance: Tensor, colour: Tensor, where: Tensor | None = None) -> None:
        """Paint a shape, given by the distance of each pixel to its edge, negative inside.

        Args:
            where: the images to paint it in; None for all.
        """
        cover = (0.5 - distance * self.scale / PIXEL).clamp(0, 1).expand(self.count, -1, -1)
        if where is not None:
            cover = cover * where
        self.pixels = torch.lerp(self.pixels, colour.expand_as(self.pixels), cover[:, None])

    # --------------------------------------------------------------------------------- shapes

    def ellipse(self, x: Number, y: Number, a: Number, b: Number) -> Tensor:
        """An ellipse with half axes a and b; its distance is exact only near the edge, where it
        matters."""
        u, v = (self.x - x) / a, (self.y - y) / b
        length = torch.hypot(u, v)
        slope = torch.hypot(u / a, v / b) / length.clamp(min=1e-6)
        return (length - 1) / slope.clamp(min=1e-6)

    def box(self, x: Number, y: Number, a: Number, b: Number, round: float = 0.0) -> Tensor:
        """A box with half sides a and b and rounded corners."""
        u, v = (self.x - x).abs() - a + round, (self.y - y).abs() - b + round
        outside = torch.hypot(u.clamp(min=0), v.clamp(min=0))
        return outside + torch.maximum(u, v).clamp(max=0) - round

    def polygon(self, *corners: tuple[Number, Number]) -> Tensor:
        """A convex polygon with corners in counterclockwise order."""
        edges = []
        for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
            along, up = torch.as_tensor(x1 - x0), torch.as_tensor(y1 - y0)
            cross = along * (self.y - y0) - up * (self.x - x0)
            edges.append(-cross / torch.hypot(along, up))
        return torch.stack(edges).amax(0)

    def line(self, x0: Number, y0: Number, x1: Number, y1: Number, width: Number) -> Tensor:
        """A line with round ends."""
        along, up = torch.as_tensor(x1 - x0), torch.as_tensor(y1 - y0)
        u, v = self.x - x0, self.y - y0
        share = ((u * along + v * up) / (along**2 + up**2)).clamp(0, 1)
        return torch.hypot(u - share * along, v - share * up) - width / 2


# ---------------------------------------------------------------------------------- backgrounds


def outdoors(brush: Brush) -> None:
    """A blue, grey or evening sky above grass, sand or snow."""
    day = brush.colour((0.52, 0.62), (0.25, 0.6), (0.85, 1.0))
    dusk = brush.colour((0.0, 0.12), (0.25, 0.55), (0.9, 1.0))
    grey = brush.colour((0.5, 0.7), (0.02, 0.12), (0.75, 0.95))
    brush.wash(brush.either(day, dusk, grey), brush.either(day, day, dusk, grey) * 0.4 + 0.6)
    grass = brush.colour((0.22, 0.36), (0.4, 0.8), (0.4, 0.75))
    sand = brush.colour((0.09, 0.14), (0.3, 0.55), (0.75, 0.95))
    snow = brush.colour((0.5, 0.65), (0.0, 0.08), (0.88, 1.0))
    height, slope = brush.between(-0.75, -0.45), brush.between(-0.12, 0.12)
    ground = -brush.down - height - slope * brush.across
    brush.paint(ground, brush.either(grass, grass, sand, snow))


def plain(brush: Brush) -> None:
    """One pale colour, a little darker towards the bottom."""
    colour = brush.colour(saturation=(0.05, 0.35), value=(0.85, 1.0))
    brush.wash(colour, colour * brush.between(0.75, 1.0)[..., None])


def night(brush: Brush) -> None:
    """A dark sky with some stars."""
    top = brush.colour((0.6, 0.78), (0.5, 0.9), (0.05, 0.25))
    brush.wash(top, brush.colour((0.58, 0.85), (0.4, 0.8), (0.2, 0.5)))
    white = torch.ones(brush.count, 3, 1, 1)
    for _ in range(7):
        star = brush.ellipse(brush.between(-1, 1), brush.between(-1, 1), 0.03, 0.03)
        brush.paint(star, white, brush.chance(0.8))


def under_water(brush: Brush) -> None:
    """Water that darkens towards the bottom, with some bubbles."""
    top = brush.colour((0.47, 0.58), (0.35, 0.7), (0.8, 1.0))
    brush.wash(top, brush.colour((0.52, 0.64), (0.6, 0.95), (0.3, 0.7)))
    for _ in range(4):
        bubble = brush.ellipse(brush.between(-1, 1), brush.between(-1, 1), 0.06, 0.06)
        brush.paint(bubble, top * 0.4 + 0.6, brush.chance(0.6))


# --------------------------------------------------------------------------------------- things


def house(brush: Brush) -> None:
    outdoors(brush)
    brush.place((0.75, 1.0), 0.1, 0.04)
    wide, high = brush.between(0.42, 0.62), brush.between(0.3, 0.48)
    wall = brush.colour(saturation=(0.1, 0.6), value=(0.75, 1.0))
    roof = brush.colour((-0.05, 0.1), (0.5, 0.9), (0.35, 0.8))
    roof = brush.either(roof, roof, brush.colour(value=(0.3, 0.6)))
    top, foot = high - 0.45, -0.45 - high
    chimney = brush.between(0.15, 0.3)
    brush.paint(brush.box(chimney, top + 0.28, 0.08, 0.2), roof * 0.7, brush.chance(0.6))
    brush.paint(brush.box(0, -0.45, wide, high), wall)
    over, peak = wide + 0.12, top + brush.between(0.35, 0.6)
    brush.paint(brush.polygon((-over, top), (over, top), (0, peak)), roof)
    door = brush.colour((0.0, 0.12), (0.4, 0.8), (0.25, 0.55))
    side = torch.where(brush.chance(0.5), 1.0, -1.0)
    brush.paint(brush.box(-0.22 * side, foot + 0.18, 0.1, 0.18), door)
    pane = brush.either(brush.colour((0.12, 0.16), (0.4, 0.8), (0.9, 1.0)), wall * 0 + 0.25)
    window = brush.box(0.2 * side, -0.38, 0.12, 0.11)
    brush.paint(window, pane)


def tree(brush: Brush) -> None:
    outdoors(brush)
    brush.place((0.8, 1.05), 0.12, 0.06)
    trunk = brush.colour((0.05, 0.1), (0.4, 0.7), (0.25, 0.5))
    spring = brush.colour((0.24, 0.38), (0.5, 0.9), (0.35, 0.75))
    autumn = brush.colour((0.01, 0.13), (0.7, 0.95), (0.6, 0.95))
    leaves = brush.either(spring, spring, autumn)
    brush.paint(brush.box(0, -0.5, brush.between(0.07, 0.13), 0.42), trunk)
    fir, wide = brush.chance(0.45), brush.between(0.38, 0.55)
    for k, level in enumerate((-0.35, 0.02, 0.38)):
        half = wide * (1 - 0.25 * k)
        part = brush.polygon((-half, level), (half, level), (0, level + 0.55))
        brush.paint(part, leaves * (0.85 + 0.1 * k), fir)
    for dx, dy, size in ((-0.25, 0.05, 0.3), (0.25, 0.08, 0.3), (0.0, 0.35, 0.36), (0, 0.1, 0.3)):
        crown = brush.ellipse(dx * wide / 0.45, dy, size, size)
        brush.paint(crown, leaves * (1 if dx <= 0 else 0.88), ~fir)
    fruit = brush.colour((-0.04, 0.04), (0.8, 1.0), (0.7, 0.95))
    bears = ~fir & brush.chance(0.4)
    for x, y in ((-0.25, 0.1), (0.2, 0.2), (0.02, 0.42), (-0.02, -0.02)):
        brush.paint(brush.ellipse(x, y, 0.07, 0.07), fruit, bears)


def flower(brush: Brush) -> None:
    plain(brush)
    brush.place((0.85, 1.1), 0.12, 0.2)
    green = brush.colour((0.25, 0.4), (0.5, 0.9), (0.35, 0.65))
    brush.paint(brush.line(0, 0.2, 0, -1.2, 0.09), green)
    for side in (-1, 1):
        leaf = brush.line(side * 0.08, -0.62, side * 0.34, -0.42, brush.between(0.12, 0.2))
        brush.paint(leaf, green, brush.chance(0.8))
    petals = brush.colour((0.72, 1.18), (0.45, 0.95), (0.75, 1.0))
    petals = brush.either(petals, petals, petals * 0.1 + 0.9)
    count = torch.where(brush.chance(0.5), 5.0, torch.where(brush.chance(0.5), 6.0, 8.0))
    x, y = brush.x, brush.y - 0.25
    angle, turn = torch.atan2(y, x), brush.between(0, 1)
    ripple = (1 + torch.cos(count * angle + 2 * math.pi * turn)) / 2
    reach = brush.between(0.42, 0.56) * (0.45 + 0.55 * ripple.sqrt())
    brush.paint((torch.hypot(x, y) - reach) * 0.75, petals)
    heart = brush.colour((0.08, 0.17), (0.7, 1.0), (0.45, 1.0))
    size = brush.between(0.14, 0.22)
    brush.paint(brush.ellipse(0, 0.25, size, size), heart)


def fish(brush: Brush) -> None:
    under_water(brush)
    brush.place((0.75, 1.0), 0.15, 0.3)
    brush.x = brush.x * torch.where(brush.chance(0.5), 1.0, -1.0)  # it looks right or left
    body, second = brush.colour((-0.05, 0.2)), brush.colour()
    body = brush.either(body, brush.colour())
    long, high = brush.between(0.42, 0.58), brush.between(0.24, 0.4)
    tail = brush.between(0.22, 0.36)
    fin = brush.polygon((-long - 0.3, -tail), (-long + 0.15, 0.0), (-long - 0.3, tail))
    brush.paint(fin, second)
    top = brush.polygon((-0.25, 0.0), (0.2, 0.0), (-0.2, high + 0.2))
    brush.paint(top, second)
    brush.paint(brush.ellipse(0, 0, long, high), body)
    striped = brush.chance(0.5)
    for place in (-0.22, 0.02):
        stripe = torch.maximum(brush.box(place, 0, 0.06, 1.0), brush.ellipse(0, 0, long, high))
        brush.paint(stripe, second, striped)
    eye = long * 0.58
    brush.paint(brush.ellipse(eye, 0.07, 0.09, 0.09), torch.ones_like(body))
    brush.paint(brush.ellipse(eye + 0.02, 0.07, 0.045, 0.045), torch.zeros_like(body))


def boat(brush: Brush) -> None:
    sky = brush.colour((0.5, 0.6), (0.1, 0.4), (0.88, 1.0))
    dusk = brush.colour((0.02, 0.12), (0.25, 0.6), (0.9, 1.0))
    brush.wash(brush.either(sky, sky, dusk), sky * 0.3 + 0.7)
    sun = brush.between(-0.8, 0.8)
    glow = brush.colour((0.1, 0.16), (0.3, 0.8), (0.95, 1.0))
    brush.paint(brush.ellipse(sun, 0.65, 0.17, 0.17), glow, brush.chance(0.5))
    sea = brush.colour((0.5, 0.64), (0.5, 0.9), (0.4, 0.8))
    brush.place((0.75, 1.0), 0.12, 0.12)
    hull = brush.colour(value=(0.35, 0.9))
    sail = brush.either(brush.colour(saturation=(0.0, 0.1), value=(0.93, 1.0)), brush.colour())
    wide, mast = brush.between(0.48, 0.65), brush.between(0.65, 0.85)
    brush.paint(brush.line(0, -0.35, 0, mast, 0.06), torch.zeros_like(hull) + 0.3)
    brush.paint(brush.polygon((0.05, -0.22), (wide, -0.22), (0.05, mast)), sail)
    jib = brush.polygon((-wide * 0.8, -0.22), (-0.05, -0.22), (-0.05, mast * 0.8))
    brush.paint(jib, sail * 0.9, brush.chance(0.7))
    foot = wide * 0.62
    brush.paint(brush.polygon((-foot, -0.68), (foot, -0.68), (wide, -0.32), (-wide, -0.32)), hull)
    height, phase = brush.between(-0.62, -0.5), brush.between(0, 6)
    waves = height + 0.04 * torch.sin(9 * brush.across + phase)
    brush.scale = 1.0
    brush.paint(-brush.down - waves, sea)


def mushroom(brush: Brush) -> None:
    outdoors(brush)
    brush.place((0.8, 1.05), 0.12, 0.12)
    stem = brush.colour((0.08, 0.14), (0.05, 0.3), (0.8, 1.0))
    red = brush.colour((-0.05, 0.03), (0.75, 1.0), (0.6, 0.95))
    brown = brush.colour((0.04, 0.1), (0.4, 0.8), (0.35, 0.65))
    cap = brush.either(red, red, brown, brush.colour())
    thick, wide = brush.between(0.13, 0.22), brush.between(0.5, 0.68)
    brush.paint(brush.box(0, -0.4, thick, 0.42, 0.1), stem)
    dome = torch.maximum(brush.ellipse(0, -0.08, wide, brush.between(0.55, 0.72)), -0.08 - brush.y)
    brush.paint(dome, cap)
    spotted = brush.chance(0.75)
    for x, y, size in (
        (-0.3, 0.1, 0.09),
        (0.05, 0.32, 0.11),
        (0.33, 0.08, 0.08),
        (0.02, 0.04, 0.07),
    ):
        brush.paint(brush.ellipse(x * wide / 0.6, y, size, size), stem * 0.2 + 0.8, spotted)


def butterfly(brush: Brush) -> None:
    plain(brush)
    brush.place((0.8, 1.05), 0.12, 0.4)
    wing, spot = brush.colour(), brush.colour(value=(0.2, 1.0))
    dark = torch.zeros_like(wing) + 0.12
    upper, lower = brush.between(0.36, 0.48), brush.between(0.24, 0.36)
    far = brush.x.abs()  # the wings are symmetric
    whole = brush.x
    brush.x = far
    edge = brush.chance(0.6)
    for grow, colour, where in ((0.06, dark, edge), (0.0, wing, None)):
        brush.paint(brush.ellipse(0.42, 0.28, upper + grow, 0.34 + grow), colour, where)
        brush.paint(brush.ellipse(0.34, -0.32, lower + grow, 0.3 + grow), colour, where)
    brush.paint(brush.ellipse(0.5, 0.3, 0.15, 0.13), spot)
    brush.paint(brush.ellipse(0.36, -0.34, 0.1, 0.1), spot, brush.chance(0.7))
    brush.paint(brush.line(0.03, 0.4, 0.22, 0.78, 0.06), dark)
    brush.x = whole
    brush.paint(brush.ellipse(0, 0.02, 0.08, 0.5), dark)


def face(brush: Brush) -> None:
    plain(brush)
    brush.place((0.85, 1.05), 0.1, 0.2)
    yellow = brush.colour((0.1, 0.16), (0.6, 0.95), (0.9, 1.0))
    skin = brush.either(yellow, yellow, brush.colour(saturation=(0.35, 0.8)))
    dark = torch.zeros_like(skin) + brush.between(0.05, 0.25)[..., None]
    brush.paint(brush.ellipse(0, 0, 0.8, 0.8), skin * 0.75)
    brush.paint(brush.ellipse(0, 0, 0.73, 0.73), skin)
    apart, high = brush.between(0.22, 0.32), brush.between(0.12, 0.28)
    tall = brush.between(0.08, 0.17)
    shut = brush.chance(0.2)
    for side in (-1, 1):
        brush.paint(brush.ellipse(side * apart, high, 0.1, tall), dark, ~shut)
        lid = brush.line(side * apart - 0.12, high, side * apart + 0.12, high, 0.08)
        brush.paint(lid, dark, shut)
    mood = brush.between(-1, 1)
    bend = torch.where(mood > -0.4, 1.0, -1.0) * brush.between(0.6, 1.6)
    half, mouth = brush.between(0.25, 0.42), brush.between(-0.42, -0.28)
    curve = mouth + bend * (brush.x**2 - 0.04)
    lips = torch.maximum((brush.y - curve).abs() - 0.06, brush.x.abs() - half)
    open_mouth = torch.maximum(
        torch.maximum(brush.y - (mouth + 0.08), brush.ellipse(0, mouth + 0.08, half, 0.36)),
        brush.ellipse(0, 0, 0.7, 0.7),
    )
    laughs = mood > 0.4
    brush.paint(lips, dark, ~laughs)
    brush.paint(open_mouth, brush.colour((-0.03, 0.03), (0.6, 0.9), (0.4, 0.7)), laughs)
    cheek = brush.colour((-0.03, 0.03), (0.4, 0.6), (0.9, 1.0))
    blushes = brush.chance(0.3)
    for side in (-1, 1):
        brush.paint(brush.ellipse(side * 0.48, -0.1, 0.12, 0.09), cheek, blushes)


def car(brush: Brush) -> None:
    outdoors(brush)
    road = torch.zeros(brush.count, 3, 1, 1) + brush.between(0.3, 0.55)[..., None]
    brush.paint(-brush.down + 0.42, road)
    brush.place((0.8, 1.0), 0.08, 0.03)
    brush.x = brush.x * torch.where(brush.chance(0.5), 1.0, -1.0)
    body = brush.colour(saturation=(0.5, 1.0), value=(0.45, 1.0))
    glass = brush.colour((0.5, 0.6), (0.1, 0.35), (0.75, 1.0))
    back, front = brush.between(-0.55, -0.38), brush.between(0.2, 0.4)
    roof = brush.between(0.12, 0.3)
    cabin = brush.polygon((back - 0.12, -0.2), (front + 0.2, -0.2), (front, roof), (back, roof))
    brush.paint(cabin, body * 0.9)
    brush.paint(brush.box((back + front) / 2, roof - 0.16, (front - back) / 2 - 0.06, 0.1), glass)
    brush.paint(brush.box((back + front) / 2, roof - 0.16, 0.03, 0.12), body * 0.9)
    brush.paint(brush.box(0, -0.32, brush.between(0.72, 0.84), 0.18, 0.08), body)
    lamp = brush.colour((0.12, 0.16), (0.3, 0.7), (0.95, 1.0))
    brush.paint(brush.ellipse(0.72, -0.28, 0.06, 0.06), lamp)
    for x in (-0.42, 0.42):
        brush.paint(brush.ellipse(x, -0.5, 0.19, 0.19), torch.zeros_like(body) + 0.1)
        brush.paint(brush.ellipse(x, -0.5, 0.08, 0.08), torch.zeros_like(body) + 0.75)


def rocket(brush: Brush) -> None:
    night(brush)
    brush.place((0.75, 1.0), 0.12, 0.6)
    hull = brush.colour(saturation=(0.0, 0.25), value=(0.8, 1.0))
    trim = brush.colour(saturation=(0.7, 1.0), value=(0.7, 1.0))
    wide = brush.between(0.2, 0.3)
    flame = brush.between(0.2, 0.45)
    hot, core = brush.colour((0.02, 0.08), (0.85, 1.0), (0.9, 1.0)), brush.colour((0.12, 0.16))
    brush.paint(brush.ellipse(0, -0.5, wide * 0.7, flame + 0.1), hot)
    brush.paint(brush.ellipse(0, -0.5, wide * 0.4, flame * 0.7), core)
    fins = brush.polygon((-wide - 0.25, -0.62), (wide + 0.25, -0.62), (0.0, 0.25))
    brush.paint(fins, trim)
    body = torch.maximum(brush.ellipse(0, -0.15, wide, 0.95), -0.5 - brush.y)
    brush.paint(body, hull)
    brush.paint(torch.maximum(body, brush.between(0.35, 0.5) - brush.y), trim)
    size = brush.between(0.1, 0.14)
    brush.paint(brush.ellipse(0, 0.12, size + 0.04, size + 0.04), trim * 0.6)
    brush.paint(brush.ellipse(0, 0.12, size, size), brush.colour((0.5, 0.6), (0.2, 0.6)))


KINDS: Sequence[Callable[[Brush], None]] = (
    house,
    tree,
    flower,
    fish,
    boat,
    mushroom,
    butterfly,
    face,
    car,
    rocket,
)
CLASS_NAMES = tuple(kind.__name__ for kind in KINDS)


def make_block(seed: int) -> tuple[Tensor, Tensor]:
    """BLOCK sprites, uint8 (BLOCK, SIZE, SIZE, 3), and their labels, int64 (BLOCK,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(KINDS), (BLOCK,), generator=generator)
    pixels = torch.empty(BLOCK, 3, SIZE, SIZE)
    for label, draw in enumerate(KINDS):
        chosen = labels == label
        brush = Brush(int(chosen.sum()), generator)
        draw(brush)
        pixels[chosen] = brush.pixels
    return pixels.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous(), labels


def make_sprites(train: bool, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first `count` sprites (default: all) of the training or the test split.

    Returns:
        Images, uint8 (N, 32, 32, 3), and labels, int64 (N,).
    """
    return first_drawn(make_block, train, count)
