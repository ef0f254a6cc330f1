"""quality_report: how real, varied, new and useful synthetic rows are, class by class."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from ganaug.aside import row_digests
from ganaug.data import as_random, check_labels, check_sampler, encode_labels, label_indices
from ganaug.kinds import as_rows, is_frame, join, take
from ganaug.measures import K, frechet_distance, kernel_distance, prdc
from ganaug.neighbours import Neighbours
from ganaug.probe import ProbeClassifier, TableProbe
from ganaug.recommend import balanced_weights
from ganaug.report import write_page

RESAMPLES = 200  # of a bootstrap
NEAREST = 0.05  # of the held-out rows lie as near to a training row as what counts as memorised
LEAST_KID = 50  # rows of a class, from which its kernel distance says something
SHARE = 0.8  # of the draws of a class that synthetic rows get where they are added
PROBE_STEPS = 600
YARDSTICK = 2000  # rows at most by which floor and bad generators are measured
LEAST_HELD = 20  # rows of a class that were held out, from which they say something of it
PAIRS = 500  # rows of which all pairwise distances are taken
# Where a set counts as bad: below a part of what real rows score, or above a share of copies.
LEAST_PART, MOST_COPIES = 0.5, 0.5
BAD = ("noise", "copies", "one mode")

Entry = dict[str, float | None]
Features = Callable[[Any], Any]


class QualityReport(dict):
    """What `quality_report` found: plain types, with ``to_json`` and ``to_html``.

    ``report["per_class"][label][measure]`` and ``report["overall"][measure]`` hold "value", "low" and
    "high" of a 95 % interval, "floor", which real rows score against real rows, and what bad
    generators score: "noise", "copies" and "one mode". None where there is nothing to measure by.
    ``report["verdict"]`` is a list of sentences, the first of which says whether to use it.
    """

    pictures: dict[str, Any]

    def to_json(self, path: str | Path | None = None) -> str:
        """Return all numbers as JSON, and write them to a file if one is named."""
        named = {key: {str(k): v for k, v in self[key].items()} for key in ("per_class", "counts")}
        text = json.dumps({**self, **named}, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def to_html(self, path: str | Path) -> None:
        """Write a page that needs no other file: the verdict, pictures, and all numbers."""
        write_page(Path(path), self, **self.pictures)


def quality_report(
    sampler_or_arrays: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    per_class: int = 500,
    features: Features | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> QualityReport:
    """Measure synthetic rows against the rows a generator was trained on, and against held-out ones.

    Parameters
    ----------
    sampler_or_arrays : Sampler or (X, y)
        A fitted `ConditionalGAN`, `QualityGate` or anything with ``classes_`` and ``sample``; or rows
        and their labels.
    X, y
        The training rows, as for `ConditionalGAN.fit`, and their labels.
    X_test, y_test : optional
        Rows that the generator never saw; images that are among `X` are left out. Without at least 20
        of a class neither copying nor usefulness can be measured of it, nor usefulness over all.
    per_class : int
        Rows to sample of each class, and at most to use of each.
    features : callable, optional
        ``features(rows) -> (n, n_features)``, in which distances are taken. None: a small classifier
        trained on `X` and `y`, nothing is downloaded; of tables their encoded columns.
    random_state : int, RandomState or None

    Returns
    -------
    QualityReport

    Raises
    ------
    ValueError
        If rows or labels are not of the kinds described.

    Warns
    -----
    UserWarning
        If images of `X_test` are among those of `X`.

    Notes
    -----
    Measures: "precision", "recall", "density", "coverage" and "authenticity" (see
    `ganaug.measures.prdc`); "kid", of classes of at least 50 rows, and over all "fid"; "diversity",
    the mean distance of two rows of a class over that of real ones; "memorised", the share of rows
    as near to a training row as only 5 % of held-out rows are. With held-out rows: "tstr", recall of
    a classifier trained on synthetic rows only, its floor that of one trained on real ones; "trts",
    recall on synthetic rows of the latter; "usefulness", what recall gains where synthetic rows are
    added.
    """
    if isinstance(per_class, bool) or not isinstance(per_class, int | np.integer) or per_class < 2:
        raise ValueError(f"`per_class` must be an integer from 2 up, got {per_class!r}.")
    random = as_random(random_state)
    X = as_rows(X)
    y = check_labels(y, len(X))
    classes, labels = encode_labels(y)
    space = Neighbours(X)
    codec: Any = space.codec
    X_test, test_labels = _held_out(X_test, y_test, X, classes, codec)
    made, made_labels, kept = _synthetic_rows(sampler_or_arrays, classes, per_class, random)
    seen = np.concatenate(_some_of_each(labels, len(classes), per_class, random))
    model: Any = ProbeClassifier(steps=PROBE_STEPS)
    if X.ndim == 2:
        model = TableProbe(codec=codec)  # synthetic rows alone may be all the same
    model.set_params(random_state=int(random.randint(2**31 - 1)))
    real_only = None  # a classifier of real rows
    if features is None:
        if X.ndim == 2:
            features = partial(codec.encode, strict=False)
        else:
            real_only = clone(model).fit(X, labels)
            features = real_only.features
    real, fake = (_matrix(features(rows)) for rows in (take(X, seen), made))
    real_labels = labels[seen]
    noise = _matrix(features(_noise(X, len(made), random)))
    points = space.by_class(X, labels)

    measurable = np.flatnonzero(np.bincount(test_labels, minlength=len(classes)) >= LEAST_HELD)
    found: dict[Any, dict[str, Entry]] = {}
    for c in range(len(classes)):
        own, ours = real[real_labels == c], fake[made_labels == c]
        measures = _compared(own, ours, noise[made_labels == c], random)
        held = take(X_test, np.flatnonzero(test_labels == c)) if c in measurable else None
        rows = take(made, np.flatnonzero(made_labels == c))
        measures["memorised"] = _memorised(space, points[c], rows, held, random)
        found[classes[c].item() if hasattr(classes[c], "item") else classes[c]] = measures
    overall = _compared(real, fake, noise, random, mix=_mixed(made_labels, real_labels))
    overall["diversity"] = _mean_entry([m["diversity"] for m in found.values()])
    overall["memorised"] = _mean_entry([m["memorised"] for m in found.values()])
    if len(measurable):
        seen_again = np.flatnonzero(np.isin(test_labels, measurable))
        held_out = take(X_test, seen_again), test_labels[seen_again]
        real_only = real_only or clone(model).fit(X, labels)
        useful = _usefulness(real_only, X, labels, made, made_labels, *held_out, len(classes), random)
        for c, measures in enumerate(found.values()):
            measures |= {name: entry[c] for name, entry in useful.items()}
        # A mean over the rich classes, which have rows to hold out, would say nothing of what poor ones gain.
        known = useful if len(measurable) == len(classes) else {"trts"}
        overall |= {name: useful[name][-1] for name in known}
    counts = dict(zip(found, np.bincount(labels).tolist(), strict=True))
    report = QualityReport(
        verdict=verdict(overall, found, counts), overall=overall, per_class=found, counts=counts
    )
    report.pictures = {
        "X": X,
        "labels": labels,
        "made": made,
        "made_labels": made_labels,
        "classes": classes,
        "real_features": real.numpy(),
        "real_labels": real_labels,
        "fake_features": fake.numpy(),
        "sampler": kept,
    }
    return report


def verdict(
    overall: dict[str, Entry], found: dict[Any, dict[str, Entry]], counts: dict[Any, int]
) -> list[str]:
    """Return in plain words what the numbers say, the most important first."""
    against = []
    gain, tstr = overall.get("usefulness"), overall.get("tstr")
    if gain is not None and gain["high"] is not None and gain["high"] < 0:
        against.append(
            f"a classifier loses {-100 * _value(gain):.1f} points of balanced accuracy where they are added"
        )
    if tstr is not None and _value(tstr) < 0.8 * _value(tstr, "floor"):
        against.append(
            f"a classifier trained on them alone reaches {100 * _value(tstr):.0f} % on real rows, one trained"
            f" on real ones {100 * _value(tstr, 'floor'):.0f} %"
        )
    for name, words in (
        ("precision", "they don't look real"),
        ("coverage", "they leave out much of what is real"),
    ):
        entry = overall[name]
        if entry["floor"] is not None and _value(entry) < LEAST_PART * _value(entry, "floor"):
            against.append(
                f"{words} ({name} {_value(entry):.2f}, real rows score {_value(entry, 'floor'):.2f})"
            )
    if _copies(overall["memorised"]) > MOST_COPIES:
        against.append(f"{100 * _value(overall['memorised']):.0f} % of them are copies of training rows")
    if against:
        lines = [f"Do not use it: {'; '.join(against)}."]
    elif gain is None:
        lines = ["It looks real, and covers what is real."]
    else:
        lines = ["Nothing speaks against using it."]
    blind = [str(label) for label, measures in found.items() if measures["memorised"]["value"] is None]
    if blind:
        which = "" if len(blind) == len(found) else f" of {', '.join(blind)}"
        lines.append(
            f"Whether it helps a classifier, and whether it copies, was not measurable{which}: that takes"
            f" {LEAST_HELD} rows of a class that it never saw."
        )
    if overall["memorised"]["floor"] == 1:
        lines.append(
            "Whether it copies can't be told: held-out rows are as near to training rows as copies are."
        )
    most = max(counts.values())
    for label, measures in found.items():
        useful, copied = measures.get("usefulness"), measures["memorised"]
        said: list[str] = []
        if useful is not None and useful["low"] is not None and useful["high"] is not None:
            points = f"{100 * _value(useful):+.1f} points of recall"
            if useful["high"] < 0:
                said.append(f"do not add to it ({points})")
            elif useful["low"] > 0 and not against:
                times = (most - counts[label]) / counts[label]
                said.append(
                    f"add {times:.1f}x, which makes it as large as the largest ({points})"
                    if times >= 0.1
                    else f"helps ({points})"
                )
        if _copies(copied) > MOST_COPIES:
            said.append(f"copies training rows ({100 * _value(copied):.0f} %)")
        if measures["diversity"]["value"] is not None and _value(measures["diversity"]) < LEAST_PART:
            said.append(
                f"has collapsed: its rows differ {_value(measures['diversity']):.2f} as much as real ones"
            )
        if said:
            lines.append(f"Class {label}: {'; '.join(said)}.")
    return lines


def _value(entry: Entry, name: str = "value") -> float:
    value = entry[name]
    return float("nan") if value is None else value


def _copies(memorised: Entry) -> float:
    """Return the share of copies, less those that look like it by chance, as new rows do; 0 if unknown.

    In a table of few categories most new rows have a twin among those to train on.
    """
    by_chance = _value(memorised, "floor")
    return (_value(memorised) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def _held_out(X_test: Any, y_test: Any, X: Any, classes: np.ndarray, codec: Any) -> tuple[Any, np.ndarray]:
    """Return held-out rows and their class indices; without images that are among those of `X`."""
    if X_test is None:
        if y_test is not None:
            raise ValueError("`y_test` must be None without `X_test`, got labels.")
        return None, np.empty(0, np.int64)
    X_test = as_rows(X_test)
    if not len(X_test):
        raise ValueError("`X_test` must be None or hold rows, got 0.")
    try:
        codec.check(X_test)
    except ValueError as exc:
        raise ValueError(f"`X_test` must be of the kind of `X`. {exc}") from exc
    labels = label_indices(check_labels(y_test, len(X_test), "y_test", "X_test"), classes, "y_test")
    if X_test.ndim == 2:  # whose rows may have twins
        return X_test, labels
    new = ~np.isin(row_digests(X_test), row_digests(X))
    if new.all():
        return X_test, labels
    told = f"{np.sum(~new)} of the {len(new)} images of `X_test` are among those of `X`"
    if not new.any():
        raise ValueError(f"`X_test` must hold images that the generator never saw: {told}.")
    warnings.warn(f"{told}: they are left out.", stacklevel=3)
    return take(X_test, new), labels[new]


def _synthetic_rows(
    synthetic: Any, classes: np.ndarray, per_class: int, random: np.random.RandomState
) -> tuple[Any, np.ndarray, Any]:
    """Return rows and class indices, and the sampler if there is one."""
    if isinstance(synthetic, tuple | list) and len(synthetic) == 2:
        name = "sampler_or_arrays"
        rows = as_rows(synthetic[0])
        labels = label_indices(
            check_labels(synthetic[1], len(rows), f"{name}[1]", f"{name}[0]"), classes, name
        )
        mask = getattr(synthetic, "synthetic", None)
        if mask is not None and mask.any():  # real rows may stand beside them
            rows, labels = take(rows, mask), labels[mask]
        kept = np.concatenate(_some_of_each(labels, len(classes), per_class, random))
        least = np.bincount(labels, minlength=len(classes)).min()
        if least < 2:
            raise ValueError(
                f"`sampler_or_arrays` must hold at least 2 rows of every class, got {least} of one."
            )
        return take(rows, kept), labels[kept], None
    check_sampler(synthetic)
    label_indices(classes, synthetic.classes_, "y")
    labels = np.repeat(np.arange(len(classes)), per_class)
    return synthetic.sample(classes[labels], random_state=random.randint(2**31 - 1)), labels, synthetic


def _some_of_each(
    labels: np.ndarray, n_classes: int, most: int, random: np.random.RandomState
) -> list[np.ndarray]:
    """Return the indices of at most so many rows of each class, drawn at random, in order."""
    by_class = (np.flatnonzero(labels == c) for c in range(n_classes))
    return [np.sort(random.permutation(own)[:most]) for own in by_class]


def _matrix(features: Any) -> Tensor:
    rows = features.detach().cpu() if isinstance(features, Tensor) else np.asarray(features)
    return torch.as_tensor(rows, dtype=torch.float32).flatten(1)


def _noise(X: Any, n: int, random: np.random.RandomState) -> Any:
    """Return rows that have nothing of `X` but its range: pixels at random, or each column shuffled."""
    if X.ndim > 2:
        noise = random.randint(0, 256, (n, *X.shape[1:]), dtype=np.uint8)
        if isinstance(X, Tensor):
            return tvf.to_dtype(torch.from_numpy(noise), X.dtype, scale=True)
        return noise if X.dtype == np.uint8 else (noise / np.float32(255)).astype(X.dtype)
    rows = take(X, random.randint(len(X), size=n)).copy()
    for place in range(rows.shape[1]):
        order = random.permutation(n)
        if is_frame(rows):
            rows.isetitem(place, rows.iloc[order, place].array)
        else:
            rows[:, place] = rows[order, place]
    return rows


def _compared(
    real: Tensor,
    fake: Tensor,
    noise: Tensor,
    random: np.random.RandomState,
    *,
    mix: np.ndarray | None = None,
) -> dict[str, Entry]:
    """Return fidelity, coverage and diversity, with the floor and what bad generators score.

    `mix`, where there are several classes, are the synthetic rows whose distribution is to be
    compared, FID and KID: of the classes as often as among the real ones.
    """
    order = random.permutation(len(real))[:YARDSTICK]
    half = len(order) // 2
    some, n = real[order], min(len(fake), YARDSTICK)
    # How much is covered depends on how many rows there are to each real one.
    others = some[half:][: -(-half * len(fake) // len(real))]
    picks = {
        "value": (real, fake),
        "floor": (some[:half], others),
        "noise": (some, noise[random.permutation(len(noise))[:n]]),
        "copies": (some, some[random.randint(len(some), size=n)]),
        "one mode": (some, some[:1].expand(n, -1)),
    }
    names = ["precision", "recall", "density", "coverage", "authenticity", "diversity", "kid"]
    names += [] if mix is None else ["fid"]
    measures: dict[str, Entry] = {
        name: dict.fromkeys(("value", "low", "high", "floor", *BAD)) for name in names
    }
    for kind, (theirs, ours) in picks.items():
        k = min(K, len(theirs) - 1, len(ours) - 1)
        if k < 1:
            continue
        for name, rows in prdc(theirs, ours, k).items():
            measures[name][kind] = float(rows.mean())
            if kind == "value":
                measures[name]["low"], measures[name]["high"] = _interval(rows.numpy(), random)
        spread = _spread(theirs, random)
        if spread > 0:
            measures["diversity"][kind] = _spread(ours, random) / spread
        if kind == "value" and mix is not None:
            ours = fake[torch.from_numpy(mix)]
        if min(len(theirs), len(ours)) >= LEAST_KID:
            mean, deviation = kernel_distance(theirs, ours)
            measures["kid"][kind] = mean
            if kind == "value":
                measures["kid"]["low"], measures["kid"]["high"] = mean - 2 * deviation, mean + 2 * deviation
        # It takes seconds, and says nothing of copies and of one mode that diversity does not. It
        # depends on the number of rows: half as many as there are, since there are no more for the floor.
        if mix is not None and min(half, len(ours)) > 1 and kind in ("value", "floor", "noise"):
            drawn = (rows[random.permutation(len(rows))[:half]] for rows in (theirs, ours))
            measures["fid"][kind] = frechet_distance(*drawn)
    if measures["diversity"]["value"] is not None:
        spreads = [_spread(fake[random.randint(len(fake), size=len(fake))], random, 100) for _ in range(30)]
        scale = measures["diversity"]["value"] / max(float(np.mean(spreads)), 1e-12)
        measures["diversity"]["low"], measures["diversity"]["high"] = (
            float(np.quantile(spreads, q) * scale) for q in (0.025, 0.975)
        )
    return measures


def _mixed(made_labels: np.ndarray, real_labels: np.ndarray) -> np.ndarray:
    """Return as many synthetic rows as there are in which classes are as frequent as among real ones."""
    made, real = np.bincount(made_labels), np.bincount(real_labels)
    numbers = np.maximum(1, (np.min(made / real) * real).astype(int))
    return np.concatenate([np.flatnonzero(made_labels == c)[:n] for c, n in enumerate(numbers)])


def _spread(rows: Tensor, random: np.random.RandomState, most: int = PAIRS) -> float:
    """Return the mean distance of two rows."""
    some = rows[random.permutation(len(rows))[:most]]
    return float(torch.pdist(some).mean()) if len(some) > 1 else 0.0


def _interval(rows: np.ndarray, random: np.random.RandomState) -> tuple[float, float]:
    """Return the interval of a mean, by bootstrap over rows."""
    means = [rows[random.randint(len(rows), size=len(rows))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _memorised(space: Neighbours, points: Any, rows: Any, held: Any, random: np.random.RandomState) -> Entry:
    """Return how many rows are copies: pixel by pixel, up to a shift; of tables column by column."""
    entry: Entry = dict.fromkeys(("value", "low", "high", "floor", *BAD))
    if held is None:
        return entry
    distances = space.nearest(space.encode(held), points).numpy()
    bound = float(np.quantile(distances, NEAREST))
    copied = (space.nearest(space.encode(rows), points).numpy() <= bound).astype(float)
    low, high = _interval(copied, random)
    known = {"value": float(copied.mean()), "low": low, "high": high}
    # A copy is at distance 0, which no bound is under.
    return {**entry, **known, "floor": float(np.mean(distances <= bound)), "copies": 1.0}


def _usefulness(
    real_only: Any,
    X: Any,
    labels: np.ndarray,
    made: Any,
    made_labels: np.ndarray,
    X_test: Any,
    test_labels: np.ndarray,
    n_classes: int,
    random: np.random.RandomState,
) -> dict[str, list[Entry]]:
    """Return recalls of classifiers with and without synthetic rows, of each class and over all."""
    right, on_made = real_only.predict(X_test) == test_labels, real_only.predict(made) == made_labels
    only = clone(real_only).fit(made, made_labels).predict(X_test) == test_labels
    both = np.concatenate([labels, made_labels])
    weight = balanced_weights(
        both, np.arange(len(both)) >= len(labels), dict.fromkeys(range(n_classes), SHARE)
    )
    added = clone(real_only).fit(join([X, made]), both, weight).predict(X_test) == test_labels
    names = {
        "tstr": (only, test_labels, right),
        "trts": (on_made, made_labels, None),
        "usefulness": (added.astype(float) - right, test_labels, None),
    }
    return {
        name: _by_class_and_over_all(np.asarray(rows, float), own, n_classes, floor, random)
        for name, (rows, own, floor) in names.items()
    }


def _by_class_and_over_all(
    rows: np.ndarray, own: np.ndarray, n_classes: int, floor: np.ndarray | None, random: np.random.RandomState
) -> list[Entry]:
    """Return the mean of each class, and last the mean of these means; nothing of a class without rows."""
    nothing: Entry = dict.fromkeys(("value", "low", "high", "floor", *BAD))
    present = np.unique(own)
    parts = [rows[own == c] for c in present]
    means = np.array([part.mean() for part in parts])
    draws = np.array(
        [[p[random.randint(len(p), size=len(p))].mean() for _ in range(RESAMPLES)] for p in parts]
    )
    floors = None if floor is None else np.array([floor[own == c].mean() for c in present])
    entries = [nothing] * (n_classes + 1)
    every = list(range(len(present)))
    for place, which in zip([*present, n_classes], [*([i] for i in every), every], strict=True):
        low, high = np.quantile(draws[which].mean(0), [0.025, 0.975])
        entries[place] = {
            **nothing,
            "value": float(means[which].mean()),
            "low": float(low),
            "high": float(high),
            "floor": None if floors is None else float(floors[which].mean()),
        }
    return entries


def _mean_entry(entries: list[Entry]) -> Entry:
    """Return the mean over classes, of what each has."""
    keys = entries[0]
    values = {key: [v for entry in entries if (v := entry[key]) is not None] for key in keys}
    return {key: float(np.mean(own)) if own else None for key, own in values.items()}
