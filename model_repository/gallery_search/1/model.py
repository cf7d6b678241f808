"""The stage `gallery_search`: embeddings to the names of the nearest faces in a gallery."""

import json
import os
from pathlib import Path

from toonface_contract.errors import ToonfaceError
from toonface_contract.names import GALLERY_INDEX_ENV, GALLERY_URL_ENV
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.matching import Probes, identify
from toonface_gallery.access import access_from_environment
from toonface_gallery.live import LiveGalleries
from toonface_gallery.metrics import FAMILIES, GalleryMetrics
from toonface_gallery.store import GalleryStore
from toonface_server import stage
from toonface_server.stage_metrics import Publisher


class TritonPythonModel:
    """Triton's interface to a python model.

    One instance serves, so that the server holds each index once: it searches for all the requests of a batch together.
    """

    def initialize(self, args):
        """Load the galleries, and follow their store from then on."""
        parameters = stage.start(args)
        self._defaults = RecognitionOptions(**json.loads(parameters["options"]))
        self._store = GalleryStore(stage.environment(GALLERY_URL_ENV))
        folder = os.environ.get(GALLERY_INDEX_ENV)
        self._galleries = LiveGalleries(
            self._store,
            parameters["embedder"],
            int(parameters["dimension"]),
            folder=Path(folder) if folder else None,
        )
        self._galleries.start()
        self._access = access_from_environment()
        self._metrics = GalleryMetrics(self._galleries)
        self._publisher = Publisher(FAMILIES, self._metrics.samples)

    def execute(self, requests):
        """Answer each request, with one search for all requests to the same gallery."""
        probes = [stage.attempt(self._probes, request) for request in requests]
        answers = identify(probes, self._search)
        for asked, answer in zip(probes, answers, strict=True):
            if not isinstance(answer, ToonfaceError):
                self._metrics.answered(asked.options.gallery, answer["label"])
        return [stage.response(answer) for answer in answers]

    def finalize(self):
        """Stop following the store."""
        self._publisher.close()
        self._galleries.stop()
        self._store.close()

    def _probes(self, request):
        options = stage.request_options(request, self._defaults)
        self._access.check_read(options.gallery, stage.token(request))
        real = stage.tensor(request, "real")[:, 0]
        return Probes(stage.tensor(request, "embedding")[real], options)

    def _search(self, gallery, embeddings, topk, group):
        with self._metrics.timing(gallery):
            return stage.attempt(self._galleries.search, gallery, embeddings, topk, group)
