"""Tables in HDF5 files: DataFrames as records."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import mixed_table

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.adapters.pool import ImagePool
from ganaug.cli import main
from ganaug.io.records import DataFrameSchema


def table_gan(n=200):
    X, y = mixed_table(n), np.repeat(["no", "yes"], [n * 4 // 5, n // 5])
    return ConditionalGAN(steps=3, base_channels=8, random_state=0).fit(X, y), X, y


def test_a_table_is_written_and_read_back(tmp_path):
    gan, X, y = table_gan()
    path = write_hdf5(
        gan, tmp_path / "x.h5", {"yes": 300, "no": 5}, real=(X, y), random_state=0, block_size=100
    )
    rows, labels = found = as_arrays(path)
    assert rows.dtypes.equals(X.dtypes)
    assert list(rows.columns) == list(X.columns)
    assert rows[:200].equals(X)
    assert labels[:200].tolist() == y.tolist()
    assert (labels[200:] == "yes").sum() == 300
    assert found.synthetic.sum() == 305
    assert set(rows["city"].dropna()) <= set(X["city"].dropna())
    with pytest.raises(ValueError, match="holds a DataFrame: read it with as_arrays"):
        HDF5Dataset(path)
    with pytest.raises(ValueError, match="holds a table"):
        ImagePool.from_file(path)


class Dies:
    """A generator that is killed in its third block."""

    def __init__(self, gan, blocks=3):
        self.gan, self.left, self.classes_ = gan, blocks, gan.classes_

    def sample(self, labels, random_state=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.gan.sample(labels, random_state)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_table_goes_on_where_it_stopped(compression, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0.0)
    gan, *_ = table_gan()
    arguments = {"random_state": 0, "block_size": 50, "compression": compression}
    whole = write_hdf5(gan, tmp_path / "whole.h5", 200, **arguments)
    with pytest.raises(KeyboardInterrupt):
        write_hdf5(Dies(gan), tmp_path / "x.h5", 200, **arguments)
    path = write_hdf5(Dies(gan, 99), tmp_path / "x.h5", 200, resume=True, **arguments)
    for ours, theirs in zip(as_arrays(path), as_arrays(whole), strict=True):
        assert ours.equals(theirs) if hasattr(ours, "equals") else np.array_equal(ours, theirs)


def test_strings_that_need_too_much_room_and_rows_of_objects(tmp_path, monkeypatch):
    gan, X, y = table_gan()
    schema = DataFrameSchema.of(X)
    schema.to_records(X)
    monkeypatch.setattr("ganaug.io.hdf5_layout.METADATA_BYTES", 200 - 2 * len(schema.to_bytes()))
    with pytest.raises(ValueError, match="more than the .* set aside"):
        write_hdf5(gan, tmp_path / "x.h5", 50)
    monkeypatch.setattr("ganaug.io.hdf5_writer.write_schema", None)  # at the first block, not at the end
    with pytest.raises(ValueError, match="more than the .* set aside"):
        write_hdf5(gan, tmp_path / "x.h5", 50)
    with pytest.raises(ValueError, match="got dtype object"):
        write_hdf5(ConditionalGAN(steps=2).fit(X.astype(object).to_numpy(), y), tmp_path / "x.h5", 5)
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("name", ["columns", "rows"])
def test_a_table_whose_parts_are_called_otherwise_is_damaged(name, tmp_path):
    gan, *_ = table_gan()
    path = write_hdf5(gan, tmp_path / "x.h5", 5)
    with h5py.File(path, "r+") as file:
        file.move(name, "else")
    with pytest.raises(ValueError, match="is damaged"):
        as_arrays(path)


@pytest.mark.parametrize("change", [lambda X: X[X.columns[::-1]], lambda X: X.astype({"age": float})])
def test_real_rows_of_other_columns_than_the_synthetic_ones_are_refused(change, tmp_path):
    gan, X, y = table_gan()
    with pytest.raises(ValueError, match="All rows of a file must have the columns"):
        write_hdf5(gan, tmp_path / "x.h5", 5, real=(change(X), y))
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_table_is_noticed(place, tmp_path):
    gan, *_ = table_gan()
    path = write_hdf5(gan, tmp_path / "x.h5", 200, random_state=0)
    with h5py.File(path) as file:
        start = file["rows"].id.get_offset()
        size = file["rows"].nbytes
    content = bytearray(path.read_bytes())
    content[start + int(place * size)] ^= 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`rows` is not what was written"):
        as_arrays(path)


def test_objects_keep_their_types(tmp_path):
    values = [True, 1, 0, False, 1.0, "a", np.int64(7), None]
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object), "n": np.arange(8.0)})
    schema = DataFrameSchema.of(frame)
    again = DataFrameSchema.from_bytes(schema.to_bytes())
    records = schema.to_records(frame)
    found = DataFrameSchema.from_bytes(schema.to_bytes()).from_records(records)["x"].tolist()
    assert [(type(value), value) for value in found] == [
        (type(value), value) for value in [True, 1, 0, False, 1.0, "a", 7, None]
    ]
    assert again.to_records(frame).tobytes() == records.tobytes()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_what_is_missing_among_objects_stays_what_it_was(missing):
    frame = pd.DataFrame({"x": pd.Series(["a", missing, "b"], dtype=object), "n": np.arange(3.0)})
    schema = DataFrameSchema.of(frame)
    records = schema.to_records(frame)
    assert DataFrameSchema.from_bytes(schema.to_bytes()).from_records(records)["x"].tolist()[1] is missing


def test_a_frame_without_pandas_says_what_to_install(tmp_path, monkeypatch):
    path = write_hdf5(table_gan()[0], tmp_path / "x.h5", 2, random_state=0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        as_arrays(path)
    result = CliRunner().invoke(
        main, ["resample", str(path), "-o", str(tmp_path / "y.h5"), "--random-state", "0"]
    )
    assert result.exit_code == 1
    assert "pip install pandas" in result.output


def test_a_very_wide_table(tmp_path):
    """HDF5 has no room for the names of so many fields."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 1300))).assign(
        kind=["a", "b"] * 10, gone=pd.array([1, None] * 10)
    )
    gan = ConditionalGAN(steps=1, random_state=0).fit(frame, np.arange(20) % 2)
    path = write_hdf5(
        gan, tmp_path / "x.h5", 15, real=(frame, np.arange(20) % 2), random_state=0, block_size=10
    )
    rows, labels = as_arrays(path)
    assert rows[:20].equals(frame)
    assert len(rows) == len(labels) == 50
    with pytest.raises(ValueError, match="holds a DataFrame: read it with as_arrays"):
        HDF5Dataset(path)


