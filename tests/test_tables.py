from __future__ import annotations

import datetime
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import mixed_table
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from packaging.version import Version
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from ganaug import (
    ConditionalGAN,
    GANOverSampler,
    QualityGate,
    as_arrays,
    recommend_counts,
    write_hdf5,
)
from ganaug.data.columns import MAX_DISCRETE
from ganaug.data.identifiers import warn_of_identifiers
from ganaug.data.tables import TableCodec
from ganaug.evaluation.classifiers import TreeEnsembleClassifier


def test_a_table_comes_back_as_it_was():
    table = mixed_table()
    codec = TableCodec.fit(table)
    back = codec.decode(codec.encode(table))
    pd.testing.assert_frame_equal(back, table, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, bool, object, "<U3"])
def test_an_array_comes_back_as_it_was(dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype is bool else 100, (300, 3)).astype(dtype)
    codec = TableCodec.fit(X)
    back = codec.decode(codec.encode(X))
    assert back.dtype == X.dtype
    assert np.array_equal(back, X)


def test_missing_values_of_each_kind_come_back():
    X = np.array([[1.0, "a"], [None, "b"], [2.5, None], [3.0, "a"]], dtype=object)
    codec = TableCodec.fit(X)
    assert codec.decode(codec.encode(X)).tolist() == X.tolist()


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(2, 60), st.just(1)),
        elements=st.floats(-1e12, 1e12, width=64) | st.just(0.0),
    ).filter(lambda X: len(np.unique(X)) > 1)
)
@example(np.array([[0.0], [-274877906944.0668], [1.0]]))  # apart by steps, and of unlike size
@example(np.array([[-770134733438.1896], [458030234152.6189]]))  # whose last digit moves as it is rounded
@settings(max_examples=60, deadline=None)
def test_scores_keep_the_order_and_the_range(X):
    codec = TableCodec.fit(X)
    scores = codec.encode(X)[:, 0].double().numpy()
    order = np.argsort(X[:, 0], kind="stable")
    assert np.all(np.diff(scores[order]) >= 0)
    wild = codec.decode(torch.tensor([[-50.0], [50.0]]))
    assert wild[:, 0].tolist() == [X.min(), X.max()]


@pytest.mark.parametrize("fill", [np.float32(0), np.nan, 0])
def test_sparse_columns_of_any_fill_value(fill):
    dtype = pd.SparseDtype("int64" if isinstance(fill, int) else "float32", fill)
    table = pd.DataFrame({"x": pd.Series([0, 1, 2, 0] * 5, dtype=dtype), "y": np.arange(20.0)})
    codec = TableCodec.fit(table)
    pd.testing.assert_frame_equal(codec.decode(codec.encode(table)), table)


def test_a_heavy_tail_and_two_modes_survive_encoding():
    rng = np.random.default_rng(0)
    tail, modes = rng.pareto(1, 5000), np.r_[rng.normal(-9, 1, 2500), rng.normal(9, 1, 2500)]
    X = np.stack([tail, modes], axis=1)
    codec = TableCodec.fit(X)
    encoded = codec.encode(X)
    assert encoded.abs().max() < 5
    assert torch.allclose(encoded.std(0), torch.ones(2), atol=0.05)
    # What a perfect generator of the scores gives has the quantiles of the data.
    drawn = codec.decode(torch.randn(20000, 2, generator=torch.Generator().manual_seed(0)))
    for q in (0.05, 0.25, 0.75, 0.95):
        assert np.quantile(drawn[:, 0], q) == pytest.approx(np.quantile(tail, q), rel=0.1)
    assert np.mean(np.abs(drawn[:, 1]) < 4) < 0.02


def test_the_most_common_value_does_not_stand_in_the_tail():
    X = np.r_[np.zeros(600), np.linspace(1, 2, 400)][:, None]
    assert TableCodec.fit(X).encode(X)[0, 0] > -1


