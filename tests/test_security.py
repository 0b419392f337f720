"""What no source file may do: run what it reads, start a shell, or read without a limit."""

from __future__ import annotations

import ast
import pathlib
from typing import Dict, Iterator, Set, Tuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = [
    path
    for package in ("kmax_tf", "evaluation", "trainer")
    for path in sorted((ROOT / package).rglob("*.py"))
] + [ROOT / "setup.py"]
IDS = [str(path.relative_to(ROOT)) for path in FILES]

FORBIDDEN_MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("yaml", "code", "codeop", "pty", "telnetlib", "ftplib", "tarfile"),
    *("xml", "lxml", "pdb"),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "input", "breakpoint"),
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.startfile"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"),
    *("pd.read_pickle", "tf.py_function", "tf.numpy_function", "tf.raw_ops.PyFunc"),
    *("tf.keras.models.load_model", "tf.keras.models.model_from_json", "tf.io.read_file"),
    # One place each has the limits of these.
    *("Image.open", "tf.io.decode_image", "tf.io.decode_png", "tf.io.decode_jpeg"),
    *("tf.io.decode_gif", "tf.io.decode_bmp", "tf.image.decode_image", "tf.image.decode_png"),
    *("tf.image.decode_jpeg", "tf.image.decode_gif", "json.loads", "json.load"),
}
JUSTIFIED: Dict[str, Set[str]] = {
    # The name of an exception: what torch raises where it refuses to unpickle.
    "kmax_tf/checkpoints/weight_files.py": {"pickle"},
    "kmax_tf/image_limits.py": {"Image.open"},
    "kmax_tf/data/image_decoding.py": {"tf.io.decode_image"},
    "kmax_tf/json_files.py": {"json.loads"},
    # The last line of a process that the command itself started.
    "trainer/bench/memory_fit.py": {"json.loads"},
    "trainer/doctor/probe.py": {"json.loads"},
}
SHELLS = {"subprocess.run", "subprocess.Popen", "subprocess.call"} | {
    "subprocess.check_call",
    "subprocess.check_output",
}


def forbidden(tree: ast.AST) -> Iterator[Tuple[int, str]]:
    """Line and name of everything forbidden in a file."""
    lists = _names_of_lists(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names] + [node.module or ""]
            for name in names:
                if name.split(".")[0] in FORBIDDEN_MODULES or name in FORBIDDEN_CALLS:
                    yield node.lineno, name
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in FORBIDDEN_CALLS:
                yield node.lineno, name
            elif name in SHELLS and not (node.args and _is_list(node.args[0], lists)):
                yield node.lineno, f"{name} without a list"
            elif keywords.get("shell", "False") != "False":
                yield node.lineno, f"{name} with a shell"
            elif name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
                yield node.lineno, f"{name} without allow_pickle=False"
            elif name == "torch.load" and keywords.get("weights_only") != "True":
                yield node.lineno, f"{name} without weights_only=True"


def _names_of_lists(tree: ast.AST) -> Set[str]:
    """Names that are only ever given lists in a file."""
    given = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    kinds: Dict[str, Set[bool]] = {}
    for node in given:
        for target in node.targets:
            kinds.setdefault(ast.unparse(target), set()).add(isinstance(node.value, ast.List))
    return {name for name, found in kinds.items() if found == {True}}


def _is_list(node: ast.AST, lists: Set[str]) -> bool:
    return isinstance(node, ast.List) or (isinstance(node, ast.Name) and node.id in lists)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_nothing_that_is_read_is_run_and_all_reading_is_bounded(path):
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = JUSTIFIED.get(name, set())
    found = [(line, what) for line, what in forbidden(tree) if what not in allowed]
    assert not found, f"{name} has {found}"


@pytest.mark.parametrize("name", sorted(JUSTIFIED))
def test_every_exception_is_still_needed(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    assert JUSTIFIED[name] == {what for _, what in forbidden(tree)}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import pickle", "pickle"),
        ("from yaml import load", "yaml.load"),
        ("eval(text)", "eval"),
        ("os.system('ls ' + name)", "os.system"),
        ("subprocess.run(command)", "subprocess.run without a list"),
        ("c = 'ls'; subprocess.run(c)", "subprocess.run without a list"),
        ("c = ['ls']; c = text; subprocess.run(c)", "subprocess.run without a list"),
        ("subprocess.run('ls', check=True)", "subprocess.run without a list"),
        ("subprocess.run(['ls'], shell=True)", "subprocess.run with a shell"),
        ("np.load(path)", "np.load without allow_pickle=False"),
        ("np.load(path, allow_pickle=True)", "np.load without allow_pickle=False"),
        ("torch.load(path)", "torch.load without weights_only=True"),
        ("json.loads(text)", "json.loads"),
        ("from json import loads", "json.loads"),
        ("with Image.open(path) as image: pass", "Image.open"),
    ],
)
def test_the_search_finds_what_is_forbidden(code, expected):
    assert expected in [what for _, what in forbidden(ast.parse(code))]


@pytest.mark.parametrize(
    "code",
    [
        "np.load(path, allow_pickle=False)",
        "subprocess.run(['ls', name], check=True)",
        "command = ['ls', name]; subprocess.run(command, check=True)",
        "json.dumps(1)",
    ],
)
def test_the_search_leaves_the_rest_alone(code):
    assert list(forbidden(ast.parse(code))) == []
