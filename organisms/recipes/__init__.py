"""Training recipes: the grammars that write training data, and the training itself."""
