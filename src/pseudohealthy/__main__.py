"""`python -m pseudohealthy`, which is the program of that name."""

from pseudohealthy.cli.program import main

if __name__ == "__main__":
    main()
