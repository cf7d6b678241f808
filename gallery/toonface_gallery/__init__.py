"""The gallery of enrolled faces: a durable store, and a live index that follows it. Knows nothing of Triton.

From the bottom up:

- The store: `schema` and `migrations` (the tables), `sqlite`, `postgres` and `database` (how it is reached), `rows`
  (what a write does), `store` (writes and pages), `snapshot` (what an index is built from, and what changed since).
- Indices: `index` (what each does), `id_rows`, `faiss_index` and `two_stage` (those there are), `plan` (which one a
  gallery gets).
- In memory: `labels` and `loaded` (one gallery), `saved` (its file, for a quick start), `builder` (makes it), `live`
  (all of them, following the store).
- `admin`: the commands of the stage gallery_admin.
"""
