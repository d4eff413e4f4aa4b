"""Promises about ``running/naming.py``: the database that was named is changed, and no other."""

from pathlib import Path

import pytest
from conftest import NewDatabase, query, tables_of
from environments import MIGRATIONS, NewEnvironment
from several_environments import NAMES, NewSeveral, SeveralEnvironment

CREATE = "op.create_table('one', sa.Column('id', sa.Integer()))"
ALL = ["sqlite", "postgresql", "mysql"]
LAYOUTS = ["several", "shared_history"]


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def at_head(layout: str, new_several: NewSeveral) -> SeveralEnvironment:
    """Two databases with a table each."""
    environment = new_several(layout)
    if layout == "several":
        for name in NAMES:
            environment.add_revision("one", name, upgrade=CREATE, downgrade="op.drop_table('one')")
            assert environment.alembic("--name", name, "upgrade", "head").returncode == 0
    else:
        add_to_both(environment, "one")
        run = environment.alembic("upgrade", "head")
        assert run.returncode == 0, run.stderr
    return environment


def add_to_both(environment: SeveralEnvironment, table: str) -> Path:
    create = f"op.create_table({table!r}, sa.Column('id', sa.Integer()))"
    return environment.add_revision(
        table,
        upgrade_main=create, upgrade_analytics=create,
        downgrade_main=f"op.drop_table({table!r})", downgrade_analytics=f"op.drop_table({table!r})",
    )  # fmt: skip


def nothing_changed(environment: SeveralEnvironment) -> bool:
    return all(tables_of(url) == {"one"} for url in environment.urls.values())


def two_lines(message: str) -> bool:
    lines = message.splitlines()
    return len(lines) <= 2 and all(len(line) <= 240 for line in lines)


# The command line


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("url={other}", "-x url names no database of"),
        ("main_url={other}", "Name all databases: -x analytics_url=…"),
        ("database=main", "-x database"),
        ("billing_url={other}", "Unknown argument -x billing_url"),
    ],
)
def test_an_argument_that_names_no_database_here_changes_none(
    at_head: SeveralEnvironment, argument: str, said: str, new_database: NewDatabase
) -> None:
    other = new_database("sqlite")
    if at_head.layout == "several" and argument.startswith("main_url"):
        argument, said = "analytics_url={other}", "is for the database main only"
    name = ["--name", "main"] if at_head.layout == "several" else []
    run = at_head.alembic(*name, "-x", argument.format(other=other), "downgrade", "base")
    assert run.returncode == 1
    if at_head.layout == "several" and argument == "database=main":
        said = "Unknown argument -x database"
    assert said in run.stderr
    assert two_lines(run.stderr), run.stderr
    assert nothing_changed(at_head)


def test_each_argument_for_a_url_names_that_database(
    at_head: SeveralEnvironment, new_database: NewDatabase
) -> None:
    others = {name: new_database("sqlite") for name in NAMES}
    arguments = {name: ["-x", f"{name}_url={url}"] for name, url in others.items()}
    if at_head.layout == "several":
        runs = [
            at_head.alembic("--name", name, *arguments[name], "upgrade", "head") for name in NAMES
        ]
    else:
        runs = [at_head.alembic(*arguments["main"], *arguments["analytics"], "upgrade", "head")]
    assert [run.returncode for run in runs] == [0] * len(runs), runs
    assert all(tables_of(url) == {"one"} for url in others.values())


def test_a_url_for_all_databases_in_the_ini_is_refused(at_head: SeveralEnvironment) -> None:
    section = "[DEFAULT]" if at_head.layout == "several" else "[alembic]"
    text = at_head.ini.read_text().replace(section, f"{section}\nsqlalchemy.url = sqlite:///x.db")
    at_head.ini.write_text(text)
    name = ["--name", "main"] if at_head.layout == "several" else []
    run = at_head.alembic(*name, "downgrade", "base")
    assert run.returncode == 1
    assert f"sqlalchemy.url in {section}" in run.stderr
    assert nothing_changed(at_head)


def test_a_name_of_a_database_is_refused_where_all_share_a_history(
    new_several: NewSeveral,
) -> None:
    environment = new_several("shared_history")
    add_to_both(environment, "one")
    environment.ini.write_text(
        environment.ini.read_text().replace("[alembic]", "[DEFAULT]") + "\n[main]\n[alembic]\n"
    )
    assert environment.alembic("upgrade", "head").returncode == 0
    run = environment.alembic("--name", "main", "downgrade", "base")
    assert "FAILED: --name main names no history" in run.stderr
    assert nothing_changed(environment)


