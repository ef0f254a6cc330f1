"""Measures of what synthetic rows are worth, the classifiers they need, and the report.

It may import `data` and `training`.
"""
