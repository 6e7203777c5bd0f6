"""The features in which papers compare images, from the optional package torch-fidelity.

FID (Heusel et al. 2017) is a distance between the 2048 features before the last layer of one
network: Inception v3 with the weights that Google trained on ImageNet for TensorFlow in 2015. Other
weights, or even another way to resize images to its 299 x 299 pixels, give other figures. The
package reproduces all of this as it was in TensorFlow.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.downloads import run_download, unavailable
from system.console import shows_bars
from system.errors import InputError
from system.precision import in_precision

Features = Callable[[Tensor], Tensor]  # from images, uint8, to features (N, D) on the CPU

TITLE = "Inception v3 (96 MB)"
LAYER = "2048"  # as the package calls it
BATCH = 64
# The hash of the expected file of weights, of 95,628,359 bytes.
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def load_inception(device: torch.device | str) -> Features:
    """The features of Inception v3, which are float32 (N, 2048) and not negative.

    Raises:
        InputError: the package is missing; or its weights are not on disk and cannot be
            downloaded, or have the wrong hash.
    """
    package = import_package()
    path = find_weights(package.URL_INCEPTION_V3)
    network = package.FeatureExtractorInceptionV3(
        "inception-v3-compat", [LAYER], feature_extractor_weights_path=str(path)
    ).to(device)
    return lambda pixels: features_of(network, pixels, device)


@torch.no_grad()
def features_of(network: Callable[..., Any], pixels: Tensor, device: torch.device | str) -> Tensor:
    """Features (N, D) of images, on the CPU.

    Args:
        network: takes images, uint8 (N, 3, H, W), and returns a tuple that begins with features.
        pixels: uint8, (N, H, W) or (N, H, W, 3); grey is repeated to three channels.
    """
    # Always float32, so that figures do not depend on the precision of sampling.
    network = in_precision(network, "fp32", torch.device(device))
    silent, found = not shows_bars(sys.stderr), []
    with tqdm(total=len(pixels), desc="Inception features", unit="image", disable=silent) as bar:
        for batch in pixels.split(BATCH):
            coloured = batch if batch.ndim == 4 else batch[..., None].expand(-1, -1, -1, 3)
            found.append(network(coloured.movedim(-1, 1).to(device))[0].cpu())
            bar.update(len(batch))
    return torch.cat(found)


# ------------------------------------------------------------------- the package and its weights


def import_package() -> Any:
    """The module of torch-fidelity that contains the network.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch_fidelity.feature_extractor_inceptionv3
    except ImportError:
        raise InputError(
            "--features inception needs one more package: pip install torch-fidelity"
        ) from None
    return torch_fidelity.feature_extractor_inceptionv3


def find_weights(url: str) -> Path:
    """The file of weights, where the package looks for it; downloaded if necessary.

    Loading a file could run code in it, so only the expected file is accepted.

    Raises:
        InputError: it cannot be downloaded, or is not the right file.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.is_file():
        download(url, path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise InputError(
            f"{path} is damaged, or not the right file: its SHA-256 begins with {found[:8]}, not"
            f" {SHA256[:8]}; delete it to download it again"
        )
    return path


def download(url: str, path: Path) -> None:
    """Download the weights, first into another folder, so that a file at `path` is complete.

    Raises:
        InputError: the download failed, or no data arrived for some time.
    """
    code = "import sys, torch; torch.hub.download_url_to_file(*sys.argv[1:], progress=False)"
    ways_out = (
        f"Download {path.name} into that folder, from {url}, or use --features classifier, which"
        " needs no download."
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = tempfile.TemporaryDirectory(dir=path.parent)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise unavailable(TITLE, path.parent, ways_out, reason) from None
    with aside as folder:
        part = Path(folder, path.name)
        command = (code, url, str(part), SHA256)
        run_download(TITLE, path.parent, ways_out, part.parent, command)
        part.replace(path)
