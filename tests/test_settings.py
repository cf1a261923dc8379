"""Settings: the flags, environment variables, ``.env`` and config file of the command line page, and what wins."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from scriptling.arguments import parse_arguments
from scriptling.options import OPTIONS, UsageError
from scriptling.settings import Settings, default_workers, load


def load_argv(argv: Sequence[str], environment: Mapping[str, str]) -> Settings:
    return load(parse_arguments(argv), environment)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, which holds a script."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.py").write_text("")
    return tmp_path


def refused(*argv: str, **environment: str) -> str:
    """Return the sentence with which a command line is refused."""
    with pytest.raises(UsageError) as caught:
        load_argv(argv, environment)
    return str(caught.value)


def test_nothing_given_is_all_defaults() -> None:
    assert load_argv([], {}) == Settings(workers=default_workers())
    assert 2 <= default_workers() <= 8


def test_settings_can_travel_to_other_processes() -> None:
    settings = load_argv(["--workers", "3", "s.py"], {})
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--workers", "3"], "workers", 3),
        (["--workers=3"], "workers", 3),
        (["--call-timeout", "0.5"], "call_timeout", 0.5),
        (["--call-timeout", "0"], "call_timeout", 0.0),
        (["--graceful-timeout", "5"], "graceful_timeout", 5.0),
        (["--max-requests", "100"], "max_requests", 100),
        (["--json-rpc", "--sandbox", "s.py"], "sandbox", True),
        (["--json-rpc", "--sandbox", "s.py"], "sandboxed", True),
        (["--json-rpc", "--allowed-paths", "/usr", "s.py"], "allowed_paths", ("/usr",)),
        (["--json-rpc", "--allowed-paths", "/usr", "s.py"], "sandboxed", True),
        (["--json-rpc", "--allowed-paths=/usr:ro", "--allowed-paths=/", "s.py"], "allowed_paths", ("/usr:ro", "/")),
        (["--json-rpc", "--no-network", "s.py"], "no_network", True),
        (["--json-rpc", "--no-network", "s.py"], "sandboxed", False),
        (["--max-rss", "256"], "max_rss", 256),
        (["--max-rss", "0"], "max_rss", 0),
        (["--max-memory", "512"], "max_memory", 512),
        (["--max-message", "1"], "max_message", 1),
        (["--max-queue", "9"], "max_queue", 9),
        (["--max-batch", "9"], "max_batch", 9),
        (["--max-depth", "9"], "max_depth", 9),
        (["--callback-depth", "9"], "callback_depth", 9),
        (["--reload"], "reload", True),
        (["--reload=false"], "reload", False),
        (["--no-traceback"], "show_traceback", False),
        (["--log-level", "DEBUG"], "log_level", "debug"),
        (["--log-format", "json"], "log_format", "json"),
        (["-i"], "interactive", True),
        (["-c", "x"], "code", "x"),
        (["-cx"], "code", "x"),
        (["-ic", "x"], "code", "x"),
        (["--code=x"], "code", "x"),
        (["-"], "script", "-"),
        (["--json-rpc", "s.py"], "json_rpc", True),
    ],
)
def test_each_flag_sets_its_field(argv: list[str], field: str, value: object) -> None:
    assert getattr(load_argv(argv, {}), field) == value


def test_every_option_that_is_offered_fills_a_field() -> None:
    fields = set(Settings._fields)
    assert [option.name for option in OPTIONS if option.field not in fields] == ["version", "help"]


@pytest.mark.parametrize(
    ("argv", "script", "rest"),
    [
        (["s.py", "--workers", "0", "-i"], "s.py", ("--workers", "0", "-i")),
        (["--reload", "--", "s.py", "a"], "s.py", ("a",)),
        (["-c", "pass", "--reload", "s.py"], None, ("--reload", "s.py")),
        (["-", "a"], "-", ("a",)),
    ],
)
def test_what_follows_the_script_or_the_code_is_the_scripts_own(
    argv: list[str], script: str | None, rest: tuple[str, ...]
) -> None:
    settings = load_argv(argv, {})
    assert (settings.script, settings.script_args) == (script, rest)


def test_folders_are_absolute_in_order_and_behind_the_scripts_own(folder: Path) -> None:
    for name in ("a", "b", "app"):
        (folder / name).mkdir()
    (folder / "app" / "main.py").write_text("")
    settings = load_argv(["-L", "a", "-Lb", "--plugin-dir", "a", "app/main.py"], {})
    assert settings.library_path == (str(folder / "a"), str(folder / "b"))
    assert settings.plugin_dirs == (str(folder / "a"),)
    assert settings.import_path == (str(folder / "app"), *settings.library_path)


def test_the_scripts_folder_is_where_a_link_leads_and_the_current_one_without_a_script(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "s.py").write_text("")
    (folder / "link.py").symlink_to(folder / "real" / "s.py")
    assert load_argv(["link.py"], {}).script_folder == str(folder / "real")
    assert load_argv(["-c", "pass"], {}).script_folder == str(folder)


@pytest.mark.parametrize(
    ("argv", "named", "right"),
    [
        (["--workers", "0"], "--workers", "from 1 to 1000"),
        (["--workers", "two"], "--workers", "from 1 to 1000"),
        (["--workers=-1"], "--workers", "from 1 to 1000"),
        (["--workers", "2.5"], "--workers", "from 1 to 1000"),
        (["--workers", "9" * 5000], "--workers", "from 1 to 1000"),
        (["--workers"], "--workers", "--workers N"),
        (["--call-timeout", "-1"], "--call-timeout", "0 or more"),
        (["--call-timeout", "nan"], "--call-timeout", "0 or more"),
        (["--call-timeout", "inf"], "--call-timeout", "0 or more"),
        (["--call-timeout", "soon"], "--call-timeout", "0 or more"),
        (["--reload=maybe"], "--reload", "true or false"),
        (["--log-level", "loud"], "--log-level", "warn or error"),
        (["--log-format", "xml"], "--log-format", "console, json or null"),
        (["--workers", "2", "--workers", "3"], "--workers", "give it once"),
        (["--wokers", "2"], "--wokers", "did you mean --workers?"),
        (["--port", "80"], "--port", "--json-rpc"),
        (["-x"], "-x", "-L"),
        (["-L", "missing"], "--libpath", "name one that exists"),
        (["--plugin-dir", "s.py"], "--plugin-dir", "name one that exists"),
        (["missing.py"], "missing.py", "No such file"),
        (["."], ".", "name the script in it"),
        (["--json-rpc"], "--json-rpc", "name a file"),
        (["--json-rpc", "-"], "--json-rpc", "name a file"),
        (["--json-rpc", "-i", "s.py"], "--interactive", "drop one"),
        (["--json-rpc", "--plugin-dir", ".", "s.py"], "--plugin-dir", "drop one"),
        (["--json-rpc", ":8000"], ":8000", "--server :8000 setup.py"),
        (["--server", "8000", "s.py"], "--server", ":8000 for every interface"),
        (["--server", "::1", "s.py"], "--server", "[::1]:8000"),
        (["--server", ":99999", "s.py"], "--server", ":8000"),
        (["-S:8000"], "--server", "name a file"),
        (["-S:8000", "-i", "s.py"], "--interactive", "drop one"),
        (["-S:8000", "--plugin-dir", ".", "s.py"], "--plugin-dir", "drop one"),
        (["--max-rss", "5", "s.py"], "--max-rss", "0, or a whole number from 32"),
        (["--max-memory", "63", "s.py"], "--max-memory", "0, or a whole number from 64"),
        (["--max-memory", "9" * 20, "s.py"], "--max-memory", "0, or a whole number from 64"),
        (["--tls-generate", "s.py"], "--tls-generate", "add --server"),
        (["-S:1", "--bearer-token", "", "s.py"], "--bearer-token", "not an empty one"),
        (["-S:1", "--bearer-token", "one", "--bearer-token", "two", "s.py"], "--bearer-token", "give it once"),
        (["-S:1", "--bearer-token", "one", "--bearer-token-file", "s.py", "s.py"], "--bearer-token", "drop one"),
        (["-S:1", "--bearer-token-file", "missing", "s.py"], "--bearer-token-file", "No such file"),
        (["-S:1", "--tls-key", "s.py", "s.py"], "--tls-key", "add --tls-cert"),
        (["-S:1", "--tls-cert", "s.py", "--tls-generate", "s.py"], "--tls-cert", "drop one"),
        (["-S:1", "--allow-origin", "app.example.com", "s.py"], "--allow-origin", "https://app.example.com"),
        (["-C", "missing.toml"], "missing.toml", "cannot read"),
    ],
)
def test_what_is_unknown_wrong_or_contradictory_names_the_flag_and_what_is_right(
    argv: list[str], named: str, right: str
) -> None:
    sentence = refused(*argv)
    assert named in sentence
    assert right in sentence


def test_command_line_over_environment_over_dotenv_over_config_over_default(folder: Path) -> None:
    (folder / "c.toml").write_text("workers = 2\ncall-timeout = 2\nmax-queue = 2\nmax-batch = 2\n")
    (folder / ".env").write_text("SCRIPTLING_WORKERS=3\nSCRIPTLING_CALL_TIMEOUT=3\nSCRIPTLING_MAX_QUEUE=3\n")
    environment = {"SCRIPTLING_WORKERS": "4", "SCRIPTLING_CALL_TIMEOUT": "4", "SCRIPTLING_CONFIG": "c.toml"}
    settings = load_argv(["--workers", "5"], environment)
    assert (settings.workers, settings.call_timeout, settings.max_queue, settings.max_batch) == (5, 4.0, 3, 2)
    assert settings.max_depth == 128
    assert settings.config == "c.toml"


def test_environment_names_and_lists(folder: Path) -> None:
    (folder / "a").mkdir()
    settings = load_argv(
        ["s.py"], {"SCRIPTLING_LIBPATH": f"a::{folder}", "SCRIPTLING_JSONRPC": "yes", "SCRIPTLING_NO_TRACEBACK": "0"}
    )
    assert settings.library_path == (str(folder / "a"), str(folder))
    assert settings.json_rpc
    assert settings.show_traceback


def test_a_token_comes_from_a_file_or_from_the_environment(folder: Path) -> None:
    (folder / "token").write_text("from-a-file\n")
    argv = ["-S:1", "--bearer-token-file", "token", "s.py"]
    environment = {"SCRIPTLING_BEARER_TOKEN": "from-outside"}
    assert load_argv(argv, {}).bearer_token == "from-a-file"
    assert load_argv(argv, environment).bearer_token == "from-a-file"
    assert load_argv(["-S:1", "s.py"], environment).bearer_token == "from-outside"


@pytest.mark.parametrize("content", ["", "\n", "two words", "t\u00f6ken"])
def test_a_token_that_is_none_is_refused_and_not_shown(folder: Path, content: str) -> None:
    (folder / "token").write_text(content)
    for sentence in (
        refused("-S:1", "--bearer-token-file", "token", "s.py"),
        refused("-S:1", "s.py", SCRIPTLING_BEARER_TOKEN=content),
        refused("-S:1", "--bearer-token", content, "s.py"),
    ):
        assert "not an empty one" in sentence
        assert not content.strip() or content not in sentence


def test_what_a_server_on_a_port_inherits_is_nothing_to_others() -> None:
    environment = {"SCRIPTLING_BEARER_TOKEN": "", "SCRIPTLING_TLS_GENERATE": "1", "SCRIPTLING_ALLOW_ORIGIN": "x"}
    assert load_argv(["--json-rpc", "s.py"], environment) == load_argv(["--json-rpc", "s.py"], {})


def test_a_server_leaves_its_hosts_folder_of_plugins_alone(folder: Path) -> None:
    environment = {"SCRIPTLING_PLUGIN_DIR": str(folder)}
    assert load_argv(["s.py"], environment).plugin_dirs == (str(folder),)
    assert load_argv(["--json-rpc", "s.py"], environment).plugin_dirs == ()


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_argv(["s.py"], {"SCRIPTLING_JSONRPC": "", "SCRIPTLING_WORKERS": ""}) == Settings(
        script="s.py", workers=default_workers()
    )


def test_variables_that_are_no_setting_are_left_alone() -> None:
    assert not load_argv([], {"SCRIPTLING_MCP_TOOLS": "x", "WORKERS": "0"}).json_rpc


def test_a_wrong_variable_is_named() -> None:
    assert refused(SCRIPTLING_WORKERS="0").startswith("SCRIPTLING_WORKERS: '0'")
    assert refused(SCRIPTLING_SERVER="1").startswith("SCRIPTLING_SERVER: '1'")


def test_dotenv_reads_export_quotes_and_comments_and_leaves_other_lines_alone(folder: Path) -> None:
    (folder / ".env").write_text(
        "# settings\nexport SCRIPTLING_WORKERS='3' # three\nSCRIPTLING_MAX_QUEUE=7 # seven\n"
        'SCRIPTLING_LOG_LEVEL="warn"\nOTHER THING\nSECRET=1\n\n'
    )
    settings = load_argv([], {})
    assert (settings.workers, settings.max_queue, settings.log_level) == (3, 7, "warn")


def test_dotenv_mistakes_name_file_and_line(folder: Path) -> None:
    (folder / ".env").write_text("\nSCRIPTLING_WORKERS 3\n")
    assert refused().startswith(".env, line 2:")
    (folder / ".env").write_text("SCRIPTLING_WORKERS=0\n")
    assert "SCRIPTLING_WORKERS in .env" in refused()
    (folder / ".env").write_bytes(b"SCRIPTLING_WORKERS=\xff\n")
    assert "cannot read .env" in refused()


def test_a_folder_called_dotenv_is_no_settings_file(folder: Path) -> None:
    (folder / ".env").mkdir()
    assert load_argv([], {}) == Settings(workers=default_workers())


def test_config_file_takes_the_names_of_the_flags_and_folders_beside_it(folder: Path) -> None:
    (folder / "etc").mkdir()
    (folder / "etc" / "lib").mkdir()
    (folder / "etc" / "c.toml").write_text(
        'libpath = ["lib", "."]\nplugin-dir = "lib"\nreload = true\nno-traceback = true\nlog-format = "json"\n'
    )
    settings = load_argv(["-C", "etc/c.toml"], {})
    assert settings.library_path == (str(folder / "etc" / "lib"), str(folder / "etc"))
    assert settings.plugin_dirs == (str(folder / "etc" / "lib"),)
    assert (settings.reload, settings.show_traceback, settings.log_format) == (True, False, "json")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("wokers = 2", "unknown setting wokers; did you mean workers?"),
        ("call_timeout = 2", "did you mean call-timeout?"),
        ("workers = 0", "workers in c.toml: '0'"),
        ("workers = true", "workers in c.toml: 'true'"),
        ("[workers]\nnumber = 2", "workers in c.toml"),
        ('code = "pass"', "unknown setting code"),
        ('config = "other.toml"', "unknown setting config"),
        ('server = "8000"', "server in c.toml: '8000'"),
        ("workers = ", "c.toml is not TOML"),
    ],
)
def test_config_file_mistakes_name_the_setting(folder: Path, content: str, sentence: str) -> None:
    (folder / "c.toml").write_text(content)
    assert sentence in refused("--config", "c.toml")


def test_allowed_paths_are_real_ones_and_may_be_files(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "s.py")
    settings = load_argv(["--json-rpc", "--allowed-paths", "link:ro", "--allowed-paths", ".", "s.py"], {})
    assert settings.allowed_paths == (f"{tmp_path.resolve()}/s.py:ro", str(tmp_path.resolve()))


def test_allowed_paths_in_the_environment_keep_their_marks(tmp_path: Path) -> None:
    settings = load_argv(["--json-rpc", "s.py"], {"SCRIPTLING_ALLOWED_PATHS": "/usr:ro:/:/usr/lib:ro"})
    assert settings.allowed_paths == ("/usr:ro", "/", f"{Path('/usr/lib').resolve()}:ro")


def test_allowed_paths_of_a_config_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "etc" / "data").mkdir(parents=True)
    (tmp_path / "etc" / "c.toml").write_text('allowed-paths = ["data", "data:ro"]\nsandbox = true')
    settings = load_argv(["--json-rpc", "-C", "etc/c.toml", "s.py"], {})
    assert settings.allowed_paths == (f"{tmp_path.resolve()}/etc/data", f"{tmp_path.resolve()}/etc/data:ro")


@pytest.mark.parametrize("flag", ["--sandbox", "--no-network", "--allowed-paths=/usr"])
def test_script_that_is_run_is_not_taken_for_confined(flag: str) -> None:
    assert "is for servers" in refused(flag, "s.py")


def test_confinement_of_servers_does_not_keep_a_script_from_running() -> None:
    """The environment may be meant for the servers that it starts."""
    environment = {"SCRIPTLING_SANDBOX": "1", "SCRIPTLING_NO_NETWORK": "1", "SCRIPTLING_ALLOWED_PATHS": "/usr"}
    assert not load_argv(["s.py"], environment).sandboxed
    assert load_argv(["--json-rpc", "s.py"], environment).sandboxed


def test_allowed_path_that_does_not_exist_is_refused() -> None:
    sentence = refused("--json-rpc", "--allowed-paths", "nowhere:ro", "s.py")
    assert sentence == "--allowed-paths: 'nowhere' does not exist; name a file or folder that does"


def test_a_store_that_can_be_made_need_not_be_there(folder: Path) -> None:
    assert load_argv(["--kv-storage", "a/b", "s.py"], {}).kv_storage == str(folder / "a" / "b")
    assert not (folder / "a").exists()


@pytest.mark.parametrize("place", ["s.py", "s.py/store"])
def test_a_store_where_a_file_is_is_refused(folder: Path, place: str) -> None:
    assert (
        refused("--kv-storage", place, "s.py")
        == f"--kv-storage: {folder / 's.py'} is not a folder; name one, or one that can be made"
    )


def test_a_store_where_nothing_may_be_written_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _, mode: mode == os.F_OK)
    assert f"nothing may be written to {folder}" in refused("--kv-storage", str(folder), "s.py")
