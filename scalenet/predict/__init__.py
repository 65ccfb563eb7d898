"""Image in, result out. ``group_keypoints`` is here too, imported when it is first asked for."""

from typing import Any as _Any

__all__ = ["group_keypoints"]


def __getattr__(name: str) -> _Any:
    if name != "group_keypoints":
        raise AttributeError(f"module 'scalenet.predict' has no attribute {name!r}")
    from ..pose.grouping import group_keypoints

    return group_keypoints
