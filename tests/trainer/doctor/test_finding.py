from __future__ import annotations

from trainer.doctor.finding import Finding


def test_a_fact_is_no_problem():
    finding = Finding("memory", "8 GiB")
    assert not finding.problem and not finding.remedy and not finding.stops_training
