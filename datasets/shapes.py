"""Two-dimensional point sets, drawn by formula: fractals, curves, clusters, a dino and a cat.

Every generator has the signature `shape(n, rng) -> (points, labels)`: points float64 (n, 2), labels
int64 (n,), all zero if the shape has no distinct parts. The generators are vectorised (100,000
points of any shape take well under a second) and depend only on `n` and `rng`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator

Shape = tuple[np.ndarray, np.ndarray]

# ------------------------------------------------------------------------------------- tools


def unlabelled(points: np.ndarray) -> Shape:
    return points, np.zeros(len(points), dtype=np.int64)


def along(line: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Points along a polyline (k, 2), at `positions` from 0 to 1 as shares of its length."""
    lengths = np.hypot(*np.diff(line, axis=0).T)
    travelled = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
    return np.stack([np.interp(positions, travelled, line[:, axis]) for axis in (0, 1)], axis=1)


def on_lines(lines: Sequence[np.ndarray], n: int, rng: Generator) -> Shape:
    """n points uniform over the length of several polylines, labelled by polyline."""
    lengths = np.array([np.hypot(*np.diff(line, axis=0).T).sum() for line in lines])
    labels = rng.choice(len(lines), size=n, p=lengths / lengths.sum())
    points = np.empty((n, 2))
    for label, line in enumerate(lines):
        chosen = labels == label
        points[chosen] = along(line, rng.random(chosen.sum()))
    return points, labels


def smooth_curve(corners: Sequence[tuple[float, float]], closed: bool = True) -> np.ndarray:
    """A Catmull-Rom spline through `corners` as a polyline, with 16 pieces between neighbours."""
    knots = np.array(corners, dtype=np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([knots[:1], knots, knots[-1:]])
    u = np.linspace(0, 1, 16, endpoint=False)[:, None, None]
    a, b, c, d = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    curve = 0.5 * (
        2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3
    )
    return np.concatenate([curve.swapaxes(0, 1).reshape(-1, 2), knots[-2:-1]])


def ring(x: float, y: float, radius: float) -> np.ndarray:
    """A circle as a polyline."""
    angle = np.linspace(0, 2 * np.pi, 181)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


# ---------------------------------------------------------------------------------- fractals


def iterate(
    maps: np.ndarray, shifts: np.ndarray, odds: Sequence[float], rounds: int, n: int, rng: Generator
) -> np.ndarray:
    """n points of an iterated function system (Barnsley 1988), each from its own chain.

    Chains start at the origin. After `rounds` maps, the influence of the start is
    negligible, so the points are independent draws from the attractor.
    """
    points = np.zeros((n, 2))
    for _ in range(rounds):
        choice = rng.choice(len(odds), size=n, p=odds)
        points = np.einsum("nij,nj->ni", maps[choice], points) + shifts[choice]
    return points


FERN_MAPS = np.array(
    [
        [[0.0, 0.0], [0.0, 0.16]],
        [[0.85, 0.04], [-0.04, 0.85]],
        [[0.20, -0.26], [0.23, 0.22]],
        [[-0.15, 0.28], [0.26, 0.24]],
    ]
)
FERN_SHIFTS = np.array([[0.0, 0.0], [0.0, 1.6], [0.0, 1.6], [0.0, 0.44]])


def barnsley_fern(n: int, rng: Generator) -> Shape:
    """Barnsley's fern: stem, smaller fern, left and right leaflet, with his probabilities."""
    return unlabelled(iterate(FERN_MAPS, FERN_SHIFTS, (0.01, 0.85, 0.07, 0.07), 60, n, rng))


TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def sierpinski(n: int, rng: Generator) -> Shape:
    """Sierpinski's triangle with unit sides: three halvings towards the corners."""
    halves = np.repeat(np.eye(2)[None] / 2, 3, axis=0)
    return unlabelled(iterate(halves, TRIANGLE / 2, (1 / 3, 1 / 3, 1 / 3), 48, n, rng))


def koch_line(start: np.ndarray, end: np.ndarray, depth: int) -> np.ndarray:
    """Koch's curve as a polyline of 4^depth segments, with bumps on the left of start -> end."""
    line = np.stack([start, end])
    left = np.array([[0.5, -np.sqrt(3) / 2], [np.sqrt(3) / 2, 0.5]])  # a turn by 60 degrees
    for _ in range(depth):
        a, third = line[:-1], np.diff(line, axis=0) / 3
        corners = np.stack([a, a + third, a + third + third @ left.T, a + 2 * third], axis=1)
        line = np.concatenate([corners.reshape(-1, 2), line[-1:]])
    return line


def koch(n: int, rng: Generator) -> Shape:
    """Koch's snowflake over a triangle with unit sides, uniform along its length."""
    clockwise = TRIANGLE[[0, 2, 1, 0]]
    sides = [koch_line(a, b, 6) for a, b in pairwise(clockwise)]
    return unlabelled(on_lines(sides, n, rng)[0])


def in_mandelbrot(c: np.ndarray, rounds: int = 60) -> np.ndarray:
    """Whether |z| <= 2 after `rounds` iterations of z -> z^2 + c from 0, for complex c (n,)."""
    # The two largest parts of the set are known in closed form; the rest must be iterated.
    q = (c.real - 0.25) ** 2 + c.imag**2
    inside = q * (q + c.real - 0.25) <= 0.25 * c.imag**2  # the main cardioid
    inside |= (c.real + 1) ** 2 + c.imag**2 <= 1 / 16  # the disc to its left
    index = np.flatnonzero(~inside)
    z = constant = c[index]
    for _ in range(rounds):
        z = z * z + constant
        stays = z.real**2 + z.imag**2 <= 4
        index, z, constant = index[stays], z[stays], constant[stays]
    inside[index] = True
    return inside


def mandelbrot(n: int, rng: Generator) -> Shape:
    """The Mandelbrot set, boundary and interior, uniform by area.

    A point counts if 60 iterations do not rule it out. This gives the thin parts of the boundary,
    which have no area, a visible width.
    """
    found = np.empty(0, dtype=np.complex128)
    while len(found) < n:
        candidates = rng.uniform(-2.0, 0.5, 4 * n + 100) + 1j * rng.uniform(
            -1.15, 1.15, 4 * n + 100
        )
        found = np.concatenate([found, candidates[in_mandelbrot(candidates)]])
    return unlabelled(np.stack([found.real, found.imag], axis=1)[:n])


# ------------------------------------------------------------------------------------ curves


def archimedean(turns_from: float, turns_to: float, phase: float = 0.0) -> np.ndarray:
    """The spiral r = angle as a polyline, from one number of turns to another."""
    angle = 2 * np.pi * np.linspace(turns_from, turns_to, 2000)
    return angle[:, None] * np.stack([np.cos(angle + phase), np.sin(angle + phase)], axis=1)


def spiral(n: int, rng: Generator) -> Shape:
    """Two spiral arms, labelled, uniform along their length."""
    return on_lines([archimedean(0.1, 1.6), archimedean(0.1, 1.6, np.pi)], n, rng)


def swiss_roll(n: int, rng: Generator) -> Shape:
    """The Swiss roll seen from the side: one spiral from 3/4 to 9/4 turns, uniform in length."""
    return unlabelled(along(archimedean(0.75, 2.25), rng.random(n)))


def heart_curve(t: np.ndarray) -> np.ndarray:
    """x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t."""
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, y], axis=1)


