"""The rules of the house, held by a test so that no reviewer has to."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOTS = {"client": ROOT / "client" / "chainrule", "server": ROOT / "server" / "chainrule_server"}
FOLDERS = ("client", "server", "tests", "protos", "examples", "benchmarks", "deploy")
MAX_LINES = 400

# Test files that look at the house from above instead of mirroring one module.
ABOVE = ("support", "chaos", "e2e", "container", "foreign", "oracles", "bench")


def is_generated(path: Path) -> bool:
    return path.is_relative_to(ROOTS["client"] / "proto")


def python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not is_generated(path)]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=relative)


def imports_of(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


@each(python_files(*FOLDERS))
def test_a_file_holds_one_idea_and_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@each(python_files(*FOLDERS))
def test_every_module_says_what_it_is(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(ast.parse(path.read_text())), "begin the file with a docstring"


@each(python_files("client", "server", "tests"))
def test_nothing_runs_code_from_data_sleeps_or_mocks(path: Path) -> None:
    if path == Path(__file__).resolve():
        return
    tree = ast.parse(path.read_text())
    banned = ("pickle", "marshal", "shelve", "unittest.mock", "multiprocessing", "time.sleep")
    named = [name for _, name in imports_of(tree) if name.startswith(banned)]
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [name for name in calls if name in ("eval", "exec", "time.sleep", "asyncio.sleep")]
    assert not named + called


# A command imports what it needs, so that --help stays quick.
@each([p for p in python_files("client", "server") if ROOTS["client"] / "cli" not in p.parents])
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = [f"line {node.lineno}: {name}" for f in functions for node, name in imports_of(f)]
    assert not inner


@each(python_files("client", "server"))
def test_a_door_holds_no_code(path: Path) -> None:
    """`__init__.py` re-exports; the lazy one of the client needs its two functions."""
    if path.name != "__init__.py":
        return
    body = ast.parse(path.read_text()).body
    allowed = {"__getattr__", "__dir__"} if path.parent == ROOTS["client"] else set()
    names = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert names <= allowed


def mirrored(side: str, path: Path) -> bool:
    """Whether a test file's place names a module or a package of the sources."""
    place = path.relative_to(ROOT / "tests" / side)
    target = ROOTS[side] / place.parent / path.stem.removeprefix("test_")
    return target.with_suffix(".py").exists() or target.is_dir()


@pytest.mark.parametrize("side", ROOTS)
def test_tests_mirror_modules(side: str) -> None:
    tests = sorted((ROOT / "tests" / side).rglob("test_*.py"))
    assert [relative(path) for path in tests if not mirrored(side, path)] == []


def test_every_other_test_file_has_its_place() -> None:
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    places = {path.relative_to(ROOT / "tests").parts[0] for path in tests}
    top = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert places - top <= {*ROOTS, *ABOVE}


def is_tested(side: str, module: Path) -> bool:
    """A module has a test of its own, or its package has one that covers it."""
    place = module.relative_to(ROOTS[side])
    base = ROOT / "tests" / side
    own = base / place.parent / f"test_{module.stem}.py"
    packages = [base / p.parent / f"test_{p.name}.py" for p in place.parents if p.name]
    return own.exists() or any(path.exists() for path in packages)


@pytest.mark.parametrize("side", ROOTS)
def test_modules_have_tests(side: str) -> None:
    modules = [p for p in python_files(side) if p.name not in ("__init__.py", "__main__.py")]
    assert [relative(path) for path in modules if not is_tested(side, path)] == []


def test_public_names_equal_the_list() -> None:
    """A name is public because `tests/api.txt` says so; a change there is a change for users."""
    listing = subprocess.run(
        [sys.executable, "-m", "support.api"],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=True,
    )
    assert listing.stdout.splitlines() == (ROOT / "tests" / "api.txt").read_text().splitlines()


def test_every_serve_option_is_documented() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "chainrule_server", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PATH": ""},
    )
    found = set(re.findall(r"(?<!\S)\[?(--[a-z][a-z0-9-]+)", shown.stdout))
    options = {name for name in found if name != "--help" and not name.startswith("--no-")}
    text = (ROOT / "docs" / "operations.md").read_text()
    assert options, "the help shows no option"
    for option in sorted(options):
        assert f"`{option}" in text, f"docs/operations.md does not describe {option}"
        variable = "CHAINRULE_" + option.removeprefix("--").replace("-", "_").upper()
        assert f"`{variable}`" in text, f"docs/operations.md does not name {variable}"


def test_importing_the_client_loads_no_grpc() -> None:
    """Workers import `chainrule.ir`; gRPC there would cost 31 MiB each and threads."""
    check = "import chainrule, chainrule.ir, sys; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_dependencies_of_the_base_stay_few() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~ ]", line)[0] for line in project["dependencies"]}
    assert names == {"numpy", "grpcio", "protobuf", "tqdm"}


def test_contributing_shows_the_code_as_it_stands() -> None:
    """Each block under a file's name is a piece of that file, word for word."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    excerpts = re.findall(r"^`([\w/.]+)`\n```\w+\n(.*?)\n```$", text, re.M | re.S)
    assert excerpts
    assert [path for path, code in excerpts if code not in (ROOT / path).read_text()] == []


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    dead = [
        f"{relative(page)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dead == []