# A program


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("config.set_section_option('billing', 'sqlalchemy.url', urls[0])", "[billing]"),
        ("config.attributes['connections'] = {'billing': None}", "no database 'billing'"),
        ("config.attributes['database'] = 'main'", 'config.attributes["database"]'),
    ],
)
def test_a_program_that_names_no_database_here_changes_none(
    at_head: SeveralEnvironment, code: str, said: str, new_database: NewDatabase
) -> None:
    run = at_head.program(f"{code}\ncommand.downgrade(config, 'base')", str(new_database("sqlite")))
    assert run.returncode != 0
    assert said in run.stderr.splitlines()[-1]
    assert nothing_changed(at_head)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("config.set_main_option('sqlalchemy.url', urls[0])", "sqlalchemy.url in [alembic]"),
        (
            "config.attributes['connection'] = create_engine(urls[0]).connect()",
            'config.attributes["connection"] names no database of several',
        ),
        (
            "config.attributes['connections'] = {'main': create_engine(urls[0]).connect()}",
            "Name all databases",
        ),
        ("config.set_section_option('main', 'sqlalchemy.url', urls[0])", "Name all databases"),
    ],
)
def test_what_names_one_database_is_refused_where_all_share_a_history(
    new_several: NewSeveral, new_database: NewDatabase, code: str, said: str
) -> None:
    environment = new_several("shared_history")
    add_to_both(environment, "one")
    assert environment.alembic("upgrade", "head").returncode == 0
    code += "\ncommand.downgrade(config, 'base')"
    run = environment.program(code, str(new_database("sqlite")))
    assert run.returncode != 0
    assert said in "".join(run.stderr.splitlines()[-2:])
    assert nothing_changed(environment)


@pytest.mark.parametrize(
    "code",
    [
        "config.set_main_option('sqlalchemy.url', urls[0])",
        "config.set_section_option('main', 'sqlalchemy.url', urls[0])",
        "config.attributes['connection'] = create_engine(urls[0]).connect()",
        "config.attributes['connections'] = {'main': create_engine(urls[0]).connect()}",
    ],
)
def test_what_names_a_database_is_that_of_the_section_where_each_has_a_history(
    new_several: NewSeveral, new_database: NewDatabase, code: str
) -> None:
    environment, other = new_several("several"), new_database("sqlite")
    environment.add_revision("one", "main", upgrade=CREATE)
    run = environment.program(f"{code}\ncommand.upgrade(config, 'head')", str(other))
    assert run.returncode == 0, run.stderr
    assert tables_of(other) == {"one"}
    assert tables_of(environment.urls["main"]) == set()


def test_two_connections_for_one_database_are_refused(new_several: NewSeveral) -> None:
    environment = new_several("several")
    run = environment.program(
        "config.attributes.update(connection=1, connections={'main': 2})\ncommand.current(config)"
    )
    assert "both name the database main" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("config.set_section_option('main', 'sqlalchemy.url', 'sqlite://')", "[main]"),
        ("config.attributes['connections'] = {'main': None}", 'attributes["connections"]'),
        ("config.attributes['database'] = 'main'", 'attributes["database"]'),
    ],
)
def test_what_names_one_of_several_is_refused_where_there_is_one(
    new_environment: NewEnvironment, code: str, said: str
) -> None:
    from alembic import command
    from alembic.util import CommandError

    environment = new_environment()
    environment.add_revision("one", CREATE, "op.drop_table('one')")
    command.upgrade(environment.config, "head")
    config = environment.config
    exec(code, {"config": config})  # noqa: S102
    with pytest.raises(CommandError, match=said.replace("[", r"\[")):
        command.downgrade(config, "base")
    assert tables_of(environment.url) == {"one"}


def test_urls_in_other_sections_of_the_ini_are_not_those_of_a_program(
    new_environment: NewEnvironment,
) -> None:
    from alembic import command

    environment = new_environment()
    environment.ini.write_text(environment.ini.read_text() + "\n[staging]\nsqlalchemy.url = x://\n")
    command.upgrade(environment.config, "head")


# Relative steps


@pytest.mark.parametrize("kind", ALL)
def test_a_relative_step_is_refused_while_databases_stand_at_different_revisions(
    new_several: NewSeveral, kind: str
) -> None:
    environment = new_several("shared_history", kind)
    for name in ("one", "two"):
        add_to_both(environment, name)
    assert environment.alembic("upgrade", "head").returncode == 0
    query(environment.urls["main"], "UPDATE alembic_version SET version_num = 'one'")
    query(environment.urls["main"], "DROP TABLE two")
    before = {name: tables_of(url) for name, url in environment.urls.items()}
    for command, absolute in (("downgrade -1", "downgrade one"), ("upgrade +1", "upgrade two")):
        run = environment.alembic(*command.split())
        assert run.returncode == 1
        assert "in each database: analytics at two, main at one" in run.stderr, run.stderr
        assert f"alembic {absolute}" in run.stderr
        assert two_lines(run.stderr)
        assert {name: tables_of(url) for name, url in environment.urls.items()} == before
    run = environment.alembic("downgrade", "one")
    assert run.returncode == 0, run.stderr
    assert all(tables_of(url) == {"one"} for url in environment.urls.values())
    assert environment.alembic("downgrade", "-1").returncode == 0
    assert all(tables_of(url) == set() for url in environment.urls.values())


