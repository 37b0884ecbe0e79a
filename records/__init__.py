"""What passes between rooms and into logs, declared once; whole-file writes; the progress protocol."""
