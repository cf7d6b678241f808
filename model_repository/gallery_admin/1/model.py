"""The model `gallery_admin`: changes and listings of the galleries."""

import os

import numpy as np

from toonface_contract.names import ADMIN_TOKEN_ENV, GALLERY_URL_ENV, TOKEN_HEADER
from toonface_gallery.admin import GalleryAdmin
from toonface_gallery.store import GalleryStore
from toonface_server import stage


class TritonPythonModel:
    """Triton's interface to a python model."""

    def initialize(self, args):
        """Open the store."""
        parameters = stage.start(args)
        self._store = GalleryStore(stage.environment(GALLERY_URL_ENV))
        self._admin = GalleryAdmin(
            self._store,
            embedder=parameters["embedder"],
            dimension=int(parameters["dimension"]),
            admin_token=os.environ.get(ADMIN_TOKEN_ENV) or None,
        )

    def execute(self, requests):
        """Answer each request, one after the other."""
        return [stage.response(stage.attempt(self._answer, request)) for request in requests]

    def finalize(self):
        """Close the store."""
        self._store.close()

    def _answer(self, request):
        token = stage.request_parameters(request).get(TOKEN_HEADER)
        result = self._admin.handle(
            stage.one_text(request, "command"),
            stage.tensor(request, "embeddings"),
            None if token is None else str(token),
        )
        return {"result": np.array([result], np.object_)}
