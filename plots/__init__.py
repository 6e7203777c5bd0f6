"""Every picture: figures of images and of points, curves, animations."""

import matplotlib

# Pictures look the same everywhere, whatever a matplotlibrc in the current folder asks for.
matplotlib.rcdefaults()
