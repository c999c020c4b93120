"""The folder layouts in which cohorts arrive."""
