"""What users plug in: transforms for torchvision and scikit-learn, a torch Dataset, a sampler.

It may import `data`, `io`, `training`, `model` and `selection`.
"""
