"""`python -m orchestrator` is the command `podium`."""

from orchestrator.cli.app import main

main()
