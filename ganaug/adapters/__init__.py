"""What users plug in: transforms of torchvision and scikit-learn, a torch Dataset, an imbalanced-learn sampler.

It may import `data`, `io`, `training`, `model` and `selection`.
"""
