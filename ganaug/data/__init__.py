"""Samples and labels in the containers that users have them in, and the codecs that encode them as tensors.

It may import no other wing.
"""
