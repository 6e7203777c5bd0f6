"""shapes.py: areas, lengths and symmetries that are known exactly."""

import sys

import numpy as np
import pytest

from datasets.shapes import (
    FERN_MAPS,
    FERN_SHIFTS,
    SHAPES,
    TRIANGLE,
    ZIGZAG,
    along,
    heart_curve,
    in_mandelbrot,
    make_shape,
    smooth_curve,
    tree_lines,
)
from names import datasets_of


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of `points`, how far the nearest of `others` is."""
    difference = points[:, None] - others[None]
    return np.sqrt((difference**2).sum(-1)).min(1)


def test_the_command_line_knows_exactly_these_shapes():
    assert tuple(SHAPES) == datasets_of("points")


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gives_what_it_says(name):
    points, labels = make_shape(name, 1000, seed=1)
    assert points.shape == (1000, 2)
    assert points.dtype == np.float32
    assert labels.shape == (1000,)
    assert labels.dtype == np.int64
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) > 900
    assert np.array_equal(points, make_shape(name, 1000, seed=1)[0])
    assert not np.array_equal(points, make_shape(name, 1000, seed=2)[0])
    assert len(make_shape(name, 1)[0]) == 1


def lines_run(work) -> int:
    """The number of lines of Python that `work()` runs: its cost, independent of the machine."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += 1
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_makes_its_points_one_by_one(name):
    few, many = (lines_run(lambda: make_shape(name, count)) for count in (1000, 100_000))  # noqa: B023
    assert many < 1.5 * few


@pytest.mark.parametrize("arguments", [("dinosaur", 10), ("heart", 0), ("heart", -1)])
def test_impossible_shapes_are_refused(arguments):
    with pytest.raises(ValueError, match=r"unknown shape|at least one point"):
        make_shape(*arguments)


def test_fern_is_mapped_onto_itself_by_its_four_maps():
    fern, _ = make_shape("barnsley_fern", 20_000)
    for matrix, shift in zip(FERN_MAPS, FERN_SHIFTS, strict=True):
        image = fern[:300] @ matrix.T + shift
        assert np.quantile(nearest_distances(image, fern), 0.99) < 0.15  # the fern is 10 tall
    # The four maps together cover the fern, with the share of points that Barnsley gives them.
    stem = (abs(fern[:, 0]) < 1e-6).mean()
    assert stem == pytest.approx(0.01, abs=0.004)


def test_sierpinski_is_three_halves_of_itself_and_has_an_empty_middle():
    points, _ = make_shape("sierpinski", 30_000)
    assert points.min() >= 0
    x, y = points.astype(np.float64).T
    barycentric = np.stack([1 - x - y / np.sqrt(3), x - y / np.sqrt(3), 2 * y / np.sqrt(3)])
    assert barycentric.min() > -1e-6  # all in the triangle
    in_corner = barycentric > 0.5 - 1e-6
    assert in_corner.any(0).all()  # none in the middle triangle
    assert in_corner.mean(1) == pytest.approx([1 / 3] * 3, abs=0.011)  # 4 standard errors


def test_koch_points_are_on_the_curve():
    """A point of a side lies on one of its four thirds, blown up again and again."""
    points, _ = make_shape("koch", 3000)
    a, b = TRIANGLE[0], TRIANGLE[2]  # one side; the others are turned copies
    centre = TRIANGLE.mean(0)
    angle = np.arctan2(*(points - centre).T[::-1])
    sector = np.floor((angle - np.pi / 2) / (2 * np.pi / 3)).astype(int) % 3
    turn = -sector * 2 * np.pi / 3
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x, y = ((points - centre)[:, :1], (points - centre)[:, 1:])
    turned = centre + np.concatenate([cos * x - sin * y, sin * x + cos * y], axis=1)
    # In units of the side from b (top) to a (left), with the bumps on the positive side.
    along_side, out = (a - b), np.array([-(b - a)[1], (b - a)[0]])
    u, v = (turned - b) @ along_side, (turned - b) @ out
    for _ in range(4):  # one level of the construction undone in each round
        assert (u > -1e-3).all()
        assert (u < 1 + 1e-3).all()
        assert (v > -1e-3).all()
        assert (v < np.sqrt(3) / 6 + 1e-3).all()
        first, last = u <= 1 / 3, u >= 2 / 3
        rising = ~first & ~last & (u <= 0.5)
        starts = np.where(first, 0, np.where(last, 2 / 3, np.where(rising, 1 / 3, 0.5)))
        heights = np.where(first | last | rising, 0, np.sqrt(3) / 6)
        lean = np.where(first | last, 0, np.where(rising, np.pi / 3, -np.pi / 3))
        du, dv = u - starts, v - heights
        u = 3 * (np.cos(lean) * du + np.sin(lean) * dv)
        v = 3 * (-np.sin(lean) * du + np.cos(lean) * dv)


