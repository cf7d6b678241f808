"""Data sets for the six models, in the layouts of PaddleX: made, checked, converted and split."""
