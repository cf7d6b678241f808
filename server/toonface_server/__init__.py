"""toonface server."""
