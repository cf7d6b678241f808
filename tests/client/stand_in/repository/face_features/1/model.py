from stand_in_models import FaceFeatures as TritonPythonModel  # noqa: F401
