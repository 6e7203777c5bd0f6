"""The report of evaluate.py: a table of figures, and a verdict in one line."""

from __future__ import annotations

import math

from evaluation import Figure, Figures

CLEARLY = 3  # a difference of more standard errors than this is significant
AS_REAL = "as real"
BETTER = {
    "FID": "lower",
    "KID x 1000": "lower",
    "precision": "higher",
    "recall": "higher",
    "share classified with p >= 0.9": AS_REAL,
    "largest error of a class's share": "lower",
    "median distance to a training image": AS_REAL,
    "share of the class asked for": "higher",
    "classification accuracy score": "higher",
    "closer to a training image than its neighbour": AS_REAL,
    "bits per dimension of unseen images, at most": "lower",
    "energy distance": "lower",
    "sliced Wasserstein-2": "lower",
    "share of samples off the data": "lower",
    "share of the data without a sample": "lower",
    "log-density of fresh points (nats)": "higher",
}
# Ranges of FID in the features of our classifier, and what samples of MNIST in each look like.
BANDS = (
    (0.5, "hard to tell from real images"),
    (2.0, "good, with visible flaws"),
    (10.0, "recognisable, but rough"),
    (math.inf, "far from real images; train for longer"),
)


def table(figures: Figures) -> str:
    """A header, and a line for each figure."""
    width = max(map(len, figures))
    lines = [f"{'':{width}}  {'samples':>9}  {'±':>8}  {'real data':>9}  better"]
    for name, (value, real, error) in figures.items():
        known, spread = (
            ("-" if math.isnan(x) else f"{x:.{digits}g}") for x, digits in ((real, 4), (error, 2))
        )
        lines.append(f"{name:{width}}  {value:>9.4g}  {spread:>8}  {known:>9}  {BETTER[name]}")
    return "\n".join(lines)


LEGEND = (
    f"±: the standard error for this number of samples. A difference of more than {CLEARLY} times"
    " this error is significant.\nFigures differ more between runs of training than between sets of"
    " samples from one model."
)


def is_as_good(figure: Figure) -> bool:
    """Whether a figure that should be low is as low as that of real data, within its error."""
    return figure.samples - figure.real <= CLEARLY * figure.error


def verdict(figures: Figures, features: str | None, fair: bool = True) -> str:
    """A summary of the figures, in one line.

    Args:
        features: the features in which images were compared.
        fair: whether there were as many real images as samples, on whose number FID depends.
    """
    if "energy distance" in figures:
        return verdict_of_points(figures)
    fid, words = figures["FID"], []
    if fair and is_as_good(fid):
        words.append(f"FID {fid.samples:.3g}, as for real images")
    elif features == "classifier":
        band = next(text for most, text in BANDS if fid.samples <= most)
        words.append(f"{band} (FID {fid.samples:.3g}; real images {fid.real:.3g})")
    else:
        words.append(f"FID {fid.samples:.3g} (real images {fid.real:.3g})")
    if right := figures.get("share of the class asked for"):
        words.append(f"{right.samples:.1%} of the class asked for")
    if close := figures.get("closer to a training image than its neighbour"):
        words.append("no sign of copies" if is_as_good(close) else "some may be copies")
    return "; ".join(words)


def verdict_of_points(figures: Figures) -> str:
    """A summary of the figures for points, in one line."""
    distance, off = figures["energy distance"], figures["share of samples off the data"]
    times = distance.samples / distance.real
    if not is_as_good(distance):
        return f"the energy distance is {times:.2g} times that of fresh data; {share_off(off)}"
    if is_as_good(off):
        return "the samples cannot be distinguished from fresh data"
    return (
        f"as far as this number of samples can tell, spread like fresh data, but {share_off(off)}"
    )


def share_off(off: Figure) -> str:
    return f"{off.samples:.1%} of the samples are off the data ({off.real:.1%} of fresh data)"
