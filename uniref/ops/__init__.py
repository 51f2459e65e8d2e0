"""Kernels without parameters: a short reference and, where it pays, a fast path with the same result."""
