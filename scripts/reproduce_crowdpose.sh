#!/usr/bin/env bash
# Bottom-up on CrowdPose: NET=p2 (w32) or p4 (w48) under HigherHRNet's head. DATA holds crowdpose, and imagenet without
# START.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
NET=${NET:-p4}
case $NET in
    p2) WIDTH=32 ;;
    p4) WIDTH=48 ;;
    *) echo "NET is p2 or p4, got $NET" >&2; exit 2 ;;
esac
start "$WIDTH"
train network "crowdpose_bottomup_$NET" root="$DATA/crowdpose" init="$START"
evaluate "$OUT/network/final.safetensors" --dataset crowdpose --root "$DATA/crowdpose" --split test
