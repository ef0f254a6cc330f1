"""What goes to disk and comes from it: folders of images, HDF5 and npz files.

It may import `data`.
"""
