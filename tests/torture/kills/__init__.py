"""The kill campaign: each command of the programs, killed at any moment and run again."""
