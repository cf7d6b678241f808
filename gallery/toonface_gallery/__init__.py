"""The gallery of enrolled faces: a durable store, and a live index that follows it. Knows nothing of Triton.

From the bottom up:

- The store: `schema` and `migrations` (the tables), `sqlite`, `postgres` and `database` (how it is reached), `rows`
  (what a write does), `listing` and `reader` (what it tells), `store` (its writes), `snapshot` (what an index is built
  from, and what changed since).
- Indices: `index` (what each does), `id_rows`, `faiss_index`, `faiss_in_place`, `faiss_marked` and `two_stage` (those
  there are), `faiss_kinds` and `plan` (which one a gallery gets).
- In memory: `labels` and `loaded` (one gallery), `saved` (its file, for a quick start), `builder` and `jobs` (make it,
  aside), `live` (all of them, following the store).
- `admin`: the commands of the stage gallery_admin.
"""
