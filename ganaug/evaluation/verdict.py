"""The verdict of a report: which thresholds its numbers miss, in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ganaug.evaluation.estimates import Entry, make_entry
from ganaug.evaluation.samples import MIN_HELD_OUT

Measures = Mapping[str, Entry]

# Scores are relative to what real samples score.
MIN_RELATIVE_SCORE = 0.5
MIN_RELATIVE_TSTR = 0.8
MIN_DIVERSITY = 0.5
# Of samples, less those that are as close to a training sample by chance.
MAX_MEMORIZATION = 0.5
# Of the lower end of its interval: who has the synthetic samples can tell who was in the training set.
MAX_MEMBERSHIP_AUC = 0.6
# Fewer synthetic samples, relative to the training samples of a class, are not worth a number.
MIN_ADDED = 0.1

# How the first sentence begins; the page colours it by that.
DO_NOT_USE, NOTHING_AGAINST = "Do not use it", "Nothing speaks against using it"


@dataclass(frozen=True)
class Check:
    """A threshold, and the words for an entry that misses it.

    Attributes
    ----------
    measure : str
    fails : callable
        ``fails(entry) -> bool``; False where the entry has no numbers.
    words : str
        A format string of "value" and "real", of "percent" and "real_percent", and of "loss", the
        value in points below 0.
    """

    measure: str
    fails: Callable[[Entry], bool]
    words: str

    def complaint(self, measures: Measures) -> str | None:
        """Return the words if the check fails."""
        entry = measures.get(self.measure, make_entry())
        if not self.fails(entry):
            return None
        value, real = _number(entry), _number(entry, "real")
        return self.words.format(
            value=value, real=real, percent=100 * value, real_percent=100 * real, loss=-100 * value
        )


def _number(entry: Entry, key: str = "value") -> float:
    """Return a number of an entry; NaN, which no comparison holds for, where it is not known."""
    number = entry[key]
    return float("nan") if number is None else number


def _below_real(share: float) -> Callable[[Entry], bool]:
    return lambda entry: _number(entry) < share * _number(entry, "real")


def _memorizes(entry: Entry) -> bool:
    """Return whether more samples are memorized than chance explains.

    In a table of few categories most new rows equal a training row.
    """
    by_chance = _number(entry, "real")
    return by_chance < 1 and (_number(entry) - by_chance) / (1 - by_chance) > MAX_MEMORIZATION


CHECKS = (
    Check(
        "augmentation_gain",
        lambda entry: _number(entry, "high") < 0,
        "a classifier loses {loss:.1f} points of balanced accuracy when they are added to its training data",
    ),
    Check(
        "tstr",
        _below_real(MIN_RELATIVE_TSTR),
        "a classifier trained on them alone reaches {percent:.0f} % balanced accuracy on real samples, one"
        " trained on real samples {real_percent:.0f} %",
    ),
    Check(
        "precision",
        _below_real(MIN_RELATIVE_SCORE),
        "they don't look real (precision {value:.2f}; real samples score {real:.2f})",
    ),
    Check(
        "coverage",
        _below_real(MIN_RELATIVE_SCORE),
        "they leave out much of what is real (coverage {value:.2f}; real samples score {real:.2f})",
    ),
    Check(
        "memorization",
        _memorizes,
        "{percent:.0f} % of them are memorised: closer to a training sample than 95 % of held-out samples",
    ),
)
CLASS_CHECKS = (
    Check("memorization", _memorizes, "{percent:.0f} % of its samples are memorised"),
    Check(
        "diversity",
        lambda entry: _number(entry) < MIN_DIVERSITY,
        "has collapsed: its samples differ {value:.2f} times as much as real ones",
    ),
)


def verdict(overall: Measures, per_class: Mapping[Any, Measures], counts: Mapping[Any, int]) -> list[str]:
    """Return in plain sentences what the numbers of a report say, the most important first.

    Parameters
    ----------
    overall, per_class, counts
        As in `ganaug.evaluation.quality.QualityReport`.
    """
    against = [words for check in CHECKS if (words := check.complaint(overall))]
    if against:
        lines = [f"{DO_NOT_USE}: {'; '.join(against)}."]
    elif "augmentation_gain" not in overall:
        lines = ["It looks real, and covers what is real."]
    else:
        lines = [f"{NOTHING_AGAINST}."]
    lines += _not_measurable(overall, per_class)
    lines += _membership(overall, per_class)
    most = max(counts.values())
    for label, measures in per_class.items():
        advice = _advice(measures, counts[label], most, recommend=not against)
        complaints = [words for check in CLASS_CHECKS if (words := check.complaint(measures))]
        if advice or complaints:
            lines.append(f"Class {label}: {'; '.join([*advice, *complaints])}.")
    return lines


def _membership(overall: Measures, per_class: Mapping[Any, Measures]) -> list[str]:
    """Return with whom to share samples that tell who was in the training set; nothing of others."""

    def tells(measures: Measures) -> bool:
        return _number(measures.get("membership_auc", make_entry()), "low") > MAX_MEMBERSHIP_AUC

    classes = [label for label, measures in per_class.items() if tells(measures)]
    if tells(overall):
        of_classes, auc = "", _number(overall["membership_auc"])
    elif classes:
        of_classes = f" of {', '.join(map(str, classes))}"
        auc = max(_number(per_class[label]["membership_auc"]) for label in classes)
    else:
        return []
    return [
        "Synthetic samples of this generator tell who was in the training set: share them only as you would"
        f" share the training data. Rows{of_classes} that it was trained on are closer to them than others"
        f" are (AUC {auc:.2f}; by chance 0.50)."
    ]


def _not_measurable(overall: Measures, per_class: Mapping[Any, Measures]) -> list[str]:
    """Return what the report can't say, and why."""
    unknown = [str(label) for label, m in per_class.items() if m["memorization"]["value"] is None]
    lines = []
    if unknown:
        which = "" if len(unknown) == len(per_class) else f" of {', '.join(unknown)}"
        lines.append(
            f"Whether it helps a classifier, and whether it memorised, was not measurable{which}: that takes"
            f" {MIN_HELD_OUT} rows of a class that it never saw."
        )
    if overall["memorization"]["real"] == 1:
        lines.append(
            "Whether it memorised can't be measured: held-out rows are as close to training rows as copies"
            " are."
        )
    return lines


def _advice(measures: Measures, count: int, most: int, *, recommend: bool) -> list[str]:
    """Return whether to add samples to a class, and how many; nothing if their gain may be chance."""
    gain = measures.get("augmentation_gain", make_entry())
    points = f"{100 * _number(gain):+.1f} points of recall"
    if _number(gain, "high") < 0:
        return [f"do not add to it ({points})"]
    if not (recommend and _number(gain, "low") > 0):
        return []
    times = (most - count) / count
    if times < MIN_ADDED:
        return [f"helps ({points})"]
    return [f"add {times:.1f}x, which makes it as large as the largest ({points})"]
