"""toonface export."""