def test_koch_covers_its_three_sides_evenly():
    points, _ = make_shape("koch", 30_000)
    angle = np.arctan2(*(points - TRIANGLE.mean(0)).T[::-1])
    counts = np.histogram((angle - np.pi / 2) % (2 * np.pi), bins=6)[0]
    assert counts / 30_000 == pytest.approx([1 / 6] * 6, abs=0.009)


def test_mandelbrot_has_its_area_and_symmetry():
    rng = np.random.default_rng(0)
    c = rng.uniform(-2, 0.5, 400_000) + 1j * rng.uniform(-1.15, 1.15, 400_000)
    area = in_mandelbrot(c, rounds=2000).mean() * 2.5 * 2.3
    assert area == pytest.approx(1.5066, abs=0.02)  # Munafo; standard error 0.004
    points, _ = make_shape("mandelbrot", 20_000)
    assert (points[:, 1] > 0).mean() == pytest.approx(0.5, abs=0.015)
    known = np.array([0, -1, -0.5 + 0.5j, 0.3, 1, -0.75 + 0.5j, 0.25 + 0.75j])
    assert in_mandelbrot(known).tolist() == [True, True, True, False, False, False, False]


def test_heart_follows_its_equation_evenly():
    points, _ = make_shape("heart", 20_000)
    curve = heart_curve(np.linspace(0, 2 * np.pi, 20_000))
    assert nearest_distances(points[:500], curve).max() < 0.02
    assert abs(points[:, 0].mean()) < 4 * points[:, 0].std() / np.sqrt(20_000)  # symmetric


def test_curves_are_uniform_along_their_length():
    circle, _ = make_shape("circle", 40_000)
    assert np.hypot(*circle.T) == pytest.approx(np.ones(40_000), abs=1e-6)
    line, _ = make_shape("line", 40_000)
    inside = np.histogram(line[:, 0], bins=8, range=(-2, 2))[0] / 40_000
    assert inside == pytest.approx([1 / 8] * 8, abs=0.0067)
    for corner in ZIGZAG:
        assert nearest_distances(corner[None], line) < 0.005
    for name, turns in (("swiss_roll", (0.75, 2.25)), ("spiral", (0.1, 1.6))):
        points, _ = make_shape(name, 40_000)
        radius = np.hypot(*points.T) / (2 * np.pi)
        assert radius.min() == pytest.approx(turns[0], abs=0.02)
        assert radius.max() == pytest.approx(turns[1], abs=0.01)
        # The length of r = angle up to angle a is (a sqrt(1 + a^2) + asinh a) / 2.
        low, high, a = (
            (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2
            for angle in (2 * np.pi * turns[0], 2 * np.pi * turns[1], 2 * np.pi * radius)
        )
        share = np.sort((a - low) / (high - low))
        assert abs(share - np.linspace(0, 1, 40_000)).max() < 1.95 / 200  # Kolmogorov, p = 0.001


def test_labelled_shapes():
    gaussians, labels = make_shape("gaussians", 8000)
    for k in range(8):
        centre = 2 * np.array([np.cos(k * np.pi / 4), np.sin(k * np.pi / 4)])
        assert gaussians[labels == k].mean(0) == pytest.approx(centre, abs=0.02)
        assert gaussians[labels == k].std(0) == pytest.approx([0.1, 0.1], abs=0.012)
    moons, labels = make_shape("moons", 4000)
    assert moons[labels == 0, 1].mean() > 0.5 > moons[labels == 1, 1].mean()
    _, labels = make_shape("spiral", 4000)
    assert np.bincount(labels) / 4000 == pytest.approx([0.5, 0.5], abs=0.04)
    _, labels = make_shape("tree", 4000)
    assert np.unique(labels).tolist() == [0, 1, 2, 3]


def test_checkerboard_fills_half_of_its_cells():
    points, _ = make_shape("checkerboard", 16_000)
    counts = np.histogram2d(*points.T, bins=4, range=[[-2, 2], [-2, 2]])[0]
    dark = np.indices((4, 4)).sum(0) % 2 == 0
    assert counts[dark] / 16_000 == pytest.approx(np.full(8, 1 / 8), abs=0.011)
    assert (counts[~dark] == 0).all()


def test_tree_points_are_on_its_branches():
    points, _ = make_shape("tree", 2000)
    lines, _ = tree_lines()
    fine = np.concatenate([along(line, np.linspace(0, 1, 60)) for line in lines])
    assert nearest_distances(points, fine).max() < 0.02


def test_smooth_curves_pass_through_their_corners():
    corners = [(0.0, 0.0), (2.0, 1.0), (3.0, -1.0), (1.0, -2.0)]
    for closed in (True, False):
        curve = smooth_curve(corners, closed)
        assert nearest_distances(np.array(corners), curve).max() < 1e-9
        assert np.hypot(*np.diff(curve, axis=0).T).max() < 0.3
    assert smooth_curve(corners, True)[0] == pytest.approx(smooth_curve(corners, True)[-1])
