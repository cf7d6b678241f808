"""What the stand-in's three models compute. They speak the wire contract; faces and names are made up from the picture.

The picture's top left pixel says what is in it: its red value is the number of faces, its green value the number of
columns of padding (id -1) in the ranked matches. Behaviour is asked for in headers, which Triton hands on as
parameters:

- ``x-sleep-ms``: answer after so many milliseconds.
- ``x-fail``: ``<key>/<times>/<code>``: the first ``times`` requests with this key fail with this wire code; ``crash``
  raises an uncaught exception, ``die`` kills the stage's process.
"""

import io
import json
import os
import time
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import triton_python_backend_utils as pb
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import TypeAdapter, ValidationError

from toonface_contract import admin, errors, names
from toonface_contract.options import RecognitionOptions

DIMENSION = 4
STATUSES = {
    errors.NotFound: "NOT_FOUND",
    errors.AlreadyExists: "ALREADY_EXISTS",
    errors.Unavailable: "UNAVAILABLE",
    errors.InvalidRequest: "INVALID_ARG",
    errors.PermissionDenied: "INVALID_ARG",
}
PEOPLE = ("Ada", "Grace", "Noor")


class Stage:
    """Answers each request by `answer(request, parameters)`, and turns toonface errors into Triton's."""

    def initialize(self, args):
        self.failures = Counter()

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        parameters = json.loads(request.parameters() or "{}")
        try:
            self.misbehave(parameters)
            return pb.InferenceResponse(self.answer(request, parameters))
        except errors.ToonfaceError as error:
            status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), "INTERNAL")
            return pb.InferenceResponse(error=pb.TritonError(error.to_wire(), getattr(pb.TritonError, status)))

    def misbehave(self, parameters):
        time.sleep(int(parameters.get("x-sleep-ms", 0)) / 1000)
        if "x-fail" not in parameters:
            return
        key, times, code = parameters["x-fail"].split("/")
        self.failures[key] += 1
        if self.failures[key] > int(times):
            return
        if code == "crash":
            raise ValueError("the stage has a bug")
        if code == "die":
            os._exit(1)
        raise errors.WIRE_CODES[code](f"failure {self.failures[key]} of {times}", code=code)


def decoded(request):
    data = pb.get_input_tensor_by_name(request, "image").as_numpy()[0]
    try:
        return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except UnidentifiedImageError:
        raise errors.InvalidImage("the bytes are no picture", code="image_format_unsupported") from None


def detections(image, options):
    """Boxes in a row, 10 pixels wide, with falling scores; one of the whole picture when `crop` asks for that."""
    if options.crop == "whole":
        return np.array([[0, 0, *image.size]], np.float32), np.ones(1, np.float32), 1
    found = image.getpixel((0, 0))[0]
    kept = min(found, options.max_faces)
    left = np.arange(kept, dtype=np.float32) * 12
    boxes = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1).reshape(kept, 4)
    return boxes, np.linspace(0.9, 0.7, kept, dtype=np.float32), found


def face_tensors(image, boxes, scores, found):
    return [
        pb.Tensor("face_boxes", boxes),
        pb.Tensor("face_scores", scores),
        pb.Tensor("faces_found", np.array([found], np.int32)),
        pb.Tensor("image_size", np.array([image.height, image.width], np.int32)),
    ]


class FaceRecognition(Stage):
    def answer(self, request, parameters):
        options = RecognitionOptions().with_parameters(parameters)
        if options.gallery == "missing":
            raise errors.NotFound("there is no gallery 'missing'", code="gallery_not_found")
        image = decoded(request)
        boxes, scores, found = detections(image, options)
        columns = 0 if options.gallery == "empty" else min(options.topk, len(PEOPLE))
        padding = image.getpixel((0, 0))[1] if columns else 0
        shape = (len(boxes), columns + padding)
        labels, ids, similarities = np.full(shape, b"", object), np.full(shape, -1), np.zeros(shape, np.float32)
        for row in range(len(boxes)):
            for column in range(columns):
                person = (row + column) % len(PEOPLE)
                labels[row, column] = PEOPLE[person].encode()
                ids[row, column] = person + 1
                similarities[row, column] = 0.8 - 0.3 * row - 0.1 * column
        decisions = np.full((len(boxes), 1), names.UNKNOWN_LABEL.encode(), object)
        if columns:
            named = similarities[:, 0] >= options.rec_threshold
            decisions[named] = labels[named, :1]
        return [
            *face_tensors(image, boxes, scores, found),
            pb.Tensor("label", decisions),
            pb.Tensor("labels", labels),
            pb.Tensor("scores", similarities),
            pb.Tensor("ids", ids.astype(np.int64)),
        ]


