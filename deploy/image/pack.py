#!/usr/bin/env python3
"""Packs a folder as a container image with one layer: an OCI archive that every engine and registry tool takes.

Needs nothing but Python. The same content gives the same bytes: files are sorted, belong to root, have the given time and
the modes 0755 or 0644, and nothing tells when or where it was packed. Says the image's digest and how large it is.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import ssl
import tarfile
from datetime import datetime, timezone

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
# A list that was cut short would be noticed when Fireworks renews its certificate, and not before.
AUTHORITIES_MIN = 100


def tar_of(entries, time):
    """A tar of (name, bytes, mode) entries; None for bytes makes a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.mtime = time
            entry.mode = mode
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def layer_of(folder, time):
    """The folder as a tar."""
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SystemExit(f"{path} is neither a file nor a folder")
        executable = path.is_dir() or path.stat().st_mode & 0o100
        content = None if path.is_dir() else path.read_bytes()
        entries.append((str(path.relative_to(folder)), content, 0o755 if executable else 0o644))
    return tar_of(entries, time)


def authorities(folder):
    """How many certificate authorities the image trusts, or None where it has no list."""
    bundle = folder / AUTHORITIES
    if not bundle.exists():
        return None
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.load_verify_locations(cafile=bundle)
    count = len(trusted.get_ca_certs())
    if count < AUTHORITIES_MIN:
        raise SystemExit(f"{bundle} holds only {count} certificate authorities")
    return count


def compressed(data):
    """By gzip, without a name and a time."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(data)
    return packed.getvalue()


def digest(data):
    """As an OCI descriptor has it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Archive:
    """The blobs of an OCI layout."""

    def __init__(self):
        self.blobs = {}

    def add(self, media_type, data, **more):
        """Keeps the blob; its descriptor."""
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}

    def add_json(self, media_type, value, **more):
        """The same for what is JSON."""
        return self.add(media_type, as_json(value), **more)

    def write(self, path, index, time):
        """The layout as one tar."""
        entries = [("blobs", None, 0o755), ("blobs/sha256", None, 0o755)]
        for name, data in sorted(self.blobs.items()):
            entries.append((f"blobs/sha256/{name.removeprefix('sha256:')}", data, 0o644))
        entries.append(("index.json", as_json(index), 0o644))
        entries.append(("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}), 0o644))
        path.write_bytes(tar_of(entries, time))


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def pack(options):
    """Writes the archive; its manifest's descriptor and the layer's."""
    time = options.created
    created = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = dict(label.split("=", 1) for label in options.label)
    labels["org.opencontainers.image.created"] = created
    platform = {"architecture": MACHINES.get(options.machine, options.machine), "os": "linux"}
    layer = layer_of(options.folder, time)
    packed = compressed(layer)
    if options.at_most is not None and len(packed) > options.at_most:
        raise SystemExit(
            f"the image has grown to {len(packed) / 1e6:.2f} MB compressed, and may have {options.at_most / 1e6:.2f}"
        )
    config = {
        **platform,
        "created": created,
        "config": {
            "User": options.user,
            "Entrypoint": [options.entrypoint],
            "ExposedPorts": {port: {} for port in options.port},
            "Labels": labels,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created": created, "created_by": "make image"}],
    }
    archive = Archive()
    layer = archive.add("application/vnd.oci.image.layer.v1.tar+gzip", packed)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": archive.add_json("application/vnd.oci.image.config.v1+json", config),
        "layers": [layer],
        "annotations": labels,
    }
    names = {
        "io.containerd.image.name": options.name,
        "org.opencontainers.image.ref.name": options.name.rpartition(":")[2],
    }
    manifest = archive.add_json(
        manifest["mediaType"], manifest, platform=platform, annotations=names
    )
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    }
    archive.write(options.archive, index, time)
    return manifest, layer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path, help="what the image holds")
    parser.add_argument("archive", type=pathlib.Path, help="the OCI archive to write")
    parser.add_argument("--name", required=True, help="with a tag: registry.example.com/name:tag")
    parser.add_argument("--machine", required=True, help="as `uname -m` says it")
    parser.add_argument("--created", type=int, required=True, help="seconds since 1970")
    parser.add_argument("--user", required=True, help="user and group: 65532:65532")
    parser.add_argument("--entrypoint", required=True, help="the program")
    parser.add_argument("--at-most", type=int, help="bytes, compressed: a larger image is refused")
    parser.add_argument("--port", action="append", default=[], help="8080/tcp")
    parser.add_argument("--label", action="append", default=[], help="name=value")
    options = parser.parse_args()
    trusted = authorities(options.folder)
    manifest, layer = pack(options)
    print(f"{options.archive}: {options.name}")
    print(f"digest {manifest['digest']}, {layer['size'] / 1e6:.2f} MB compressed", end="")
    print("" if trusted is None else f", {trusted} certificate authorities")


if __name__ == "__main__":
    main()
