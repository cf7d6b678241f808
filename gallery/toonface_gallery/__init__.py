"""The gallery of enrolled faces: a durable store, and a live index that follows it. Knows nothing of Triton.

From the bottom up: `schema`, `database` and `rows` (the SQL), `store` (writes and pages) and `snapshot` (what an index
is built from); `index` (FAISS), `loaded` (one gallery in memory) and `live` (all of them, following the store); `admin`
(the commands of the stage gallery_admin).
"""
