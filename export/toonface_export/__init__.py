"""From PaddleX inference folders to a model repository for Triton."""
