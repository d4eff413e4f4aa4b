"""Promises about what happens before and after a project is written."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SERVERS, copy_of_template, edit
from processes import Run, run_at_once

Generate = Callable[..., Run]
PROMISES = [
    "the ini points at a complete environment",
    "no module of an older layout is left",
    "env knows the tables of all models",
    "history has one base and one head and no gaps",
    "the head file names the head",
    "revision ids fit into the version table and are in the file names",
    "revisions do not import the application",
    "a new revision is valid whatever its message",
    "upgrade can be written as sql",
    "upgrade gives the tables of the models",
    "every constraint is given a name",
    "every revision goes up down and up again and leaves nothing",
]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, for sabotage."""
    return copy_of_template(tmp_path / "template")


@pytest.fixture
def generate(template: Path, tmp_path: Path) -> Generate:
    """A function that runs ``cookiecutter`` as a person does, with this environment's packages.

    ``uv`` is hidden, so that the packages of this environment test the migrations.
    """

    def run(path: str = "/nonexistent", folder: str = "out", **answers: str) -> Run:
        command = ["cookiecutter", "--no-input", "--default-config", "-o", str(tmp_path / folder)]
        command += [str(template), *(f"{k}={v}" for k, v in answers.items())]
        environment = {**os.environ, "PATH": path, "PYTEST_ADDOPTS": "", "CI": "true"}
        (done,) = run_at_once(command, folder=Path.cwd(), environment=environment)
        return done

    return run


@pytest.mark.machine
def test_shows_each_test_and_what_is_next(generate: Generate, tmp_path: Path) -> None:
    run = generate()
    assert run.returncode == 0, run.stderr
    for promise in PROMISES:
        assert f"passed      {promise}\n" in run.stdout
    assert run.stdout.endswith(
        "Next:\n  cd my-shop\n  pipx install uv\n  uv run alembic upgrade head\n  uv run pytest\n"
    )
    assert (tmp_path / "out" / "my-shop" / "alembic.ini").exists()


@pytest.mark.machine
@pytest.mark.parametrize("databases", ["several", "shared_history"])
def test_tests_each_database_and_says_how_to_upgrade_it(generate: Generate, databases: str) -> None:
    run = generate(databases=databases)
    assert run.returncode == 0, run.stderr
    for promise in PROMISES:
        assert f"passed      {promise}\n" in run.stdout
    upgrades = re.findall(r"uv run alembic (.*)upgrade head", run.stdout)
    assert upgrades == (["--name main ", "--name analytics "] if databases == "several" else [""])


@pytest.mark.machine
def test_a_fault_in_the_second_database_fails_the_test(
    generate: Generate, template: Path, tmp_path: Path
) -> None:
    revision = f"{MIGRATIONS}/{{{{cookiecutter.__analytics_versions}}}}/{{{{cookiecutter.__analytics_revision}}}}"
    edit(template / revision, '    op.drop_table("visits")\n', "    pass\n")
    run = generate(databases="several")
    assert run.returncode != 0
    assert "FAILED      every revision goes up down and up again and leaves nothing" in run.stdout
    assert not (tmp_path / "out" / "my-shop").exists()


