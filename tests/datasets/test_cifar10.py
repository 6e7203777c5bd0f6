"""CIFAR-10, by small archives in its format: from a server to a trained model, and all that can go
wrong between them."""

import functools
import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import datasets.cifar10
import datasets.downloads
import train
from datasets import DatasetUnavailable, load_images
from datasets.cifar10 import CLASS_NAMES, FOLDER, TEST_FILES, TRAIN_FILES
from names import is_points
from system.distributed import Group
from system.errors import InputError

FILES = (*TRAIN_FILES, *TEST_FILES)
IN_A_FILE = 20  # images; 10,000 in the real ones


def image_of(number: int) -> Image.Image:
    """An image known at every pixel: red gives the column, green the row, and blue the image."""
    image = Image.new("RGB", (32, 32))
    for column in range(32):
        for row in range(32):
            image.putpixel((column, row), (8 * column, 7 * row, number))
    return image


def record_of(label: int, image: Image.Image) -> bytes:
    """A record in the format described on the dataset's page."""
    return bytes([label]) + b"".join(plane.tobytes() for plane in image.split())


@functools.cache
def contents() -> dict[str, bytes]:
    """Six files; image k, counted through all of them, is `image_of(k)` of class k % 10."""
    records = [record_of(k % 10, image_of(k)) for k in range(IN_A_FILE * len(FILES))]
    parts = [b"".join(records[k : k + IN_A_FILE]) for k in range(0, len(records), IN_A_FILE)]
    return dict(zip(FILES, parts, strict=True))


def unpacked(data_dir: Path) -> Path:
    """A folder of datasets that contains this one; returns the folder of its files."""
    folder = data_dir / FOLDER
    folder.mkdir(parents=True)
    for name, content in contents().items():
        (folder / name).write_bytes(content)
    return folder


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """On a busy machine the import of torchvision alone can take as long as a download may."""
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 120.0)