def test_a_relative_step_is_refused_where_one_database_has_no_revision(
    new_several: NewSeveral,
) -> None:
    environment = new_several("shared_history")
    add_to_both(environment, "one")
    assert environment.alembic("upgrade", "head").returncode == 0
    query(environment.urls["main"], "DELETE FROM alembic_version")
    run = environment.alembic("downgrade", "-1")
    assert "analytics at one, main at base. Name it: alembic downgrade base" in run.stderr


# Functions


@pytest.mark.parametrize("function", ["upgrade_analytic", "downgrade_billing"])
@pytest.mark.parametrize("arguments", ["upgrade head", "-x database=main upgrade head --sql"])
def test_a_function_of_a_database_that_does_not_exist_is_an_error(
    new_several: NewSeveral, function: str, arguments: str
) -> None:
    environment = new_several("shared_history")
    environment.add_revision("one", upgrade_main=CREATE, **{function: "pass"})
    run = environment.alembic(*arguments.split())
    assert run.returncode == 1
    database = function.partition("_")[2]
    assert (
        f"000_one.py: {function}() never runs, as there is no database {database!r}" in run.stderr
    )
    assert tables_of(environment.urls["main"]) == set()


def test_a_helper_with_another_name_is_nobodys_business(new_several: NewSeveral) -> None:
    environment = new_several("shared_history")
    environment.add_revision("one", upgrade_main="create()", create=CREATE)
    assert environment.alembic("upgrade", "head").returncode == 0
    assert tables_of(environment.urls["main"]) == {"one"}


# SQL


def test_sql_is_that_of_one_database(new_several: NewSeveral) -> None:
    environment = new_several("shared_history")
    environment.add_revision(
        "one", upgrade_main=CREATE, upgrade_analytics=CREATE.replace("one", "two")
    )
    run = environment.alembic("upgrade", "head", "--sql")
    assert run.returncode == 1
    assert "CREATE TABLE" not in run.stdout
    assert "Add: -x database=main or -x database=analytics" in run.stderr
    run = environment.alembic("-x", "database=billing", "upgrade", "head", "--sql")
    assert "There is no database 'billing'" in run.stderr
    run = environment.alembic("-x", "database=analytics", "upgrade", "head", "--sql")
    assert "CREATE TABLE two" in run.stdout
    assert "CREATE TABLE one" not in run.stdout


def test_a_program_says_which_database_sql_is_for(new_several: NewSeveral) -> None:
    environment = new_several("shared_history")
    environment.add_revision(
        "one", upgrade_main=CREATE, upgrade_analytics=CREATE.replace("one", "two")
    )
    run = environment.program(
        "config.attributes['database'] = 'main'\ncommand.upgrade(config, 'head', sql=True)"
    )
    assert "CREATE TABLE one" in run.stdout
    assert "CREATE TABLE two" not in run.stdout


# Messages


@pytest.mark.parametrize("kind", ALL)
def test_what_is_said_of_the_commit_is_true(new_several: NewSeveral, kind: str) -> None:
    environment = new_several("shared_history", kind)
    add_to_both(environment, "one")
    run = environment.program(
        "import logging\nlogging.basicConfig(level=logging.INFO)\ncommand.upgrade(config, 'head')"
    )
    assert run.returncode == 0, run.stderr
    said = "Committing analytics and main one after the other, as there is no two-phase commit"
    assert (said in run.stderr) == (kind != "mysql")
    assert ("Committing" in run.stderr) == (kind != "mysql")


def test_a_program_without_a_section_reads_which_there_are(new_several: NewSeveral) -> None:
    environment = new_several("several")
    (environment.path / "migrations" / "main" / "head.txt").write_text("one\n")
    (environment.path / "migrations" / "analytics" / "head.txt").write_text("one\n")
    folder = str(environment.path / "migrations")
    run = environment.program(
        f"config = Config()\nconfig.set_main_option('script_location', {folder!r})\n"
        f"config.set_main_option('prepend_sys_path', {str(MIGRATIONS)!r})\n"
        "config.set_main_option('path_separator', 'newline')\n"
        "command.upgrade(config, 'head')"
    )
    *_, first, second = run.stderr.splitlines()
    assert (
        "Which database? There are analytics, main. Name one, as in Config(…, ini_section=" in first
    )
    assert "version_locations" in second
