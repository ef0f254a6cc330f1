"""What lies in a folder of class folders: each real folder once, hidden names passed over."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ganaug.io.disk import printable

# Those that torchvision reads; named here, so that a folder can be looked at before torch is imported.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
DATA_SUFFIXES = (*HDF5_SUFFIXES, ".npz")
# The files of a saved model.
MODEL_FILES = ("config.json", "model.safetensors")


@dataclass
class ImageFolder:
    """The images of a folder of class folders.

    Attributes
    ----------
    names : list of str
        The sorted names of the class folders.
    files : list of Path
        The images, by class and then by path.
    labels : list of int
        The index in `names` of each image.
    folders : set of (int, int)
        Device and inode of each folder that was read, `root` among them.
    skipped : str
        What was passed over, in words; empty if nothing was.
    """

    names: list[str]
    files: list[Path]
    labels: list[int]
    folders: set[tuple[int, int]]
    skipped: str


def identity(path: Path) -> tuple[int, int]:
    """Return device and inode of what is at a path, the same for each link to it."""
    status = path.stat()
    return status.st_dev, status.st_ino


def check_source(path: Path) -> ImageFolder | None:
    """Return the images of a folder, or None for a file whose kind `as_arrays` reads.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If what is there can't be read as samples and labels, as far as can be told without reading it.
    """
    if not path.exists():
        raise FileNotFoundError(f"No such file or folder: {printable(path)}")
    refuse_model(path)
    if path.is_dir():
        return find_images(path)
    if not path.is_file():  # to open a named pipe would wait for a writer
        raise ValueError(f"{printable(path)} is neither a folder nor a regular file.")
    if path.suffix.lower() not in DATA_SUFFIXES and not _is_hdf5(path):
        raise ValueError(
            f"{printable(path)}: expected a folder of class folders, or a file ending in"
            f" {', '.join(DATA_SUFFIXES[:-1])} or {DATA_SUFFIXES[-1]}."
        )
    return None


def _is_hdf5(path: Path) -> bool:
    import h5py  # a fifth of the time that a command takes to refuse a wrong path

    return bool(h5py.is_hdf5(path))


def refuse_model(path: Path) -> None:
    """Raise ValueError if a saved model is at a path, where samples were to be read."""
    if all((path / name).is_file() for name in MODEL_FILES):
        raise ValueError(
            f"{printable(path)} is a model, not samples: write samples of it to a file with `ganaug"
            " generate`, or in Python use ConditionalGAN.load(path)."
        )


def find_images(root: Path) -> ImageFolder:
    """Return the images in the class folders of `root`, and in the folders below these.

    Links are followed, but each real folder is read once: where it lies, or else by the first link to
    it, those in `root` before those further down. A link to a folder above it is not followed. Names that
    begin with a dot are passed over, and so is what is no regular file.

    Raises
    ------
    ValueError
        If there is no image at all or in one of the class folders, or the name of one is not UTF-8.
    """
    walk = _Walk(root)
    links = []
    for entry in _sorted_entries(root):
        if not _is_folder(entry):
            continue
        if entry.name.startswith("."):
            walk.n_hidden += 1
        elif entry.is_symlink():
            links.append((entry.name, Path(entry.path)))
        else:
            walk.read(entry.name, Path(entry.path))
    for name, link in [*links, *sorted(walk.links)]:
        walk.follow(name, link)
    names = sorted(walk.files)
    _check_classes(root, walk)
    files = [sorted(walk.files[name]) for name in names]
    return ImageFolder(
        names,
        [path for group in files for path in group],
        [label for label, group in enumerate(files) for _ in group],
        walk.seen,
        walk.skipped(),
    )


class _Walk:
    """A walk over the class folders of a folder, which knows what it has read."""

    def __init__(self, root: Path) -> None:
        real = root.resolve()
        self.seen = {identity(real)}
        self.above = {identity(folder) for folder in real.parents}
        self.files: dict[str, list[Path]] = {}
        self.links: list[tuple[str, Path]] = []  # by class, to be followed once all real folders are read
        self.hidden_in: dict[str, int] = {}
        self.n_hidden = self.n_links = self.n_special = 0

    def read(self, name: str, folder: Path) -> None:
        """Read a folder of class `name` and the real folders in it."""
        files = self.files.setdefault(name, [])
        folders = [folder]
        while folders:
            folder = folders.pop()
            key = identity(folder)
            if key in self.seen:
                self.n_links += 1
                continue
            self.seen.add(key)
            for entry in _sorted_entries(folder):
                is_folder = _is_folder(entry)
                if not is_folder and Path(entry.name).suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                if entry.name.startswith("."):
                    self.n_hidden += 1
                    self.hidden_in[name] = self.hidden_in.get(name, 0) + 1
                elif is_folder and entry.is_symlink():
                    self.links.append((name, Path(entry.path)))
                elif is_folder:
                    folders.append(Path(entry.path))
                elif _is_special(entry):
                    self.n_special += 1
                else:
                    files.append(Path(entry.path))

    def follow(self, name: str, link: Path) -> None:
        """Read the folder that a link leads to, unless it was read or holds the link."""
        links = [link]
        while links:
            link = links.pop(0)
            target = link.resolve()
            key = identity(target)
            if key in self.seen | self.above or link.parent.resolve().is_relative_to(target):
                self.n_links += 1
                continue
            before = len(self.links)
            self.read(name, link)
            links += [inner for _, inner in self.links[before:]]
            del self.links[before:]

    def skipped(self) -> str:
        """Return in words what was passed over."""
        counts = {
            "whose names begin with a dot": self.n_hidden,
            "that link to a folder which is read already or holds the link": self.n_links,
            "that are no regular files": self.n_special,
        }
        return ", ".join(f"{n} {words}" for words, n in counts.items() if n)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as exc:
        if exc.errno != errno.ELOOP:
            raise
        return False  # a link to itself


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a pipe, a device or the like; one that leads nowhere counts as a file.

    So the reader names it, as it does any image that can't be read.
    """
    try:
        return not entry.is_file(follow_symlinks=False) and not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def _check_classes(root: Path, walk: _Walk) -> None:
    """Raise ValueError unless each class has images, and a name that can be written to a file."""
    for name in sorted(walk.files):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{printable(root / name)}: the name of a class folder must be UTF-8; rename the folder."
            ) from None
    empty = [name for name in sorted(walk.files) if not walk.files[name]]
    if len(empty) == len(walk.files):
        hidden = next((name for name in empty if name in walk.hidden_in), None)
        hint = "" if hidden is None else f" {printable(hidden)} holds only names that begin with a dot."
        raise ValueError(
            f"{printable(root)} must hold one folder of images for each class; no image was found in it."
            f"{hint}"
        )
    if empty:
        but = ", only names that begin with a dot" if empty[0] in walk.hidden_in else ""
        raise ValueError(
            f"{printable(root / empty[0])} holds no image{but}; remove it, or put the images of its class"
            " in it."
        )
