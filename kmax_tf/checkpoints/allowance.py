"""Which differences between a model and a file were asked for."""

from __future__ import annotations

from typing import Iterable, Sequence

from kmax_tf.checkpoints.parts import GROUPS, part_of, plain


class Allowance:
    """The exceptions of one load.

    Args:
      entries: names of groups (`heads`), or prefixes of attribute paths (`semantic_head`).
      paths: of the model's variables.
      names: of the file's arrays.

    Raises:
      ValueError: an entry is neither a group nor a prefix of any path or name.
    """

    def __init__(
        self, entries: Sequence[str], *, paths: Iterable[str], names: Iterable[str]
    ) -> None:
        self._groups = [GROUPS[entry] for entry in entries if entry in GROUPS]
        self._prefixes = [entry.rstrip("/") for entry in entries if entry not in GROUPS]
        paths, names = list(paths), list(names)
        for prefix in self._prefixes:
            if not any(_matches(prefix, name) for name in [*paths, *names]):
                parts = sorted({part_of(path) for path in [*paths, *names]})
                accepted = ", ".join(f"`{entry}`" for entry in [*GROUPS, *parts])
                raise ValueError(
                    f"`allow_missing` accepts {accepted} and longer paths of variables; received "
                    f"{prefix!r}."
                )

    def resets(self, path: str) -> bool:
        """Whether a variable keeps its initial value, whatever the file holds."""
        return any(group.search(path) for group in self._groups)

    def excuses(self, name: str) -> bool:
        """Whether the variable at a path may be missing or of another shape, or the array of a
        name may be unused.
        """
        return self.resets(name) or any(_matches(prefix, name) for prefix in self._prefixes)


def _matches(prefix: str, name: str) -> bool:
    return f"{plain(name)}/".startswith(f"{prefix}/") or part_of(name) == prefix