@pytest.fixture(scope="module")
def whole() -> bytes:
    others = {"batches.meta.txt": "\n".join(CLASS_NAMES).encode(), "readme.html": b"<html>"}
    return archive({**others, **contents()})


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves an archive in place of the real one, with its checksum as the expected one."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz"
        monkeypatch.setattr(datasets.cifar10, "URL", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")

        def put(packed: bytes, checked: bytes) -> None:
            (folder / "cifar-10-binary.tar.gz").write_bytes(packed)
            monkeypatch.setattr(datasets.cifar10, "MD5", hashlib.md5(checked).hexdigest())

        yield put
        server.shutdown()


@pytest.fixture
def hand_over(tmp_path, monkeypatch):
    """Lets a download bring an archive in no time, without torchvision and a server."""
    path = tmp_path / "handed-over.tar.gz"
    code = f"import shutil, sys; shutil.unpack_archive({str(path)!r}, sys.argv[3])"
    monkeypatch.setattr(datasets.cifar10, "DOWNLOAD", code)
    return path.write_bytes


def assert_images(examples: torch.Tensor, numbers: range) -> None:
    expected = np.stack([np.asarray(image_of(k)) for k in numbers])
    assert examples.dtype == torch.uint8
    assert np.array_equal(examples.numpy(), expected)


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ---------------------------------------------------------------------------- files on disk


def test_files_are_read_in_their_order(tmp_path):
    unpacked(tmp_path)
    data = load_images("cifar10", tmp_path)
    assert_images(data.examples, range(5 * IN_A_FILE))
    assert data.labels.dtype == torch.int64
    assert data.labels.tolist() == [k % 10 for k in range(5 * IN_A_FILE)]
    test = load_images("cifar10", tmp_path, train=False)
    assert_images(test.examples, range(5 * IN_A_FILE, 6 * IN_A_FILE))


@pytest.mark.parametrize("count", [1, IN_A_FILE, IN_A_FILE + 1, 10_000])
def test_a_subset_is_a_prefix_and_holds_no_more(tmp_path, count):
    unpacked(tmp_path)
    data = load_images("cifar10", tmp_path, subset=count)
    there = min(count, 5 * IN_A_FILE)
    assert_images(data.examples, range(there))
    assert len(data.labels) == there
    assert data.examples.untyped_storage().nbytes() == there * 3072


def test_channels_and_rows_are_where_they_belong(tmp_path):
    """Data are (N, H, W, C), and x for a network is (N, C, H, W)."""
    unpacked(tmp_path)
    data = load_images("cifar10", tmp_path)
    row, column, image = 5, 30, 42
    assert data.examples[image, row, column].tolist() == [8 * column, 7 * row, image]
    x = data.units().to_model(data.examples)[image, :, row, column]
    seen = torch.tensor([8 * column, 7 * row, image]) / 127.5 - 1
    assert torch.allclose(x, seen, atol=1e-6)


def test_it_says_what_it_is(tmp_path):
    unpacked(tmp_path)
    data = load_images("cifar10", tmp_path, subset=3)
    assert (data.kind, data.shape, data.classes) == ("images", (3, 32, 32), 10)
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    assert data.class_names == tuple(names.split())
    assert data.symmetric
    assert not is_points("cifar10")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data_batch_3.bin", b"", "is empty"),
        ("data_batch_1.bin", b"\0\1\2", "its 3 bytes are not a multiple of 3073"),
        ("data_batch_5.bin", bytes(2 * 3073 - 1), "not a multiple of 3073"),
        ("data_batch_2.bin", b"<html>not found</html>", "not a multiple of 3073"),
        ("data_batch_4.bin", bytes(3073) + b"\x0a" + bytes(3072), "the label 10, above 9"),
        ("test_batch.bin", b"\xff" + bytes(3072), "the label 255, above 9"),
    ],
    ids="empty short truncated html label label-of-test".split(),
)
def test_damaged_files_are_refused_by_name(tmp_path, name, content, says):
    path = unpacked(tmp_path) / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        load_images("cifar10", tmp_path, train=name in TRAIN_FILES)
    assert not isinstance(caught.value, DatasetUnavailable)
    assert str(path) in str(caught.value)
    assert "delete it to download it again" in str(caught.value)
    load_images("cifar10", tmp_path, train=name not in TRAIN_FILES)  # the other split is whole


# ---------------------------------------------------------------------------------- downloads


def test_from_the_server_to_a_trained_model(tmp_path, serve, whole, capsys):
    serve(whole, checked=whole)
    command = "--dataset cifar10 --subset 64 --batch_size 32 --epochs 1 --base_channels 8"
    command += " --num_samples 10 --class_conditional --device cpu"
    folders = ["--data_dir", str(tmp_path / "data"), "--output_dir", str(tmp_path / "run")]
    train.train(train.parse_arguments([*command.split(), *folders]), Group())
    said = capsys.readouterr().out
    assert f"Downloading CIFAR-10 (170 MB) to {tmp_path / 'data'} ..." in said
    assert "cifar10: 64 images" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["dataset"], config["shape"]) == ("cifar10", [3, 32, 32])
    assert config["class_names"] == list(CLASS_NAMES)
    assert config["label_counts"] == [7, 7, 7, 7, 6, 6, 6, 6, 6, 6]
    assert (tmp_path / "run" / "model_final.pt").is_file()
    # The archive is gone, and what it brought is whole; the server is not asked again.
    assert left_in(tmp_path / "data") == sorted([FOLDER, *(f"{FOLDER}/{name}" for name in FILES)])
    shutil.rmtree(tmp_path / "server")
    assert_images(load_images("cifar10", tmp_path / "data").examples, range(5 * IN_A_FILE))
    load_images("cifar10", tmp_path / "data", train=False)
    assert capsys.readouterr().out == ""


