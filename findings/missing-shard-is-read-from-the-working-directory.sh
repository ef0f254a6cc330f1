#!/usr/bin/env bash
# A virtual data set of HDF5 whose source is missing reads a file of that name in the working directory, without a word.
#
# A virtual data set joins files, such as shards that several processes wrote, by their names. HDF5 looks for a
# relative name beside the file that joins them. That a missing one reads as the fill value, zeros, is documented.
# But before that, HDF5 looks for the name in the working directory of the process. Shards of different data sets often
# have the same names, as in data-00000-of-00002.h5. So whoever reads folder A's data set, one of whose shards is
# gone, from within folder B gets B's samples in A's place; and from elsewhere zeros. Labels and images may so come
# from different data sets. Neither raises, nor warns. Look at `virtual_sources()` and whether each file exists
# beside the one that names it, before a value is read.
#
# Seen with h5py 3.16.0, which holds libhdf5 2.0.0, and with h5py 3.12.1 and libhdf5 1.14.4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for pair in "3.16.0 2.4.6" "3.12.1 2.1.3"; do
  read -r h5py numpy <<< "$pair"
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install -q h5py=="$h5py" numpy=="$numpy"
  (cd "$folder" && rm -rf A B && mkdir A B && "$folder/venv/bin/python" - <<'PY'
import os
from pathlib import Path

import h5py
import numpy as np

print("h5py", h5py.__version__, "libhdf5", h5py.version.hdf5_version)
for folder, value in (("A", 1), ("B", 2)):
    with h5py.File(f"{folder}/data-00000-of-00001.h5", "w") as file:
        file["images"] = np.full(3, value)
layout = h5py.VirtualLayout((3,), int)
layout[:] = h5py.VirtualSource("data-00000-of-00001.h5", "images", (3,), int)
with h5py.File("A/data.h5", "w") as file:
    file.create_virtual_dataset("images", layout)
whole = Path("A/data.h5").resolve()


def read(working_directory):
    os.chdir(working_directory)
    with h5py.File(whole) as file:
        return file["images"][:].tolist()


top = Path.cwd()
found = {"all there, read from B": read(top / "B")}
(top / "A" / "data-00000-of-00001.h5").unlink()
found |= {"A's shard gone, read from B": read(top / "B"), "the same, read from elsewhere": read(top)}
for what, values in found.items():
    print(f"{what}: {values}")
assert list(found.values()) == [[1, 1, 1], [2, 2, 2], [0, 0, 0]], "HDF5 has changed"
PY
  )
done
