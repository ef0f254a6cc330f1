"""What writing and training came through."""

from __future__ import annotations

from typing import Any


def endurance_table(result: dict[str, Any]) -> str:
    """Return what writing and training came through, as a Markdown table."""
    kills, training, damage = result["kills"], result["training"], result["damage"]
    outcomes = dict(damage["outcomes"])
    named = [("an error in words", "error"), ("nothing wrong, and the content as before", "as before")]
    told = [f"{outcomes.pop(key, 0)}: {words}" for words, key in named]
    told += [f"{n}: {words}" for words, n in outcomes.items()]
    rows = [
        (
            f"{kills['kills']} kills of `write_hdf5`, at random moments, in {kills['files']} runs, each"
            " resumed until it was through",
            "every file equal to the undisturbed one, to the bit",
        ),
        (
            f"{training['kills']} kills of `fit`, in {training['trainings']} trainings",
            "every model's digest equal to the uninterrupted one's",
        ),
        (
            f"{damage['files']} damaged models and HDF5 files, of images and of tables, `.npz` files and"
            " folders of images: bits flipped, cut short, other content",
            "; ".join(told),
        ),
    ]
    for key, words in (("million", "a sampler that costs nothing"), ("real", "a GAN")):
        part = result[key]
        drift = part.get("second_half_over_first")
        rows.append(
            (
                f"{part['rows']:,} rows of {words}",
                f"{part['seconds']:.0f} s, memory grows by {part['growth_mib']} MiB from the first 10,000 on"
                + (
                    ""
                    if drift is None
                    else f"; the second half takes {drift:.2f} of the first's time, the kernel's left out"
                ),
            )
        )
    return "\n".join(
        ["| what was done | what came of it |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    )
