"""Tables of docs that commands regenerate."""
