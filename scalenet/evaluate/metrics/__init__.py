"""Metrics of results against annotations: mIoU, COCO, CrowdPose, PCK, recall."""
