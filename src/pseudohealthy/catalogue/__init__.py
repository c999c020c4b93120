"""What there is, as tables that need no torch: methods, measures, the rows of Table 1."""
