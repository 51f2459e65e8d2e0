"""Deformable DETR as UniRef++ uses it (SPEC section 5)."""
