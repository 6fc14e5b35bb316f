"""Lets ``python -m rushlight`` be the ``rushlight`` command; imports only ``cli.main``."""

from rushlight.cli.main import main

main()
