"""The stages of the server as Triton models. `toonface export` copies them from here, as package data."""
