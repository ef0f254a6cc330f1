"""Dates that are never before others stay so in synthetic rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ganaug import ConditionalGAN
from ganaug.data.tables import TableCodec

RNG = np.random.default_rng(0)
N = 300


def stays(unit="D", zone=None, n=N):
    """Admissions, discharges and bills, of which some are missing; and a column of births."""
    first = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 900, n), unit))
    last = first + pd.to_timedelta(RNG.integers(0, 20, n), unit)
    paid = last + pd.to_timedelta(RNG.integers(0, 200, n), unit)
    born = pd.Series(pd.Timestamp("1950-01-01") + pd.to_timedelta(RNG.integers(0, 9000, n), "D"))
    paid[::7] = pd.NaT
    table = pd.DataFrame({"last": last, "paid": paid, "age": RNG.integers(20, 90, n), "first": first})
    if zone is not None:
        table = table.assign(**{name: table[name].dt.tz_localize(zone) for name in ("last", "paid", "first")})
    return table.assign(born=born)


def orders(X):
    columns = TableCodec.fit(X).columns
    return {(columns[place].name, column.name) for column in columns for place in column.not_before}


@pytest.mark.parametrize(("unit", "zone"), [("D", None), ("s", None), ("D", "Europe/Rome"), ("h", "UTC")])
def test_orders_are_found_and_kept(unit, zone):
    table = stays(unit, zone)
    # Births are before all else anyway: no synthetic row could break that.
    assert orders(table) == {("first", "last"), ("last", "paid"), ("first", "paid")}
    gan = ConditionalGAN(steps=2, random_state=0).fit(table, table["age"] > 50)
    rows = gan.sample([True, False] * 1000, 0)
    for earlier, later in (("first", "last"), ("last", "paid"), ("first", "paid")):
        assert not (rows[earlier] > rows[later]).any()
    assert rows.dtypes.equals(table.dtypes)
    assert rows["paid"].isna().mean() == pytest.approx(1 / 7, abs=0.05)


def test_dates_of_a_row_are_exchanged_and_nothing_else():
    codec = TableCodec.fit(stays())
    encoded = torch.randn(2000, codec.shape[0], generator=torch.Generator().manual_seed(0))
    ordered = codec.decode(encoded)
    codec.columns = [replace(column, not_before=[]) for column in codec.columns]
    free = codec.decode(encoded)
    assert (free["first"] > free["last"]).mean() > 0.2
    names = ["first", "last", "paid"]
    # NaT comes first: it stays where it is.
    whole = free["paid"].notna()
    assert np.array_equal(ordered["paid"].notna(), whole)
    assert np.array_equal(ordered.loc[whole, names], np.sort(free.loc[whole, names].to_numpy(), axis=1))
    assert np.array_equal(
        ordered.loc[~whole, names[:2]], np.sort(free.loc[~whole, names[:2]].to_numpy(), axis=1)
    )
    assert free[["age", "born"]].equals(ordered[["age", "born"]])


def shuffled(table):
    return table.assign(last=RNG.permutation(table["last"]))


@pytest.mark.parametrize(
    "change",
    [
        shuffled,  # no order
        lambda table: table.assign(last=table["first"]),  # the same
        lambda table: table.assign(last=table["first"] + pd.Timedelta(5, "h")),  # in other steps
        lambda table: table.assign(last=table["last"].dt.tz_localize("UTC")),  # of another dtype
        lambda table: table.assign(last=table["first"].max()),  # constant
        lambda table: table[:12],  # by chance, perhaps
        lambda table: (table - pd.Timestamp("2020")).apply(lambda days: days.dt.days),  # numbers
    ],
)
def test_what_is_no_order(change):
    assert orders(change(stays()[["last", "first"]])) == set()


def test_time_differences_have_an_order():
    wait = pd.Series(pd.to_timedelta(RNG.integers(1, 500, N), "min"))
    table = pd.DataFrame({"wait": wait, "stay": wait + pd.to_timedelta(RNG.integers(0, 90, N), "min")})
    assert orders(table) == {("wait", "stay")}


def test_a_model_is_saved_with_its_orders(tmp_path):
    table = stays()
    gan = ConditionalGAN(steps=1, random_state=0).fit(table, table["age"] > 50)
    gan.save(tmp_path / "m")
    again = ConditionalGAN.load(tmp_path / "m")
    assert again.codec_.columns == gan.codec_.columns
    assert again.sample([True] * 50, 0).equals(gan.sample([True] * 50, 0))


@pytest.mark.parametrize("value", [[9], [0, 0], [2], [3], [-1], [True], "1", [[1]], [2**40]])
def test_an_order_that_no_fit_finds_is_refused(value):
    """Of a stranger's file: of columns that are not there, twice the same, of numbers, or of itself."""
    config = TableCodec.fit(stays()).to_config()
    place = [column["name"] for column in config["columns"]].index("first")
    config["columns"][place]["not_before"] = value
    with pytest.raises(ValueError, match=r"is not before columns|with not_before"):
        TableCodec.from_config(config)
