"""What users plug in: a torchvision transform, a torch Dataset and an imbalanced-learn sampler.

It may import `data`, `io`, `training`, `model` and `selection`.
"""
