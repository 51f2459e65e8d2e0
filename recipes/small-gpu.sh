#!/usr/bin/env bash
# The bundled model, trained further for some minutes on a machine that has nothing but torch and a GPU.
#
#   recipes/small-gpu.sh --pack FILE.tar --source FOLDER ...    on a machine with a network: code, weights, wheels and
#                                                               what scenes are made of, in one file of under 60 MB
#   recipes/small-gpu.sh MINUTES OUT [--tiny]                   unpacked on the other one: makes scenes with all cores,
#                                                               trains by recipes/small-gpu.yaml until the time is used
#                                                               up; OUT gets weights, metrics and a report
#
# Options: python -m benchmarks.small_gpu --help. Packages that are missing are installed from `wheels/`, or from
# $UNIREF_WHEELS, without a network. --tiny proves on any machine that the script works.
set -euo pipefail
PYTHON=${PYTHON:-python3}
CODE=$(cd "$(dirname "$0")/.." && pwd)
WHEELS=${UNIREF_WHEELS:-$CODE/wheels}

mapfile -t missing < <("$PYTHON" -c '
import importlib.util, sys
for pair in sys.argv[1:]:
    module, wheel = pair.split(":")
    if importlib.util.find_spec(module) is None:
        print(wheel)
' decord:decord2 pycocotools:pycocotools ijson:ijson pydantic:pydantic pydantic_core:pydantic-core \
    annotated_types:annotated-types typing_inspection:typing-inspection imageio:imageio timm:timm \
    transformers:transformers typer:typer filelock:filelock yaml:pyyaml scipy:scipy pyarrow:pyarrow jinja2:jinja2 \
    tensorboard:tensorboard tqdm:tqdm)
if [ ${#missing[@]} -gt 0 ] && [ "${1:-}" != --pack ]; then
    [ -d "$WHEELS" ] || { echo "missing packages: ${missing[*]}; no folder $WHEELS" >&2; exit 1; }
    "$PYTHON" -m pip install --quiet --no-index --no-deps --find-links "$WHEELS" "${missing[@]}" \
        || "$PYTHON" -m pip install --quiet --no-index --no-deps --break-system-packages --find-links "$WHEELS" "${missing[@]}"
fi
command=train
if [ "${1:-}" = --pack ]; then command=pack; shift; fi
PYTHONPATH=$CODE${PYTHONPATH:+:$PYTHONPATH} exec "$PYTHON" -m benchmarks.small_gpu "$command" "$@"