class FaceFeatures(Stage):
    def answer(self, request, parameters):
        options = RecognitionOptions().with_parameters(parameters)
        image = decoded(request)
        boxes, scores, found = detections(image, options)
        embeddings = np.zeros((max(len(boxes), 1), DIMENSION), np.float32)
        embeddings[:, 0] = 1
        return [*face_tensors(image, boxes, scores, found), pb.Tensor("embedding", embeddings)]


class GalleryAdmin(Stage):
    """Galleries in memory. The token is `secret`."""

    def initialize(self, args):
        super().initialize(args)
        self.galleries = {}
        self.sequence = 0
        self.last_id = 0

    def answer(self, request, parameters):
        text = pb.get_input_tensor_by_name(request, "command").as_numpy()[0]
        try:
            command = TypeAdapter(admin.Command).validate_json(text)
        except ValidationError as error:
            raise errors.InvalidRequest(str(error.errors()[0]["msg"]), code="invalid_command") from None
        open_to_all = isinstance(command, admin.READ_ONLY) and not getattr(command, "embeddings", False)
        if not open_to_all and parameters.get(names.TOKEN_HEADER) != "Bearer secret":
            raise errors.PermissionDenied("this command needs the admin token")
        tensor = pb.get_input_tensor_by_name(request, "embeddings")
        rows = 0 if tensor is None else len(tensor.as_numpy())
        if rows != len(getattr(command, "faces", ())):
            raise errors.InvalidRequest(f"{rows} embeddings do not fit the faces", code="invalid_embedding")
        result = getattr(self, command.op)(command)
        return [pb.Tensor("result", np.array([result.model_dump_json().encode()], object))]

    def faces_of(self, name):
        if name not in self.galleries:
            raise errors.NotFound(f"there is no gallery {name!r}", code="gallery_not_found")
        return self.galleries[name]

    def enrol(self, name, faces):
        first = self.last_id + 1
        for face in faces:
            self.last_id += 1
            self.galleries[name][self.last_id] = admin.FaceInfo(
                id=self.last_id, label=face.label, source=face.source, created=datetime.now(UTC)
            )
        return self.changed(range(first, self.last_id + 1))

    def changed(self, ids):
        self.sequence += 1
        return admin.Change(ids=list(ids), sequence=self.sequence)

    def build(self, command):
        if command.gallery in self.galleries and not command.replace:
            raise errors.AlreadyExists(f"gallery {command.gallery!r} exists", code="gallery_exists")
        self.galleries[command.gallery] = {}
        return self.enrol(command.gallery, command.faces)

    def add(self, command):
        self.faces_of(command.gallery)
        return self.enrol(command.gallery, command.faces)

    def remove(self, command):
        faces = self.faces_of(command.gallery)
        gone = [face.id for face in faces.values() if face.id in command.ids or face.label in command.labels]
        if not gone:
            raise errors.NotFound("no such face")
        for face in gone:
            del faces[face]
        return self.changed(gone)

    def drop(self, command):
        gone = list(self.faces_of(command.gallery))
        del self.galleries[command.gallery]
        return self.changed(gone)

    def rename(self, command):
        """As an older server, which does not know `unchanged_since`."""
        if command.unchanged_since is not None:
            raise errors.InvalidRequest(
                "rename.unchanged_since: Extra inputs are not permitted", code="invalid_command"
            )
        self.faces_of(command.gallery)
        if command.to in self.galleries and not command.replace:
            raise errors.AlreadyExists(f"gallery {command.to!r} exists", code="gallery_exists")
        self.galleries[command.to] = self.galleries.pop(command.gallery)
        return self.changed([])

    def list_galleries(self, command):
        return admin.Galleries(
            galleries=[
                admin.GalleryInfo(
                    name=name,
                    faces=len(faces),
                    labels=len({face.label for face in faces.values()}),
                    dimension=DIMENSION,
                    embedder="stand-in",
                    created=datetime.now(UTC),
                )
                for name, faces in sorted(self.galleries.items())
            ]
        )

    def list_faces(self, command):
        faces = [
            face
            for face in self.faces_of(command.gallery).values()
            if face.id > command.after_id and command.label in (None, face.label)
        ]
        page = faces[: command.limit]
        return admin.Faces(faces=page, next_after_id=page[-1].id if len(faces) > len(page) else None)
