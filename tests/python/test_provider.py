"""What Airflow reads of the installed package, and what it makes of it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import distribution, entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.sdk import Asset, task
from airflow.sdk._shared.module_loading import import_string
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from conftest import END, START
from quant_framework import settings
from quant_framework.airflow.config import option
from quant_framework.airflow.connections import open_adapter, open_bronze, open_checkpoints, open_limiter
from quant_framework.airflow.hooks import MarketDataHook
from quant_framework.airflow.provider_info import CONNECTION_TYPE, OPTIONS, get_provider_info
from quant_framework.ingestion.adapters import CoinalyzeAdapter
from quant_framework.ingestion.backfill import LocalCheckpointStore

SERIES = "coinalyze/ohlcv/BTCUSDT_PERP.A/1h"
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / name).read_text())


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """What else the environment says."""
    for name in list(os.environ):
        if name.startswith(("QUANT_FRAMEWORK_", "AIRFLOW__QUANT_FRAMEWORK__")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QUANT_FRAMEWORK_HOME", str(tmp_path / "home"))


@pytest.fixture
def python(tmp_path):
    """A function that runs code in a fresh Airflow home; what it prints."""
    home = tmp_path / "airflow"
    home.mkdir()

    def python(code: str, cfg: str = "", **variables: str) -> str:
        (home / "airflow.cfg").write_text(textwrap.dedent(cfg))
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=os.environ | {"AIRFLOW_HOME": str(home), "COLUMNS": "300"} | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return python


def test_the_installed_package_has_the_entry_point_under_its_own_name():
    [entry] = [entry for entry in entry_points(group="apache_airflow_provider") if entry.dist.name == "quant-framework"]
    info = entry.load()()
    assert info == get_provider_info()
    assert info["package-name"] == "quant-framework"
    assert info["versions"] == [distribution("quant-framework").version]


def test_the_information_fits_the_schemas_of_airflow():
    info, runtime = get_provider_info(), schema("provider_info.schema.json")
    jsonschema.validate(info, runtime)
    # That one lets everything else pass.
    assert info.keys() - runtime["properties"].keys() == {"versions"}
    strict = schema("provider.yaml.schema.json")
    for name in (
        "connection-types",
        "integrations",
        "operators",
        "hooks",
        "extra-links",
        "asset-uris",
        "task-decorators",
    ):
        jsonschema.validate(info[name], strict["properties"][name] | {"definitions": strict.get("definitions", {})})
    for described in info["config"]["quant_framework"]["options"].values():
        assert set(described) == {"description", "version_added", "type", "example", "default", "sensitive"}


def test_every_name_in_the_information_is_there():
    info = get_provider_info()
    names = [CONNECTION_TYPE["hook-class-name"], *info["extra-links"]]
    names += [decorator["class-name"] for decorator in info["task-decorators"]]
    assert [name for name in names if not callable(import_string(name))] == []
    modules = [module for kind in ("operators", "hooks") for entry in info[kind] for module in entry["python-modules"]]
    assert [module for module in modules if not inspect.getdoc(__import__(module, fromlist=["*"]))] == []
    hook = import_string(CONNECTION_TYPE["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (CONNECTION_TYPE["connection-type"], CONNECTION_TYPE["hook-name"])
    assert hook.get_ui_field_behaviour()["hidden_fields"] == ["login"]
    assert MarketDataHook().market_data_conn_id == "market_data_default"


def test_the_commands_of_airflow_know_the_provider(python):
    printed = python(
        """
        import sys
        from airflow.__main__ import main
        for command in ("list", "get quant-framework", "hooks", "links", "configs"):
            sys.argv = ["airflow", "providers", *command.split(), "-o", "json"]
            print("\\n==")
            main()
        """
    )
    listed, got, hooks, links, configs = (json.loads(part[part.index("[") :]) for part in printed.split("\n==")[1:])
    assert {"quant-framework"} < {row["package_name"] for row in listed}
    assert got[0]["Provider"] == "quant-framework"
    [hook] = [row for row in hooks if row["connection_type"] == "market_data"]
    assert hook["class"] == CONNECTION_TYPE["hook-class-name"]
    assert hook["conn_id_attribute_name"] == "market_data_conn_id"
    assert "quant_framework.airflow.links.LakeLink" in str(links)
    assert "quant-framework" in str(configs)


def test_the_decorator_is_found_by_its_name():
    assert task.quant_backfill.__module__ == "quant_framework.airflow.decorators"


def test_assets_may_be_named_by_the_scheme_of_the_package(recwarn):
    assert Asset(uri=f"quant://{SERIES}").uri == f"quant://{SERIES}"
    assert ProvidersManagerTaskRuntime().asset_uri_handlers["quant"].__name__ == "normalize_noop"
    assert not [warning for warning in recwarn if "quant" in str(warning.message)]


def test_reading_the_information_loads_neither_the_core_nor_airflow(python):
    loaded = json.loads(
        python(
            """
            import json, sys
            from quant_framework.airflow.provider_info import get_provider_info
            get_provider_info()
            print(json.dumps([name for name in sys.modules if name.startswith(("quant_framework", "airflow"))]))
            """
        )
    )
    assert sorted(loaded) == [
        "quant_framework",
        "quant_framework.airflow",
        "quant_framework.airflow.provider_info",
        "quant_framework.errors",
    ]


def test_what_the_package_promises_is_there_though_it_loads_late(python):
    printed = python(
        """
        import quant_framework, sys
        assert "quant_framework._core" not in sys.modules
        assert "__version__" in dir(quant_framework)
        assert quant_framework.__version__ == quant_framework._core.__version__
        from quant_framework import *
        assert issubclass(InvalidError, quant_framework.QuantFrameworkError)
        try:
            quant_framework.nothing
        except AttributeError as error:
            print(error, __version__)
        """
    )
    assert (
        printed.strip()
        == f"module 'quant_framework' has no attribute 'nothing' {distribution('quant-framework').version}"
    )


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_environment_goes_before_airflows_configuration(name, monkeypatch):
    assert option(name) is None
    monkeypatch.setenv(f"AIRFLOW__QUANT_FRAMEWORK__{name.upper()}", "configured")
    assert option(name) == "configured"
    monkeypatch.setenv(f"QUANT_FRAMEWORK_{name.upper()}", "environment")
    assert option(name) == "environment"
    monkeypatch.setenv(f"QUANT_FRAMEWORK_{name.upper()}", "")
    assert option(name) == "configured"


def test_airflow_cfg_says_where_everything_lies(python, tmp_path, exchange):
    places = {name: (tmp_path / name).as_uri() for name in ("lake", "checkpoint", "rate_limit")}
    cfg = "[quant_framework]\n" + "\n".join(f"{name} = {url}" for name, url in places.items())
    code = """
        import asyncio
        from quant_framework.airflow.connections import open_adapter, open_bronze, open_checkpoints, open_limiter
        print(open_bronze().url)
        open_checkpoints().commit_sync("coinalyze/ohlcv/BTCUSDT_PERP.A/1h", cursor="7")
        async def main():
            adapter = open_adapter(options={"api_key": "offline"})
            await open_limiter(adapter).acquire()
            print(await adapter.resolve("BTC"))
        asyncio.run(main())
        """
    printed = python(code, f"{cfg}\nbase_url = {exchange.url}\n").split()
    assert printed == [places["lake"], "BTCUSDT_PERP.A"]
    assert LocalCheckpointStore(tmp_path / "checkpoint").load_sync(SERIES).cursor == "7"
    assert any((tmp_path / "rate_limit").iterdir())
    assert not (tmp_path / "home").exists(), "nothing lies where it does by default"


def test_a_sensitive_option_may_come_from_a_command(python):
    said = python(
        "from quant_framework.airflow.config import option; print(option('rate_limit'))",
        "[quant_framework]\nrate_limit_cmd = echo postgresql://db/limits\n",
    )
    assert said.strip() == "postgresql://db/limits"


def test_without_options_everything_lies_at_home(tmp_path):
    assert open_bronze().url == open_bronze(settings.lake_url()).url
    open_checkpoints().commit_sync(SERIES, [(START, END)])
    open_limiter(CoinalyzeAdapter(api_key="offline")).acquire_sync()
    assert {path.name for path in (tmp_path / "home").iterdir()} >= {"checkpoints", "limits"}


def test_an_argument_goes_before_every_option(monkeypatch, tmp_path, exchange):
    for name in ("LAKE", "CHECKPOINT", "RATE_LIMIT", "BASE_URL"):
        monkeypatch.setenv(f"AIRFLOW__QUANT_FRAMEWORK__{name}", "ftp://nowhere")
    url = (tmp_path / "said").as_uri()
    assert open_bronze(url).url == url
    open_checkpoints(url).commit_sync(SERIES, [(START, END)])
    adapter = open_adapter("coinalyze", {"api_key": "offline", "base_url": exchange.url})
    open_limiter(adapter, url).acquire_sync()


def test_the_form_proposes_sources_and_takes_others():
    """A source of a package's own could not be chosen."""
    schema = CONNECTION_TYPE["conn-fields"]["source"]["schema"]
    assert set(schema["examples"]) == {entry.name for entry in settings.BUILT_IN}
    assert "enum" not in schema
