from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from toonface_gallery.id_rows import GONE, DenseRows, IdTable, MarkedRows

ids = st.sets(st.integers(1, 60), max_size=20).map(sorted)
steps = st.lists(st.tuples(st.sampled_from(["set", "remove", "items"]), ids, st.integers(0, 1000)), max_size=30)


@given(steps)
@settings(deadline=None)
def test_a_table_agrees_with_a_dictionary(changes: list[tuple[str, list[int], int]]) -> None:
    table = IdTable()
    model: dict[int, int] = {}
    for kind, chosen, value in changes:
        if kind == "set":
            order = np.random.default_rng(value).permutation(np.array(chosen, np.int64))
            table.set(order, np.arange(value, value + len(order), dtype=np.int32))
            model |= {face: value + place for place, face in enumerate(order.tolist())}
        elif kind == "remove":
            gone = [face for face in chosen if face in model]
            table.remove(np.array(gone, np.int64))
            for face in gone:
                del model[face]
        else:
            found, values = table.items()
            assert dict(zip(found.tolist(), values.tolist(), strict=True)) == model
            assert found.tolist() == sorted(model)
        assert len(table) == len(model)
        everything = np.arange(62).reshape(2, 31)
        assert table.get(everything).ravel().tolist() == [model.get(face, -1) for face in range(62)]


def test_the_items_of_a_table_are_read_while_others_read_it() -> None:
    table = IdTable()
    table.set(np.arange(100), np.arange(100, dtype=np.int32))
    table.remove(np.arange(40))
    table._ids.flags.writeable = table._values.flags.writeable = False
    found, values = table.items()
    assert found.tolist() == values.tolist() == list(range(40, 100))
    assert table.get(np.arange(100)).tolist() == [-1] * 40 + list(range(40, 100))


@given(steps)
@settings(deadline=None)
def test_rows_stay_dense_and_each_id_keeps_what_is_its_own(changes: list[tuple[str, list[int], int]]) -> None:
    rows = DenseRows()
    contents: list[int] = []  # of each row; an id's own content is the id itself
    for kind, chosen, _ in changes:
        present = set(rows.ids.tolist())
        if kind == "remove":
            holes, moved = rows.remove(np.array([face for face in chosen if face in present], np.int64))
            for hole, row in zip(holes.tolist(), moved.tolist(), strict=True):
                contents[hole] = contents[row]
            del contents[len(rows) :]
        else:
            new = [face for face in chosen if face not in present]
            rows.append(np.array(new, np.int64))
            contents += new
        assert rows.ids.tolist() == contents
        assert rows.rows(np.array(contents, np.int64)).tolist() == list(range(len(contents)))


@given(steps)
@settings(deadline=None)
def test_rows_that_are_marked_keep_their_places(changes: list[tuple[str, list[int], int]]) -> None:
    rows = MarkedRows()
    contents: list[int] = []
    for kind, chosen, _ in changes:
        present = set(contents) - {GONE}
        if kind == "remove":
            gone = [face for face in chosen if face in present]
            rows.remove(np.array(gone, np.int64))
            contents = [GONE if face in gone else face for face in contents]
        else:
            new = [face for face in chosen if face not in present]
            first = len(contents)
            for count in (len(new) // 2, len(new) - len(new) // 2):
                rows.reserve(count)
                contents += [GONE] * count
                assert rows.ids.tolist() == contents
            assert len(rows) == len(present)
            rows.fill(first, np.array(new, np.int64))
            contents[first:] = new
        assert rows.ids.tolist() == contents
        assert len(rows) == len(set(contents) - {GONE})
    assert MarkedRows(rows.ids).ids.tolist() == contents
    assert len(MarkedRows(rows.ids)) == len(rows)
