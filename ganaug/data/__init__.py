"""Rows and labels in the forms that users have them, and the codecs that encode them as tensors.

It may import no other wing.
"""
