"""Tables and the plot of the committed results, one file for each.

``python -m benchmarks.tables`` writes them all.
"""
