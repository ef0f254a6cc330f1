"""Which synthetic samples to keep, and how many to add: the quality gate and the recommendation.

It may import `data`, `training`, `model` and `evaluation`.
"""
