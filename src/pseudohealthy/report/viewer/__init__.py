"""One subject's page, which works offline."""
