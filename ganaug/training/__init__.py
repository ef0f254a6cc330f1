"""The training loop, its losses and penalties, and the monitor that detects instability.

It may import `data`, `networks` and `io`.
"""
