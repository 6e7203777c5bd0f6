"""Images and labels in .npy and .npz files."""

import io
import struct
import zipfile

import numpy as np
import pytest

import system.memory
from datasets.arrays import read_array
from system.errors import InputError
from system.values import MOST_CLASSES

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 20, 16), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 20, 16, 3), dtype=np.uint8)
CLEAR = RNG.integers(0, 256, (12, 20, 16, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3


def npy(folder, images, labels=None):
    np.save(folder / "cats.npy", images)
    if labels is not None:
        np.save(folder / "cats_labels.npy", labels)
    return folder / "cats.npy"


def npz(folder, **arrays):
    np.savez_compressed(folder / "cats.npz", **arrays)
    return folder / "cats.npz"


@pytest.mark.parametrize("images", [GREY, COLOUR, CLEAR], ids="grey colour clear".split())
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_are_those_of_the_file(images, order, tmp_path):
    for path in (
        npy(tmp_path, np.asarray(images, order=order)),
        npz(tmp_path, images=np.asarray(images, order=order)),
    ):
        found, labels, names = read_array(path)
        assert found.dtype == np.uint8
        assert np.array_equal(found, images)
        assert (labels.tolist(), labels.dtype, names) == ([0] * 12, np.int64, ())


def test_a_channel_of_one_is_grey(tmp_path):
    assert np.array_equal(read_array(npy(tmp_path, GREY[..., None]))[0], GREY)


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("x", "y")])
def test_arrays_go_by_several_names(images, labels, tmp_path):
    found = read_array(npz(tmp_path, **{images: GREY, labels: LABELS}, other=np.zeros(3)))
    assert np.array_equal(found[0], GREY)
    assert np.array_equal(found[1], LABELS)


def test_arrays_without_names_are_images_and_labels(tmp_path):
    np.savez(tmp_path / "a.NPZ", GREY, LABELS)
    (tmp_path / "a.NPZ.npz").rename(tmp_path / "a.NPZ")
    found = read_array(tmp_path / "a.NPZ")
    assert np.array_equal(found[0], GREY)
    assert np.array_equal(found[1], LABELS)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint64, np.int8])
def test_labels_are_named_by_their_numbers(kind, tmp_path):
    for path in (npy(tmp_path, GREY, LABELS.astype(kind)), npz(tmp_path, x=GREY, y=kind(LABELS))):
        _, labels, names = read_array(path)
        assert (labels.tolist(), labels.dtype) == (LABELS.tolist(), np.int64)
        assert names == ("0", "1", "2")


def test_labels_may_have_names(tmp_path):
    path = npz(tmp_path, images=GREY, labels=LABELS, class_names=["salt, pepper", "été", "c", "d"])
    _, labels, names = read_array(path)
    assert labels.tolist() == LABELS.tolist()
    assert names == ("salt, pepper", "été", "c", "d")


def test_names_may_be_labels(tmp_path):
    words = np.array(["dog", "été", "a b"])[LABELS]
    for path in (npy(tmp_path, GREY, words), npz(tmp_path, images=GREY, labels=words)):
        _, labels, names = read_array(path)
        assert names == ("a b", "dog", "été")
        assert [names[label] for label in labels] == words.tolist()


def test_names_are_such_that_a_checkpoint_can_hold_them(tmp_path):
    words = ["a\nb", "x" * 300, "\ud800"]
    path = npz(tmp_path, images=GREY, labels=LABELS, class_names=words)
    names = read_array(path)[2]
    assert names == ("a\N{REPLACEMENT CHARACTER}b", "x" * 255, "\N{REPLACEMENT CHARACTER}")


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "images",
    [
        GREY.astype(np.float32),
        GREY.astype(np.int64),
        GREY[0],
        GREY[None, None],
        COLOUR[..., :2],
        np.moveaxis(COLOUR, -1, 1),
        GREY[:0],
        GREY[:, :0],
        np.array(3, dtype=np.uint8),
        np.array(["cat"]),
    ],
)
def test_what_is_no_image_is_refused(images, tmp_path):
    with pytest.raises(InputError, match=r"cats\.np[yz] .*uint8") as error:
        read_array(npz(tmp_path, images=images))
    assert str(images.shape) in str(error.value)
    with pytest.raises(InputError, match=r"cats\.np[yz] .*(uint8|empty)"):
        read_array(npy(tmp_path, images))


