"""Files from strangers: each is refused in words before a value of it is read."""

from __future__ import annotations

import errno
import json
import os
import pickle
import time

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import StripeGenerator

from ganaug import HDF5Dataset, as_arrays, write_hdf5
from ganaug.adapters.pool import ImagePool
from ganaug.io.disk import printable
from ganaug.io.export import export_images
from ganaug.io.hdf5 import open_hdf5, read_header
from ganaug.io.hdf5_checks import errors_named
from ganaug.io.mapping import MappedFile
from ganaug.io.records import DataFrameSchema

READERS = {
    "HDF5Dataset": HDF5Dataset,
    "as_arrays": as_arrays,
    "ImagePool": ImagePool.from_file,
    "export": lambda path: export_images(path, path.parent / "png"),
}


def written(path, **options):
    return write_hdf5(StripeGenerator(["a", "b"]), path, 3, overwrite=True, **options)


def replace(path, name, make):
    """Have `make(file, name)` create another data set of this name, with the attributes of the old one."""
    with h5py.File(path, "r+") as file:
        about = dict(file[name].attrs)
        del file[name]
        make(file, name)
        if file.get(name, getlink=True).__class__ is h5py.HardLink and isinstance(file[name], h5py.Dataset):
            file[name].attrs.update(about)
            if "dtype" in about:
                file[name].attrs["dtype"] = str(file[name].dtype)


def refused(path, message):
    for name, read in READERS.items():
        start = time.perf_counter()
        with pytest.raises(ValueError, match=rf"x\.h5 is damaged, or not .*{message}"):
            read(path)
        assert time.perf_counter() - start < 1, name
    assert not (path.parent / "png").exists()


STRINGS = h5py.string_dtype()
PAIRS = np.dtype([("a", "u1"), ("b", "f4")])
# numpy's name, or what HDF5 has and numpy has not.
SAMPLE_TYPES = [
    *(STRINGS, h5py.vlen_dtype(np.uint8), h5py.ref_dtype, h5py.regionref_dtype, np.dtype("S4")),
    *(np.dtype("c8"), PAIRS, np.dtype("V3"), h5py.opaque_dtype(np.dtype("M8[s]")), np.dtype(("u1", (2,)))),
    *(h5py.enum_dtype({"low": 0, "high": 1}, "i1"), h5py.h5t.STD_B8LE, h5py.h5t.UNIX_D32LE),
]


def create(file, name, shape, dtype):
    """Create a data set with all its bytes zero, of a dtype or of a type of HDF5's own."""
    kind = dtype if isinstance(dtype, h5py.h5t.TypeID) else h5py.h5t.py_create(np.dtype(dtype), logical=True)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist)


# Types of HDF5 have no names of their own, and processes that share the tests must name each alike.
@pytest.mark.parametrize(
    "dtype", SAMPLE_TYPES, ids=lambda dtype: f"{type(dtype).__name__}-{dtype}".split(" ob")[0]
)
def test_only_plain_numbers_are_images(dtype, tmp_path):
    path = written(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        digest = file["images"].attrs["checksum"]
        del file["images"]
        create(file, "images", (6, 8, 8), dtype)
        file["images"].attrs.update({"checksum": digest, "dtype": "uint8"})
    refused(path, "`images` must hold booleans, integers or floats, got ")


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i2", "<u2", "<i4", "<i8", "<f2", "<f4", "<f8"])
def test_numbers_of_all_kinds_are_read(dtype, tmp_path):
    class Typed(StripeGenerator):
        def sample(self, labels, random_state=None):
            return super().sample(labels, random_state).astype(dtype)

    path = write_hdf5(Typed([0, 1]), tmp_path / "x.h5", 5)
    X, _ = as_arrays(path)
    assert X.dtype == dtype
    data = HDF5Dataset(path)
    assert all(np.array_equal(data[i][0][0], X[i]) for i in range(10))


def test_numbers_that_torch_lacks(tmp_path):
    class Wide(StripeGenerator):
        def sample(self, labels, random_state=None):
            return super().sample(labels, random_state).astype(">f4")

    path = write_hdf5(Wide([0, 1]), tmp_path / "x.h5", 5)
    assert len(as_arrays(path)[0]) == 10
    with pytest.raises(ValueError, match=r"x\.h5 holds >f4, which torch doesn't have"):
        HDF5Dataset(path)


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("labels", "f8", "`labels` must be of int64, got float64"),
        ("labels", "i4", "`labels` must be of int64, got int32"),
        ("labels", STRINGS, "`labels` must hold booleans, integers or floats"),
        ("synthetic", "u1", "`synthetic` must be of bool, got uint8"),
        ("weights", "f4", "`weights` must be of float64, got float32"),
        ("weights", h5py.ref_dtype, "`weights` must hold booleans, integers or floats"),
        ("classes", "c8", "`classes` must hold booleans, integers or floats"),
        ("classes", h5py.vlen_dtype(np.int64), "`classes` must hold booleans, integers or floats"),
    ],
)
def test_the_other_parts_have_their_types(name, dtype, message, tmp_path):
    path = written(tmp_path / "x.h5", sample_weight=lambda y, s: s + 1.0)
    n = 2 if name == "classes" else 6
    replace(path, name, lambda file, name: create(file, name, (n,), dtype))
    refused(path, message)


