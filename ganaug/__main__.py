"""``python -m ganaug``: the command line."""

from ganaug.cli import main

main(prog_name="ganaug")
