#!/usr/bin/env bash
# ScaleNet-P0: a supernet in three runs, search, deployment (docs/training.md). About three hours on two cores with bf16.
# DATA holds stanford40, lsp and, where there are larger photographs, stanford40_full (python -m training rescale).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
MORE=$DATA/lsp
if [[ -d $DATA/stanford40_full ]]; then MORE=$MORE,$DATA/stanford40_full; fi
PEOPLE=(p0_supernet root="$DATA/stanford40" autocast=bf16)
train first "${PEOPLE[@]}" more_roots="$DATA/lsp" peaks=0 early=0 minutes=32 \
    init="${START:-training/checkpoints/pretrain.safetensors}"
train second "${PEOPLE[@]}" more_roots="$DATA/lsp" early=0 minutes=70 init="$OUT/first/final.safetensors"
train third "${PEOPLE[@]}" more_roots="$MORE" early=0 minutes=66 seed=5 init="$OUT/second/final.safetensors"
stage "$OUT/supernet.safetensors" "$PYTHON" -m training pack "$OUT/third/final.safetensors" -o "$OUT/supernet.safetensors"
P0=(root="$DATA/stanford40" more_roots="$DATA/lsp" supernet="$OUT/supernet.safetensors")
search p0 "${P0[@]}" evaluations=44 initial_population=24 offspring=20 limit=200
deploy scalenet_p0 p0 "${P0[@]}" calibration=256 -- --dataset coco --max-params 1950000
evaluate "$OUT/scalenet_p0.safetensors" --dataset stanford40 --root "$DATA/stanford40" --split val
