"""Customer stores behind fujie."""