@pytest.mark.parametrize("name", ["images", "labels", "synthetic", "weights", "classes"])
def test_parts_in_other_files(name, tmp_path):
    """Of a copy that is valid as a whole, each part lies elsewhere."""
    path = tmp_path / "x.h5"

    def virtual(file, name):
        with h5py.File(tmp_path / "other.h5") as other:
            source = h5py.VirtualSource(other[name])
            layout = h5py.VirtualLayout(other[name].shape, other[name].dtype)
        layout[:] = source
        file.create_virtual_dataset(name, layout)

    def external(file, name):
        with h5py.File(tmp_path / "other.h5") as other:
            values = other[name]
            parts = [("numbers.bin", 0, values.size * max(values.dtype.itemsize, 16))]
            file.create_dataset(name, values.shape, values.dtype, external=parts)

    def linked(file, name):
        file[name] = h5py.ExternalLink("other.h5", name)

    def soft(file, name):
        file.attrs["elsewhere"] = 1
        file[name] = h5py.SoftLink(f"/{name}-there")

    def typed(file, name):
        file[name] = np.dtype("f8")

    for make, message in (
        (virtual, f"`{name}` is a virtual data set, whose values lie in other files"),
        (external, f"`{name}` lies in another file, 'numbers.bin'"),
        (linked, f"`{name}` is a link to elsewhere"),
        (soft, f"`{name}` is a link to elsewhere"),
        (lambda file, name: file.create_group(name), f"`{name}` is a group or a type"),
        (typed, f"`{name}` is a group or a type"),
    ):
        for target in ("other.h5", "x.h5"):
            written(tmp_path / target, sample_weight=lambda y, s: s + 1.0)
        if make is external and name == "classes":
            continue  # HDF5 stores no strings in another file
        replace(path, name, make)
        refused(path, message)


def test_filters_that_are_not_written_here(tmp_path):
    path = written(tmp_path / "x.h5")
    replace(
        path, "images", lambda f, n: f.create_dataset(n, data=np.ones((6, 8, 8), np.uint8), scaleoffset=0)
    )
    refused(path, "`images` is stored with filter 6: accepted are .*gzip")


MANY = 3 * 10**8


@pytest.mark.parametrize("options", [{}, {"chunks": (2**20,)}, {"chunks": (2**20,), "compression": "gzip"}])
@pytest.mark.parametrize("name", ["labels", "synthetic", "images"])
def test_a_small_file_that_claims_many_rows(name, options, tmp_path):
    path = written(tmp_path / "x.h5")
    shape = (MANY, 8, 8) if name == "images" else (MANY,)
    chunks = {"chunks": (2**14, 8, 8)} if name == "images" and options else {}
    with h5py.File(path) as file:
        dtype = file[name].dtype
    replace(path, name, lambda f, n: f.create_dataset(n, shape, dtype, **options | chunks))
    refused(path, f"`{name}` claims [0-9]+ bytes")


def test_a_compressed_file_claims_no_more_than_it_can(tmp_path, monkeypatch):
    path = written(tmp_path / "x.h5")
    zeros = np.zeros((6, 1024, 1024), np.uint8)  # one chunk each, at a thousandth of its size
    replace(
        path,
        "images",
        lambda f, n: f.create_dataset(n, data=zeros, chunks=(1, 1024, 1024), compression="gzip"),
    )
    with open_hdf5(path) as file:
        assert read_header(file).shape == (1024, 1024)
    # No honest file of gzip is beyond its bound, so a lower one is tried.
    monkeypatch.setattr("ganaug.io.hdf5_checks.MAX_EXPANSION", 500)
    monkeypatch.setattr("ganaug.io.hdf5_checks.stored_dataset.__defaults__", (2**20,), raising=False)
    refused(path, "`images` claims 6291456 bytes, and takes [0-9]+ in the file")


