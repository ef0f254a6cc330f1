"""The main job on MNIST, class by class."""

from __future__ import annotations

from typing import Any


def main_job_table(result: dict[str, Any]) -> str:
    """Return the figures of the main job on MNIST, class by class."""
    classes = "| digit | " + " | ".join(map(str, range(10))) + " |"
    rows = [
        "| " + " | ".join([name, *(format(value, ".2f") for value in result[key])]) + " |"
        for name, key in (("diversity", "diversity"), ("judge agrees", "agreement"))
    ]
    return "\n".join(
        [
            f"Fit in {result['fit_seconds']:.0f} s, fit and balance in"
            f" {result['fit_and_balance_seconds']:.0f} s on two CPU cores. Trained on synthetic images alone,"
            f" a small classifier reaches {100 * result['only']:.2f} on the test images, on the real ones"
            f" {100 * result['real_only']:.2f}. A report of 10,000 images and as many synthetic ones takes"
            f" {result['report_seconds']:.0f} s. It says of this generator: *{result['verdict']}* Of one"
            f" that was trained for 20 steps: *{result['verdict_after_20_steps']}*",
            "",
            classes,
            "|---" * 11 + "|",
            *rows,
        ]
    )
