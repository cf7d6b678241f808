"""Names and fixed sizes that the server's stages and its clients share."""

from __future__ import annotations

from typing import Final

# Models, one folder each in the model repository.
PREPROCESS: Final = "preprocess"
FACE_DETECTION: Final = "face_detection"
CROP_ALIGN: Final = "crop_align"
FACE_EMBEDDING: Final = "face_embedding"
GALLERY_SEARCH: Final = "gallery_search"
GALLERY_ADMIN: Final = "gallery_admin"
FACE_RECOGNITION: Final = "face_recognition"
FACE_FEATURES: Final = "face_features"

# The models that clients call. Everything else is reached through them.
ENTRY_MODELS: Final = (FACE_RECOGNITION, FACE_FEATURES, GALLERY_ADMIN)

DEFAULT_GALLERY: Final = "default"
UNKNOWN_LABEL: Final = "Unknown"

# Side, in pixels, of the square crop that both embedders take (PaddleX's inference.yml: ResizeImage size 112x112).
FACE_SIZE: Final = 112

# Limits on one encoded picture, checked before it is decoded.
MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 64_000_000
MIN_IMAGE_SIDE: Final = 2

# Parameter of a network's configuration: an option of requests, `name=value`, with which nobody looks at the answer.
# The python-based backends then answer zeros instead of computing; the native ones do not know it, and compute.
UNASKED_PARAMETER: Final = "TOONFACE_UNASKED"

# Environment of the server's stages, set by `toonface serve` (or by whoever starts tritonserver).
GALLERY_URL_ENV: Final = "TOONFACE_GALLERY_URL"
GALLERY_INDEX_ENV: Final = "TOONFACE_GALLERY_INDEX"  # a folder for saved indices; optional
ADMIN_TOKEN_ENV: Final = "TOONFACE_ADMIN_TOKEN"  # noqa: S105  (the variable's name, not a token)
ACCESS_FILE_ENV: Final = "TOONFACE_ACCESS_FILE"

# Environment of clients: a token for reading and searching galleries that are not open to everybody.
TOKEN_ENV: Final = "TOONFACE_TOKEN"  # noqa: S105  (the variable's name, not a token)

# Part of the names of galleries that are made aside, to take the place of others when they are complete. Where access
# is restricted, only the admin token reads them.
STAGING_MARK: Final = ".staging-"

# Header that carries `Bearer <token>`; Triton hands it to python stages as a request parameter of the same name.
TOKEN_HEADER: Final = "authorization"  # noqa: S105  (the header's name, not a token)
