"""Training and sampling together, against a distribution that is known exactly."""

import numpy as np
import pytest
from scripts import succeed

MEAN = np.array([30.0, -10.0])
COVARIANCE = np.array([[4.0, 1.5], [1.5, 1.0]])
VP = "--epochs 100 --prediction eps --schedule linear"
VE = "--schedule log_linear --sigma_min 0.01 --sigma_max 5"
# At first these weights all but ignore the large noise levels, so this takes longer to learn.
WEIGHTED = f"--epochs 400 {VE} --prediction x0 --loss_weighting inverse_sigma"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("--epochs 100", id="defaults"),
        pytest.param(VP, id="vp", marks=pytest.mark.slow),
        pytest.param(f"--epochs 100 {VE} --prediction eps", id="ve", marks=pytest.mark.slow),
        pytest.param("--epochs 100 --schedule flow", id="flow", marks=pytest.mark.slow),
        pytest.param(WEIGHTED, id="weighted", marks=pytest.mark.slow),
    ],
)
def test_a_gaussian_is_recovered(options, tmp_path):
    """Train on Gaussian points in a file, sample into another: same mean, same covariance."""
    rng = np.random.default_rng(0)
    points = rng.multivariate_normal(MEAN, COVARIANCE, 4000)
    np.savetxt(tmp_path / "gaussian.csv", points, delimiter=",")
    train = "--num_points 4000 --jitter 0 --coordinates raw --sample_interval 100"
    succeed("train.py", "--dataset", "gaussian.csv", *f"{train} {options}".split(), cwd=tmp_path)
    succeed("sample.py", "--num_images", 4000, "--output", "samples.npy", cwd=tmp_path)
    samples = np.load(tmp_path / "samples.npy")
    # Four standard errors of a mean and of a covariance of 4,000 points, in each of two sets, are
    # 0.09 spreads; the rest is what so short a training leaves.
    spread = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose((samples.mean(0) - MEAN) / spread, 0, atol=0.12)
    error = (np.cov(samples.T) - COVARIANCE) / np.outer(spread, spread)
    np.testing.assert_allclose(error, 0, atol=0.15)
