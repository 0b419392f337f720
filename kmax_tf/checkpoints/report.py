"""What loading did, and the words for it."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

from kmax_tf.checkpoints import mapping
from kmax_tf.checkpoints.parts import group_by_part, in_words, plain

_SHOWN = 5
_MOST_PARTS = 2


class LoadReport(NamedTuple):
    """What was loaded.

    Every variable of the model is in one of `loaded`, `missing`, `mismatched` and `reset`.

    Attributes:
      loaded: attribute paths of the variables that took their value from the file.
      missing: paths that the file does not hold.
      unused: names of the file's arrays that the model has no place for.
      mismatched: sentences `path: shape in the model, shape in the file`.
      reset: paths that kept their initial value because that was asked for, whatever the file
        holds.
      path: of the file.
      format: of the file, in words.
      encoder_alone: whether the file holds the pixel encoder alone.
    """

    loaded: Tuple[str, ...]
    missing: Tuple[str, ...]
    unused: Tuple[str, ...]
    mismatched: Tuple[str, ...]
    reset: Tuple[str, ...] = ()
    path: str = ""
    format: str = ""
    encoder_alone: bool = False

    @property
    def new(self) -> Tuple[str, ...]:
        """Paths of all variables that kept their initial value."""
        mismatched = [sentence.split(": ", 1)[0] for sentence in self.mismatched]
        return tuple(dict.fromkeys((*self.missing, *mismatched, *self.reset)))


def summarize(report: LoadReport) -> str:
    """One or two lines: how much came from where, and what starts anew."""
    part = " of the pixel encoder" if report.encoder_alone else ""
    text = f"Loaded {len(report.loaded)} variables{part} from {report.path} ({report.format})."
    loaded = {name for name, _ in group_by_part(report.loaded)}
    whole, partly = [], []
    for name, paths in group_by_part(report.new):
        if name in loaded:
            partly.append(f"{len(paths)} variables of the {in_words(name)}")
        else:
            whole.append(f"the {in_words(name)}")
    if whole or partly:
        text += f" New, with initial values: {', '.join((*whole, *partly))}."
    if report.unused:
        text += f" Not used: {len(report.unused)} arrays of the file."
    return text


def format_report(report: LoadReport, *, verbose: bool = False, refused: bool = False) -> str:
    """The table of counts by part, and the names of everything that was not loaded.

    Args:
      report: of a load.
      verbose: whether long lists are shown to their end.
      refused: whether nothing was loaded, so that `loaded` is what fits.
    """
    kinds = ("loaded", "missing", "unused", "mismatched", "reset")
    by_kind = {kind: dict(group_by_part(getattr(report, kind))) for kind in kinds}
    parts = [part for part, _ in group_by_part(n for kind in kinds for n in getattr(report, kind))]
    width = max(len("all"), *map(len, parts))
    titles = ("fitting" if refused else "loaded", *kinds[1:])
    lines = [f"{report.path}: {report.format}", " " * width + "".join(f"{t:>12}" for t in titles)]
    for part in parts:
        counts = [len(by_kind[kind].get(part, ())) for kind in kinds]
        lines.append(f"{in_words(part):<{width}}" + "".join(f"{count:>12,}" for count in counts))
    totals = [len(getattr(report, kind)) for kind in kinds]
    lines.append(f"{'all':<{width}}" + "".join(f"{total:>12,}" for total in totals))
    for kind in kinds[1:]:
        lines += _list(kind, getattr(report, kind), verbose)
    return "\n".join(lines)


def _list(kind: str, names: Sequence[str], verbose: bool) -> List[str]:
    if not names:
        return []
    shown = [plain(name) for name in names]
    if not verbose and len(shown) > _SHOWN:
        shown = [*shown[: _SHOWN - 1], f"... and {len(shown) - _SHOWN + 1} more (--verbose)"]
    return [f"{kind}:", *(f"  {name}" for name in shown)]


def describe_misfit(comparison: mapping.Comparison) -> str:
    """The differences as one clause: how many of each kind in the first parts, and an example."""
    kinds = {
        "of another shape": tuple(comparison.mismatched.values()),
        "missing in the file": comparison.missing,
        "unknown to the model": comparison.unused,
    }
    by_kind = {kind: dict(group_by_part(items)) for kind, items in kinds.items()}
    groups = group_by_part(name for items in kinds.values() for name in items)
    clauses = []
    for part, names in groups[:_MOST_PARTS]:
        counts = [f"{len(of[part])} {kind}" for kind, of in by_kind.items() if part in of]
        example = "" if clauses else f" ({plain(names[0])})"
        clauses.append(f"{in_words(part)}: {', '.join(counts)}{example}")
    others = [in_words(part) for part, _ in groups[_MOST_PARTS:]]
    return "; ".join([*clauses, f"also {', '.join(others)}"] if others else clauses)
