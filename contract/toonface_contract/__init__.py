"""The wire contract of toonface: what servers and clients agree on, and nothing else. Imports no Triton, no numpy."""
