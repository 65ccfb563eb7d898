#!/usr/bin/env bash
# The paper's segmentation networks: WIDTH=32 (S1, S2) or 48 (S3, S4). DATA holds cityscapes, and imagenet without START.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
WIDTH=${WIDTH:-32}
RECIPE=cityscapes_w$WIDTH
start "$WIDTH"
train teacher "${RECIPE}_teacher" root="$DATA/cityscapes" init="$START"
train supernet "$RECIPE" root="$DATA/cityscapes" init="$OUT/teacher/final.safetensors" \
    teacher="$OUT/teacher/final.safetensors"
S=(root="$DATA/cityscapes" supernet="$OUT/supernet/final.safetensors")
search "$RECIPE" "${S[@]}" limit=100
deploy network "$RECIPE" "${S[@]}" -- --dataset cityscapes --max-macs "${MACS:-340000000000}"
evaluate "$OUT/network.safetensors" --dataset cityscapes --root "$DATA/cityscapes" --split val
