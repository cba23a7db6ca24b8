"""`python -m flows` is `ratchet`."""

from flows.cli import main

main()
