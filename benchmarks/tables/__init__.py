"""Tables and plots of the committed results, a file for each.

``python -m benchmarks.tables`` writes them all.
"""
