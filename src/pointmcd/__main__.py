"""`python -m pointmcd`: the command line, as `accelerate launch -m pointmcd` starts it."""

from pointmcd.cli import main

main()
