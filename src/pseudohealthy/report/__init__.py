"""Pictures and tables from plain results."""
