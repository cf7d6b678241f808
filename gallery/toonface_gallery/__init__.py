"""toonface gallery."""
