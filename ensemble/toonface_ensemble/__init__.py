"""What the stages of the ensemble compute, on plain numpy arrays. Knows nothing of Triton and of galleries.

In the order of a request: `decode` and `placement` (stage preprocess), `nms`, `crop` and `faces` (stage crop_align),
`matching` (stage gallery_search).
"""
