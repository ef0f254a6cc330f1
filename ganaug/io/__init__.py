"""Reading and writing data sets on disk: folders of images, HDF5 and npz files.

It may import `data`.
"""
