"""Files made by structure to be misread, which `benchmarks.endurance hostile` puts through every reader.

Nothing in them is random bytes: every type, link, layout, claimed shape, key and header is one that its
format allows, in a place where ganaug does not expect it.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from ganaug import ConditionalGAN, write_hdf5
from ganaug.io.hdf5 import CHECKSUM, DTYPE

# One of each class of types that HDF5 has.
DTYPES: tuple[Any, ...] = (
    np.bool_,
    np.int8,
    np.uint16,
    ">i8",
    np.float16,
    np.float64,
    np.complex64,
    "S8",
    h5py.string_dtype(),
    h5py.vlen_dtype(np.uint8),
    h5py.ref_dtype,
    h5py.regionref_dtype,
    h5py.enum_dtype({"a": 0, "b": 1}, basetype="u1"),
    h5py.opaque_dtype(np.dtype("V8")),
    np.dtype([("c0", "<i4"), ("c1", "<f8")]),
    np.dtype([("c0", h5py.string_dtype()), ("c1", "<f8")]),
    np.dtype((np.uint8, (2, 2))),
)
SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (6,),
    (6, 8),
    (6, 8, 8),
    (0, 8, 8, 1),
    (6, 0, 8, 1),
    (6, 8, 8, 7),
    (6, 8, 8, 1, 1),
    (300_000_000, 8, 8),
    (6, 30_000, 30_000),
)
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"chunks": True},
    {"compression": "gzip"},
    {"compression": "lzf", "shuffle": True},
    {"fletcher32": True},
    {"scaleoffset": 3},
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    3.5,
    10**9,
    10**18,
    float("nan"),
    float("inf"),
    "",
    "relativistic",
    "x" * 100_000,
    [],
    {},
    [1, 2, 3],
    [[[[]]]],
    {"a": {"b": []}},
)
KEYS = ("log_dir", "callbacks", "device", "verbose", "random_state", "__class__", "steps", "")
Change = Callable[[np.random.Generator, Path], None]


def valid(folder: Path) -> dict[str, Path]:
    """Write one valid thing of each kind, which copies are made of."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8), np.arange(24) % 3
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, y)
    gan.save(folder / "model")
    write_hdf5(gan, folder / "data.h5", 2, random_state=0)
    np.savez(folder / "arrays.npz", X=X, y=y)
    for i in range(6):
        place = folder / "images" / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[i]).save(place / f"{i}.png")
    return {name: folder / name for name in ("data.h5", "model", "arrays.npz", "images")}


def change_hdf5(rng: np.random.Generator, path: Path) -> None:
    """Put one or two things into a file that `write_hdf5` never does."""
    with h5py.File(path, "r+") as file:
        for _ in range(rng.integers(1, 3)):
            name = str(rng.choice(list(file))) if len(file) else "images"
            _pick(rng, (_retype, _reshape, _relink, _relabel, _attribute))(rng, file, name)


