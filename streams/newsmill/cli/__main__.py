"""``python -m newsmill.cli``."""

from newsmill.cli import main

main()
