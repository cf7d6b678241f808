from stand_in_models import FaceRecognition as TritonPythonModel  # noqa: F401