def test_a_number_that_many_rows_share_comes_as_often():
    """What a perfect generator of the scores gives, of columns of more numbers than are kept as knots."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 3)) ** 3
    X[:, 2] = X[:, 2].round(1)
    X[:3000, 0] = X[:2000, 1] = 0
    X[:, 0] = np.abs(X[:, 0]) + 7 * (X[:, 0] != 0)
    codec = TableCodec.fit(X)
    again = TableCodec.from_config(codec.to_config())
    np.testing.assert_allclose(again.decode(codec.encode(X)), X, atol=0.01)
    drawn = again.decode(torch.randn(20000, 3, generator=torch.Generator().manual_seed(0)))
    for column in range(3):
        assert (drawn[:, column] == 0).mean() == pytest.approx((X[:, column] == 0).mean(), abs=0.01)
    assert (np.abs(drawn[:, 0] - 3.5) < 3.5).mean() < 0.002  # where there was nothing


def test_between_numbers_that_are_all_shared_there_are_none():
    values = np.random.default_rng(0).normal(size=900)
    X = np.repeat(values, [5] * 600 + [7] * 300)[:, None]
    assert set(TableCodec.fit(X).decode(torch.randn(2000, 1))[:, 0]) <= set(values)


@pytest.mark.parametrize(("first", "step", "kind"), [(0, 25, int), (-7, 3, float), (0.5, 0.25, float)])
def test_numbers_keep_their_step(first, step, kind):
    X = (first + step * np.random.default_rng(0).integers(0, 5000, (900, 1))).astype(kind)
    codec = TableCodec.fit(X)
    drawn = TableCodec.from_config(codec.to_config()).decode(torch.randn(2000, 1))
    steps = (drawn - first) / step
    np.testing.assert_allclose(steps, steps.round(), atol=1e-6)
    assert len(np.setdiff1d(drawn, X)) > 100
    np.testing.assert_allclose(codec.decode(codec.encode(X)), X)


def test_few_numbers_stay_few_and_integers_whole():
    rng = np.random.default_rng(0)
    X = np.stack([rng.choice([0.5, 1.0, 4.0], 500), rng.integers(0, 1000, 500)], axis=1)
    codec = TableCodec.fit(X.astype(float))
    drawn = codec.decode(torch.randn(1000, 2))
    assert set(drawn[:, 0]) <= {0.5, 1.0, 4.0}
    whole = TableCodec.fit(X[:, 1:].astype(int))
    drawn = whole.decode(torch.randn(1000, 1))
    assert drawn.dtype == int
    assert len(np.unique(drawn)) > MAX_DISCRETE


@pytest.mark.parametrize("table", [False, True])
def test_whole_numbers_among_objects_stay_ints(table):
    frame = pd.DataFrame({"n": [*range(30), None], "s": ["a", "b", "c"] * 10 + ["a"]}).astype(object)
    frame["n"] = pd.Series([*range(30), None], dtype=object)
    X = frame if table else frame.to_numpy()
    codec = TableCodec.fit(X)
    again = TableCodec.from_config(codec.to_config()).decode(codec.encode(X))
    column = again["n"].tolist() if table else again[:, 0].tolist()
    assert column == [*range(30), None]
    assert {type(value) for value in column[:30]} == {int}


@pytest.mark.parametrize("dtype", [np.float32, "Float32", np.float64])
def test_decimals_are_those_of_the_dtype(dtype):
    prices = pd.Series(np.random.default_rng(0).integers(100, 9999, 60) / 100).astype(dtype)
    codec = TableCodec.fit(pd.DataFrame({"price": prices}))
    made = codec.decode(torch.linspace(-2, 2, 50)[:, None])["price"]
    assert made.tolist() == made.round(2).tolist()
    assert codec.columns[0].decimals == 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_nan_stays_nan_whatever_the_width(dtype, kind):
    X = np.arange(40, dtype=dtype).reshape(20, 2)
    X[::5, 1] = np.nan
    codec = TableCodec.fit(kind(X))
    again = np.asarray(codec.decode(codec.encode(kind(X))))
    assert again.dtype == dtype
    np.testing.assert_allclose(again, X, rtol=1e-3)


def test_numpy_scalars_among_objects_can_be_saved():
    X = pd.DataFrame({"a": pd.Series([np.int64(1), "x", np.bool_(False), None] * 5, dtype=object)})
    codec = TableCodec.fit(X)
    again = TableCodec.from_config(json.loads(json.dumps(codec.to_config())))
    assert again.decode(again.encode(X))["a"].tolist() == X["a"].tolist()


@pytest.mark.parametrize(("known", "new"), [(["3", "4"], [3, 4]), ([True, False], ["True", "False"])])
def test_categories_of_another_kind_are_refused(known, new):
    codec = TableCodec.fit(pd.DataFrame({"hour": known * 5}))
    with pytest.raises(ValueError, match=rf"Column 'hour' .* such as {min(known)!r}, .* got {new[0]!r}"):
        codec.encode(pd.DataFrame({"hour": new}), strict=False)


def test_a_tensor_is_no_table():
    message = r"must be an ndarray or a DataFrame, got a Tensor \(4, 3\)"
    with pytest.raises(ValueError, match=message):
        TableCodec.fit(torch.rand(4, 3))
    with pytest.raises(ValueError, match=message):
        TableCodec.fit(np.random.default_rng(0).random((4, 3))).check(torch.rand(4, 3))


def test_what_a_generator_puts_out_is_one_category_and_nothing_else_changes():
    table = mixed_table()
    codec = TableCodec.fit(table)
    raw = torch.randn(50, *codec.shape, requires_grad=True)
    rows = codec.output_activation(raw)
    numeric = torch.ones(codec.shape[0], dtype=torch.bool)
    for first, end in codec.spans:
        numeric[first:end] = False
        assert torch.allclose(((rows[:, first:end] + 1) / 2).sum(1), torch.ones(50))
    assert torch.equal(rows[:, numeric], raw[:, numeric])
    rows.square().sum().backward()
    assert raw.grad.isfinite().all()
    # A category that is handed through stays whole.
    encoded = codec.encode(table)
    assert torch.allclose(codec.output_activation(encoded), encoded, atol=0.02)


def test_the_config_restores_the_codec():
    table = mixed_table()
    codec = TableCodec.fit(table)
    again = TableCodec.from_config(codec.to_config())
    pd.testing.assert_frame_equal(again.decode(codec.encode(table)), table, rtol=1e-5)


def test_unknown_categories():
    codec = TableCodec.fit(np.array([["a"], ["b"], ["a"]]))
    with pytest.raises(ValueError, match=r"Column 0 .*\['a', 'b'\].*got 'c'"):
        codec.encode(np.array([["c"]]))
    assert codec.encode(np.array([["c"]]), strict=False).tolist() == [[-1, -1]]


def test_missing_where_none_was():
    codec = TableCodec.fit(np.array([[1.0], [2.0], [3.0]]))
    with pytest.raises(ValueError, match="Column 0 .*lacks"):
        codec.encode(np.array([[np.nan]]))
    assert codec.encode(np.array([[np.nan]]), strict=False).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([np.inf, 1.0] * 20, "Column 'x' .*infinite"),
        ([f"id{i}" for i in range(40)], "Column 'x' .*40 different values in 40 rows.*drop it"),
        (
            [f"id{i}" for i in range(39)] + ["id3"],
            r"39 different .*as an identifier.*: X.drop\(columns=\['x'\]",
        ),
        (
            [f"id{i}" for i in range(1200)] * 2,
            "1200 different values in 2400 rows.*1000 categories.* drop it",
        ),
        ([(1, 2)] * 40, "Column 'x' .*got tuple"),
        ([1, 2**53] * 20, r"Column 'x' .*integers below 2\*\*53, got 9007199254740992: .* drop it: X.drop"),
    ],
)
def test_a_column_that_cannot_be_learned_from_is_named(column, message):
    table = pd.DataFrame({"good": np.arange(len(column), dtype=float), "x": pd.Series(column)})
    with pytest.raises(ValueError, match=message):
        TableCodec.fit(table)


CATEGORIES = {
    "int8": [3, 1, 2],
    "uint8": [3, 1, 2],
    "int32": [3, 1, 2],
    "float32": [0.1, 2.5, 0.3],
    "Int64": [3, 1, 2],
    "string": ["c", "a", "b"],
    "object": ["c", "a", "b"],
    "bool": [True, False, True],
}
ARROW_DTYPES = ["string[pyarrow]", "string[python]"]
ARROW_DTYPES += ["large_string[pyarrow]", "float[pyarrow]", "bool[pyarrow]"]
if Version(pd.__version__) >= Version("2.3"):  # "str", that of strings in pandas 3
    ARROW_DTYPES += [pd.StringDtype(kind, na_value=np.nan) for kind in ("pyarrow", "python")]


def columns_of_dtypes(n: int = 60) -> pd.DataFrame:
    """Categories of each dtype, ordered ones too, and columns of pyarrow's types."""
    pa = pytest.importorskip("pyarrow")
    codes = np.random.default_rng(0).integers(0, 2, n)
    table = pd.DataFrame({"x": np.arange(n) / 4})
    for dtype, values in CATEGORIES.items():
        categories = pd.Index(values if dtype != "bool" else values[:2], dtype=dtype)
        table[dtype] = pd.Categorical.from_codes(codes, categories, ordered=dtype in ("int8", "string"))
    table.loc[::7, "Int64"] = None
    arrow = [pd.ArrowDtype(kind) for kind in (pa.string(), pa.dictionary(pa.int32(), pa.string()))]
    for place, dtype in enumerate([*ARROW_DTYPES, *arrow]):
        numeric = str(dtype) in ("float[pyarrow]", "bool[pyarrow]")
        values = (codes > 0).tolist() if numeric else np.array(["a", "b"])[codes].tolist()
        table[f"arrow{place}"] = pd.Series(pd.array(values, dtype=dtype))
    whole = pd.array(
        [10 * code for code in codes.tolist()], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.int64()))
    )
    return table.assign(whole=whole)


