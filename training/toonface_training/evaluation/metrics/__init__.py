"""Figures as pure functions on arrays. Knows nothing of models, files and datasets."""
