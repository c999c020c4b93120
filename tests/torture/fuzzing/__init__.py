"""Damaged, odd and hostile inputs for everything that the program reads, and what must hold of each."""
