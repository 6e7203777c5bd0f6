"""The figures of evaluate.py, of images and of points."""
