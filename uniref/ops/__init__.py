"""Functions without parameters: attention, deformable sampling, dynamic convolutions, images."""
