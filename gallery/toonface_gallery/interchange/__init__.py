"""Faces in files: what comes from elsewhere and goes elsewhere. Nothing here unpickles.

`portable` is what all formats are read into and written from; `numpy_file`, `parquet_file` and `paddlex_folder` know
one format each; `formats` chooses by the path.
"""
