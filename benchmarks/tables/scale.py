"""What several processes gain, and data that stay on disk, for docs/scale.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import to_markdown

TRAINING = {
    "milliseconds of a step": "ms a step, one process",
    "with two processes": "two",
    "times as fast": "times as fast",
    "with two, twice the batch": "two, twice the batch",
    "times the samples a second": "times the samples a second",
    "calls a step": "calls a step",
    "MB a step": "MB a step",
}


# Of a cluster, assumed and not measured: seconds of a call, and bytes a second between two processes.
LATENCY, BANDWIDTH = 1e-4, 1e9
BATCH = 64  # no process may have less than one sample of it
COMPUTED_FOR = (1, 2, 8, 64, 1000)


def scale_tables(found: dict[str, Any]) -> str:
    """Return the results of `benchmarks.scale` as Markdown tables."""
    training = [
        {
            "training": size,
            **{header: f"{entry[name]:g}" for name, header in TRAINING.items()},
            "one process with two threads, times as fast": f"{found['threads'][size]['times as fast']:g}",
        }
        for size, entry in found["train"].items()
    ]
    write, kills, disk = found["write"], found["kills"], found["disk"]
    on_disk, in_memory = disk["disk"], disk["memory"]
    folder, gate = found["folder"], found["gate"]
    whole = " by ".join(f"{folder[where]['seconds in all']:.0f} s" for where in ("folder", "memory"))
    milliseconds = f"{1e3 * on_disk['seconds']:.0f} ms by {1e3 * in_memory['seconds']:.0f} ms"
    steps = f"{disk['ratio of a step']:.2f} ({milliseconds})"
    measured = {
        f"{write['images']:,} grey images of 28 pixels written by one process": f"{write['seconds']:.0f} s",
        "by two, of equal samples": f"{write['with two processes']:.0f} s, {write['times as fast']:.2f} times"
        " as fast",
        f"{kills['kills']} kills of a process that writes its shard": "all"
        f" {kills['data sets that were equal']} data sets were equal to that of one process",
        f"a step on {disk['images']:,} images of 32 x 32 x 3 on disk, by one in memory": steps,
        "memory that training adds, on disk": f"{on_disk['MiB that are no part of the file']:.0f} MiB, and"
        f" {on_disk['peak MiB']:.0f} MiB with pages of the file that the system has read",
        "the same in memory": f"{in_memory['MiB that are no part of the file']:.0f} MiB",
        f"a step on {folder['files']:,} JPEG files of 32 pixels in a folder, by one in memory": ""
        f"{folder['ratio of a step']:.2f}",
        f"{folder['steps']} steps on {folder['files']:,} JPEG files of 32 pixels, read first, by the"
        " same without reading": f"{folder['ratio of all']:.2f} ({whole})",
        **{
            f"`recommend_counts` on breast cancer, {folds} by two jobs": f"{jobs['times as fast']:.2f} times"
            f" as fast, {'the same' if jobs['same answer'] else 'another'} answer"
            for folds, jobs in found["recommend"].items()
        },
        "`QualityGate.fit` on 1,000 grey images of 28 pixels, three classifiers by two jobs": "the same, "
        f"{gate['times as fast']:.2f} times as fast",
    }
    rest = to_markdown([{"what": what, "measured": value} for what, value in measured.items()])
    return f"{to_markdown(training)}\n\n{rest}"


def computed_table(found: dict[str, Any]) -> str:
    """Return what follows from the results of `benchmarks.scale` for more processes, as Markdown."""
    step = found["train"]["64 pixels, colour"]
    hours = found["write"]["seconds"] / found["write"]["images"] * 1e9 / 3600
    rows = []
    for n in COMPUTED_FOR:
        told = 0.0
        if n > 1:
            sent = 2 * (n - 1) / n * 1e6 * step["MB a step"] / BANDWIDTH
            told = 1e3 * (step["calls a step"] * LATENCY + sent)
        alone = step["milliseconds of a step"]
        rows.append(
            {
                "processes": f"{n:,}",
                "ms a step, 64 pixels": f"{alone / n + told:.0f}" if n <= BATCH else "-",
                "times as fast": f"{alone / (alone / n + told):.1f}" if n <= BATCH else "-",
                "hours for 1,000 million images of 28 pixels": f"{hours / n:,.1f}",
            }
        )
    return to_markdown(rows)
