#!/usr/bin/env bash
# The paper's pose networks: NET=p2 (w32, 256x192), p3 (w32, 384x288) or p4 (w48, 384x288). DATA holds coco, and imagenet
# without START.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
NET=${NET:-p2}
case $NET in
    p2) WIDTH=32 RECIPE=coco_w32_256x192 ;;
    p3) WIDTH=32 RECIPE=coco_w32_384x288 ;;
    p4) WIDTH=48 RECIPE=coco_w48_384x288 ;;
    *) echo "NET is p2, p3 or p4, got $NET" >&2; exit 2 ;;
esac
start "$WIDTH"
train teacher "${RECIPE}_teacher" root="$DATA/coco" init="$START"
train supernet "$RECIPE" root="$DATA/coco" init="$OUT/teacher/final.safetensors" teacher="$OUT/teacher/final.safetensors"
P=(root="$DATA/coco" supernet="$OUT/supernet/final.safetensors")
search "$RECIPE" "${P[@]}" limit=500
deploy network "$RECIPE" "${P[@]}" -- --dataset coco ${MACS:+--max-macs "$MACS"}
train finetuned "coco_finetune_$NET" root="$DATA/coco" arch="$OUT/network.json" init="$OUT/network.safetensors"
evaluate "$OUT/finetuned/final.safetensors" --dataset coco --root "$DATA/coco" --split val2017
