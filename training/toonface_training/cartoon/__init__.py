"""Seeded cartoon characters, portraits of them, and group scenes whose boxes and names are known exactly.

The characters are drawn by DiceBear styles. A character is a style and a seed; every picture of it shows another
expression, other clothes, another pose and another light.
"""
