from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from ganaug.io.arrays import as_arrays
from ganaug.io.disk import printable
from ganaug.io.folders import IMAGE_SUFFIXES, find_images


def test_the_suffixes_are_those_that_torchvision_reads():
    assert IMAGE_SUFFIXES == IMG_EXTENSIONS


def image(path, level=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (12, 10), level).save(path)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("cat/up", ".."),
        ("cat/up", "../.."),
        ("cat/here", "."),
        ("cat/dog", "../dog"),
        ("aaa", "."),
        ("aaa", ".."),
        ("aaa", "cat"),
        ("zzz", "dog"),
    ],
)
def test_a_link_to_what_is_read_already_changes_nothing(link, target, image_folder):
    before = as_arrays(image_folder)
    image(image_folder.parent / "other" / "0.png")  # beside the folder, not in it
    (image_folder / link).symlink_to(target)
    with pytest.warns(UserWarning, match=r"pets: skipped 1 that link to a folder which is read already"):
        after = as_arrays(image_folder)
    assert np.array_equal(before[0], after[0])
    assert before[1].tolist() == after[1].tolist()
    assert after.class_names == ["cat", "dog"]


def test_links_in_a_circle_end(image_folder, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    image(first / "0.png")
    image(second / "0.png")
    (first / "next").symlink_to(second)
    (second / "next").symlink_to(first)
    (second / "self").symlink_to(second / "self")
    (first / "all").symlink_to(tmp_path)  # above the folder that holds it
    (image_folder / "cat" / "more").symlink_to(first)
    found = find_images(image_folder)
    assert np.bincount(found.labels).tolist() == [5, 3]
    assert "2 that link to a folder" in found.skipped


def test_folders_elsewhere_are_read_once_by_the_link_nearest_to_the_root(image_folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    image(elsewhere / "deep" / "0.png")
    (image_folder / "cat" / "more").symlink_to(elsewhere)
    (image_folder / "eel").symlink_to(elsewhere)
    (image_folder / "fox").symlink_to(elsewhere)
    found = find_images(image_folder)
    assert found.names == ["cat", "dog", "eel"]
    assert np.bincount(found.labels).tolist() == [3, 3, 1]
    assert found.files[-1] == image_folder / "eel" / "deep" / "0.png"
    assert found.skipped.startswith("2 that link")


def test_links_to_images_count(image_folder):
    (image_folder / "cat" / "again.png").symlink_to("0.png")
    assert len(as_arrays(image_folder)[0]) == 7
    (image_folder / "cat" / "lost.png").symlink_to("nowhere.png")
    with pytest.raises(ValueError, match=r"lost\.png can't be read as an image"):
        as_arrays(image_folder)


def test_only_regular_files_are_read(image_folder):
    os.mkfifo(image_folder / "cat" / "pipe.png")
    (image_folder / "dog" / "link.png").symlink_to(image_folder / "cat" / "pipe.png")
    with pytest.warns(UserWarning, match="skipped 2 that are no regular files"):
        assert len(as_arrays(image_folder)[0]) == 6


@pytest.mark.parametrize("name", ["pipe", "pipe.npz", "pipe.h5"])
def test_a_pipe_is_no_data(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is neither a folder nor a regular file"):
        as_arrays(tmp_path / name)


def test_hidden_names_are_skipped(image_folder):
    before = as_arrays(image_folder)
    shutil.copytree(image_folder / "cat", image_folder / ".ipynb_checkpoints")
    shutil.copytree(image_folder / "cat", image_folder / "cat" / ".ipynb_checkpoints")
    (image_folder / "dog" / "._0.png").write_text("no image")
    for path in (
        image_folder / ".x.h5.lock",
        image_folder / "dog" / ".x.h5.lock",
        image_folder / ".DS_Store",
    ):
        path.touch()  # read by nobody, so of no interest
    with pytest.warns(UserWarning) as caught:
        after = as_arrays(image_folder)
    assert [str(w.message) for w in caught] == [f"{image_folder}: skipped 3 whose names begin with a dot."]
    assert np.array_equal(before[0], after[0])
    assert after.class_names == ["cat", "dog"]


def test_a_class_of_hidden_names_only_is_named(image_folder):
    image(image_folder / "eel" / ".0.png")
    with pytest.raises(ValueError, match="eel holds no image, only names that begin with a dot; remove it"):
        as_arrays(image_folder)
    for name in ("cat", "dog"):
        shutil.rmtree(image_folder / name)
    with pytest.raises(ValueError, match="no image was found in it.*eel holds only names that begin with"):
        as_arrays(image_folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_class_whose_name_is_not_utf8_is_refused(image_folder):
    shutil.copytree(image_folder / "cat", Path(os.fsdecode(os.fsencode(image_folder) + b"/caf\xe9")))
    with pytest.raises(ValueError, match=r"pets/caf\\udce9: the name of a class folder must be UTF-8"):
        as_arrays(image_folder)


def test_names_are_shown_escaped(image_folder):
    path = image_folder / "cat" / "a\x1b[2J\nb.png"
    path.write_text("no image")
    with pytest.raises(ValueError, match=r"cat/a\\x1b\[2J\\nb\.png can't be read") as caught:
        as_arrays(image_folder)
    assert str(caught.value).isprintable()
    assert printable("naïve 猫.png") == "naïve 猫.png"
    with pytest.raises(FileNotFoundError, match=r"none\\x07"):
        as_arrays(image_folder / "none\x07")
