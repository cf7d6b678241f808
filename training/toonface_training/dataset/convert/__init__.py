"""Turns data sets that were annotated with other tools into COCO, in place, as PaddleX does."""

from toonface_training.dataset.convert.anno_lists import SOURCES, SourceType, convert_dataset

__all__ = ["SOURCES", "SourceType", "convert_dataset"]
