#!/usr/bin/env bash
# Segment every video of a folder, several at a time, and list what failed.
#
#   examples/predict_folder.sh VIDEOS "the red car" CHECKPOINT OUT [PROCESSES]
#
# Run it again after an interruption: finished videos are skipped.
set -euo pipefail

if [ $# -lt 4 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
videos=$1 text=$2 checkpoint=$3 out=$4 processes=${5:-2}

mkdir -p "$out"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find "$videos" -type f \( -iname '*.mp4' -o -iname '*.mov' -o -iname '*.mkv' -o -iname '*.webm' -o -iname '*.avi' \) | sort >"$list"

# each process takes its share of the list, and of the processor
threads=$(($(getconf _NPROCESSORS_ONLN) / processes))
export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))

pids=()
for i in $(seq 1 "$processes"); do
    uniref predict "@$list" --text "$text" --checkpoint "$checkpoint" --out "$out" \
        --shard "$i/$processes" --json >"$out/log-$i.jsonl" &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
    wait "$pid" || status=1
done
cat "$out"/log-*.jsonl | python3 -c '
import json, sys
records = [json.loads(line) for line in sys.stdin]
for state in ("done", "skipped", "failed"):
    print(state, sum(record["status"] == state for record in records))
'
exit $status
