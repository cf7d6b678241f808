"""Fine-tuning of the six models: configuration, the run, its files, and the command `toonface train`.

What learns is an `engine`; everything else (pictures, schedule, checkpoints, evaluation, outputs) is the same for all.
"""
