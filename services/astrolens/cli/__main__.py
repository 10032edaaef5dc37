"""`python -m astrolens.cli`: what the supervisor and containers run."""

from astrolens.cli.app import main

main()
