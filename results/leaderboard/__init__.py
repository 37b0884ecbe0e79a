"""The ranking of the methods that is shown to people: what is in it, its tables, and the files it is written to."""
