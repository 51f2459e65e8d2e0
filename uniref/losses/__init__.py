"""Matching of predictions and objects, and loss functions: tensors in, tensors out (SPEC section 8)."""