def assert_same_dtypes(table: pd.DataFrame, like: pd.DataFrame) -> None:
    """Fail unless tables can be joined without a column changing its dtype, categories in their order too."""
    for name in like.columns:
        found, wanted, joined = table[name].dtype, like[name].dtype, pd.concat([like, table])[name].dtype
        assert (found, str(found)) == (wanted, str(wanted)) == (joined, str(joined)), name
        if isinstance(wanted, pd.CategoricalDtype):
            assert found.categories.dtype == joined.categories.dtype == wanted.categories.dtype, name
            assert found.categories.equals(wanted.categories), name
            assert found.ordered == wanted.ordered, name


@pytest.mark.filterwarnings("ignore:Class .* passed the gate")  # one step of training
def test_dtypes_of_columns_and_of_categories_stay_on_every_way(tmp_path):
    X, y = columns_of_dtypes(), np.repeat(["no", "yes"], [40, 20])
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, y)
    gan.save(tmp_path / "model")
    made = [gan.sample(y, random_state=0), gan.vary(X, y, random_state=0)]
    made += [ConditionalGAN.load(tmp_path / "model").sample(y, random_state=0)]
    made += [QualityGate(gan).fit(X, y).sample(["no", "yes"], random_state=0)]
    made += [GANOverSampler(ConditionalGAN(steps=1), random_state=0).fit_resample(X, y)[0]]
    made += [as_arrays(write_hdf5(gan, tmp_path / "x.h5", 5, real=(X, y), random_state=0))[0]]
    for table in made:
        assert_same_dtypes(table, X)
    pd.testing.assert_frame_equal(made[0], made[2])
    for table in made[-2:]:
        pd.testing.assert_frame_equal(table[:60], X)


