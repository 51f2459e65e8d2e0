"""Training data: sampler -> dataset -> collate -> loader, as in PyTorch; from indexes to padded batches."""
