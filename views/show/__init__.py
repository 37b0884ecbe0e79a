"""Drawing pictures of an artifact: a page of HTML without scripts, and a PNG."""
