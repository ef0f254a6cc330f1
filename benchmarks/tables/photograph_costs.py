"""What photographs cost, for docs/photographs.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import to_markdown


def photograph_costs_table(found: dict[str, Any]) -> str:
    """Return the results of `benchmarks.photograph_costs` as a Markdown table."""
    fit, memory, time = found["fit"], found["memory"], found["time"]
    sharp, crops = found["sharpness"], found["crops"]
    small, large = fit["at 32 pixels"], fit["at 224 pixels"]
    seconds = f"{large['seconds in all']:.0f} s by {small['seconds in all']:.0f} s"
    pixels = f"{memory['files']:,} files ({memory['MiB as pixels']:.0f} MiB as pixels)"
    milliseconds = f"{time['variation']:.1f} ms by {time['RandAugment of each image']:.1f} ms an image"
    measured = {
        f"`fit` of {fit['photographs']:,} photographs of 224 pixels, {fit['steps']} steps, by one of the"
        " same at 32 pixels": f"{fit['ratio']:.2f} ({seconds})",
        f"peak memory of `fit` over the start, {pixels}": f"{memory['MiB of peak over start']:.0f} MiB",
        f"time of a variation of 224 pixels, batches of {time['images']}, by that of"
        " RandAugment": f"{time['ratio']:.2f} ({milliseconds})",
        f"sharpness of variations by that of originals, {sharp['steps']} steps, 256 x 192, colour": _of(
            sharp["colour"]
        ),
        "the same, grey": _of(sharp["grey"]),
        "the same, colour, crops of 224 x 224": f"{crops['variations at 224 x 224']:.2f}",
        "the same, colour, crops of 512 x 384": f"{crops['variations at 512 x 384']:.2f}",
    }
    return to_markdown([{"what": what, "measured": value} for what, value in measured.items()])


def _of(sharpness: dict[str, float]) -> str:
    return f"{sharpness['variations']:.2f} (samples {sharpness['samples']:.2f})"