def _retype(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    dtype, shape = np.dtype(_pick(rng, DTYPES)), getattr(file.get(name), "shape", (6,)) or (6,)
    if dtype.subdtype is not None:  # h5py moves the inner shape to the dataset
        dtype, shape = dtype.subdtype[0], (*shape, *dtype.subdtype[1])
    _replace(file, name, lambda: file.create_dataset(name, shape, dtype))


def _reshape(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    shape, options = _pick(rng, SHAPES), _pick(rng, FILTERS)
    if not all(shape) or not shape:
        options = {}  # neither scalars nor nothing can be cut into chunks
    dtype = np.uint8 if name == "images" else np.int64
    _replace(file, name, lambda: file.create_dataset(name, shape, dtype, **options))


def _relink(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as elsewhere:
        elsewhere["images"] = np.zeros((6, 8, 8), np.uint8)
    Path(file.filename).with_name("raw").write_bytes(bytes(6 * 64 * 8))

    def virtual() -> h5py.Dataset:
        layout = h5py.VirtualLayout((6, 8, 8), np.uint8)
        layout[:] = h5py.VirtualSource(str(other), "images", (6, 8, 8))
        return file.create_virtual_dataset(name, layout)

    def soft() -> None:
        file[name] = h5py.SoftLink("/images" if name == "labels" else "/labels")

    def external_link() -> None:
        file[name] = h5py.ExternalLink(str(other), "/images")

    def external_storage() -> h5py.Dataset:
        return file.create_dataset(name, (6, 8, 8), np.uint8, external=[(str(other), 0, 384)])

    def named_type() -> None:
        file[name] = np.dtype("<f8")

    def ring() -> None:
        file.create_group(name)["ring"] = file["/"]

    _replace(file, name, _pick(rng, (virtual, soft, external_link, external_storage, named_type, ring)))


def _relabel(rng: np.random.Generator, file: h5py.File, _: str) -> None:
    labels = file.get("labels")
    if isinstance(labels, h5py.Dataset) and labels.dtype.kind in "iu" and (labels.size or 0) < 1000:
        values = _pick(rng, (-1, 3, 2**31, -(2**63)))
        changed = np.full(labels.shape, values, np.int64)
        _replace(file, "labels", lambda: file.create_dataset("labels", data=changed))


def _attribute(rng: np.random.Generator, file: h5py.File, name: str) -> None:
    if name in file and hasattr(file[name], "attrs"):
        key = str(rng.choice([CHECKSUM, DTYPE]))
        value = _pick(rng, (-1, 2.5, "text", np.zeros(1000), np.uint64(2**64 - 1), h5py.Empty("f4")))
        file[name].attrs[key] = value


def _replace(file: h5py.File, name: str, make: Callable[[], Any]) -> None:
    """Make something of a name, with the attributes that a reader looks for."""
    if name in file or file.get(name, getlink=True) is not None:
        del file[name]
    made = make()
    if isinstance(made, h5py.Dataset):
        made.attrs[CHECKSUM], made.attrs[DTYPE] = np.uint64(0), str(made.dtype)


def change_model(rng: np.random.Generator, folder: Path) -> None:
    """Change the configuration of a model, or what the header of its weights claims."""
    if rng.random() < 0.6:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        for _ in range(rng.integers(1, 3)):
            _change_json(rng, config)
        path.write_text(json.dumps(config))
        return
    path = folder / "model.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensor = header[str(rng.choice([name for name in header if name != "__metadata__"]))]
    key = str(rng.choice(list(tensor)))
    tensor[key] = {
        "dtype": _pick(rng, ("F64", "I8", "BOOL", "BF16", "F8_E4M3", "text")),
        "shape": _pick(rng, ([], [10**9], [2, 2], [0], [10**6, 10**6])),
        "data_offsets": _pick(rng, ([0, 8], [0, 10**12], [8, 0], [])),
    }[key]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def _change_json(rng: np.random.Generator, node: Any) -> None:
    """Change one place of a JSON value: another value, a key less, or a key more."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        deeper = [key for key in keys if isinstance(node[key], dict | list) and node[key]]
        if not deeper or rng.random() < 0.4:
            break
        node = node[_pick(rng, deeper)]
    if isinstance(node, dict) and rng.random() < 0.2:
        node[_pick(rng, KEYS)] = _pick(rng, VALUES)
    elif isinstance(node, dict) and keys and rng.random() < 0.2:
        del node[_pick(rng, keys)]
    elif keys:
        node[_pick(rng, keys)] = _pick(rng, VALUES)


def change_npz(rng: np.random.Generator, path: Path) -> None:
    """Let an array of an .npz file be of another type or shape, or claim one in its header."""
    with np.load(path) as file:
        arrays = dict(file)
    name = str(rng.choice(list(arrays)))
    shape = _pick(rng, (*SHAPES[:9], (24,), (24, 8, 8)))
    dtype = _pick(rng, ("?", "i1", ">u2", "f2", "f8", "c8", "S3", "U3", "M8[s]", "m8[s]", "V4", "i4,f8"))
    claimed = _pick(rng, (None, None, (10**9,), (10**6, 10**6), (-1,)))
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays.items():
            data = io.BytesIO()
            value = np.zeros(shape, dtype) if key == name else array
            np.lib.format.write_array(data, value, allow_pickle=False)
            content = data.getvalue()
            if key == name and claimed is not None:
                content = _npy_header({"descr": "|u1", "fortran_order": False, "shape": claimed}) + bytes(64)
            archive.writestr(f"{key}.npy", content)


def _npy_header(about: dict[str, Any]) -> bytes:
    text = repr(about).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def change_folder(rng: np.random.Generator, folder: Path) -> None:
    """Put into a folder of images what a folder may hold: links, pipes, hidden files, odd names, headers."""
    place = folder / f"class{rng.integers(2)}"

    def link_to_parent() -> None:
        (place / "up").symlink_to(folder, target_is_directory=True)

    def links_in_a_ring() -> None:
        (folder / "a").symlink_to(folder / "b")
        (folder / "b").symlink_to(folder / "a")

    def pipe() -> None:
        os.mkfifo(place / "pipe.png")

    def hidden() -> None:
        (folder / ".ipynb_checkpoints").mkdir()
        Image.new("L", (8, 8)).save(folder / ".ipynb_checkpoints" / "0.png")

    def empty_class() -> None:
        (folder / "empty").mkdir()

    def odd_name() -> None:
        name = _pick(rng, (b"caf\xe9", b"new\nline", b"\x1b[31mred", b"x" * 200, b"a b", b"$x$"))
        target = os.path.join(os.fsencode(folder), name)  # noqa: PTH118 - pathlib takes no bytes
        os.mkdir(target)  # noqa: PTH102
        Image.new("L", (8, 8)).save(Path(os.fsdecode(target)) / "0.png")

    def other_mode() -> None:
        Image.new(_pick(rng, ("1", "P", "LA", "RGBA", "CMYK", "I;16", "F")), (8, 8)).save(
            place / f"mode.{_pick(rng, ('png', 'tif'))}", format="TIFF"
        )

    def header() -> None:
        (place / "header.png").write_bytes(_png(rng))

    changes = (link_to_parent, links_in_a_ring, pipe, hidden, empty_class, odd_name, other_mode)
    _pick(rng, (*changes, *[header] * 5))()


def _png(rng: np.random.Generator) -> bytes:
    """Return a PNG file whose header claims something, with right checksums."""
    side = (0, 1, 8, 30_000, 2**31 - 1)
    claimed = (_pick(rng, side), _pick(rng, side), _pick(rng, (1, 8, 16, 3)), _pick(rng, (0, 2, 3, 4, 6, 5)))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *claimed, 0, 0, int(rng.integers(3))))]
    if rng.random() < 0.3:
        parts.append((b"PLTE", bytes(3 * int(rng.integers(1, 5)))))
    if rng.random() < 0.8:
        parts.append((b"IDAT", zlib.compress(bytes(72))))
    parts.append((b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


CHANGES: dict[str, Change] = {
    "data.h5": change_hdf5,
    "model": change_model,
    "arrays.npz": change_npz,
    "images": change_folder,
}


def cases(n: int) -> Iterator[tuple[str, int]]:
    """Yield the kind and the seed of each of `n` cases: half of them HDF5 files, a quarter models."""
    kinds = ("data.h5", "model", "data.h5", "arrays.npz", "data.h5", "model", "data.h5", "images")
    for number in range(n):
        yield kinds[number % len(kinds)], number
