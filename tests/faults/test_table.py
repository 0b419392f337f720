"""Every row of the table has a test that is there."""

from __future__ import annotations

import ast

import pytest

from tests.faults.table import TABLE, Row, main


@pytest.mark.parametrize("row", TABLE, ids=[row.fault for row in TABLE])
def test_a_row_is_produced_by_a_test(repository_root, row: Row):
    path, _, name = row.test.partition("::")
    tree = ast.parse((repository_root / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_table_is_printed_for_people(capsys):
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(TABLE)
    assert all(line.count("|") == 4 for line in lines)
