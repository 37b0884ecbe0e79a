"""What an investigator may call: model queries, artifact readers, the hypothesis board, and the case they share."""
