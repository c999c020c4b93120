"""Tables 2-4 of the paper: networks that know no loss and no file."""