@pytest.mark.machine
def test_installs_with_uv_and_leaves_an_environment_that_works(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    run = generate(path=os.environ["PATH"])
    assert run.returncode == 0, run.stderr
    assert "Installing with uv" in run.stdout
    assert run.stdout.count("passed  ") == len(PROMISES)
    project = tmp_path / "out" / "my-shop"
    assert (project / "uv.lock").exists()
    assert list(project.glob(".venv/**/sqlalchemy/**/*.pyc")), "the next command compiles it anew"
    environment = {key: os.environ[key] for key in os.environ if key != "VIRTUAL_ENV"}
    for command in (
        ["alembic", "upgrade", "head"],
        ["alembic", "check"],
        ["pytest"],
        ["ruff", "check"],
    ):
        subprocess.run(
            ["uv", "run", "--no-sync", *command], cwd=project, env=environment, check=True
        )


def test_set_up_now_no_downloads_and_tests_nothing(generate: Generate, tmp_path: Path) -> None:
    run = generate(path=os.environ["PATH"], set_up_now="no")
    assert run.returncode == 0, run.stderr
    assert "Installing" not in run.stdout
    assert "passed  " not in run.stdout
    assert "uv run pytest tests/test_migrations.py" in run.stdout
    assert not (tmp_path / "out" / "my-shop" / ".venv").exists()


@pytest.mark.parametrize("database", ["postgresql", "mysql"])
def test_tests_what_needs_a_server_on_the_server(
    generate: Generate, database: str, new_database: Callable[[str], object]
) -> None:
    new_database(database)
    if SERVERS[database].host != "127.0.0.1":
        pytest.skip("the hook looks for a server at 127.0.0.1")
    run = generate(database=database)
    assert run.stdout.count("passed  ") == len(PROMISES), run.stdout + run.stderr


@pytest.mark.machine
@pytest.mark.parametrize(("database", "port"), [("postgresql", "5432"), ("mysql", "3306")])
def test_says_what_is_skipped_without_a_server(
    generate: Generate, template: Path, database: str, port: str
) -> None:
    edit(template / "cookiecutter.json", f'"port": {port}', '"port": 1')
    run = generate(database=database)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("passed  ") == len(PROMISES) - 3
    for promise in PROMISES[-3:]:
        assert f"skipped     {promise}" in run.stdout
    assert "No scratch database at 127.0.0.1:1: " in run.stdout
    assert "docker compose up --wait\n  uv run pytest tests/test_migrations.py" in run.stdout


def test_without_uv_and_without_packages_says_so(generate: Generate, template: Path) -> None:
    edit(
        template / PROJECT / "pyproject.toml",
        '"alembic[tz]>=1.20"',
        '"alembic[tz]>=99", "no-such>=1"',
    )
    run = generate()
    assert run.returncode == 0, run.stderr
    lacks = "this Python lacks alembic[tz]>=99, no-such>=1"
    assert f"not tested: there is no uv, and {lacks}\n" in run.stdout.replace(".\n", "\n")
    assert "passed  " not in run.stdout


@pytest.mark.machine
def test_without_network_tests_with_the_packages_that_are_there_and_says_what_uv_says(
    generate: Generate, template: Path, tmp_path: Path
) -> None:
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\necho 'error: no network' >&2\nexit 2\n")
    uv.chmod(0o755)
    path = f"{uv.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    run = generate(path=path)
    assert run.returncode == 0, run.stderr
    problem = "uv could not install the dependencies.\nerror: no network"
    assert f"Not installed: {problem}\nBut this Python has them, too." in run.stdout
    assert run.stdout.count("passed  ") == len(PROMISES)

    edit(template / PROJECT / "pyproject.toml", '"alembic[tz]>=1.20"', '"alembic[tz]>=99"')
    run = generate(path=path, folder="other")
    assert run.returncode == 0, run.stderr
    assert f"not tested: {problem}" in run.stdout
    assert "passed  " not in run.stdout


PROJECT = "{{cookiecutter.project_slug}}"
MIGRATIONS = f"{PROJECT}/{{{{cookiecutter.migrations_directory}}}}"
ENV = f"{MIGRATIONS}/{{{{ 'env.py' if cookiecutter.databases != 'shared_history' }}}}"
MAKO = f"{MIGRATIONS}/{{{{ 'script.py.mako' if cookiecutter.databases != 'shared_history' }}}}"
VERSIONS = f"{MIGRATIONS}/{{{{cookiecutter.__versions}}}}"
REVISION = f"{VERSIONS}/{{{{cookiecutter.__revision}}}}"
FIRST_OPERATION = '    op.create_table(\n        "customers",\n'
MODELS = f"{PROJECT}/{{{{cookiecutter.__package_directory}}}}/models"
EXAMPLE = f"{MODELS}/{{{{cookiecutter.__example_model}}}}"


def add_second_head(template: Path) -> None:
    text = (template / REVISION).read_text(encoding="utf-8")
    (template / VERSIONS / "second.py").write_text(text.replace("4f1c2a7be930", "aaaa"))


SABOTAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no_target_metadata": (
        lambda t: edit(t / ENV, "target_metadata = Base.metadata", "target_metadata = None"),
        "env knows the tables of all models",
    ),
    "model_column_without_migration": (
        lambda t: edit(t / EXAMPLE, "    price:", "    weight: Mapped[int]\n    price:"),
        "upgrade gives the tables of the models",
    ),
    "model_that_is_not_imported": (
        lambda t: edit(t / MODELS / "{{ '__init__.py' if cookiecutter.databases == 'one' }}", "import_module(", "str("),
        "env knows the tables of all models",
    ),
    "second_head": (add_second_head, "history has one base and one head and no gaps"),
    "long_revision_id": (
        lambda t: edit(t / REVISION, "4f1c2a7be930", "4f1c2a7be930" * 3),
        "revision ids fit into the version table and are in the file names",
    ),
    "broken_script_template": (
        lambda t: edit(t / MAKO, "def upgrade() -> None:", "def upgrade( -> None:"),
        "a new revision is valid whatever its message",
    ),
    "script_template_that_escapes_nothing": (
        lambda t: edit(
            t / MAKO,
            '''${message.replace("\\\\", "\\\\\\\\").replace('"', '\\\\"')}''',
            "${message}",
        ),
        "a new revision is valid whatever its message",
    ),
    "downgrade_that_forgets_a_table": (
        lambda t: edit(t / REVISION, '    op.drop_table("customers")\n', ""),
        "every revision goes up down and up again and leaves nothing",
    ),
    "migration_that_fails": (
        lambda t: edit(t / REVISION, FIRST_OPERATION, "    op.execute('nonsense')\n" + FIRST_OPERATION),
        "upgrade gives the tables of the models",
    ),
    "migration_without_sql": (
        lambda t: edit(t / REVISION, FIRST_OPERATION, "    op.get_bind().scalar(sa.select(1)) + 1\n" + FIRST_OPERATION),
        "upgrade can be written as sql",
    ),
}  # fmt: skip


