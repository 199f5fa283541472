"""The engines docker and podman."""
