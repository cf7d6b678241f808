from stand_in_models import GalleryAdmin as TritonPythonModel  # noqa: F401
