"""What happens to a picture after it was drawn: light, lens, sensor, printing and JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from toonface_training.cartoon.placing import Pixels


def photograph(pixels: Pixels, lots: np.random.Generator, severity: float = 1.0) -> Pixels:
    """The picture under another light, and now and then blurred, noisy, small, grey or badly compressed.

    Args:
        pixels: UINT8 [H,W,3] RGB; it is not changed.
        lots: decides what happens, and how much.
        severity: 0 to 1; how often things happen, and how far the light goes. From 0.6 down no picture turns grey,
            which would make characters alike that differ in colours only.

    Returns:
        UINT8 of the same shape.
    """
    taken = _toned(pixels, lots, severity)
    if lots.random() < 0.12 * severity:
        taken = _shaded(taken, lots)
    if lots.random() < 0.1 * (severity - 0.6):
        taken = _grey(taken)
    if lots.random() < 0.15 * severity:
        taken = _small(taken, lots)
    if lots.random() < 0.12 * severity:
        taken = _blurred(taken, lots)
    elif lots.random() < 0.05 * severity:
        taken = _moved(taken, lots)
    if lots.random() < 0.1 * severity:
        taken = _noisy(taken, lots)
    if lots.random() < 0.35 * severity:
        taken = _decoded(encoded(taken, int(lots.integers(30, 90))))
    return taken


def encoded(pixels: Pixels, quality: int) -> bytes:
    """The picture as JPEG of a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _decoded(data: bytes) -> Pixels:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _toned(pixels: Pixels, lots: np.random.Generator, severity: float) -> Pixels:
    """With another brightness, contrast, gamma and tint."""
    levels = (np.arange(256) / 255.0)[:, None] ** np.exp(severity * lots.uniform(-0.3, 0.3))
    gain = (1 + severity * lots.uniform(-0.2, 0.2)) * (1 + severity * lots.uniform(-0.07, 0.07, 3))
    contrast, offset = 1 + severity * lots.uniform(-0.2, 0.2), severity * lots.uniform(-15, 15)
    lit = (255 * levels * gain - 128) * contrast + 128 + offset
    table = np.clip(np.rint(lit), 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _blurred(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), lots.uniform(0.4, 1.5)), dtype=np.uint8)


def _shaded(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    """Light that falls off to one side, to half at most."""
    corners = lots.integers(128, 256, (2, 2), dtype=np.uint8)
    light = cv2.resize(corners, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(pixels, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1 / 255), dtype=np.uint8)


def _small(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    """Scaled down to between 0.4 and 0.9, and up again."""
    height, width = pixels.shape[:2]
    factor = lots.uniform(0.4, 0.9)
    size = (max(round(width * factor), 8), max(round(height * factor), 8))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _moved(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    """Blurred along a line of 3 to 7 pixels, level or upright."""
    length = int(lots.integers(3, 8))
    kernel = (length, 1) if lots.random() < 0.5 else (1, length)
    return np.asarray(cv2.blur(pixels, kernel), dtype=np.uint8)


def _noisy(pixels: Pixels, lots: np.random.Generator) -> Pixels:
    noise = lots.standard_normal(pixels.shape[:2], dtype=np.float32) * lots.uniform(2, 10)
    return np.asarray(np.clip(np.rint(pixels + noise[..., None]), 0, 255), dtype=np.uint8)
