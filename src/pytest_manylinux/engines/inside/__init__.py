"""Programs that engines run inside sandboxes or in front of them."""