def test_long_names_of_classes(tmp_path):
    path = written(tmp_path / "x.h5")
    names = ["a" * 2**16] + [f"{i}" for i in range(300)]
    replace(path, "classes", lambda f, n: f.create_dataset(n, data=names))
    refused(path, "`classes` holds 301 texts, one of 65536 characters")


def test_shapes_and_attributes(tmp_path):
    def attribute(name, key, value):
        return lambda file: file[name].attrs.__setitem__(key, value)

    for change, message in (
        (lambda f: f.create_dataset("rows", data=[1]), "holds more than one of"),
        (attribute("labels", "checksum", [1, 2]), "attribute `checksum` that is neither a number nor a text"),
        (
            attribute("images", "dtype", np.float64(1)),
            "attribute `dtype` that is neither a number nor a text",
        ),
        (lambda f: f["labels"].attrs.pop("checksum"), "`labels` has no attribute `checksum`"),
    ):
        path = written(tmp_path / "x.h5")
        with h5py.File(path, "r+") as file:
            change(file)
        refused(path, message)
    for name, shape in (("images", (6, 8)), ("images", ()), ("labels", (6, 1)), ("classes", (2, 1))):
        path = written(tmp_path / "x.h5")
        dtype = np.uint8 if name == "images" else np.int64
        replace(path, name, lambda f, n, s=shape, d=dtype: f.create_dataset(n, data=np.zeros(s, d)))
        refused(path, f"`{name}` .*of shape")


def test_what_is_neither_file_nor_folder(tmp_path):
    os.mkfifo(tmp_path / "x.h5")
    with pytest.raises(ValueError, match=r"x\.h5 must be a regular file"):
        HDF5Dataset(tmp_path / "x.h5")
    with pytest.raises(IsADirectoryError):
        HDF5Dataset(tmp_path)


LOCKED = (
    "[Errno {0}] Unable to synchronously open file (unable to lock file, errno = {0}, error message = 'x')"
)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.EACCES])
@pytest.mark.parametrize("known", [True, False])
def test_a_file_out_of_reach_is_not_called_damaged(number, known, tmp_path, monkeypatch):
    lock = number in (errno.ENOLCK, errno.EAGAIN)
    text = LOCKED.format(number) if lock else f"file read failed: errno = {number}, error message = 'x'"

    def fails(*_, **__):
        raise OSError(number, text) if known else OSError(text)

    path = written(tmp_path / "x.h5")
    monkeypatch.setattr("h5py.File.__init__", fails)
    for read in READERS.values():
        with pytest.raises(OSError, match=r"x\.h5") as caught:
            read(path)
        assert caught.value.errno == number
        assert "damaged" not in str(caught.value)
        assert ("HDF5_USE_FILE_LOCKING=FALSE" in str(caught.value)) == lock


def test_a_locked_file(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = written(tmp_path / "x.h5")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=r"HDF5_USE_FILE_LOCKING=FALSE.*x\.h5"):
            HDF5Dataset(path)
    assert len(HDF5Dataset(path)) == 6


def test_errors_quote_no_control_characters(tmp_path):
    assert printable("a\x1b[2J\né") == "a\\x1b[2J\\né"
    with pytest.raises(ValueError, match=r"a\\nb is damaged, .*: \\x1b\[1m$"), errors_named("a\nb"):
        raise ValueError("\x1b[1m")


def changed(path, change):
    time.sleep(0.02)  # the clock of a file system is coarse
    if change == "cut short":
        os.truncate(path, path.stat().st_size - 100)
    elif change == "copied over":
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
    elif change == "emptied":
        path.write_bytes(b"")
    else:
        written(path.with_name("new.h5"))
        path.with_name("new.h5").replace(path)


CHANGES = ["cut short", "copied over", "emptied", "replaced"]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read(change, compression, tmp_path):
    path = written(tmp_path / "x.h5", compression=compression)
    data, unopened = HDF5Dataset(path), HDF5Dataset(path)
    assert data[5][0].any()
    changed(path, change)
    for read in (lambda: data[5], lambda: data.__getitems__([5, 0])):
        with pytest.raises(ValueError, match=r"x\.h5 was .* while in use: open it anew"):
            read()
    # HDF5 would show an open file as it was, and read the rest from the new one.
    with pytest.raises(ValueError, match=r"x\.h5 was .* while in use: open it anew"):
        unopened[5]
    if change == "replaced":
        with pytest.raises(ValueError, match=r"x\.h5 was replaced since: make a new HDF5Dataset"):
            pickle.loads(pickle.dumps(data))[5]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_file_that_is_deleted_while_it_is_read(compression, tmp_path):
    path = written(tmp_path / "x.h5", compression=compression)
    data = HDF5Dataset(path)
    image = data[5][0].clone()
    path.unlink()
    assert (data[5][0] == image).all()
    with pytest.raises(FileNotFoundError, match=r"x\.h5"):
        HDF5Dataset(path)


