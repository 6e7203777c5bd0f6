"""Finding the user's pictures, and the class of each."""

import os
import unicodedata
import zipfile

import pytest
from albums import pack, paint, write_album

import datasets.sources
from datasets.sources import class_names_of, find_pictures, folders_of, in_text, is_picture
from system.errors import InputError
from system.values import MOST_CLASSES


def names(place):
    return [source.name for source in find_pictures(place)]


def classes(place):
    found = find_pictures(place)
    labels, known = class_names_of(folders_of(found))
    return [known[label] if known else "" for label in labels], known


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((f"a/b.{suffix}", True) for suffix in "png jpg jpeg webp bmp gif PNG Jpg".split()),
        *((name, False) for name in "a.txt png a.png.part .a.png a/.b/c.png ../a.png".split()),
        ("__MACOSX/a/._b.png", False),
        ("__MACOSX/b.png", False),
    ],
)
def test_pictures_are_known_by_their_names(name, is_one):
    assert is_picture(name) == is_one


def test_a_folder_and_its_archive_hold_the_same(tmp_path):
    album = write_album(tmp_path / "album", 3, ("b", "a", "a/deep"))
    (album / "notes.txt").write_text("no picture")
    (album / ".hidden").mkdir()
    for hidden in (".hidden/x.png", "a/._000.png"):
        paint(0).save(album / hidden)
    wanted = [f"a/{n:03d}.png" for n in range(3)]
    wanted += [f"a/deep/{n:03d}.png" for n in range(3)] + [f"b/{n:03d}.png" for n in range(3)]
    assert sorted(names(album)) == sorted(wanted)
    archive = pack(album, tmp_path / "album.zip")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("__MACOSX/a/._000.png", b"x")
    assert names(archive) == names(album)
    in_folder, in_archive = find_pictures(album), find_pictures(archive)
    for one, other in zip(in_folder, in_archive, strict=True):
        assert one.open().read() == other.open().read() != b""
    assert classes(album) == classes(archive) == (["a"] * 6 + ["b"] * 3, ("a", "b"))


def test_the_stamp_tells_a_changed_picture(tmp_path):
    album = write_album(tmp_path / "album", 2)
    before = {source.name: source.stamp for source in find_pictures(album)}
    packed = {s.name: s.stamp for s in find_pictures(pack(album, tmp_path / "1.zip"))}
    paint(77).save(album / "001.png")
    os.utime(album / "001.png", (10**9, 10**9))
    after = {source.name: source.stamp for source in find_pictures(album)}
    repacked = {s.name: s.stamp for s in find_pictures(pack(album, tmp_path / "2.zip"))}
    for old, new in ((before, after), (packed, repacked)):
        assert old["000.png"] == new["000.png"]
        assert old["001.png"] != new["001.png"]


# --------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        ("a.png b.png", ["", ""]),
        ("cat/a.png dog/a.png", ["cat", "dog"]),
        ("train/cat/a.png train/dog/x/a.png", ["cat", "dog"]),
        ("all/a.png all/b.png", ["", ""]),
        ("cat/a.png b.png", ["", ""]),
        ("top/a.png top/cat/b.png", ["", ""]),
    ],
)
def test_classes_are_the_folders_that_differ(paths, folders):
    found = [datasets.sources.Source(path, "", None) for path in paths.split()]
    assert folders_of(found) == folders


def test_folders_of_any_name_are_classes(tmp_path):
    named = ("salt, pepper", "été", "two words", "7", "Cat", "cat", '5" disk')
    album = write_album(tmp_path / "album", 2, named)
    found, known = classes(album)
    assert known == tuple(sorted(named))
    assert found == [name for name in sorted(named) for _ in range(2)]
    assert classes(pack(album, tmp_path / "album.zip")) == (found, known)


def test_names_that_are_no_text_can_be_printed_and_kept(tmp_path):
    album = write_album(tmp_path / "album", 1, ("plain",))
    folder = os.fsencode(album) + b"/caf\xe9\n"
    os.mkdir(folder)
    os.rename(album / "plain" / "000.png", folder + b"/\xff.png")
    paint(1).save(album / "plain" / "b.png")
    found, known = classes(album)
    assert found == ["caf\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", "plain"]
    assert all(name.isprintable() and name.encode() for name in known)
    assert all(source.open().read(4) == b"\x89PNG" for source in find_pictures(album))


def test_an_accent_of_its_own_is_the_letter_with_it():
    apart = unicodedata.normalize("NFD", "été")
    assert apart != "été"
    assert in_text(apart) == "été"


def test_a_name_is_no_longer_than_a_checkpoint_can_hold():
    assert in_text("x" * 1000) == "x" * 255
    assert in_text("\ud800a") == "\N{REPLACEMENT CHARACTER}a"


def test_too_many_folders_are_refused():
    folders = [str(k) for k in range(MOST_CLASSES + 1)]
    assert len(class_names_of(folders[1:])[1]) == MOST_CLASSES
    with pytest.raises(InputError, match="10,001 folders are too many classes"):
        class_names_of(folders)


# ------------------------------------------------------------------------------- odd and damaged


def test_links_that_lead_back_are_followed_once(tmp_path):
    album = write_album(tmp_path / "album", 2, ("a",))
    (album / "a" / "loop").symlink_to(album)
    (album / "itself").symlink_to(album / "itself")
    (album / "broken.png").symlink_to(tmp_path / "nothing.png")
    (album / "self.png").symlink_to(album / "self.png")
    assert names(album) == ["a/000.png", "a/001.png"]


def test_linked_folders_and_pictures_are_taken(tmp_path):
    elsewhere = write_album(tmp_path / "elsewhere", 2)
    album = write_album(tmp_path / "album", 1, ("a",))
    (album / "b").symlink_to(elsewhere)
    (album / "a" / "linked.png").symlink_to(elsewhere / "000.png")
    assert names(album) == ["a/000.png", "a/linked.png", "b/000.png", "b/001.png"]


def test_what_is_no_file_is_no_picture(tmp_path):
    album = write_album(tmp_path / "album", 1)
    (album / "folder.png").mkdir()
    os.mkfifo(album / "pipe.png")  # reading it would never end
    assert names(album) == ["000.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_refused_by_name(tmp_path):
    album = write_album(tmp_path / "album", 1, ("a", "b"))
    (album / "b").chmod(0)
    with pytest.raises(InputError, match=r"/b cannot be read: Permission denied$"):
        find_pictures(album)


def test_an_error_of_the_disk_is_one_line(tmp_path, monkeypatch):
    album = write_album(tmp_path / "album", 1, ("a",))
    scan = os.scandir

    def failing(place):
        if str(place).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(InputError, match=r"/a cannot be read: Permission denied$"):
        find_pictures(album)


def not_utf8(content: bytes) -> bytes:
    """An archive with a file name that is marked as UTF-8, but is not UTF-8."""
    changed = bytearray(content.replace(b"\xc3\xa9", b"\xff\xff"))
    assert changed != content
    return bytes(changed)


def of_the_future(content: bytes) -> bytes:
    """An archive that needs a later version of the format."""
    place = content.index(b"PK\1\2")
    return content[: place + 6] + b"\xff" + content[place + 7 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[:-30],
        not_utf8,
        of_the_future,
    ],
)
def test_a_damaged_archive_is_refused_by_name(damage, tmp_path):
    path = tmp_path / "album.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("é.png", b"x" * 100)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"album\.zip cannot be read as a \.zip: .+"):
        find_pictures(path)


def test_an_archive_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"album\.zip cannot be read as a \.zip: No such file"):
        find_pictures(tmp_path / "album.zip")
