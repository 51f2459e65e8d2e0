"""Training. In reading order: `trainer` (stages, loop, step), `loss_module` (model and losses), `optim` (state of a
step), `checkpointer`, `reporter`, `report`, `validate`, `distributed`, `stage_model` (initial weights), `dry_run`."""
