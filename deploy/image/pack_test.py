"""What pack.py writes is an OCI image, and the same content is the same image. Run by the test `image`."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

PACK = pathlib.Path(__file__).with_name("pack.py")
OPTIONS = (
    "--name registry.example.com/operator:1.2 --machine x86_64 --created 1700000000 --user 65532:65532"
    " --entrypoint /operator --port 8080/tcp --label org.opencontainers.image.title=operator"
).split()


class Packed:
    """An archive, as a registry would read it."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(self.bytes)) as tar:
            self.files = {f.name: tar.extractfile(f).read() for f in tar if f.isfile()}
        self.index = json.loads(self.files["index.json"])
        self.manifest = json.loads(self.blob(self.index["manifests"][0]))
        self.config = json.loads(self.blob(self.manifest["config"]))
        self.layer = gzip.decompress(self.blob(self.manifest["layers"][0]))

    def blob(self, descriptor):
        """A blob that is what its descriptor says."""
        data = self.files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert len(data) == descriptor["size"], descriptor
        assert "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"], descriptor
        return data


class PackTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def root(self, name, order):
        """A folder with some files, made in this order."""
        root = self.folder / name
        for file in order:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
        (root / "operator").chmod(0o700)
        os.utime(root / "operator", (len(name), len(name)))
        return root

    def pack(self, root, name):
        archive = self.folder / name
        subprocess.run([sys.executable, PACK, root, archive, *OPTIONS], check=True, capture_output=True)
        return Packed(archive)

    def test_the_same_content_is_the_same_image_whatever_made_it(self):
        one = self.pack(self.root("one", ["operator", "etc/b", "etc/a"]), "one.tar")
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        two = self.pack(self.root("another", ["etc/a", "etc/b", "operator"]), "two.tar")
        self.assertEqual(one.bytes, two.bytes)
        (self.folder / "another/etc/b").write_text("B")
        other = self.pack(self.folder / "another", "other.tar")
        self.assertNotEqual(one.index["manifests"][0]["digest"], other.index["manifests"][0]["digest"])

    def test_every_blob_is_what_it_is_called_and_the_layer_what_was_packed(self):
        image = self.pack(self.root("root", ["operator", "etc/a"]), "image.tar")
        self.assertEqual(len(image.files), 3 + 2)
        self.assertEqual(json.loads(image.files["oci-layout"]), {"imageLayoutVersion": "1.0.0"})
        unpacked = "sha256:" + hashlib.sha256(image.layer).hexdigest()
        self.assertEqual(image.config["rootfs"], {"type": "layers", "diff_ids": [unpacked]})
        with tarfile.open(fileobj=io.BytesIO(image.layer)) as tar:
            seen = [(f.name, oct(f.mode), f.uid, f.gid, f.uname, f.mtime) for f in tar]
        time = 1700000000
        self.assertEqual(
            seen,
            [
                ("etc", "0o755", 0, 0, "", time),
                ("etc/a", "0o644", 0, 0, "", time),
                ("operator", "0o755", 0, 0, "", time),
            ],
        )

    def test_it_runs_as_nobody_and_says_what_it_is(self):
        image = self.pack(self.root("root", ["operator"]), "image.tar")
        self.assertEqual(image.config["config"]["User"], "65532:65532")
        self.assertEqual(image.config["config"]["Entrypoint"], ["/operator"])
        self.assertEqual(image.config["config"]["ExposedPorts"], {"8080/tcp": {}})
        self.assertEqual((image.config["os"], image.config["architecture"]), ("linux", "amd64"))
        labels = {
            "org.opencontainers.image.title": "operator",
            "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        }
        self.assertEqual(image.config["config"]["Labels"], labels)
        self.assertEqual(image.manifest["annotations"], labels)
        names = {
            "io.containerd.image.name": "registry.example.com/operator:1.2",
            "org.opencontainers.image.ref.name": "1.2",
        }
        self.assertEqual(image.index["manifests"][0]["annotations"], names)

    def test_a_list_of_authorities_that_is_cut_short_is_refused(self):
        root = self.root("root", ["operator", "etc/ssl/certs/ca-certificates.crt"])
        command = [sys.executable, PACK, root, self.folder / "image.tar", *OPTIONS]
        self.assertNotEqual(subprocess.run(command, capture_output=True).returncode, 0)
        self.assertFalse((self.folder / "image.tar").exists())

    def test_an_image_that_has_grown_too_large_is_refused(self):
        root = self.root("root", ["operator"])
        (root / "operator").write_bytes(os.urandom(20_000))
        command = [sys.executable, PACK, root, self.folder / "image.tar", *OPTIONS, "--at-most"]
        refused = subprocess.run([*command, "15000"], capture_output=True, text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("grown to 0.02 MB compressed, and may have 0.01", refused.stderr)
        self.assertFalse((self.folder / "image.tar").exists())
        subprocess.run([*command, "30000"], check=True, capture_output=True)
        self.assertTrue((self.folder / "image.tar").exists())

    def test_a_link_is_refused(self):
        root = self.root("root", ["operator"])
        (root / "link").symlink_to("/etc/passwd")
        command = [sys.executable, PACK, root, self.folder / "image.tar", *OPTIONS]
        self.assertNotEqual(subprocess.run(command, capture_output=True).returncode, 0)


if __name__ == "__main__":
    unittest.main()
