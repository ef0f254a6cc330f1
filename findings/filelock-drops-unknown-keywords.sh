#!/usr/bin/env bash
# filelock up to 3.29 takes keywords that it does not know, and drops them without a word.
#
# `fallback_to_soft=False`, which newer versions have, asks that no lock be taken where the file system has none
# of its own. Versions 3.24 to 3.29 accept it, and still put a file in the lock's place there, which stays when
# its process is killed. A misspelt `timeout` is accepted as well, and then the lock is waited for without end.
# A program that runs with several versions can't tell from a TypeError what is supported.
#
# Seen with filelock 3.29.0: the metaclass of `FileLock` passes on only what `__init__` names. From 3.30.0 on
# such a keyword is a TypeError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q filelock==3.29.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import filelock

print("filelock", filelock.__version__)
lock = filelock.FileLock("a.lock", fallback_to_soft=False, timeout_in_seconds=1)
print("accepted; timeout:", lock.timeout)
assert lock.timeout == -1, "what it does not know has an effect now"
with lock:
    print("taken:", lock.is_locked)
PY
