"""A step whose numbers have gone wrong: what was seen of it, and how it is told."""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Sequence, Tuple

TOTAL_LOSS = "loss/total"
GRADIENT_NORM = "gradient_norm"
_NAMED_VARIABLES = 5

_SOLVER = "`trainer_options.solver_options"
_OF_LOSS = (
    f"If these images are sound, lower {_SOLVER}.base_learning_rate`, raise `warmup_steps`, or set "
    "`use_gradient_clipping`; with a `trainer_options.precision` of less than FLOAT32, try that."
)
_OF_GRADIENT = (
    f"Lower {_SOLVER}.base_learning_rate` or raise `warmup_steps`; with a "
    "`trainer_options.precision` of less than FLOAT32, try that."
)
_OF_SIZE = (
    f"Lower {_SOLVER}.base_learning_rate`, raise `warmup_steps` or set `use_gradient_clipping`; "
    "where so large a loss is meant, raise the limit (0 = none)."
)


class StepReport(NamedTuple):
    """What a training step left to look at.

    Attributes:
      step: the number of steps made before it.
      values: means over the global batch, by name.
      image_ids: of the global batch.
      image_losses: the total loss of each.
      gradient_norms: by the path of the variable; those that have a gradient.
      max_total_loss: the limit of `loss/total`; 0 = none.
    """

    step: int
    values: Dict[str, float]
    image_ids: Tuple[int, ...]
    image_losses: Tuple[float, ...]
    gradient_norms: Dict[str, float]
    max_total_loss: float

    def faulty_values(self) -> List[str]:
        """Names of the values that are not finite, or of the loss that is above the limit."""
        wrong = [name for name, value in self.values.items() if not math.isfinite(value)]
        return wrong or [n for n in (TOTAL_LOSS,) if self._is_too_large(self.values.get(n, 0.0))]

    def faulty_gradients(self) -> List[str]:
        """Paths of the variables whose gradient is not finite."""
        return [path for path, norm in self.gradient_norms.items() if not math.isfinite(norm)]

    def suspects(self) -> Tuple[int, ...]:
        """Ids of the images whose own loss is at fault; may be none."""
        return tuple(
            image
            for image, loss in zip(self.image_ids, self.image_losses)
            if not math.isfinite(loss) or self._is_too_large(loss)
        )

    def describe(self) -> str:
        """Sentences for the user: what, which images, what remains sound, what may help."""
        faulty = self.faulty_values()
        if faulty == [TOTAL_LOSS] and math.isfinite(self.values[TOTAL_LOSS]):
            what = (
                f"{TOTAL_LOSS} is {self.values[TOTAL_LOSS]:g}, above "
                f"`trainer_options.max_total_loss` {self.max_total_loss:g}"
            )
            remedy = _OF_SIZE
        else:
            what = f"not finite: {', '.join(faulty)}"
            remedy = _OF_LOSS
        if faulty == [GRADIENT_NORM]:
            what += f" ({_shorten(self.faulty_gradients(), len(self.gradient_norms))})"
            remedy = _OF_GRADIENT
        suspects = self.suspects()
        which = "images" if suspects else "images (each loss by itself is finite)"
        return (
            f"Step {self.step}: {what}; {which}: "
            f"{', '.join(map(str, suspects or self.image_ids))}. "
            f"The step was not applied; the last checkpoint is sound. {remedy}"
        )

    def _is_too_large(self, loss: float) -> bool:
        return 0 < self.max_total_loss < loss


class NumericFaultError(ArithmeticError):
    """A step was not applied: a loss or gradient is not finite, or the loss has exploded.

    Args:
      message: sentences for the user.
      report: what was seen of the step.
    """

    def __init__(self, message: str, report: StepReport) -> None:
        super().__init__(message)
        self.report = report

    @property
    def image_ids(self) -> Tuple[int, ...]:
        """The images that are to blame, or all of the batch."""
        return self.report.suspects() or self.report.image_ids


def _shorten(paths: Sequence[str], total: int) -> str:
    """The first few of the variables whose gradients are at fault."""
    if not paths:
        return "the squares of finite gradients add up to more than float32 holds"
    more = ", ..." if len(paths) > _NAMED_VARIABLES else ""
    named = ", ".join(paths[:_NAMED_VARIABLES])
    return f"{len(paths)} of {total} gradients: {named}{more}"