@pytest.mark.parametrize(
    ("labels", "names", "says"),
    [
        (LABELS[:5], None, r"labels \(5,\) for 12 images"),
        (LABELS[:, None], None, r"labels \(12, 1\) for 12 images"),
        (LABELS / 2, None, "labels of type float64"),
        (LABELS > 1, None, "labels of type bool"),
        (LABELS - 1, None, "labels from -1 to 1"),
        (LABELS + MOST_CLASSES, None, "labels from 10000 to 10002"),
        (LABELS, ["a", "b"], "labels from 0 to 2 for 2 class names"),
        (LABELS, [str(k) for k in range(MOST_CLASSES + 1)], "10,001 classes; up to 10,000"),
    ],
)
def test_what_are_no_labels_is_refused(labels, names, says, tmp_path):
    more = {} if names is None else {"class_names": names}
    with pytest.raises(InputError, match=rf"cats\.npz has {says}"):
        read_array(npz(tmp_path, images=GREY, labels=labels, **more))


def test_no_code_in_a_file_is_run(tmp_path):
    for path in (
        npy(tmp_path, np.array([{}, {}], dtype=object)),
        npz(tmp_path, images=np.array([{}, {}], dtype=object)),
    ):
        with pytest.raises(InputError, match=r"cannot be read as arrays: .*(pickle|objects)"):
            read_array(path)


def test_an_archive_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no array named images, x or arr_0"):
        read_array(npz(tmp_path, pictures=GREY))


@pytest.mark.parametrize("name", ["cats.npy", "cats.npz"])
def test_a_file_that_is_not_there_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=rf"{name} cannot be read: No such file"):
        read_array(tmp_path / name)


def header(shape) -> bytes:
    """A .npy whose header gives this shape, but which has only ten bytes of data."""
    text = (
        repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    )
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(10)


@pytest.mark.parametrize("shape", [(10**6, 100, 100), (2**40, 28, 28), (2**62, 28, 28)])
def test_promises_of_more_than_there_is_are_refused(shape, tmp_path):
    (tmp_path / "cats.npy").write_bytes(header(shape))
    with zipfile.ZipFile(tmp_path / "cats.npz", "w") as archive:
        archive.writestr("images.npy", header(shape))
    for name in ("cats.npy", "cats.npz"):
        with pytest.raises(InputError, match=rf"{name} cannot be read"):
            read_array(tmp_path / name)


def test_damaged_files_are_refused_whatever_is_wrong(tmp_path):
    """The result is either other images or a refusal in one line, never another error."""
    rng, refused = np.random.default_rng(1), 0
    for path in (npy(tmp_path, GREY, LABELS), npz(tmp_path, images=GREY, labels=LABELS)):
        content = path.read_bytes()
        damaged = [b"", b"x", content[:50], content[:-1], content[: len(content) // 2]]
        for _ in range(150):
            changed = bytearray(content)
            places = rng.integers(0, len(content), 2), rng.integers(0, 130, 1)
            for place in np.concatenate(places):
                changed[place] = rng.integers(256)
            damaged.append(bytes(changed))
        for one in damaged:
            path.write_bytes(one)
            try:
                images, labels, _ = read_array(path)
            except InputError as error:
                refused += 1
                assert path.name in str(error)  # noqa: PT017
            else:
                assert images.dtype == np.uint8
                assert len(images) == len(labels)
    assert refused > 100


def test_what_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(system.memory, "total_memory", lambda: 2.9e6)
    zeros = np.zeros((100, 100, 100), dtype=np.uint8)
    for path in (npy(tmp_path, zeros), npz(tmp_path, images=zeros)):
        with pytest.raises(InputError, match=r"it takes 0\.0 GB, more than a third of the memory"):
            read_array(path)
    assert (tmp_path / "cats.npz").stat().st_size < 10_000
    monkeypatch.setattr(system.memory, "total_memory", lambda: 3.1e6)
    assert len(read_array(npz(tmp_path, images=zeros))[0]) == 100


def test_a_packed_array_in_the_place_of_a_plain_one_is_refused(tmp_path):
    content = io.BytesIO()
    np.savez(content, GREY)
    (tmp_path / "cats.npy").write_bytes(content.getvalue())
    with pytest.raises(InputError, match=r"cats\.npy"):
        read_array(tmp_path / "cats.npy")
