"""Measures of what synthetic samples are worth, the classifiers these need, and the report.

It may import `data`, `io` and `training`.
"""
