"""Results drawn into pictures."""

from toonface_client.draw.picture import draw_result

__all__ = ["draw_result"]
