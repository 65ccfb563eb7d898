"""What a front gives at the multiply-adds of a plain network: both scored by the same supernet, on the same images."""

from __future__ import annotations

from typing import Any

from scalenet.archs.budget import BudgetError
from scalenet.engines.front import Front
from scalenet.models.checkpoint import digest_of

from .archive import ArchiveError, Record
from .evaluator import Evaluator


class Comparison:
    """Plain networks against the members of a front.

    A member is scored as the plain ones are, recalibrated on the evaluator's images, not with the metrics of its file.

    Attributes:
        scored: the members that were needed, by name.
        rows: what was compared.

    Raises:
        ArchiveError: if the front is of another supernet than the evaluator's.
    """

    def __init__(self, front: Front, evaluator: Evaluator) -> None:
        if front.metadata.parent_sha256 != digest_of(evaluator.file):
            raise ArchiveError(
                f"{front.name} is of another supernet than {evaluator.file}: their scores do not compare"
            )
        self.front, self.evaluator = front, evaluator
        self.scored: dict[str, Record] = {}
        self.rows: list[dict[str, Any]] = []

    def beside(self, plain: Record) -> dict[str, Any]:
        """The best member of at most as many multiply-adds: ``member``, ``member_macs``, ``member_score`` and ``gain``,
        how much it is above; None where the smallest has more.
        """
        try:
            member = self.front.pick(max_macs=plain.macs)
        except BudgetError:
            return {"member": None}
        if member.name not in self.scored:
            self.scored[member.name] = self.evaluator.score(member.arch, generation=1)
        score = self.scored[member.name].score
        row = {
            "member": member.name, "member_macs": member.macs, "member_score": round(score, 4),
            "gain": round(score - plain.score, 4),
        }  # fmt: skip
        self.rows.append(row)
        return row

    def summary(self) -> dict[str, Any]:
        """How many were compared, and below how many of the front they lie."""
        gains = [row["gain"] for row in self.rows]
        return {
            "compared": len(gains),
            "front_above": sum(g > 0 for g in gains),
            "least_gain": min(gains, default=None),
        }
