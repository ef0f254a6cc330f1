"""Columns of dates and time differences: learned as numbers of their own unit, and given back as dates."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganaug import ConditionalGAN, GANOverSampler, QualityGate, as_arrays, quality_report, write_hdf5
from ganaug.data.dates import find_step, from_steps, to_steps
from ganaug.data.tables import TableCodec
from ganaug.io.records import DataFrameSchema

DTYPES = [
    *(f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")),
    *("datetime64[ns, Europe/Berlin]", "datetime64[s, UTC]", "datetime64[us, UTC+05:30]"),
    *("timestamp[ms][pyarrow]", "timestamp[us, tz=Europe/Berlin][pyarrow]", "date32[day][pyarrow]"),
]
DURATIONS = ["timedelta64[s]", "timedelta64[ns]", "duration[ms][pyarrow]"]


def days_of(dtype: str, n: int = 90) -> pd.Series:
    """Full days over eight years, of each time zone its own, or time differences of full days."""
    days = pd.Series(pd.to_timedelta(np.random.default_rng(0).integers(0, 3000, n), unit="D"))
    if dtype in DURATIONS:
        return (days - pd.Timedelta(days=500)).astype(dtype)
    days = pd.Timestamp("2015-03-01") + days
    dtype = pd.api.types.pandas_dtype(dtype)
    zone = getattr(dtype, "tz", None) or getattr(getattr(dtype, "pyarrow_dtype", None), "tz", None)
    return (days.dt.tz_localize(zone) if zone else days).astype(dtype)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("dtype", DTYPES + DURATIONS)
def test_full_days_stay_full_days_of_their_dtype_and_range(dtype, gaps):
    pytest.importorskip("pyarrow")
    days = days_of(dtype)
    days[::7] = pd.NaT if gaps else days[0]
    X = pd.DataFrame({"x": np.arange(90.0), "day": days})
    codec = TableCodec.fit(X)
    again = TableCodec.from_config(json.loads(json.dumps(codec.to_config())))
    pd.testing.assert_frame_equal(again.decode(again.encode(X)), X)
    wild = again.decode(3 * torch.randn(2000, *codec.shape))["day"]
    assert wild.dtype == days.dtype
    assert str(wild.dtype) == str(days.dtype)
    assert wild.isna().any() == gaps
    assert days.min() <= wild.min() <= wild.max() <= days.max()
    assert wild.nunique() > days.nunique()
    clock = pd.Series(wild.dropna().tolist())
    if not (dtype in DURATIONS or dtype.startswith("date32")):
        assert (clock == clock.dt.normalize()).all()


@pytest.mark.filterwarnings("ignore:Class .* passed the gate")  # one step of training
def test_dates_come_back_on_every_way(tmp_path):
    days = days_of("datetime64[us, Europe/Berlin]")
    X = pd.DataFrame(
        {"x": np.random.default_rng(0).normal(size=90), "day": days, "gap": days_of(DURATIONS[0])}
    )
    X.loc[::5, "day"] = pd.NaT
    y = np.repeat(["no", "yes"], [60, 30])
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, y)
    gan.save(tmp_path / "model")
    path = write_hdf5(gan, tmp_path / "x.h5", 5, real=(X, y), random_state=0)
    made = [gan.sample(y, random_state=0), ConditionalGAN.load(tmp_path / "model").sample(y, random_state=0)]
    made += [gan.vary(X, y, random_state=0), as_arrays(path)[0]]
    made += [QualityGate(gan).fit(X, y).sample(y[55:65], random_state=0)]
    made += [GANOverSampler(ConditionalGAN(steps=1), random_state=0).fit_resample(X, y)[0]]
    pd.testing.assert_frame_equal(made[0], made[1])
    for table in made:
        assert table.dtypes.equals(X.dtypes)
        assert (table["day"].dropna() == table["day"].dropna().dt.normalize()).all()
        assert days.min() <= table["day"].min() <= table["day"].max() <= days.max()
    for table in (made[3], made[5]):
        pd.testing.assert_frame_equal(table[:90], X)
    report = quality_report(gan, X, y, X, y, per_class=5)
    report.to_html(tmp_path / "report.html")


@given(
    hnp.arrays(np.int64, st.integers(2, 40), elements=st.integers(-(2**63) + 1, 2**63 - 1)),
    st.sampled_from(["M8[ns]", "M8[us]", "m8[s]"]),
)
@example(np.array([-(2**63) + 1, 2**63 - 1, 0]), "M8[ns]")  # further apart than int64 holds
@settings(max_examples=60, deadline=None)
def test_steps_keep_the_order_and_the_range(units, dtype):
    dates = units.view(dtype)
    origin, step = find_step(dates)
    steps = to_steps(dates, np.zeros(len(units), bool), origin, step)
    back = from_steps(steps, origin, step, np.dtype(dtype))
    assert steps.max() < 2**53
    assert np.all((dates - back).view(np.int64) >= 0)
    assert np.all((dates - back).view(np.int64) < step)
    assert back.min() == dates.min()


def test_few_dates_take_no_others_and_a_column_may_follow_from_one():
    quarter = np.random.default_rng(0).integers(0, 8, 200)
    start = pd.Series(pd.date_range("2020-01-01", periods=8, freq="QS"))[quarter].reset_index(drop=True)
    X = pd.DataFrame({"start": start, "end": start + pd.Timedelta(days=89), "name": quarter.astype(str)})
    codec = TableCodec.fit(X)
    assert [column.determinant for column in codec.columns] == [None, 0, 0]
    wild = TableCodec.from_config(codec.to_config()).decode(torch.randn(500, *codec.shape))
    known = set(map(str, X.to_numpy().tolist()))
    assert set(map(str, wild.to_numpy().tolist())) == known


def test_hours_that_a_clock_shows_twice_or_never_are_stored_as_they_were():
    hours = pd.date_range("2023-10-28 22:00", periods=8, freq="30min", tz="UTC").tz_convert("Europe/Berlin")
    frame = pd.DataFrame({"at": hours})
    schema = DataFrameSchema.of(frame)
    again = DataFrameSchema.from_bytes(schema.to_bytes()).from_records(schema.to_records(frame))
    pd.testing.assert_frame_equal(again, frame)
    spring = pd.DataFrame({"at": pd.date_range("2023-03-25", "2023-03-27", freq="30min", tz="Europe/Berlin")})
    codec = TableCodec.fit(spring)
    wild = codec.decode(torch.randn(3000, 1))["at"]
    assert set(wild) <= set(spring["at"])


def test_dates_of_another_unit_are_taken_and_of_another_kind_refused():
    X = pd.DataFrame({"x": np.arange(90.0), "day": days_of("datetime64[us]")})
    codec = TableCodec.fit(X)
    assert torch.equal(codec.encode(X.astype({"day": "datetime64[ns]"})), codec.encode(X))
    message = r"Column 'day' of `X` must hold dates of dtype datetime64\[us\], as in fit, got dtype"
    for other in (
        X["day"].dt.tz_localize("UTC"),
        X["day"].dt.year,
        X["day"] - X["day"][0],
        X["day"].astype(str),
    ):
        with pytest.raises(ValueError, match=message):
            codec.encode(X.assign(day=other), strict=False)
    numbers = TableCodec.fit(X.assign(day=np.arange(90) % 70))
    with pytest.raises(ValueError, match="Column 'day' of `X` must hold numbers, as in fit"):
        numbers.encode(X)


def test_a_column_of_dates_that_are_all_missing_stays_so():
    X = pd.DataFrame({"x": np.arange(9.0), "day": pd.Series([pd.NaT] * 9, dtype="datetime64[ns, UTC]")})
    codec = TableCodec.fit(X)
    back = TableCodec.from_config(codec.to_config()).decode(codec.encode(X))
    pd.testing.assert_frame_equal(back, X)


@pytest.mark.parametrize("kind", ["dates", "timestamps", "period", "category"])
def test_dates_of_other_dtypes_are_refused_in_words(kind):
    days = pd.Series(pd.date_range("2020-01-01", periods=40))
    column = {
        "dates": days.dt.date,
        "timestamps": days.astype(object),
        "period": days.dt.to_period("D"),
        "category": days.astype("category"),
    }[kind]
    advice = "convert it or drop" if kind == "period" else "convert it, dates by pd.to_datetime, or drop"
    advice = advice.replace("it or", "it, or")
    with pytest.raises(
        ValueError, match=rf"Column 'd' of `X` must hold numbers, .* or datetime64, got .*: {advice}"
    ):
        TableCodec.fit(pd.DataFrame({"d": column}))
    with pytest.raises(
        ValueError, match=r"must be a DataFrame to hold dates, got an array of dtype datetime64"
    ):
        TableCodec.fit(days.to_numpy()[:, None])


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("origin", value) for value in (None, 2**63, "1970", 1.5)),
        *(("step", value) for value in (0, 2**62, True)),
        *(("dtype", value) for value in ("float64", "object", "datetime64[us, dateutil//etc/localtime]")),
        *(("decimals", 2), ("resolution", 5), ("rank_intervals", []), ("categories_dtype", "int8")),
    ],
)
def test_a_file_whose_dates_are_none_is_refused(entry, value):
    config = TableCodec.fit(pd.DataFrame({"day": days_of("datetime64[us]")})).to_config()
    config["columns"][0][entry] = value
    with pytest.raises((ValueError, TypeError)):
        TableCodec.from_config(config)