@pytest.mark.parametrize("zone", ["dateutil/Europe/Berlin"])
def test_a_dtype_that_cannot_be_made_again_is_refused_by_name(zone):
    dates = pd.Series(pd.date_range("2020-01-01", periods=40, tz=zone))
    with pytest.raises(
        ValueError, match=r"Column 'd' of `X` has dtype .*no other column can be made: convert"
    ):
        TableCodec.fit(pd.DataFrame({"d": dates}))


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (np.arange(1000, 1100), True),
        (np.random.default_rng(0).permutation(100), True),
        (np.sort(np.random.default_rng(0).permutation(10**6)[:100])[::-1], True),
        (pd.array(np.arange(100), dtype="Int64"), True),
        (np.random.default_rng(0).permutation(10**6)[:100], False),
        (np.arange(100) // 2, False),
        (np.arange(100.0), False),
    ],
)
def test_integers_that_number_the_rows_are_named_once(ids, named):
    X, y = pd.DataFrame({"x": np.random.default_rng(1).normal(size=100), "id": ids}), np.arange(100) % 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ConditionalGAN(steps=1, random_state=0).fit(X, y)
    told = [str(warning.message) for warning in caught if "identifier" in str(warning.message)]
    assert len(told) == named
    assert all("'id'" in message and "X.drop(columns=['id'])" in message for message in told)


def test_parts_of_a_table_say_nothing_of_its_identifiers():
    X, y = (
        pd.DataFrame({"x": np.random.default_rng(1).normal(size=90), "id": np.arange(90)}),
        np.arange(90) % 2,
    )
    recommend_counts(ConditionalGAN(steps=1), X, y, random_state=0)  # warnings are errors
    ConditionalGAN(steps=1, random_state=0).expected_seconds(X, y)
    with pytest.warns(UserWarning, match=r"Column 1 of `X` .*np.delete\(X, 1, axis=1\)"):
        ConditionalGAN(steps=1).fit(np.stack([np.arange(90) % 7, np.arange(90)], axis=1), y)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes, load_digits])
