"""Many machines by Ray (``pip install 'scalenet[ray]'``): a cluster joined or started, images by the million.

``import scalenet`` does not import this, and this imports Ray where it is used.
"""

from .cluster import import_ray, start_ray
from .images import predict

__all__ = ["import_ray", "predict", "start_ray"]
