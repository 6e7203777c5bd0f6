"""The figures of evaluate.py, of images and of points."""

Figures = dict[str, tuple[float, float]]  # each for the samples, and for real data in their place
