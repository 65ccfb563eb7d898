#!/usr/bin/env bash
# ScaleNet-S0: backbone, teacher, supernet in three runs, search, deployment (docs/training.md). About five hours on two
# cores with bf16. DATA holds tiny_imagenet and camvid.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
CAMVID=(root="$DATA/camvid" class_weights=true scale=0.5,2.1 early_size=192x240)
train pretrain pretrain root="$DATA/tiny_imagenet" more_roots= minutes=24
train teacher s0_teacher "${CAMVID[@]}" minutes=18 init="$OUT/pretrain/final.safetensors"
train first s0_supernet "${CAMVID[@]}" minutes=36 init="$OUT/teacher/final.safetensors" \
    teacher="$OUT/teacher/final.safetensors"
train second s0_supernet root="$DATA/camvid" minutes=80 early=0.4 lr=3e-3 teacher= distill=0 seed=1 autocast=bf16 \
    init="$OUT/first/final.safetensors"
train third s0_supernet root="$DATA/camvid" split=train+val teacher= distill=0 minutes=26 seed=5 autocast=bf16 mix=0.5 \
    dusk=0.5 lovasz=0.5 decay=cosine ema=0.998 init="$OUT/second/final.safetensors"
stage "$OUT/supernet.safetensors" "$PYTHON" -m training pack "$OUT/third/final.safetensors" \
    -o "$OUT/supernet.safetensors" --terms "trained on CamVid after Tiny-ImageNet; both data sets are for research only"
S0=(root="$DATA/camvid" supernet="$OUT/supernet.safetensors")
search s0 "${S0[@]}" evaluations=20 initial_population=12 offspring=8
deploy scalenet_s0 s0 "${S0[@]}" calibration=64 -- --dataset camvid
evaluate "$OUT/scalenet_s0.safetensors" --dataset camvid --root "$DATA/camvid" --split val
