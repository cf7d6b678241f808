"""Draws the demo's gallery and pictures: `python -m toonface_training.demo --help`."""
