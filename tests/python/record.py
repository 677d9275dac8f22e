"""Records the requests of the official Python SDK, for the comparison in tests/it/cloud/api_python.rs.

Nothing is sent: a transport in the SDK's place of the network answers 500 to everything. To record again:

    python3 -m venv venv
    venv/bin/pip install --no-deps phala-cloud==0.2.0
    venv/bin/pip install httpx==0.28.1 pydantic==2.14.3
    venv/bin/python tests/python/record.py > tests/vectors/python_sdk.json

Without --no-deps a package for signing on chain is built, which none of these requests needs. The tests read the file
alone, and need no Python.
"""

import json
import sys
from importlib.metadata import version

import httpx
from phala_cloud import PhalaCloud

PREFIX = "http://cloud/api/v1"
# The version of the API that our client asks for; the SDK's own default is recorded beside it.
API_VERSION = "2026-01-21"
MEANINGFUL = [
    "x-phala-version",
    "x-api-key",
    "content-type",
    "accept",
    "cache-control",
    "x-prepare-only",
    "x-compose-hash",
    "x-transaction-hash",
]

CVM = "payments-prod"
HASH = "07" * 32
TRANSACTION = "0x" + "09" * 32
APP = "07" * 20
COMPOSE = "services:\n  web:\n    image: nginx:1.28\n"
MANIFEST = {"name": "new-app", "docker_compose_file": COMPOSE, "public_logs": True, "public_sysinfo": True}
PROOF = {"compose_hash": HASH, "transaction_hash": TRANSACTION}


def on_cvm(**more):
    return {"id": CVM, **more}


ACTS = [
    ("get_cvm_list", {"page": 2, "page_size": 5}),
    ("get_cvm_info", on_cvm()),
    ("get_cvm_compose_file", on_cvm()),
    ("get_cvm_state", on_cvm()),
    ("watch_cvm_state", on_cvm(target="running", max_retries=0)),
    ("get_cvm_stats", on_cvm()),
    ("get_cvm_network", on_cvm()),
    ("get_cvm_attestation", on_cvm()),
    ("get_available_os_images", on_cvm()),
    ("get_os_images", {"page": 2, "page_size": 5}),
    ("start_cvm", on_cvm()),
    ("stop_cvm", on_cvm()),
    ("shutdown_cvm", on_cvm()),
    ("restart_cvm", on_cvm()),
    ("restart_cvm", on_cvm(force=True)),
    ("delete_cvm", on_cvm()),
    ("replicate_cvm", on_cvm()),
    ("replicate_cvm", on_cvm(node_id=18)),
    ("update_cvm_resources", on_cvm(vcpu=4, memory=8192, disk_size=100)),
    ("update_cvm_visibility", on_cvm(public_sysinfo=True, public_logs=False, public_tcbinfo=True)),
    ("update_pre_launch_script", on_cvm(pre_launch_script="#!/bin/sh\n")),
    ("update_pre_launch_script", on_cvm(pre_launch_script="#!/bin/sh\n", **PROOF)),
    ("update_docker_compose", on_cvm(docker_compose_file=COMPOSE)),
    ("update_docker_compose", on_cvm(docker_compose_file=COMPOSE, **PROOF)),
    ("update_cvm_envs", on_cvm(encrypted_env="ab", env_keys=["B", "A"])),
    ("update_cvm_envs", on_cvm(encrypted_env="ab", env_keys=["B", "A"], **PROOF)),
    ("update_os_image", on_cvm(os_image_name="dstack-0.5.8")),
    ("refresh_cvm_instance_id", on_cvm()),
    ("refresh_cvm_instance_id", on_cvm(overwrite=True, dry_run=True)),
    ("refresh_cvm_instance_ids", {"cvm_ids": [CVM], "running_only": False, "limit": 7}),
    ("patch_cvm", on_cvm(docker_compose_file=COMPOSE, vcpu=4, allowed_envs=["A"], shutdown_timeout=30)),
    ("confirm_cvm_patch", on_cvm(**PROOF)),
    ("provision_cvm_compose_file_update", on_cvm(app_compose=MANIFEST, update_env_vars=True)),
    ("commit_cvm_compose_file_update", on_cvm(compose_hash=HASH, encrypted_env="ab", env_keys=["A"], update_env_vars=True)),
    ("provision_cvm", {"name": "new-app", "compose_file": MANIFEST, "vcpu": 2, "memory": 2048, "disk_size": 20,
                       "teepod_id": 18, "listed": False}),
    ("commit_cvm_provision", {"app_id": APP, "compose_hash": HASH, "encrypted_env": "ab", "env_keys": ["A"],
                              "kms_id": "kms_abc"}),
    ("get_available_nodes", None),
    ("get_kms_list", {"page": 2, "page_size": 5, "is_onchain": True}),
    ("get_kms_info", {"kms_id": "kms_abc"}),
    ("get_kms_on_chain_detail", {"chain": "base"}),
    ("get_app_env_encrypt_pub_key", {"kms": "kms_abc", "app_id": APP}),
    ("next_app_ids", {"counts": 3}),
    ("check_app_is_allowed", {"app_id": APP, "compose_hash": HASH, "device_id": "01" * 32}),
]


def record():
    heard = []

    def answer(request):
        heard.append(request)
        return httpx.Response(500, json={"detail": "recording"})

    plain = PhalaCloud(api_key="phak_recorded", base_url=PREFIX, version=API_VERSION)
    client = PhalaCloud(
        api_key="phak_recorded",
        base_url=PREFIX,
        version=API_VERSION,
        http_client=httpx.Client(
            base_url=PREFIX, headers=plain.config.request_headers, transport=httpx.MockTransport(answer)
        ),
    )
    for name, request in ACTS:
        heard.clear()
        try:
            getattr(client, name)(*([] if request is None else [request]))
        except Exception as error:  # The answer is an error, and only the request counts.
            print(f"{name}: {type(error).__name__}", file=sys.stderr)
        if not heard:
            raise SystemExit(f"{name} sent nothing")
        sent = heard[0]
        text = sent.content.decode()
        try:
            body = json.loads(text) if text else None
        except ValueError:
            body = text
        yield {
            "act": name,
            "request": request,
            "method": sent.method,
            "path": sent.url.path,
            "query": sent.url.query.decode(),
            "headers": {key: sent.headers[key] for key in MEANINGFUL if key in sent.headers},
            "body": body,
        }


if __name__ == "__main__":
    document = {
        "about": "Requests of the official Python SDK, recorded by tests/python/record.py; see there how to do it again.",
        "sdk": f"phala-cloud {version('phala-cloud')}",
        "default_api_version": PhalaCloud(api_key="x").config.version,
        "requests": list(record()),
    }
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    print()
