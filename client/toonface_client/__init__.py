"""toonface client."""
