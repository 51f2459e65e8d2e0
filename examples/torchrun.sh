#!/bin/sh
# Train on several machines: run this on each of them, at about the same time.
#
#   HEAD_NODE=first-machine NODES=4 GPUS=8 examples/torchrun.sh recipes/r50.yaml --root DATA --out RUN
#
# DATA and RUN have to be folders that all machines see. After a crash or a stop run the same again: it continues.
set -eu
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=600 # seconds to finish the step and save in, once asked to stop (newer versions of torch)
exec torchrun \
    --nnodes "${NODES:-1}" \
    --nproc-per-node "${GPUS:-8}" \
    --rdzv-backend c10d \
    --rdzv-endpoint "${HEAD_NODE:-localhost}:${PORT:-29500}" \
    --max-restarts "${RESTARTS:-3}" \
    -m uniref_cli.app train "$@" --resume auto