def test_ordinary_tables_hold_no_identifiers(load):
    X = load()["data"]
    for table in (X, X.round().astype(int), pd.DataFrame(X)):
        warn_of_identifiers(table)


def test_polars_columns_keep_their_dtypes_and_decimals():
    n = 60
    rng = np.random.default_rng(0)
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(int(day)) for day in rng.integers(0, 900, n)]
    names = np.array(["a", "b", "c"])[rng.integers(0, 3, n)].tolist()
    half = getattr(pl, "Float16", pl.Float32)  # of newer versions
    noon = [datetime.datetime(day.year, day.month, day.day, 12, 30) for day in days]
    X = pl.DataFrame(
        {
            "price": pl.Series(rng.integers(10, 999, n) / 10, dtype=pl.Float32),
            "half": pl.Series(rng.integers(10, 99, n) / 10, dtype=half),
            "whole": np.arange(float(n)),
            "day": [None, *days[1:]],
            "at": pl.Series(noon, dtype=pl.Datetime("ns")),
            "there": pl.Series(days).cast(pl.Datetime("ms")).dt.replace_time_zone("Europe/Berlin"),
            "lasts": pl.Series(rng.integers(0, 99, n) * 1000).cast(pl.Duration("ms")),
            "kind": pl.Series(names, dtype=pl.Categorical),
            "level": pl.Series(names, dtype=pl.Enum(["c", "x", "b", "a"])),
        }
    )
    made, _ = GANOverSampler(ConditionalGAN(steps=1), random_state=0).fit_resample(X, [0] * 40 + [1] * 20)
    assert made.schema == X.schema
    assert made[:n].equals(X)
    new = made[n:]
    assert new["price"].equals(new["price"].cast(pl.Float64).round(1).cast(pl.Float32))
    assert new["half"].equals(new["half"].cast(pl.Float64).round(1).cast(half))
    assert set(new["at"].dt.time()) == {datetime.time(12, 30)}
    assert set(new["there"].dt.time()) == {datetime.time(0)}
    for name in ("day", "at", "there", "lasts"):
        assert X[name].min() <= new[name].min() <= new[name].max() <= X[name].max()


@pytest.mark.parametrize("dtype", ["float64", "Int64", "object", "string", pd.CategoricalDtype(["a", "b"])])
def test_a_column_without_a_value_stays_so(dtype):
    """A part of a table may have one, such as a fold."""
    table = pd.DataFrame({"good": np.arange(40.0), "x": pd.Series([None] * 40, dtype=dtype)})
    codec = TableCodec.fit(table)
    pd.testing.assert_frame_equal(codec.decode(codec.encode(table)), table)


def test_a_constant_column_is_kept_and_a_constant_table_refused():
    X = np.stack([np.full(30, 7.0), np.arange(30.0)], axis=1)
    codec = TableCodec.fit(X)
    assert set(codec.decode(torch.randn(50, 2))[:, 0]) == {7.0}
    with pytest.raises(ValueError, match=r"Every column .*constant"):
        TableCodec.fit(X[:, :1])


def test_other_columns_than_in_fit():
    codec = TableCodec.fit(mixed_table()[["age", "income"]])
    with pytest.raises(
        ValueError, match=r"\['age', 'income'\].*got DataFrame of columns \['income', 'age'\]"
    ):
        codec.check(mixed_table()[["income", "age"]])
    with pytest.raises(ValueError, match="as in fit, got ndarray"):
        codec.check(np.zeros((3, 2)))


@pytest.mark.parametrize("name", [("a", "b"), 1.5, True])
def test_names_that_are_no_strings_and_no_ints_are_refused(name):
    table = pd.DataFrame(np.arange(40.0).reshape(20, 2)).set_axis(pd.Index([name, "c"], dtype=object), axis=1)
    with pytest.raises(ValueError, match=r"named by strings or ints, got .*: rename it"):
        TableCodec.fit(table)


def test_a_codec_is_not_copied_for_each_classifier():
    codec = TableCodec.fit(mixed_table())
    assert clone(TreeEnsembleClassifier(codec=codec)).codec is codec
