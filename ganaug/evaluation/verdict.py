"""quality_report: how real, varied, new and useful synthetic rows are, class by class."""

from __future__ import annotations

from typing import Any

from ganaug.evaluation.comparison import LEAST_HELD, Entry

# Where a set counts as bad: below a part of what real rows score, or above a share of copies.
LEAST_PART, MOST_COPIES = 0.5, 0.5


def verdict(
    overall: dict[str, Entry], found: dict[Any, dict[str, Entry]], counts: dict[Any, int]
) -> list[str]:
    """Return in plain words what the numbers say, the most important first."""
    against = []
    gain, tstr = overall.get("augmentation_gain"), overall.get("tstr")
    if gain is not None and gain["high"] is not None and gain["high"] < 0:
        against.append(
            f"a classifier loses {-100 * _value(gain):.1f} points of balanced accuracy where they are added"
        )
    if tstr is not None and _value(tstr) < 0.8 * _value(tstr, "real"):
        against.append(
            f"a classifier trained on them alone reaches {100 * _value(tstr):.0f} % on real rows, one trained"
            f" on real ones {100 * _value(tstr, 'floor'):.0f} %"
        )
    for name, words in (
        ("precision", "they don't look real"),
        ("coverage", "they leave out much of what is real"),
    ):
        entry = overall[name]
        if entry["real"] is not None and _value(entry) < LEAST_PART * _value(entry, "real"):
            against.append(
                f"{words} ({name} {_value(entry):.2f}, real rows score {_value(entry, 'floor'):.2f})"
            )
    if _copies(overall["memorization"]) > MOST_COPIES:
        against.append(f"{100 * _value(overall['memorised']):.0f} % of them are copies of training rows")
    if against:
        lines = [f"Do not use it: {'; '.join(against)}."]
    elif gain is None:
        lines = ["It looks real, and covers what is real."]
    else:
        lines = ["Nothing speaks against using it."]
    blind = [str(label) for label, measures in found.items() if measures["memorization"]["value"] is None]
    if blind:
        which = "" if len(blind) == len(found) else f" of {', '.join(blind)}"
        lines.append(
            f"Whether it helps a classifier, and whether it copies, was not measurable{which}: that takes"
            f" {LEAST_HELD} rows of a class that it never saw."
        )
    if overall["memorization"]["real"] == 1:
        lines.append(
            "Whether it copies can't be told: held-out rows are as near to training rows as copies are."
        )
    most = max(counts.values())
    for label, measures in found.items():
        useful, copied = measures.get("augmentation_gain"), measures["memorization"]
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
    by_chance = _value(memorised, "real")
    return (_value(memorised) - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0
