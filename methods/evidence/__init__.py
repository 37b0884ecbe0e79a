"""What an artifact says as data, and the statistics of text that read it."""
