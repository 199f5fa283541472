"""What runs inside a build's sandbox: seen there read-only, never imported here."""
