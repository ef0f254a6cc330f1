"""`ConditionalGAN`: fitting, sampling, varying, saving and loading.

It may import `data`, `networks`, `io` and `training`.
"""
