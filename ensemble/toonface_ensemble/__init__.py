"""toonface ensemble."""
