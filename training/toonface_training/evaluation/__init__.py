"""How good is a model: figures from training to serving, reports, and predictions drawn into pictures.

`metrics/` is arithmetic on arrays. `subjects/` asks a Paddle model, an exported one or a live server for boxes and
embeddings, all through the same two functions, so that one figure can be followed from training to serving.
"""
