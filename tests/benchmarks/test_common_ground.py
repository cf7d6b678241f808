"""What both sides of a comparison share."""

from __future__ import annotations

from pathlib import Path

import pytest

from toonface_benchmarks.common_ground import keep_faces


def test_a_detector_keeps_as_many_faces_as_it_is_told(tmp_path: Path) -> None:
    program = tmp_path / "inference.json"
    program.write_text('[{"AT":{"#":"0.a_i32","D":300},"N":"keep_top_k"},{"AT":{"D":1000},"N":"nms_top_k"}]')
    keep_faces(program, 4)
    assert program.read_text() == '[{"AT":{"#":"0.a_i32","D":4},"N":"keep_top_k"},{"AT":{"D":1000},"N":"nms_top_k"}]'
    program.write_text("[]")
    with pytest.raises(ValueError, match="has 0 settings keep_top_k"):
        keep_faces(program, 4)