@pytest.mark.parametrize("change", CHANGES[:3])
def test_a_mapped_file(change, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(range(200)))
    mapped = MappedFile(path, np.dtype("u1"), 10, (100,), copy_on_write=True)
    mapped.array()[0] = 7
    assert mapped.array()[:3].tolist() == [7, 11, 12]
    assert path.read_bytes()[10] == 10
    changed(path, change)
    with pytest.raises(ValueError, match=r"x\.bin was"):
        mapped.array()


def test_what_can_not_be_mapped(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(100))
    for dtype, offset, shape, message in (
        ("O", 0, (2,), "can't be mapped as object"),
        ("M8[s]", 0, (2,), "can't be mapped as datetime64"),
        ("u1", 50, (51,), "is too short: uint8 .51,. from byte 50 on ends at byte 101 of 100"),
        ("u1", -1, (5,), "is too short"),
        ("u1", 0, (-5, -5), "is too short"),
    ):
        with pytest.raises(ValueError, match=message):
            MappedFile(path, np.dtype(dtype), offset, shape)
    assert MappedFile(path, np.dtype("u1"), 100, (0, 5)).array().shape == (0, 5)
    with pytest.raises(ValueError, match="must be a regular file"):
        MappedFile(tmp_path, np.dtype("u1"), 0, (1,))
    with pytest.raises(FileNotFoundError):
        MappedFile(tmp_path / "none", np.dtype("u1"), 0, (1,))


FRAME = pd.DataFrame({"x": ["a", None, "b"], "n": np.arange(3.0), "k": pd.array([1, None, 3])})


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (0, {"values": "ab"}, "`values` must be of type"),
        (0, {"values": [["a"], "b"]}, "`values` must be strings, numbers or booleans, got .'a'."),
        (0, {"values": ["a"]}, "Column 'x' holds codes from -1 to 1, and has 1 values"),
        (0, {"missing": "gone"}, "`missing` must be one of"),
        (0, {"field": "<i8"}, "has values: `field` must be '<i4', got '<i8'"),
        (0, {"dtype": "U100000"}, "`dtype` must be the name of a column's dtype, got 'U100000'"),
        (0, {"dtype": "x" * 300}, "`dtype` must be the name of a column's dtype"),
        (1, {"field": "O"}, "`field` must be a dtype of numbers, got 'O'"),
        (1, {"field": "<f4"}, "The records are of .* and `columns` describes"),
        (1, {"dtype": "int64"}, "Column 'n' of dtype 'int64' must be stored as"),
        (1, {"dtype": "object"}, "Column 'n' of dtype 'object' must be stored as"),
        (1, {"name": ["n"]}, "`name` must be of type"),
        (1, {"name": True}, "`name` must be of type"),
        (1, {"log_dir": "x"}, "Column 1 of `columns` must have the keys"),
        (2, {"mask": 1}, "`mask` must be of type"),
        (2, {"mask": False}, "The records are of"),
        (2, {"categories": [{}]}, "`categories` must be strings"),
    ],
)
def test_columns_of_a_stranger(place, change, message):
    schema = DataFrameSchema.of(FRAME)
    records = schema.to_records(FRAME)
    assert DataFrameSchema.from_bytes(schema.to_bytes()).from_records(records).equals(FRAME)
    content = json.loads(schema.to_bytes())
    content[place] |= change
    with pytest.raises(ValueError, match=message):
        DataFrameSchema.from_bytes(json.dumps(content).encode()).from_records(records)


@pytest.mark.parametrize("content", ["{}", "[]", "[1]", "3", '["name"]', '[{"name": "x"}]'])
def test_columns_of_another_structure(content):
    with pytest.raises(ValueError, match="columns"):
        DataFrameSchema.from_bytes(content.encode())


def test_records_of_other_types(tmp_path):
    path = tmp_path / "x.h5"
    for fields in ([("c0", STRINGS)], [("c0", "u1", (3,))], [("c0", "S3")]):
        written(path)
        with h5py.File(path, "r+") as file:
            checksum = file["images"].attrs["checksum"]
            del file["images"]
            create(file, "rows", (6,), np.dtype(fields))
            file["rows"].attrs.update({"checksum": checksum, "dtype": "x"})
            file.create_dataset("columns", data=np.zeros(8, np.uint8)).attrs["checksum"] = np.uint64(0)
        refused(path, "`rows` must be records of booleans, integers and floats")
