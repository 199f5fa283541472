"""What runs inside a trial's sandbox."""
