# What the scripts of this folder share. They are run from anywhere:
#   DATA=folder of data sets (docs/data.md)   OUT=folder to write into   LAUNCH="torchrun --nproc-per-node 8"
# A stage whose output is there is skipped; one that was stopped goes on. DRY=1 prints the commands; TINY=1 takes a step
# of each stage on small images, to see that the way leads to its end.
set -euo pipefail
trap 'exit 143' TERM  # a run that is told to end has saved itself: nothing comes after it
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${DATA:?DATA is the folder that the data sets are in}"
NAME=$(basename "$0" .sh)
OUT=${OUT:-out/$NAME}
PYTHON=${PYTHON:-python}
LAUNCH=${LAUNCH:-$PYTHON}
TRAIN=() SEARCH=() DEPLOY=() EVALUATE=()
if [[ ${TINY:-0} == 1 ]]; then
    TRAIN=(steps=1 minutes=0 batch=2 size=64x64 early_size=64x64 sizes= workers=0 warmup=0)
    SEARCH=(evaluations=2 initial_population=2 population=2 offspring=1 calibration=2 limit=2 sizes=)
    DEPLOY=(calibration=2 limit=2)
    EVALUATE=(--limit 2 --device cpu)
fi

# stage FILE COMMAND…: make FILE by the command, unless it is there
stage() {
    local file=$1
    shift
    if [[ ${DRY:-0} == 1 ]]; then
        printf '%q ' "$@" && echo
    elif [[ -e $file ]]; then
        echo "$file is there"
    else
        echo "+ $*"
        "$@"
        [[ -e $file ]] || { echo "stopped before $file was there; the same command goes on" >&2; exit 1; }
    fi
}

# train NAME RECIPE key=value…: OUT/NAME/final.safetensors
train() {
    local name=$1
    shift
    # shellcheck disable=SC2086  # LAUNCH is several words
    stage "$OUT/$name/final.safetensors" $LAUNCH -m training run "$@" "${TRAIN[@]}" out="$OUT/$name"
}

# search RECIPE key=value…: OUT/search/report.html
search() {
    # shellcheck disable=SC2086
    stage "$OUT/search/report.html" $LAUNCH -m search run "$@" "${SEARCH[@]}" out="$OUT/search"
}

# deploy NAME RECIPE key=value… -- options: OUT/NAME.safetensors
deploy() {
    local name=$1 recipe=$2
    shift 2
    local fields=()
    while [[ $# -gt 0 && $1 != -- ]]; do
        fields+=("$1")
        shift
    done
    stage "$OUT/$name.safetensors" "$PYTHON" -m search deploy "$recipe" "$OUT/search/archive.jsonl" "${fields[@]}" \
        "${DEPLOY[@]}" --name "$name" -o "$OUT" "${@:2}"
}

# evaluate FILE options…: OUT/metrics.json
evaluate() {
    local command=("$PYTHON" -m scalenet.cli evaluate "$@" "${EVALUATE[@]}" --json)
    if [[ ${DRY:-0} == 1 ]]; then
        printf '%q ' "${command[@]}" && echo
    elif [[ -e $OUT/metrics.json ]]; then
        cat "$OUT/metrics.json"
    else
        "${command[@]}" > "$OUT/metrics.partial.json"
        mv "$OUT/metrics.partial.json" "$OUT/metrics.json"
        cat "$OUT/metrics.json"
    fi
}

# start WIDTH: sets START to the weights of ImageNet, the authors' (START=superscalenet_imagenet_w32.pth) or trained here
start() {
    if [[ -z ${START:-} ]]; then
        train "imagenet_w$1" "imagenet_w$1" root="$DATA/imagenet" ${TINY:+classes=2}
        START=$OUT/imagenet_w$1/final.safetensors
    fi
}