def test_a_file_that_was_deleted_comes_again_and_no_other_is_touched(tmp_path, hand_over, whole):
    hand_over(whole)
    folder = unpacked(tmp_path / "data")
    (folder / "data_batch_2.bin").unlink()
    other = record_of(9, image_of(255))
    (folder / "data_batch_1.bin").write_bytes(other)
    examples = load_images("cifar10", tmp_path / "data").examples
    assert_images(examples[:1], range(255, 256))
    assert_images(examples[1:], range(IN_A_FILE, 5 * IN_A_FILE))


def test_a_damaged_archive_leaves_nothing_behind(tmp_path, serve, whole):
    """Truncated after the files that would be unpacked first."""
    data_dir = tmp_path / "data"
    serve(whole[: len(whole) * 3 // 4], checked=whole)
    with pytest.raises(DatasetUnavailable, match="corrupted") as caught:
        load_images("cifar10", data_dir)
    assert "RuntimeError" in caught.value.reason
    assert left_in(data_dir) == []
    serve(whole, checked=whole)
    assert_images(load_images("cifar10", data_dir).examples, range(5 * IN_A_FILE))


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        (("train.bin", "test.bin"), ", ".join(FILES)),
        ([name for name in FILES if "4" not in name], "data_batch_4.bin"),
    ],
    ids=("others", "one-missing"),
)
def test_an_archive_of_other_files_is_refused(tmp_path, hand_over, names, lacks):
    hand_over(archive({name: contents().get(name, bytes(3074)) for name in names}))
    with pytest.raises(DatasetUnavailable, match=rf"\(the archive lacks {lacks}\)"):
        load_images("cifar10", tmp_path / "data")
    assert left_in(tmp_path / "data") == []


def test_a_download_that_fails_has_its_ways_out(tmp_path, serve):
    with pytest.raises(DatasetUnavailable) as caught:  # the server has no such file
        load_images("cifar10", tmp_path / "data")
    assert "HTTP Error 404" in caught.value.reason
    ways_out = (f"Unpack {datasets.cifar10.URL} into {tmp_path / 'data'}", FOLDER, "--data_dir")
    for way_out in (*ways_out, "--dataset sprites", "digits", caught.value.reason):
        assert way_out in str(caught.value)


def test_a_download_that_falls_silent_leaves_nothing_behind(tmp_path, monkeypatch):
    """Even though it has unpacked whole files already."""
    source = unpacked(tmp_path / "source")
    code = (
        "import shutil, sys, time\n"
        f"shutil.copytree({str(source)!r}, sys.argv[3] + '/{FOLDER}')\n"
        "open(sys.argv[3] + '/cifar-10-binary.tar.gz', 'wb').write(b'half')\n"
        f"open({str(tmp_path / 'came')!r}, 'w').close()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(datasets.cifar10, "DOWNLOAD", code)
    monkeypatch.setattr(datasets.downloads, "PATIENCE", 2.0)
    with pytest.raises(DatasetUnavailable, match="nothing arrived for 2 seconds"):
        load_images("cifar10", tmp_path / "data")
    assert (tmp_path / "came").exists()
    assert left_in(tmp_path / "data") == []


def test_what_a_killed_download_left_is_not_taken_for_the_data_set(tmp_path, hand_over, whole):
    """As after a power cut: nothing was tidied up."""
    left = tmp_path / "data" / "cifar-10-download-k7x2"
    unpacked(left)
    (left / FOLDER / "data_batch_3.bin").write_bytes(bytes(3073))
    hand_over(whole)
    assert_images(load_images("cifar10", tmp_path / "data").examples, range(5 * IN_A_FILE))


def test_a_folder_that_cannot_be_written_to_is_a_reason(tmp_path):
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(DatasetUnavailable, match="FileExistsError"):
        load_images("cifar10", tmp_path / "data")


def test_a_folder_called_like_home_is_taken_as_it_is(tmp_path, monkeypatch, serve, whole):
    """`--data_dir=~/data`, which a shell does not translate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    serve(whole, checked=whole)
    assert len(load_images("cifar10", Path("~", "data"))) == 5 * IN_A_FILE
    assert not (tmp_path / "home").exists()
