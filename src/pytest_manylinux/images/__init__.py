"""Where root filesystems come from, and the store that keeps them."""
