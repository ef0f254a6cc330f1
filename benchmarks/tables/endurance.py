"""What became of killed runs, damaged files and a million images."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import to_markdown

OUTCOMES = {"error": "an error in words", "as before": "nothing wrong, and the content as before"}


def endurance_table(result: dict[str, Any]) -> str:
    """Return what became of killed runs, damaged files and a million images, as a Markdown table."""
    kills, training, damage = result["kills"], result["training"], result["damage"]
    outcomes = dict.fromkeys(OUTCOMES, 0) | damage["outcomes"]
    rows = {
        f"{kills['kills']} kills of `write_hdf5`, at random moments, in {kills['files']} runs, each"
        " resumed until it was through": "every file equal to the undisturbed one, to the bit",
        f"{training['kills']} kills of `fit`, in {training['trainings']} trainings": (
            "every model's digest equal to the uninterrupted one's"
        ),
        f"{damage['files']} damaged models and HDF5 files, of images and of tables, `.npz` files and"
        " folders of images: bits flipped, cut short, other content": "; ".join(
            f"{n}: {OUTCOMES.get(outcome, outcome)}" for outcome, n in outcomes.items()
        ),
        f"{result['million']['rows']:,} images of a generator that costs nothing": _cost(result["million"]),
        f"{result['real']['rows']:,} images of a GAN": _cost(result["real"]),
        **_hostile(result),
    }
    return to_markdown([{"test": test, "result": outcome} for test, outcome in rows.items()])


def _hostile(result: dict[str, Any]) -> dict[str, str]:
    """Return the rows of the parts that need not have been run."""
    rows = {}
    if "hostile" in result:
        part = result["hostile"]
        outcomes = "; ".join(f"{n}: {outcome}" for outcome, n in part["outcomes"].items())
        rows[f"{part['files']:,} files made to be misread, through every reader and a command each"] = (
            f"{outcomes}; {part['above_5_cpu_seconds']} took more than 5 s of CPU time,"
            f" {part['above_500_mib']} more than 500 MiB"
        )
    for key, words in (("signals", "kills by four signals"), ("power", "losses of power, simulated,")):
        if key in result:
            part = result[key]
            commands = ", ".join(f"`{name}`" for name in part["by_command"])
            rows[f"{part['interruptions']} {words} of {commands}"] = (
                f"all {part['results_equal']} results equal to undisturbed ones"
            )
    return rows


def _cost(part: dict[str, Any]) -> str:
    text = f"{part['seconds']:.0f} s, memory grows by {part['growth_mib']} MiB from the first 10,000 on"
    ratio = part.get("second_half_over_first")
    if ratio is not None:
        text += f"; the second half takes {ratio:.2f} of the first's time, the kernel's left out"
    return text