@pytest.mark.machine
@pytest.mark.parametrize("sabotage", SABOTAGE)
def test_a_failed_test_is_named_and_nothing_is_left(
    sabotage: str, generate: Generate, template: Path, tmp_path: Path
) -> None:
    break_it, promise = SABOTAGE[sabotage]
    break_it(template)
    run = generate()
    assert run.returncode != 0
    assert f"FAILED      {promise}\n" in run.stdout, run.stdout + run.stderr
    assert "FAILED: a test of the migrations failed." in run.stderr
    assert not (tmp_path / "out" / "my-shop").exists()


BROKEN_STRUCTURE: dict[str, tuple[Callable[[Path], None], str]] = {
    "wrong_script_location": (
        lambda t: edit(t / PROJECT / "alembic.ini", "{{ cookiecutter.migrations_directory }}\n\n# Where", "elsewhere\n\n# Where"),
        "elsewhere, where README.md is missing",
    ),
    "missing_env": (
        lambda t: (t / ENV).unlink(),
        "env.py is missing",
    ),
    "python_that_does_not_parse": (
        lambda t: edit(t / MIGRATIONS / "guard" / "settings.py", "def ", "dof "),
        "settings.py cannot be read",
    ),
    "template_code_left": (
        lambda t: edit(t / PROJECT / "README.md", "# ", "# {{ '{{ cookiecutter.x }}' }} "),
        "README.md has template code left",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN_STRUCTURE)
def test_a_broken_structure_is_found_without_any_package(
    fault: str, generate: Generate, template: Path, tmp_path: Path
) -> None:
    break_it, message = BROKEN_STRUCTURE[fault]
    break_it(template)
    run = generate(set_up_now="no")
    assert run.returncode != 0
    assert message in run.stderr, run.stderr
    assert not (tmp_path / "out" / "my-shop").exists()


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("package_name", "class", "a word of the Python language"),
        ("package_name", "match", "a word of the Python language"),
        ("package_name", "logging", "standard library"),
        ("package_name", "alembic", "the project itself needs"),
        ("package_name", "sqlalchemy", "the project itself needs"),
        ("project_slug", "packaging", "the project itself needs"),
        ("migrations_directory", "pluggy", "the project itself needs"),
        ("package_name", "2fast", "must be lower-case ASCII"),
        ("package_name", "ünï", "must be lower-case ASCII"),
        ("package_name", "con", "a device on Windows"),
        ("package_name", "tests", "another folder of the project"),
        ("package_name", "a" * 31, "at most 30 characters"),
        ("migrations_directory", f"src/my_shop/{'m' * 38}", "at most 49 characters"),
        ("package_name", "config", "a name that env.py uses"),
        ("migrations_directory", "my_shop", "another folder of the project"),
        ("migrations_directory", "alembic", "the project itself needs"),
        ("migrations_directory", "../evil", "or of one below src/my_shop"),
        ("migrations_directory", "src", "another folder of the project"),
        ("migrations_directory", "src/my_shop/models", "another folder of the project"),
        ("migrations_directory", "src/other/migrations", "or of one below src/my_shop"),
        ("migrations_directory", "src/my_shop/a/b", "or of one below src/my_shop"),
        ("migrations_directory", "/etc", "or of one below src/my_shop"),
        ("project_slug", "My Shop", "must be lower-case ASCII"),
        ("project_slug", "-rf", "must be lower-case ASCII"),
        ("project_slug", "a/b", "must be lower-case ASCII"),
        ("project_slug", "../evil", "must be lower-case ASCII"),
        ("project_slug", "..", "must be lower-case ASCII"),
        ("project_slug", "", "must be lower-case ASCII"),
        ("project_slug", "{{ 'shop' }}", "must be lower-case ASCII"),
        ("project_slug", "pytest", "the project itself needs"),
        ("project_slug", "COM1", "must be lower-case ASCII"),
        ("description", "two\nlines", "one line"),
        ("author_email", 'me"@x', "not an e-mail address"),
    ],
)
def test_an_answer_that_cannot_work_is_refused_in_one_sentence(
    generate: Generate, tmp_path: Path, question: str, answer: str, reason: str
) -> None:
    run = generate(**{"project_slug": "my-shop", question: answer})
    assert run.returncode != 0
    (sentence,) = [line for line in run.stderr.splitlines() if line.startswith(f"  {question} ")]
    assert reason in sentence
    assert re.search(
        r": (try '[a-z][a-z0-9_-]*'|try 'you@example.com'|write it without)\.$", sentence
    )
    assert not list((tmp_path / "out").rglob("*"))
    assert {path.name for path in tmp_path.iterdir()} == {"out", "template"}