def heart(n: int, rng: Generator) -> Shape:
    """The outline of a heart, uniform along its length."""
    return unlabelled(along(heart_curve(np.linspace(0, 2 * np.pi, 4001)), rng.random(n)))


def circle(n: int, rng: Generator) -> Shape:
    """The unit circle."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return unlabelled(np.stack([np.cos(angle), np.sin(angle)], axis=1))


ZIGZAG = np.array([[-2.0, -1.0], [-1.0, 1.0], [0.0, -1.0], [1.0, 1.0], [2.0, -1.0]])


def line(n: int, rng: Generator) -> Shape:
    """A zigzag line with three sharp corners, uniform along its length."""
    return unlabelled(along(ZIGZAG, rng.random(n)))


def moons(n: int, rng: Generator) -> Shape:
    """Two interlocking half circles with a little noise, labelled."""
    labels = rng.integers(2, size=n)
    angle = rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.where(labels[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
    return points + rng.normal(scale=0.05, size=(n, 2)), labels


# ------------------------------------------------------------------------- areas and clusters


def checkerboard(n: int, rng: Generator) -> Shape:
    """The dark squares of a 4x4 board over [-2, 2] x [-2, 2]."""
    cell = rng.integers(8, size=n)
    row, column = cell // 2, 2 * (cell % 2) + cell // 2 % 2
    return unlabelled(np.stack([column, row], axis=1) - 2 + rng.random((n, 2)))


def gaussians(n: int, rng: Generator) -> Shape:
    """Eight round normal clusters of standard deviation 0.1 on a ring of radius 2, labelled."""
    labels = rng.integers(8, size=n)
    angle = labels * np.pi / 4
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centres + rng.normal(scale=0.1, size=(n, 2)), labels


def tree_lines(depth: int = 6) -> tuple[list[np.ndarray], list[int]]:
    """The branches of a tree as two-point lines, with the label of the main branch of each.

    Label 0 is the trunk; 1, 2, 3 are the three branches at its top, with their side branches.
    """
    lines = [np.array([[0.0, 0.0], [0.0, 1.0]])]
    labels = [0]
    tips = [
        (np.array([0.0, 1.0]), np.pi / 2 + turn, 0.75, label)
        for turn, label in ((0.6, 1), (0.0, 2), (-0.6, 3))
    ]
    for _ in range(depth - 1):
        grown = []
        for foot, angle, length, label in tips:
            tip = foot + length * np.array([np.cos(angle), np.sin(angle)])
            lines.append(np.stack([foot, tip]))
            labels.append(label)
            grown += [(tip, angle + turn, 0.68 * length, label) for turn in (0.38, -0.38)]
        tips = grown
    return lines, labels


def tree(n: int, rng: Generator) -> Shape:
    """A branching tree, uniform along its branches, labelled by main branch."""
    lines, labels = tree_lines()
    points, which = on_lines(lines, n, rng)
    return points, np.array(labels, dtype=np.int64)[which]


# ----------------------------------------------------------------------------------- drawings

DINO_BODY = (
    *((94, 80), (92, 84), (86, 88), (80, 87), (76, 81), (73, 71), (69, 61), (62, 53), (52, 52)),
    *((42, 54), (32, 51), (24, 43), (15, 31), (8, 22), (1, 17), (10, 18), (19, 23), (26, 28)),
    *((29, 22), (28, 12), (27, 3), (31, 2), (36, 3), (36, 12), (39, 21), (46, 23), (53, 22)),
    *((55, 12), (54, 3), (58, 2), (63, 3), (63, 13), (66, 24), (73, 35), (78, 48), (82, 62)),
    *((84, 71), (89, 75), (93, 76)),
)
CAT_HEAD = (
    *((50, 72), (38, 72), (30, 80), (22, 92), (17, 78), (12, 62), (10, 45), (18, 28), (32, 17)),
    *((50, 13), (68, 17), (82, 28), (90, 45), (88, 62), (83, 78), (78, 92), (70, 80), (62, 72)),
)


def dino(n: int, rng: Generator) -> Shape:
    """A long-necked dinosaur: outline, eye and mouth."""
    mouth = smooth_curve([(93, 79), (89, 78), (85, 79)], closed=False)
    return unlabelled(on_lines([smooth_curve(DINO_BODY), ring(85, 83.5, 1.2), mouth], n, rng)[0])


def cat(n: int, rng: Generator) -> Shape:
    """The face of a cat: head with ears, eyes, nose, mouth and whiskers."""
    nose = np.array([(46, 42), (54, 42), (50, 37), (46, 42)], dtype=np.float64)
    mouth = [
        smooth_curve([(50, 37), (50 + side * 3, 30), (50 + side * 11, 30)], closed=False)
        for side in (-1, 1)
    ]
    whiskers = [
        np.array([(50 + side * 18, 36 + k), (50 + side * 52, 36 + 3.5 * k)], dtype=np.float64)
        for side in (-1, 1)
        for k in (-4, 0, 4)
    ]
    eyes = [ring(33, 54, 5.5), ring(67, 54, 5.5)]
    return unlabelled(on_lines([smooth_curve(CAT_HEAD), nose, *mouth, *whiskers, *eyes], n, rng)[0])


SHAPES: dict[str, Callable[[int, Generator], Shape]] = {
    shape.__name__: shape
    for shape in (
        barnsley_fern,
        sierpinski,
        spiral,
        koch,
        mandelbrot,
        swiss_roll,
        heart,
        dino,
        cat,
        circle,
        line,
        moons,
        checkerboard,
        gaussians,
        tree,
    )
}


def make_shape(name: str, n: int, seed: int = 0) -> Shape:
    """n points of a shape and their labels; the same seed gives the same points.

    Returns:
        Points, float32 (n, 2), and labels, int64 (n,).

    Raises:
        ValueError: the name is unknown, or n < 1.
    """
    if name not in SHAPES:
        raise ValueError(f"unknown shape {name!r}; known: {', '.join(SHAPES)}")
    if n < 1:
        raise ValueError(f"a shape needs at least one point, not {n}")
    points, labels = SHAPES[name](n, np.random.default_rng(seed))
    return points.astype(np.float32), labels
