"""What is kept on disk: locks, atomic files, integrity, staging, values by key."""
