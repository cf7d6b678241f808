"""Starts NVIDIA's tritonserver over an exported repository, keeps it healthy, and drains it."""