@pytest.mark.parametrize(
    "name",
    [
        'Zoë "Quote" O\'Neill',
        "back\\slash",
        '"""',
        "naïve 🚀 $%{x}",
        "<b> & #",
        "{{ }} {% %} {# #} ${} %(x)s",
        "{{ cookiecutter.project_slug }} {{ 1 + 1 }}",
        "{% raw %}{{ x }}{% endraw %}",
        "שלום " * 100,
    ],
)
def test_free_text_is_kept_to_the_letter(generate: Generate, tmp_path: Path, name: str) -> None:
    answers = dict.fromkeys(["author_name", "description", "project_name"], name)
    run = generate(**answers, project_slug="my-shop", set_up_now="no")
    assert run.returncode == 0, run.stderr
    metadata = tomllib.loads((tmp_path / "out/my-shop/pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["authors"][0]["name"] == name
    assert metadata["project"]["description"] == name


def test_texts_typed_at_the_prompts_are_kept_to_the_letter(template: Path, tmp_path: Path) -> None:
    typed = ["{{ 7 * 7 }} [b]Ω[/b]", "my-shop", "", 'Say "{% x %}"', "O'Neill", "", *"111yxn"]
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--default-config", "-o", tmp_path, template],
        input="".join(f"{answer}\n" for answer in typed).replace("x\n", "migrations\n"),
        check=True,
        encoding="utf-8",
    )
    metadata = tomllib.loads((tmp_path / "my-shop/pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["description"] == 'Say "{% x %}"'
    assert metadata["project"]["authors"][0]["name"] == "O'Neill"
    readme = (tmp_path / "my-shop/README.md").read_text(encoding="utf-8")
    assert readme.startswith(r"# {{ 7 \* 7 }} \[b]Ω\[/b]")


RUNS = "open({0}ran{0}, {0}w{0}).write({0}x{0})"


@pytest.mark.parametrize(
    "code",
    [
        f'"""); {RUNS.format(chr(34))}; json.loads(r"""{{}}',
        f"{{{{ cycler.__init__.__globals__.__builtins__.{RUNS.format(chr(39))} }}}}",
        f"{{% set x = cycler.__init__.__globals__.__builtins__.{RUNS.format(chr(39))} %}}",
    ],
    ids=["python", "expression", "statement"],
)
def test_code_in_an_answer_does_not_run(generate: Generate, tmp_path: Path, code: str) -> None:
    answers = dict.fromkeys(["author_name", "description", "project_name"], code)
    run = generate(**answers, project_slug="my-shop", set_up_now="no")
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.rglob("ran"))
    assert not list(Path.cwd().glob("ran"))


def test_a_percent_sign_in_the_path_is_refused(generate: Generate, tmp_path: Path) -> None:
    folder = tmp_path / "100%"
    folder.mkdir()
    run = generate("/nonexistent", "100%")
    assert run.returncode != 0
    assert f"The folder {folder} has a % in its path" in run.stderr
    assert not list(folder.iterdir())


def test_the_word_cookiecutter_may_be_in_an_answer(generate: Generate) -> None:
    run = generate(description="Generated with cookiecutter.", set_up_now="no")
    assert run.returncode == 0, run.stderr


def test_a_project_that_was_there_before_is_left_alone(generate: Generate, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "my-shop" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep me")
    assert generate().returncode != 0
    assert mine.read_text() == "keep me"


def test_a_refused_folder_outside_leaves_no_trace(generate: Generate, tmp_path: Path) -> None:
    assert generate(project_slug=str(tmp_path / "deep" / "er")).returncode != 0
    assert not (tmp_path / "deep").exists()


def test_braces_in_the_path_are_refused(generate: Generate, tmp_path: Path) -> None:
    folder = tmp_path / "{{ 1 }}"
    folder.mkdir()
    run = generate("/nonexistent", folder.name)
    assert run.returncode != 0
    assert f"The folder {folder} has a brace in its path" in run.stderr
    assert not list(folder.iterdir())
