"""The main job on MNIST, class by class."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import to_markdown


def main_job_table(result: dict[str, Any]) -> str:
    """Return the figures of the main job on MNIST, class by class."""
    text = (
        f"Fit in {result['fit_seconds']:.0f} s, fit and oversample in"
        f" {result['fit_and_balance_seconds']:.0f} s on two CPU cores. Trained on synthetic images only,"
        f" a small classifier reaches {100 * result['synthetic_only']:.2f} on the test images, trained on"
        f" the real ones {100 * result['real_only']:.2f}. A report of 10,000 images and as many synthetic"
        f" ones takes {result['report_seconds']:.0f} s. It says about this generator:"
        f" *{result['verdict']}* About one that was trained for 20 steps:"
        f" *{result['verdict_after_20_steps']}*"
    )
    rows = [
        {"digit": name, **{str(c): f"{value:.2f}" for c, value in enumerate(result[key])}}
        for name, key in (("diversity", "diversity"), ("label fidelity", "label_fidelity"))
    ]
    return f"{text}\n\n{to_markdown(rows)}"
