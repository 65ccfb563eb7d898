#!/usr/bin/env bash
# ScaleNet-P0's bottom-up form: a supernet in four runs, search, deployment (docs/training.md). About five hours on two
# cores with bf16. DATA holds stanford40, lsp, tiny_imagenet, camvid and, where there is one, stanford40_full.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
MORE=$DATA/lsp SCENES=$DATA/stanford40
if [[ -d $DATA/stanford40_full ]]; then MORE=$MORE,$DATA/stanford40_full SCENES=$DATA/stanford40_full; fi
CROWDS=(p0_bottomup root="$DATA/stanford40" autocast=bf16 backgrounds="$DATA/tiny_imagenet,$DATA/camvid")
train first "${CROWDS[@]}" more_roots="$DATA/lsp" early=0.6 minutes=80 tags=0.03 scenes=0.4 \
    init="${START:-training/checkpoints/p0_supernet.safetensors}"
train second "${CROWDS[@]}" more_roots="$MORE" early=0 minutes=62 sizes=320x320,448x448 seed=5 \
    init="$OUT/first/final.safetensors"
train third "${CROWDS[@]}" more_roots="$MORE" early=0 minutes=84 sizes=320x320,448x448 seed=6 \
    init="$OUT/second/final.safetensors"
stage "$OUT/neighbours.json" "$PYTHON" -m training neighbours "$SCENES" --model scalenet_s0.person scalenet_p0_bottomup \
    --confirm -o "$OUT/neighbours.json"
train fourth p0_bottomup root="$SCENES" more_roots="$DATA/lsp" backgrounds="$DATA/tiny_imagenet,$DATA/camvid" \
    neighbours="$OUT/neighbours.json" autocast=bf16 early=0 minutes=56 lr=1.5e-3 sizes=320x320,448x448 scenes=0.65 \
    mosaic=0.6 seed=8 init="$OUT/third/final.safetensors"
stage "$OUT/supernet.safetensors" "$PYTHON" -m training pack "$OUT/fourth/final.safetensors" -o "$OUT/supernet.safetensors"
P0=(root="$DATA/stanford40" more_roots="$DATA/lsp" backgrounds="$DATA/tiny_imagenet,$DATA/camvid"
    supernet="$OUT/supernet.safetensors")
search p0_bottomup "${P0[@]}" evaluations=8 initial_population=6 offspring=2 limit=40 calibration=48
deploy scalenet_p0_bottomup p0_bottomup "${P0[@]}" calibration=128 limit=40 -- --dataset coco
stage "$OUT/crowds" "$PYTHON" -m training crowds "$DATA/stanford40" --more "$DATA/lsp" \
    --backgrounds "$DATA/camvid" "$DATA/tiny_imagenet" -o "$OUT/crowds" ${TINY:+--count 2}
evaluate "$OUT/scalenet_p0_bottomup.safetensors" --dataset coco --root "$OUT/crowds" --split val
