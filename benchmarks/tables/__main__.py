"""Write the tables of benchmarks/README.md and docs/results.md, and the plots, from the committed JSON.

python -m benchmarks.tables
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from benchmarks.gain import RESULTS
from benchmarks.tables.against import against_table
from benchmarks.tables.bad_generators import bad_generators_table
from benchmarks.tables.collapse import collapse_table
from benchmarks.tables.collection import collection_tables, novelty_table
from benchmarks.tables.endurance import endurance_table
from benchmarks.tables.gain import gain_tables
from benchmarks.tables.generators import generator_table
from benchmarks.tables.imbalanced import imbalanced_tables, tables_summary
from benchmarks.tables.main_job import main_job_table
from benchmarks.tables.photograph_costs import photograph_costs_table
from benchmarks.tables.photographs import photographs_summary, photographs_table
from benchmarks.tables.plot import plot
from benchmarks.tables.recommended import recommended_table
from benchmarks.tables.restoration import restoration_tables
from benchmarks.tables.scale import computed_table, scale_tables
from benchmarks.tables.segmentation import segmentation_table
from benchmarks.tables.series import series_table
from benchmarks.tables.shared import ROOT, insert
from benchmarks.tables.smallest import smallest_table
from benchmarks.tables.summary import summary_table

# Data sets that were run for the recommendation only: they are in no other table.
ONLY_RECOMMENDED = re.compile(r"^(digits|mnist)-to-\d+$|^digits-full$")
# Tables of one file of results each.
SINGLE: dict[str, Callable[[Any], str]] = {
    "endurance": endurance_table,
    "bad generators": bad_generators_table,
    "collapse": collapse_table,
    "main job": main_job_table,
    "restoration": restoration_tables,
    "segmentation": segmentation_table,
}


def read(kind: str) -> dict[str, dict[str, Any]]:
    """Return the results of a kind by data set; those of quick runs as NAME-quick."""
    paths = sorted(RESULTS.glob(f"{kind}-*.json"))
    return {path.stem.split("-", 1)[1]: json.loads(path.read_text()) for path in paths}


def main() -> None:
    """Write everything."""
    gains, generators, photographs = read("gain"), read("generators"), read("photographs")
    page = ROOT / "benchmarks" / "README.md"
    insert(page, "recommended", recommended_table(gains))
    gains = {name: result for name, result in gains.items() if not ONLY_RECOMMENDED.search(name)}
    full = {name: result for name, result in gains.items() if not name.endswith("-quick")}
    by_data_set = {
        "gain": gain_tables(gains),
        "smallest": {name: smallest_table(result) for name, result in full.items() if result["counts"]},
        "generators": {name: generator_table(result) for name, result in generators.items()},
        "photographs": {name: photographs_table(result) for name, result in photographs.items()},
    }
    for name, tables in by_data_set.items():
        insert(page, name, "\n\n".join(f"### {data}\n\n{table}" for data, table in tables.items()))
    runs = json.loads((RESULTS / "tables.json").read_text())["runs"]
    insert(page, "imbalanced tables", imbalanced_tables(runs))
    insert(ROOT / "docs" / "results.md", "tables summary", tables_summary(runs))
    runs = json.loads((RESULTS / "collection.json").read_text())["runs"]
    insert(page, "collection", collection_tables(runs))
    novelty = json.loads((RESULTS / "novelty.json").read_text())
    insert(ROOT / "docs" / "lab" / "tables.md", "novelty", novelty_table(novelty))
    earlier = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("against*.json"))]
    insert(page, "against", "\n\n".join(map(against_table, earlier)))
    for name, table in SINGLE.items():
        insert(page, name, table(json.loads((RESULTS / f"{name.replace(' ', '_')}.json").read_text())))
    series = series_table(json.loads((RESULTS / "series.json").read_text()))
    for place in (page, ROOT / "docs" / "howto" / "series.md"):
        insert(place, "series", series)
    tails = {name: photographs[name] for name in ("trashnet", "cifar10")}
    insert(ROOT / "docs" / "results.md", "photographs summary", photographs_summary(tails))
    costs = json.loads((RESULTS / "photograph_costs.json").read_text())
    insert(ROOT / "docs" / "photographs.md", "photograph costs", photograph_costs_table(costs))
    scale, scale_page = json.loads((RESULTS / "scale.json").read_text()), ROOT / "docs" / "scale.md"
    insert(scale_page, "scale", scale_tables(scale))
    insert(scale_page, "computed", computed_table(scale))
    insert(ROOT / "docs" / "results.md", "summary", summary_table(full))
    # Not pairs of classes: two sizes are no curve.
    long_tailed = {name: result for name, result in full.items() if len(result["counts"] or ()) > 2}
    plot(long_tailed, ROOT / "benchmarks" / "recall.png")
    plot(long_tailed, ROOT / "docs" / "recall.png", short=True)


if __name__ == "__main__":
    main()
