"""`python -m agent` is `ratchet-agent`."""

from agent.cli import main

main()
