#!/usr/bin/env bash
# Everything to be measured on a CUDA card, with one command of under four minutes.
#
#   benchmarks/gpu.sh [OUT] [--tiny]          results go to OUT (default gpu-results/)
#   benchmarks/gpu.sh --collect FOLDER        on a machine with a network: wheels that a bare machine may lack
#
# Needs Python with torch; packages that are missing are installed from `wheels/` beside this repository's README, or
# from $UNIREF_WHEELS, without a network. The goldens are compared where ../shared/golden exists.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
WHEELS=${UNIREF_WHEELS:-wheels}

if [ "${1:-}" = --collect ]; then
    exec "$PYTHON" -m pip download --quiet --only-binary=:all: --python-version "${UNIREF_PYTHON:-3.12}" --no-deps \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --platform any --dest "${2:?a folder}" \
        decord2 pycocotools ijson pydantic pydantic-core annotated-types typing-inspection imageio imageio-ffmpeg
fi

# what the package imports for prediction and training, and the wheel that holds it
mapfile -t missing < <("$PYTHON" -c '
import importlib.util, sys
for pair in sys.argv[1:]:
    module, wheel = pair.split(":")
    if importlib.util.find_spec(module) is None:
        print(wheel)
' decord:decord2 pycocotools:pycocotools ijson:ijson pydantic:pydantic pydantic_core:pydantic-core \
    annotated_types:annotated-types typing_inspection:typing-inspection imageio:imageio imageio_ffmpeg:imageio-ffmpeg \
    timm:timm transformers:transformers typer:typer filelock:filelock yaml:pyyaml scipy:scipy pyarrow:pyarrow \
    tensorboard:tensorboard jinja2:jinja2 tqdm:tqdm)
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing packages: ${missing[*]}" >&2
    if [ -d "$WHEELS" ]; then
        "$PYTHON" -m pip install --quiet --no-index --no-deps --find-links "$WHEELS" "${missing[@]}" \
            || "$PYTHON" -m pip install --quiet --no-index --no-deps --break-system-packages --find-links "$WHEELS" "${missing[@]}"
    else
        echo "no folder $WHEELS: install them, or collect their wheels with benchmarks/gpu.sh --collect $WHEELS" >&2
        exit 1
    fi
fi

if [[ " $* " == *" --tiny "* ]] && ! "$PYTHON" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    export TRITON_INTERPRET=1 # the kernels run through Triton's interpreter
fi
PYTHONPATH=. exec "$PYTHON" -m benchmarks.gpu "$@"
