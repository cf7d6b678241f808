"""toonface training."""
