#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""archive.py LAYER.tar OUTPUT: wraps one layer as an image, in the layout of the OCI and with the index that older programs look for.

What the image starts, and as whom, is said here and in the Containerfile.
"""

import datetime
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

NAME = "localhost/vipd:latest"
ENTRYPOINT = ["/usr/sbin/vipd-container"]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def main(layer_path, output):
    with open(layer_path, "rb") as f:
        layer = f.read()
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc).isoformat()
    blobs = {}

    def blob(media_type, data):
        blobs[digest(data)] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest(data)}", "size": len(data)}

    def document(media_type, value):
        return blob(media_type, json.dumps(value, sort_keys=True).encode())

    layers = [blob("layer.v1.tar", layer)]
    config = document("config.v1+json", {
        "created": created,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ENTRYPOINT, "Env": ["PATH=/usr/sbin:/usr/bin"], "StopSignal": "SIGTERM"},
        "rootfs": {"type": "layers", "diff_ids": [layers[0]["digest"]]},
        "history": [{"created": created, "created_by": "container/build"}],
    })
    manifest = document("manifest.v1+json", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                             "config": config, "layers": layers})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode(),
        "manifest.json": json.dumps([{"Config": f"blobs/sha256/{config['digest'][7:]}", "RepoTags": [NAME],
                                      "Layers": [f"blobs/sha256/{layers[0]['digest'][7:]}"]}]).encode(),
        **{f"blobs/sha256/{name}": data for name, data in blobs.items()},
    }
    with tarfile.open(output, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main(*sys.argv[1:])
