"""The one training loop, its losses and penalties, and what watches over them.

It may import `data` and `networks`.
"""
