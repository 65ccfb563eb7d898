#!/usr/bin/env bash
# Bottom-up on COCO: WIDTH=32 or 48, a supernet with its search. DATA holds coco, and imagenet without START.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
WIDTH=${WIDTH:-32}
RECIPE=coco_bottomup_supernet_w$WIDTH
start "$WIDTH"
train teacher "${RECIPE}_teacher" root="$DATA/coco" init="$START"
train supernet "$RECIPE" root="$DATA/coco" init="$OUT/teacher/final.safetensors" teacher="$OUT/teacher/final.safetensors"
P=(root="$DATA/coco" supernet="$OUT/supernet/final.safetensors")
search "$RECIPE" "${P[@]}" limit=500
deploy network "$RECIPE" "${P[@]}" -- --dataset coco ${MACS:+--max-macs "$MACS"}
evaluate "$OUT/network.safetensors" --dataset coco --root "$DATA/coco" --split val2017
