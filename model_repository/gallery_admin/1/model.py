"""The model `gallery_admin`: changes and listings of the galleries."""

import os
from pathlib import Path

import numpy as np

from toonface_contract.names import GALLERY_INDEX_ENV, GALLERY_URL_ENV
from toonface_gallery.access import access_from_environment
from toonface_gallery.admin import GalleryAdmin
from toonface_gallery.store import GalleryStore
from toonface_server import stage


class TritonPythonModel:
    """Triton's interface to a python model."""

    def initialize(self, args):
        """Open the store."""
        parameters = stage.start(args)
        self._store = GalleryStore(stage.environment(GALLERY_URL_ENV))
        folder = os.environ.get(GALLERY_INDEX_ENV)
        self._admin = GalleryAdmin(
            self._store,
            parameters["embedder"],
            int(parameters["dimension"]),
            access_from_environment(),
            saved_in=Path(folder) if folder else None,
        )

    def execute(self, requests):
        """Answer each request, one after the other."""
        return [stage.response(stage.attempt(self._answer, request)) for request in requests]

    def finalize(self):
        """Close the store."""
        self._store.close()

    def _answer(self, request):
        answered = self._admin.handle(
            stage.one_text(request, "command"), stage.tensor(request, "embeddings"), stage.token(request)
        )
        return {
            "result": np.array([answered.result], np.object_),
            "face_embeddings": answered.face_embeddings,
        }
