"""Additions to UniRef++ that are off by default. Each is one module that fills in the hooks of the training core
(`uniref.data.train.sources.SourceHooks`, `uniref.losses.criterion.LossHooks`) and has its own section in a recipe."""
