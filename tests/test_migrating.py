"""Promises about migrating, on real databases."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Bake, NewDatabase, Project, Urls, combinations, name_of, with_driver


def test_upgrade_check_downgrade_and_upgrade_again(
    project: Project, new_databases: Callable[[Project], Urls]
) -> None:
    urls = new_databases(project)
    for history in project.histories:
        for command in ("upgrade head", "check", "downgrade base", "upgrade head", "check"):
            project.succeed("alembic", *history, *command.split(), url=urls)


def test_its_own_tests_pass(project: Project, new_databases: Callable[[Project], Urls]) -> None:
    output = project.succeed(
        "pytest", "-p", "no:cacheprovider", "-p", "asyncio", url=new_databases(project)
    )
    assert "skipped" not in output


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_migrations_of_a_project_for_sqlite_move_to_another_database_by_its_url(
    baked: Bake, new_database: NewDatabase, kind: str
) -> None:
    project = baked(database="sqlite", driver="sync", example_models=True)
    url = with_driver(new_database(kind))
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"], ["upgrade", "head"]):
        project.succeed("alembic", *command, url=url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_project_for_sqlite_works_on_a_server_by_its_url(
    baked: Bake, new_database: NewDatabase, kind: str
) -> None:
    project = baked(database="sqlite", driver="sync", example_models=True)
    url = with_driver(new_database(kind))
    output = project.succeed("pytest", "-p", "no:cacheprovider", url=url)
    assert "skipped" not in output


def test_first_migration_is_silent_under_squawk(baked: Bake, tmp_path: Path) -> None:
    project = baked(database="postgresql", driver="sync", example_models=True)
    script = project.succeed("alembic", "upgrade", "head", "--sql")
    # The first table is Alembic's own; its VARCHAR(32) is not ours to change.
    ours = script[script.index("-- Running upgrade") :]
    settings = "".join(line + "\n" for line in script.splitlines() if line.startswith("SET "))
    path = tmp_path / "first.sql"
    path.write_text(settings + "BEGIN;\n" + ours)
    squawk = subprocess.run(["squawk", str(path)], capture_output=True, text=True, check=False)
    assert squawk.returncode == 0, squawk.stdout


def test_a_new_model_file_needs_no_mention_anywhere(bake: Bake, new_database: NewDatabase) -> None:
    project = bake(database="sqlite")
    url = new_database("sqlite")
    folder = project.path / "src" / "my_shop" / "models" / "billing"
    folder.mkdir()
    (folder / "invoice.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base\n\n\n"
        "class Invoice(Base):\n"
        '    __tablename__ = "invoices"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "    number: Mapped[str] = mapped_column(unique=True)\n"
    )
    proof = project.run("pytest", "tests/test_migrations.py")
    assert proof.returncode == 1
    assert "Detected added table 'invoices'" in proof.stdout

    project.succeed("alembic", "upgrade", "head", url=url)
    project.succeed("alembic", "revision", "--autogenerate", "-m", "Add invoices", url=url)
    (revision,) = project.versions.glob("*_add_invoices.py")
    assert '"invoices"' in revision.read_text()
    project.succeed("ruff", "format", "--check", str(revision))
    project.succeed("ruff", "check", str(revision))
    project.succeed("alembic", "upgrade", "head", url=url)
    project.succeed("alembic", "check", url=url)
    project.draw()
    project.succeed("pytest", url=url)


def test_a_model_in_the_init_of_a_folder_is_found(bake: Bake, new_database: NewDatabase) -> None:
    project, url = bake(), new_database("sqlite")
    project.succeed("alembic", "upgrade", "head", url=url)
    folder = project.path / "src" / "my_shop" / "models"
    (folder / "billing").mkdir()
    (folder / ".#example.py").write_text("an editor's lock")
    (folder / "billing" / "__init__.py").write_text(
        "from sqlalchemy.orm import Mapped, mapped_column\n\n"
        "from my_shop.models.base import Base\n\n\n"
        "class Bill(Base):\n"
        '    __tablename__ = "bills"\n\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    )
    assert "Detected added table 'bills'" in project.run("alembic", "check", url=url).stderr


def test_a_changed_column_keeps_the_tests_green(bake: Bake, new_database: NewDatabase) -> None:
    project, url = bake(), new_database("sqlite")
    project.succeed("alembic", "upgrade", "head", url=url)
    project.replace("src/my_shop/models/example.py", "Numeric(10, 2)", "Numeric(12, 2)")
    project.succeed("alembic", "revision", "--autogenerate", "-m", "wider", url=url)
    project.succeed("alembic", "upgrade", "head", url=url)
    project.draw()
    project.succeed("pytest", url=url)
    script = project.run("alembic", "upgrade", "head", "--sql", url=url)
    assert "run this revision without --sql" in script.stderr


@pytest.mark.parametrize("name", ["Acme", "Zoo"])
@pytest.mark.parametrize("migrations", ["db", "zz"])
def test_imports_are_sorted_whatever_the_names(bake: Bake, name: str, migrations: str) -> None:
    bake(project_name=name, migrations_directory=migrations, driver="async").succeed(
        "ruff", "check"
    )


def test_nothing_changed_writes_no_revision(bake: Bake, new_database: NewDatabase) -> None:
    project, url = bake(), new_database("sqlite")
    project.succeed("alembic", "upgrade", "head", url=url)
    before = project.files
    output = project.succeed("alembic", "revision", "--autogenerate", "-m", "nothing", url=url)
    assert "No changes" in output
    assert project.files == before


@pytest.mark.parametrize("ruff", [True, False], ids=["with_ruff", "without_ruff"])
def test_a_hand_written_revision_is_ready_to_be_filled_in(bake: Bake, ruff: bool) -> None:
    project = bake()
    if not ruff:
        project.replace("migrations/guard/writing/finish.py", 'find_spec("ruff")', "False")
    project.succeed("alembic", "revision", "-m", 'say "hi" \\ to\nall')
    (revision,) = project.versions.glob("*_say_hi_to_all.py")
    assert "import sqlalchemy as sa\nfrom alembic import op\n" in revision.read_text()
    project.succeed("ruff", "check", str(revision))
    project.succeed("ruff", "format", "--check", str(revision))


def test_a_revision_id_that_is_too_long_is_refused(bake: Bake) -> None:
    project = bake()
    before = project.files
    run = project.run("alembic", "revision", "-m", "x", "--rev-id", "a" * 33)
    assert run.returncode != 0
    assert "A revision id has at most 32 characters" in run.stderr
    assert project.files == before


def test_commands_work_from_any_directory(
    bake: Bake, new_database: NewDatabase, tmp_path: Path
) -> None:
    project = bake()
    elsewhere = Project(tmp_path, project.answers)
    ini = str(project.path / "alembic.ini")
    elsewhere.succeed("alembic", "--config", ini, "upgrade", "head")
    elsewhere.succeed("alembic", "--config", ini, "check")
    assert (project.path / "my_shop.db").exists()
    assert not list(tmp_path.glob("*.db"))


def test_upgrade_prints_each_revision_and_how_long_it_took(
    bake: Bake, new_database: NewDatabase
) -> None:
    run = bake().run("alembic", "upgrade", "head", url=new_database("sqlite"))
    assert run.stdout == ""
    running, took = run.stderr.splitlines()
    assert running == "Running upgrade  -> 4f1c2a7be930, Create example tables"
    assert re.fullmatch(r"Revision 4f1c2a7be930 took \d+\.\d\d s", took)


def test_an_unnamed_check_is_explained(bake: Bake) -> None:
    project = bake()
    project.replace("src/my_shop/models/example.py", ', name="price_is_not_negative"', "")
    run = project.run("alembic", "check")
    assert run.returncode != 0
    assert "table 'products' has no name: write CheckConstraint" in run.stderr


@pytest.mark.parametrize("answers", combinations()[:1], ids=name_of)
def test_sessions_of_tests_leave_no_trace(bake: Bake, answers) -> None:
    project = bake(**answers)
    (project.path / "tests" / "test_trace.py").write_text(
        "from my_shop.models.example import Product\n"
        "from sqlalchemy import select\n"
        "def test_write(session):\n"
        "    session.add(Product(name='x', price=1))\n"
        "    session.commit()\n"
        "def test_read(session):\n"
        "    assert session.scalars(select(Product)).all() == []\n"
    )
    project.succeed("pytest", "tests/test_trace.py")
