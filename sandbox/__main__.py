"""`python -m sandbox COMMAND`: the program that the Makefile's targets run."""

import sys

from sandbox.cli import main

sys.exit(main(sys.argv[1:]))
