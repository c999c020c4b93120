"""Table 1 and what stands around it: rows, cells, captions, charts, files."""
