"""What is wrong with the files of one image, while those of the others may be in order."""

from __future__ import annotations


class SourceError(ValueError):
    """One image cannot be converted: it is skipped and listed, or with `strict` the error.

    Attributes:
      reason: a few words without names, the same for all images of the kind, which are counted.
    """

    # One argument must be enough: this is what an error from another process is made from.
    def __init__(self, message: str, reason: str = "unusable source file") -> None:
        super().__init__(message)
        self.reason = reason
