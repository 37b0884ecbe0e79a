"""The method ``activation_norms``: norms of activation differences."""
