"""Named objects and photographs from registry packages: emoji sprites, their words, and what is behind them."""