@pytest.mark.parametrize("kind", ["category", "object"])
def test_values_that_have_no_place_in_a_file(kind):
    values = pd.Series(pd.cut([1, 2, 3], 2)).astype(kind)
    with pytest.raises(
        ValueError, match="Column 'x' of `X` must hold strings, numbers or booleans .* got Int"
    ):
        DataFrameSchema.of(pd.DataFrame({"x": values})).to_records(pd.DataFrame({"x": values}))


def test_real_rows_of_other_categories_than_the_synthetic_ones_are_refused(tmp_path):
    """Their values would be missing in the file: no category of its first rows."""
    gan, X, y = table_gan()
    real = X.assign(code=X["code"].cat.rename_categories({10: 30}))
    with pytest.raises(
        ValueError, match="All rows of a file must have the columns of its first ones: 'code'"
    ):
        write_hdf5(gan, tmp_path / "x.h5", 5, real=(real, y))


def test_a_schema_without_the_dtype_of_categories_is_read_as_it_was_written():
    frame = pd.DataFrame({"n": np.arange(4.0), "x": pd.Categorical([3, 1, 3, 1], categories=[3, 1, 2])})
    schema = DataFrameSchema.of(frame)
    records = schema.to_records(frame)
    assert b"categories_dtype" not in schema.to_bytes()
    pd.testing.assert_frame_equal(DataFrameSchema.from_bytes(schema.to_bytes()).from_records(records), frame)
    narrow = DataFrameSchema.of(
        frame.assign(x=pd.Categorical.from_codes([0, 1, 0, 1], pd.Index([3, 1], dtype="int8")))
    )
    assert b'"categories_dtype": "int8"' in narrow.to_bytes()
