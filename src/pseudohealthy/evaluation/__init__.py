"""One measure a file; they know arrays and tables, not networks."""
