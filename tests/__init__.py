"""The package's tests; they mirror the package."""

import multiprocessing
import os

if multiprocessing.parent_process() is None:  # spawned processes inherit the variable, and need not load PyTorch
    import torch

    if not torch.cuda.is_available():
        # Triton's kernels then run through its interpreter, which is chosen when Triton is first imported (timm does)
        os.environ.setdefault("TRITON_INTERPRET", "1")
